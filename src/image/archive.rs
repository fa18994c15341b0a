//! Images as one file: `docker save` archives, which `docker load`, `podman load` and skopeo's
//! `docker-archive:` read, and OCI archives, which are OCI layouts in a tar.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::blob::{BlobSource, ImageBlob};
use super::layout::LayoutImage;
use super::{Descriptor, Digest, MediaType, Reference};

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the image archive {}: {source}", path.display())]
pub struct ArchiveError {
    /// The archive.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// The document `manifest.json`; names as Docker writes them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ArchiveManifest {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes an archive with the config and the layers of one image, from the bottom, and its
/// names. A regular file or a new one is written beside itself and renamed; what cannot be renamed
/// to, such as a device or a mounted file, is written plainly.
///
/// # Errors
/// Failure to read a layer or to write; a layer that is not what its descriptor says.
pub fn write_docker_archive(
    path: &Path,
    config: &[u8],
    layers: &[ImageBlob<'_>],
    names: &[Reference],
) -> Result<(), ArchiveError> {
    place(path, |file| write_archive(file, config, layers, names))
        .map_err(|source| ArchiveError { path: path.to_owned(), source })
}

/// Writes an archive of an OCI layout with one image or index. The file is made as in
/// [`write_docker_archive`].
///
/// # Errors
/// Failure to read a blob or to write; a blob that is not what its descriptor says.
pub fn write_oci_archive(path: &Path, image: &LayoutImage<'_>) -> Result<(), ArchiveError> {
    place(path, |file| write_layout(file, image))
        .map_err(|source| ArchiveError { path: path.to_owned(), source })
}

fn place(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    // A link's target is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|m| !m.is_file()) {
        return write(&mut File::options().write(true).open(&path)?);
    }
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)?;
    write(file.as_file_mut())?;
    match file.persist(&path) {
        Ok(_) => Ok(()),
        // A file that is a mount point itself.
        Err(failed) if failed.error.kind() == io::ErrorKind::ResourceBusy => {
            let mut from = failed.file.into_file();
            from.rewind()?;
            io::copy(&mut from, &mut File::create(&path)?).map(drop)
        }
        Err(failed) => Err(failed.error),
    }
}

fn write_layout(file: &mut File, image: &LayoutImage<'_>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let (version, index) = image.documents()?;
    let root = ImageBlob { descriptor: image.descriptor.clone(), source: BlobSource::Bytes(image.manifest) };
    member(&mut out, "oci-layout", version.len() as u64, |out| out.write_all(&version))?;
    let mut written = HashSet::new();
    for blob in image.blobs.iter().chain([&root]) {
        let Descriptor { digest, size, .. } = blob.descriptor;
        if written.insert(digest) {
            member(&mut out, &format!("blobs/sha256/{}", digest.hex()), size, |out| blob.copy_to(out))?;
        }
    }
    member(&mut out, "index.json", index.len() as u64, |out| out.write_all(&index))?;
    out.write_all(&[0; 1024])?;
    out.flush()
}

fn write_archive(
    file: &mut File,
    config: &[u8],
    layers: &[ImageBlob<'_>],
    names: &[Reference],
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let config_name = Digest::of(config).to_string();
    member(&mut out, &config_name, config.len() as u64, |out| out.write_all(config))?;
    let mut written = HashSet::new();
    for layer in layers {
        // An image may have a layer twice.
        if written.insert(layer.descriptor.digest) {
            let Descriptor { size, .. } = layer.descriptor;
            member(&mut out, &layer_name(&layer.descriptor), size, |out| layer.copy_to(out))?;
        }
    }
    let manifest = [ArchiveManifest {
        config: config_name,
        repo_tags: names.iter().map(repo_tag).collect(),
        layers: layers.iter().map(|l| layer_name(&l.descriptor)).collect(),
    }];
    let manifest = serde_json::to_vec(&manifest)?;
    member(&mut out, "manifest.json", manifest.len() as u64, |out| out.write_all(&manifest))?;
    out.write_all(&[0; 1024])?;
    out.flush()
}

/// `host/repository:tag`; docker refuses a digest here.
fn repo_tag(name: &Reference) -> String {
    format!("{}/{}:{}", name.registry(), name.repository(), name.tag().unwrap_or("latest"))
}

/// Readers look at a layer's bytes, people at its name.
fn layer_name(descriptor: &Descriptor) -> String {
    let end = match descriptor.media_type.as_str() {
        MediaType::OCI_LAYER | MediaType::DOCKER_LAYER => "tar",
        _ if descriptor.media_type.is_zstd() => "tar.zst",
        _ => "tar.gz",
    };
    format!("{}.{end}", descriptor.digest.hex())
}

fn member(
    out: &mut dyn Write,
    name: &str,
    size: u64,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    content(out)?;
    let over = (size % 512) as usize;
    if over > 0 {
        out.write_all(&[0; 512][over..])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;
    use crate::image::BlobSource;

    fn members(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        entries.collect()
    }

    fn layer<'a>(bytes: &'a [u8], media_type: &str) -> ImageBlob<'a> {
        ImageBlob {
            descriptor: Descriptor::of(MediaType::from(media_type), bytes),
            source: BlobSource::Bytes(bytes),
        }
    }

    #[test]
    fn docker_finds_config_layers_and_tags() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image.tar");
        fs::write(&path, "old").unwrap();
        let streamed = |out: &mut dyn Write| out.write_all(b"streamed");
        let layers = [
            layer(b"base", MediaType::OCI_LAYER_GZIP),
            layer(b"base", MediaType::OCI_LAYER_GZIP),
            ImageBlob { source: BlobSource::Stream(&streamed), ..layer(b"streamed", MediaType::OCI_LAYER) },
        ];
        let names: Vec<Reference> = ["registry.local/app:1", "busybox"].map(|n| n.parse().unwrap()).into();
        write_docker_archive(&path, b"{}", &layers, &names).unwrap();
        let members = members(&fs::read(&path).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
        let base = format!("{}.tar.gz", Digest::of(b"base").hex());
        let top = format!("{}.tar", Digest::of(b"streamed").hex());
        assert_eq!(
            manifest,
            serde_json::json!([{
                "Config": Digest::of(b"{}").to_string(),
                "RepoTags": ["registry.local/app:1", "docker.io/library/busybox:latest"],
                "Layers": [base, base, top],
            }])
        );
        assert_eq!(members[&Digest::of(b"{}").to_string()], b"{}");
        assert_eq!((members[&base].as_slice(), members[&top].as_slice()), (&b"base"[..], &b"streamed"[..]));
        assert_eq!(members.len(), 4);
    }

    #[test]
    fn a_wrong_layer_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image.tar");
        fs::write(&path, "old").unwrap();
        for bytes in [&b"basf"[..], b"bas", b"baseless"] {
            let bad = ImageBlob { source: BlobSource::Bytes(bytes), ..layer(b"base", MediaType::OCI_LAYER) };
            write_docker_archive(&path, b"{}", &[bad], &[]).unwrap_err();
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_device_is_written_plainly() {
        write_docker_archive(Path::new("/dev/null"), b"{}", &[], &[]).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
