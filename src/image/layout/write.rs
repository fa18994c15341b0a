//! Writing an image as a layout: blobs first, the index last, each by rename.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{CONTAINERD_NAME, LayoutError, LayoutVersion, OciLayout, REF_NAME, blob_path};
use crate::image::blob::{BlobSource, ImageBlob};
use crate::image::{Descriptor, Index, MediaType, Reference};

/// What an image is called in a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutName {
    /// A tag alone.
    Tag(String),
    /// A reference, whose tag is `latest` if it has none.
    Reference(Reference),
}

/// What a layout is written from.
pub struct LayoutImage<'a> {
    /// Type, digest and size of the manifest; its platform and annotations are put in the index.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: &'a [u8],
    /// All that it names, children of an index included.
    pub blobs: Vec<ImageBlob<'a>>,
    /// The image's names; each becomes an entry of the index.
    pub names: &'a [LayoutName],
}

impl LayoutImage<'_> {
    /// The layout's own documents: `oci-layout` and `index.json`.
    pub(in crate::image) fn documents(&self) -> serde_json::Result<(Vec<u8>, Vec<u8>)> {
        Ok((serde_json::to_vec(&version())?, serde_json::to_vec(&index(self))?))
    }
}

impl OciLayout {
    /// Writes an image to a directory, which is made if missing. A layout that is there keeps its
    /// blobs, and its index is replaced, as kaniko and crane do. Until all is written the old index
    /// stays.
    ///
    /// # Errors
    /// Failure to read a blob or to write; a blob that is not what its descriptor says.
    pub fn write(directory: &Path, image: &LayoutImage<'_>) -> Result<(), LayoutError> {
        let blobs = directory.join("blobs").join("sha256");
        fs::create_dir_all(&blobs).map_err(at("create", &blobs))?;
        let mut written = HashSet::new();
        let manifest =
            ImageBlob { descriptor: image.descriptor.clone(), source: BlobSource::Bytes(image.manifest) };
        for blob in image.blobs.iter().chain([&manifest]) {
            if written.insert(blob.descriptor.digest) {
                put_blob(directory, blob)?;
            }
        }
        put_document(directory, "oci-layout", &version())?;
        put_document(directory, "index.json", &index(image))
    }

    /// Makes an empty layout of a directory that is none yet.
    ///
    /// # Errors
    /// Failure to write.
    pub fn begin(directory: &Path) -> Result<(), LayoutError> {
        let there = |name: &str| fs::symlink_metadata(directory.join(name)).is_ok();
        if !there("index.json") {
            let empty = Index {
                schema_version: 2,
                media_type: Some(MediaType::from(MediaType::OCI_INDEX)),
                manifests: Vec::new(),
                annotations: Default::default(),
                extra: Default::default(),
            };
            put_document(directory, "index.json", &empty)?;
        }
        // Last: what has it is a layout.
        if there("oci-layout") { Ok(()) } else { put_document(directory, "oci-layout", &version()) }
    }

    /// Names what was put into it. An entry of the same tag is replaced; without names, one of the
    /// same digest that has none. All others stay.
    ///
    /// # Errors
    /// Failure to write.
    pub fn name(&self, descriptor: &Descriptor, names: &[LayoutName]) -> Result<(), LayoutError> {
        let mut index = self.index.document().clone();
        let added = named(descriptor, names);
        let tag = |d: &Descriptor| d.annotations.get(REF_NAME).cloned();
        let replaced = |old: &Descriptor| {
            added.iter().any(|new| tag(new) == tag(old) && (tag(old).is_some() || new.digest == old.digest))
        };
        index.manifests.retain(|old| !replaced(old));
        index.manifests.extend(added);
        put_document(&self.stable_path(), "index.json", &index)
    }

    /// Adds a blob; the index does not name it.
    ///
    /// # Errors
    /// Failure to read or to write; the blob is not what its descriptor says.
    pub fn put_blob(&self, blob: &ImageBlob<'_>) -> Result<(), LayoutError> {
        put_blob(&self.stable_path(), blob)
    }
}

fn version() -> LayoutVersion {
    LayoutVersion { image_layout_version: "1.0.0".to_owned() }
}

fn index(image: &LayoutImage<'_>) -> Index {
    Index {
        schema_version: 2,
        media_type: Some(MediaType::from(MediaType::OCI_INDEX)),
        manifests: named(&image.descriptor, image.names),
        annotations: Default::default(),
        extra: Default::default(),
    }
}

/// An entry for each name, or the one that has none.
fn named(descriptor: &Descriptor, names: &[LayoutName]) -> Vec<Descriptor> {
    let with = |name: &LayoutName| {
        let mut descriptor = descriptor.clone();
        let tag = match name {
            LayoutName::Tag(tag) => tag,
            LayoutName::Reference(name) => name.tag().unwrap_or("latest"),
        };
        descriptor.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
        if let LayoutName::Reference(name) = name {
            let whole = format!("{}/{}:{tag}", name.registry(), name.repository());
            descriptor.annotations.insert(CONTAINERD_NAME.to_owned(), whole);
        }
        descriptor
    };
    match names {
        [] => vec![descriptor.clone()],
        names => names.iter().map(with).collect(),
    }
}

fn put_blob(directory: &Path, blob: &ImageBlob<'_>) -> Result<(), LayoutError> {
    let path = blob_path(directory, &blob.descriptor.digest);
    if fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() == blob.descriptor.size) {
        return Ok(());
    }
    if let BlobSource::File(from) = &blob.source {
        let _ = fs::remove_file(&path);
        // Another file system, or one without hard links: copied below.
        if fs::hard_link(from, &path).is_ok() {
            return Ok(());
        }
    }
    put(directory, &path, |file| blob.copy_to(file))
}

fn put_document(directory: &Path, name: &str, document: &impl serde::Serialize) -> Result<(), LayoutError> {
    put(directory, &directory.join(name), |file| {
        serde_json::to_writer(&mut *file, document)?;
        file.flush()
    })
}

/// Writes a file whole or not at all.
fn put(
    directory: &Path,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), LayoutError> {
    let mut file = tempfile::Builder::new()
        .prefix(".writing-")
        // Less the umask, as any file that a program makes for its user.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(at("write", path))?;
    write(file.as_file_mut()).map_err(at("write", path))?;
    file.persist(path).map_err(|e| at("write", path)(e.error))?;
    Ok(())
}

fn at(action: &'static str, path: &Path) -> impl Fn(io::Error) -> LayoutError {
    move |source| LayoutError::Io { action, path: path.to_owned(), source }
}
