//! Images made by hand, entry by entry, for what no other tool would write.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::image::sha256;

/// How a layer's tar archive becomes its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    /// Not at all.
    Plain,
    /// One gzip member.
    Gzip,
    /// A gzip member for every so many bytes.
    GzipMembers(usize),
    /// Zstandard.
    Zstd,
}

/// A layer in the making.
pub struct ForgedLayer {
    tar: tar::Builder<Vec<u8>>,
}

impl Default for ForgedLayer {
    fn default() -> Self {
        ForgedLayer { tar: tar::Builder::new(Vec::new()) }
    }
}

impl ForgedLayer {
    /// A layer without entries.
    pub fn new() -> ForgedLayer {
        ForgedLayer::default()
    }

    /// Adds a regular file.
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> ForgedLayer {
        self.entry(tar::EntryType::Regular, path, mode, (0, 0), "", content)
    }

    /// Adds a directory.
    pub fn directory(self, path: &str, mode: u32) -> ForgedLayer {
        self.entry(tar::EntryType::Directory, path, mode, (0, 0), "", b"")
    }

    /// Adds a symbolic link.
    pub fn symlink(self, path: &str, target: &str) -> ForgedLayer {
        self.entry(tar::EntryType::Symlink, path, 0o777, (0, 0), target, b"")
    }

    /// Adds another name of a file.
    pub fn hard_link(self, path: &str, target: &str) -> ForgedLayer {
        self.entry(tar::EntryType::Link, path, 0o644, (0, 0), target, b"")
    }

    /// Adds any entry, its path written as given, `..` and leading slashes included.
    pub fn entry(
        mut self,
        kind: tar::EntryType,
        path: &str,
        mode: u32,
        (uid, gid): (u64, u64),
        link: &str,
        content: &[u8],
    ) -> ForgedLayer {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(1_600_000_000);
        header.set_size(content.len() as u64);
        if matches!(kind, tar::EntryType::Char | tar::EntryType::Block) {
            header.set_device_major(1).expect("a ustar header has device numbers");
            header.set_device_minor(3).expect("a ustar header has device numbers");
        }
        let ustar = header.as_ustar_mut().expect("made as ustar");
        ustar.name[..path.len()].copy_from_slice(path.as_bytes());
        ustar.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.tar.append(&header, content).expect("memory takes it");
        self
    }

    /// Adds a regular file whose header says another size than it has.
    pub fn with_size(mut self, path: &str, size: u64, content: &[u8]) -> ForgedLayer {
        let mut header = tar::Header::new_gnu();
        header.set_path(path).expect("a short path");
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        self.tar.append(&header, content).expect("memory takes it");
        self
    }

    /// Adds PAX records for the entry that follows.
    pub fn pax(mut self, records: &[(&str, &[u8])]) -> ForgedLayer {
        let records = records.iter().map(|(key, value)| (*key, *value));
        self.tar.append_pax_extensions(records).expect("memory takes it");
        self
    }

    /// The archive as a blob.
    pub fn blob(self, compress: Compress) -> Blob {
        let tar = self.tar.into_inner().expect("memory takes it");
        let diff_id = sha256(&tar);
        let (bytes, suffix) = match compress {
            Compress::Plain => (tar, ""),
            Compress::Gzip => (gzip(&tar), "+gzip"),
            Compress::GzipMembers(size) => (tar.chunks(size).flat_map(gzip).collect(), "+gzip"),
            Compress::Zstd => {
                let bytes = zstd::stream::encode_all(tar.as_slice(), 3).expect("memory takes it");
                (bytes, "+zstd")
            }
        };
        let digest = sha256(&bytes);
        let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
        Blob { bytes, digest, diff_id, media_type }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// A layer's blob; its parts can be made to disagree.
#[derive(Debug, Clone)]
pub struct Blob {
    /// What is stored.
    pub bytes: Vec<u8>,
    /// What the manifest says they are, and the name they are stored by.
    pub digest: String,
    /// What the config says their tar archive is.
    pub diff_id: String,
    /// The manifest's media type.
    pub media_type: String,
}

/// An image made of such layers.
pub struct ForgedImage {
    /// The layers from the bottom.
    pub layers: Vec<Blob>,
    /// The part of the config that containers run by.
    pub config: Value,
}

impl ForgedImage {
    /// An image of some gzip layers without configuration.
    pub fn of(layers: impl IntoIterator<Item = ForgedLayer>) -> ForgedImage {
        let layers = layers.into_iter().map(|layer| layer.blob(Compress::Gzip)).collect();
        ForgedImage { layers, config: json!({}) }
    }

    /// Writes it as an OCI layout, tagged `latest`.
    pub fn write(&self, layout: &Path) {
        self.write_for(layout, "linux", "amd64");
    }

    /// Writes it as an OCI layout, tagged `latest`, as one of this platform.
    pub fn write_for(&self, layout: &Path, os: &str, architecture: &str) {
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("made");
        let put = |digest: &str, bytes: &[u8]| {
            let name = digest.strip_prefix("sha256:").expect("digests are sha256");
            fs::write(blobs.join(name), bytes).expect("written");
        };
        let descriptor = |media_type: &str, digest: &str, size: usize| json!({"mediaType": media_type, "digest": digest, "size": size});
        let mut layers = Vec::new();
        for layer in &self.layers {
            put(&layer.digest, &layer.bytes);
            layers.push(descriptor(&layer.media_type, &layer.digest, layer.bytes.len()));
        }
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| &layer.diff_id).collect();
        let config = json!({
            "architecture": architecture, "os": os, "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": self.layers.iter().map(|_| json!({"created_by": "forged"})).collect::<Vec<_>>(),
        })
        .to_string();
        put(&sha256(config.as_bytes()), config.as_bytes());
        let config_type = "application/vnd.oci.image.config.v1+json";
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type, "layers": layers,
            "config": descriptor(config_type, &sha256(config.as_bytes()), config.len()),
        })
        .to_string();
        let digest = sha256(manifest.as_bytes());
        put(&digest, manifest.as_bytes());
        let mut entry = descriptor(manifest_type, &digest, manifest.len());
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
        fs::write(layout.join("index.json"), index).expect("written");
        fs::write(layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("written");
    }
}
