//! OCI layouts on disk (OCI image spec, image-layout.md).

mod index;
mod write;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::blob::Checked;
use super::{Descriptor, Digest, Manifest, ManifestError, ManifestOrIndex, MediaType, Platform};
pub use index::LayoutIndex;
pub use write::{LayoutImage, LayoutName};

/// Largest manifest, index or config that is read, as registries limit them.
const MAX_DOCUMENT: u64 = 4 << 20;

/// Indexes inside indexes.
const MAX_NESTING: usize = 4;

/// Annotation that holds a tag (OCI image spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Annotation that holds a whole reference, which containerd and docker read.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Why a layout could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The directory is no layout, or of a version we do not know.
    #[error("{} is no OCI layout: {reason}", path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// No image of that name.
    #[error("{} has no image {wanted}; it has {}", path.display(), list(offered))]
    NotFound {
        /// The directory.
        path: PathBuf,
        /// The tag or digest.
        wanted: String,
        /// What could be asked for.
        offered: Vec<String>,
    },
    /// Several images and no choice.
    #[error("{} has several images; choose one with :tag or @digest: {}", path.display(), list(offered))]
    Ambiguous {
        /// The directory.
        path: PathBuf,
        /// What could be asked for.
        offered: Vec<String>,
    },
    /// A document is too large.
    #[error("{digest} in {} has {size} bytes; a manifest or config has at most {MAX_DOCUMENT}", path.display())]
    TooLarge {
        /// The directory.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// Its size.
        size: u64,
    },
    /// A document makes no sense.
    #[error("{digest} in {}: {source}", path.display())]
    Manifest {
        /// The directory.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// What is wrong.
        source: Box<ManifestError>,
    },
}

fn list(offered: &[String]) -> String {
    if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
}

/// The content of the file `oci-layout`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutVersion {
    image_layout_version: String,
}

/// An image found in a layout.
#[derive(Debug, Clone)]
pub struct FoundImage {
    /// Type, digest and size of the manifest.
    pub descriptor: Descriptor,
    /// The manifest as it is stored.
    pub bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
}

/// An OCI layout in a directory.
#[derive(Debug)]
pub struct OciLayout {
    path: PathBuf,
    /// Held open: blobs are read by it, also when the directories around it are renamed.
    directory: OwnedFd,
    index: LayoutIndex,
}

impl OciLayout {
    /// Opens a layout and reads its index.
    ///
    /// # Errors
    /// [`LayoutError::NotALayout`], or failure to read.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let not_a_layout = |reason: String| LayoutError::NotALayout { path: path.to_owned(), reason };
        let version: LayoutVersion = document(path, "oci-layout")?;
        if !version.image_layout_version.starts_with("1.") {
            return Err(not_a_layout(format!("its version is '{}', not 1", version.image_layout_version)));
        }
        let index = LayoutIndex::read(path, &bytes_of(path, "index.json")?)?;
        let directory = File::open(path)
            .map_err(|source| LayoutError::Io { action: "open", path: path.to_owned(), source })?
            .into();
        Ok(OciLayout { path: path.to_owned(), directory, index })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    pub fn index(&self) -> &LayoutIndex {
        &self.index
    }

    /// Finds an image by tag, by digest, or the only one; of an index, the one for the platform.
    /// If both tag and digest are given, the digest counts.
    ///
    /// # Errors
    /// [`LayoutError`]
    pub fn find(
        &self,
        tag: Option<&str>,
        digest: Option<&Digest>,
        platform: &Platform,
    ) -> Result<FoundImage, LayoutError> {
        let mut descriptor = match (tag, digest) {
            // It may be in an index of the layout; only its size is not known then.
            (_, Some(wanted)) => match self.index.find(wanted) {
                Some(found) => found.clone(),
                None => self.hidden(wanted)?,
            },
            _ => match self.index.root(tag, digest)? {
                Some(descriptor) => descriptor,
                None => self.index.select(platform)?,
            },
        };
        for _ in 0..=MAX_NESTING {
            let bytes = self.read(&descriptor)?;
            let in_manifest = |source| LayoutError::Manifest {
                path: self.path.clone(),
                digest: descriptor.digest,
                source: Box::new(source),
            };
            match ManifestOrIndex::parse(&bytes, Some(descriptor.media_type.as_str())).map_err(in_manifest)? {
                ManifestOrIndex::Manifest(manifest) => {
                    return Ok(FoundImage { descriptor, bytes, manifest: *manifest });
                }
                ManifestOrIndex::Index(index) => {
                    descriptor = index.select(platform).map_err(in_manifest)?.clone();
                }
            }
        }
        let reason = format!("indexes are nested more than {MAX_NESTING} deep");
        Err(LayoutError::NotALayout { path: self.path.clone(), reason })
    }

    /// A blob that the layout's own index does not name.
    ///
    /// # Errors
    /// [`LayoutError::NotFound`]
    pub fn hidden(&self, digest: &Digest) -> Result<Descriptor, LayoutError> {
        match std::fs::metadata(self.blob_path(digest)) {
            Ok(meta) => Ok(Descriptor::new(MediaType::from(""), *digest, meta.len())),
            Err(_) => Err(self.index.not_found(digest.to_string())),
        }
    }

    /// The whole of a manifest, an index or a config, checked.
    ///
    /// # Errors
    /// It is larger than 4 MiB, cannot be read, or is not what the descriptor says.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let Descriptor { digest, size, .. } = *descriptor;
        if size > MAX_DOCUMENT {
            return Err(LayoutError::TooLarge { path: self.path.clone(), digest, size });
        }
        let mut bytes = Vec::new();
        let read = self.blob(descriptor)?.read_to_end(&mut bytes);
        read.map_err(|source| LayoutError::Io { action: "read", path: self.blob_path(&digest), source })?;
        Ok(bytes)
    }

    /// Opens a blob to be streamed. Reading it to its end fails if it is not what the
    /// descriptor says.
    ///
    /// # Errors
    /// Failure to open it.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, LayoutError> {
        let file = File::open(self.blob_path(&descriptor.digest)).map_err(|source| LayoutError::Io {
            action: "open",
            path: blob_path(&self.path, &descriptor.digest),
            source,
        })?;
        Ok(Box::new(Checked::new(file, descriptor)))
    }

    /// The directory, by a path that stays valid when the directories around it are renamed.
    pub fn stable_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd()))
    }

    /// Where a blob is, if it is there: by a path that stays valid when the directories around the
    /// layout are renamed.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.stable_path(), digest)
    }
}

/// A digest is 64 hexadecimal digits once it is parsed, so the path stays below the directory.
fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs").join("sha256").join(digest.hex())
}

/// Reads a small JSON file of a layout.
fn document<T: serde::de::DeserializeOwned>(layout: &Path, name: &str) -> Result<T, LayoutError> {
    serde_json::from_slice(&bytes_of(layout, name)?).map_err(|error| LayoutError::NotALayout {
        path: layout.to_owned(),
        reason: format!("{name}: {error}"),
    })
}

/// The bytes of a small file of a layout.
fn bytes_of(layout: &Path, name: &str) -> Result<Vec<u8>, LayoutError> {
    let not_a_layout = |reason: String| LayoutError::NotALayout { path: layout.to_owned(), reason };
    let path = layout.join(name);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_a_layout(format!("it has no file {name}")));
        }
        Err(source) => return Err(LayoutError::Io { action: "open", path, source }),
        Ok(file) => file,
    };
    let mut bytes = Vec::new();
    let read = file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes);
    read.map_err(|source| LayoutError::Io { action: "read", path, source })?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(not_a_layout(format!("{name} has more than {MAX_DOCUMENT} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
