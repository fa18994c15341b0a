//! Reads images from OCI layouts and from skopeo's `dir:` form with serde_json, tar and flate2
//! only, checking every digest, size and diff id on the way.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::tree::Tree;

/// `sha256:…` of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a string takes it");
    }
    text
}

/// An image: its manifest, its config and where its blobs are.
#[derive(Debug)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: String,
    /// Bytes of the manifest.
    pub manifest_size: usize,
    /// The manifest.
    pub manifest: Value,
    /// The config.
    pub config: Value,
    blobs: PathBuf,
    /// Where the blobs are kept for as long as this is.
    _directory: Option<Arc<TempDir>>,
}

impl Image {
    /// The only image of an OCI layout.
    pub fn from_layout(layout: &Path) -> Image {
        let index = read_json(&layout.join("index.json"));
        assert_eq!(read_json(&layout.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
        assert_eq!(index["schemaVersion"], 2);
        let manifests = index["manifests"].as_array().expect("an index has manifests");
        assert!(!manifests.is_empty(), "the layout's index is empty");
        let descriptor = &manifests[0];
        for other in manifests {
            assert_eq!(other["digest"], descriptor["digest"], "tags of one image");
        }
        let blobs = layout.join("blobs/sha256");
        let bytes = verified(&blobs, descriptor);
        Image::new(&bytes, blobs)
    }

    /// An image in the form of skopeo's `dir:`.
    pub fn from_dir(dir: &Path) -> Image {
        let bytes = fs::read(dir.join("manifest.json")).expect("the manifest is there");
        Image::new(&bytes, dir.to_owned())
    }

    fn new(manifest: &[u8], blobs: PathBuf) -> Image {
        let (digest, manifest_size) = (sha256(manifest), manifest.len());
        let manifest: Value = serde_json::from_slice(manifest).expect("the manifest is JSON");
        let config = verified(&blobs, &manifest["config"]);
        let config = serde_json::from_slice(&config).expect("the config is JSON");
        let image = Image { digest, manifest_size, manifest, config, blobs, _directory: None };
        let diff_ids = image.diff_ids().len();
        assert_eq!(image.layer_count(), diff_ids, "as many layers as diff ids");
        image
    }

    /// The same image, which keeps a temporary directory from going.
    pub(crate) fn keeping(self, directory: Arc<TempDir>) -> Image {
        Image { _directory: Some(directory), ..self }
    }

    /// The same image, which keeps the temporary directory that it was read from.
    pub fn keeping_directory(self, directory: TempDir) -> Image {
        self.keeping(Arc::new(directory))
    }

    /// Number of layers.
    pub fn layer_count(&self) -> usize {
        self.manifest["layers"].as_array().expect("a manifest has layers").len()
    }

    /// Digests of the layers' blobs, from the bottom.
    pub fn layer_digests(&self) -> Vec<String> {
        let layers = self.manifest["layers"].as_array().expect("a manifest has layers");
        layers.iter().map(|layer| string(&layer["digest"])).collect()
    }

    /// Digests of the layers' tar archives, from the bottom.
    pub fn diff_ids(&self) -> Vec<String> {
        let ids = self.config["rootfs"]["diff_ids"].as_array().expect("a config has diff ids");
        ids.iter().map(string).collect()
    }

    /// Reads and checks one layer; a negative number counts from the top.
    pub fn layer(&self, number: isize) -> Layer {
        let count = self.layer_count();
        let index = if number < 0 { count as isize + number } else { number };
        let index = usize::try_from(index).expect("the image has this layer");
        let descriptor = &self.manifest["layers"][index];
        let blob = verified(&self.blobs, descriptor);
        let tar = decompress(&blob);
        assert_eq!(sha256(&tar), self.diff_ids()[index], "the diff id of layer {index}");
        Layer {
            media_type: string(&descriptor["mediaType"]),
            compressed: blob.len(),
            entries: read_entries(&tar),
            tar,
        }
    }

    /// The layers above the first `base` ones.
    pub fn layers_above(&self, base: usize) -> Vec<Layer> {
        (base..self.layer_count()).map(|n| self.layer(n as isize)).collect()
    }

    /// The file tree that all layers give.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        for layer in self.layers_above(0) {
            tree.apply(&layer);
        }
        tree
    }

    /// `created_by` of each history entry, with whether it has a layer.
    pub fn history(&self) -> Vec<(String, bool)> {
        let entries = self.config["history"].as_array().expect("a config has a history");
        entries
            .iter()
            .map(|entry| {
                let created_by = entry["created_by"].as_str().unwrap_or_default().to_owned();
                (created_by, entry["empty_layer"].as_bool() != Some(true))
            })
            .collect()
    }
}

/// One layer, decompressed.
#[derive(Debug)]
pub struct Layer {
    /// Media type as the manifest has it.
    pub media_type: String,
    /// Bytes of the blob.
    pub compressed: usize,
    /// What is in it, in its order.
    pub entries: Vec<Entry>,
    /// The tar archive.
    pub tar: Vec<u8>,
}

impl Layer {
    /// One line an entry, such as `f 0644 0:0 app/x "hello\n"`.
    pub fn listing(&self) -> String {
        self.entries.iter().map(|entry| entry.to_string() + "\n").collect()
    }

    /// The names, in order.
    pub fn paths(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.path.as_str()).collect()
    }

    /// The entry with this name.
    pub fn entry(&self, path: &str) -> &Entry {
        self.entries
            .iter()
            .find(|entry| entry.path == path)
            .unwrap_or_else(|| panic!("{path} is not in the layer:\n{}", self.listing()))
    }
}

/// Type of a tar entry, with what it points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file's content.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link's target.
    Symlink(String),
    /// The path this one is another name of.
    HardLink(String),
    /// A named pipe.
    Fifo,
    /// A character device's numbers.
    Character(u32, u32),
    /// A block device's numbers.
    Block(u32, u32),
}

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path without leading or trailing slash.
    pub path: String,
    /// Its type.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Entry {
    /// A regular file's content.
    pub fn content(&self) -> &[u8] {
        match &self.kind {
            Kind::File(content) => content,
            other => panic!("{} is no file but {other:?}", self.path),
        }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letter = match self.kind {
            Kind::File(_) => 'f',
            Kind::Directory => 'd',
            Kind::Symlink(_) => 'l',
            Kind::HardLink(_) => 'h',
            Kind::Fifo => 'p',
            Kind::Character(..) => 'c',
            Kind::Block(..) => 'b',
        };
        let Entry { path, mode, uid, gid, .. } = self;
        write!(f, "{letter} {mode:04o} {uid}:{gid} {path}")?;
        match &self.kind {
            Kind::File(content) if content.len() <= 80 => {
                write!(f, " {:?}", String::from_utf8_lossy(content))?;
            }
            Kind::File(content) => write!(f, " {} bytes", content.len())?,
            Kind::Symlink(target) | Kind::HardLink(target) => write!(f, " -> {target}")?,
            Kind::Character(major, minor) | Kind::Block(major, minor) => {
                write!(f, " {major},{minor}")?;
            }
            Kind::Directory | Kind::Fifo => {}
        }
        for (name, value) in &self.xattrs {
            write!(f, " {name}={}", String::from_utf8_lossy(value).escape_debug())?;
        }
        Ok(())
    }
}

fn read_entries(tar: &[u8]) -> Vec<Entry> {
    let mut archive = tar::Archive::new(tar);
    archive
        .entries()
        .expect("the layer is a tar archive")
        .map(|entry| read_entry(entry.expect("the tar archive is whole")))
        .collect()
}

fn read_entry(mut entry: tar::Entry<'_, &[u8]>) -> Entry {
    let path = String::from_utf8(entry.path_bytes().into_owned()).expect("tests use UTF-8 paths");
    let mut xattrs = BTreeMap::new();
    if let Some(extensions) = entry.pax_extensions().expect("PAX records are readable") {
        for extension in extensions {
            let extension = extension.expect("PAX records are readable");
            let key = extension.key().expect("PAX keys are UTF-8").to_owned();
            if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                xattrs.insert(name.to_owned(), extension.value_bytes().to_vec());
            }
        }
    }
    let link = || {
        let target = entry.link_name_bytes().expect("a link has a target");
        String::from_utf8(target.into_owned()).expect("tests use UTF-8 links")
    };
    let header = entry.header();
    let device = || {
        let major = header.device_major().expect("a device has numbers");
        (major.unwrap_or(0), header.device_minor().expect("a device has numbers").unwrap_or(0))
    };
    let kind = match header.entry_type() {
        tar::EntryType::Directory => Kind::Directory,
        tar::EntryType::Symlink => Kind::Symlink(link()),
        tar::EntryType::Link => Kind::HardLink(link()),
        tar::EntryType::Fifo => Kind::Fifo,
        tar::EntryType::Char => Kind::Character(device().0, device().1),
        tar::EntryType::Block => Kind::Block(device().0, device().1),
        tar::EntryType::Regular => Kind::File(Vec::new()),
        other => panic!("an entry of type {other:?} in a layer: {path}"),
    };
    let mut read = Entry {
        path: path.trim_matches('/').to_owned(),
        kind,
        mode: header.mode().expect("an entry has a mode") & 0o7777,
        uid: header.uid().expect("an entry has an owner"),
        gid: header.gid().expect("an entry has a group"),
        mtime: header.mtime().expect("an entry has a time"),
        xattrs,
    };
    if let Kind::File(content) = &mut read.kind {
        entry.read_to_end(content).expect("the entry is whole");
    }
    read
}

pub(crate) fn decompress(blob: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    if blob.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(blob).read_to_end(&mut tar).expect("gzip is whole");
    } else if blob.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        zstd::stream::copy_decode(blob, &mut tar).expect("zstd is whole");
    } else {
        tar.extend_from_slice(blob);
    }
    tar
}

/// The blob of a descriptor, from a layout (`<hex>`) or skopeo's `dir:` (`<hex>` as well).
fn verified(blobs: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = string(&descriptor["digest"]);
    let hex = digest.strip_prefix("sha256:").expect("digests are sha256");
    let path = blobs.join(hex);
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(sha256(&bytes), digest, "the blob {}", path.display());
    assert_eq!(descriptor["size"].as_u64(), Some(bytes.len() as u64), "the size of {digest}");
    bytes
}

fn read_json(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}
