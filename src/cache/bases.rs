//! Base images kept in a directory: manifests, configs and layers by digest, and which digest a
//! name had last. A directory that kaniko's warmer filled, with one OCI layout for each image, is
//! read too.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::CacheError;
use super::key::{Components, Key, KeyKind};
use super::local::{LocalCache, read_bounded, write_whole};
use crate::image::{BlobSource, Descriptor, Digest, ImageBlob, MediaType, OciLayout, Platform, Reference};

/// Most bytes of a manifest or a config.
const MAX_DOCUMENT: u64 = 8 << 20;

/// What a name meant when it was last looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The name, for people.
    pub name: String,
    /// Digest of the image's manifest.
    pub digest: Digest,
    /// When, in seconds since 1970.
    pub time: i64,
}

/// Base images in a directory.
#[derive(Debug)]
pub struct BaseCache {
    path: PathBuf,
    /// What we keep there; absent where there is nothing of ours and nothing may be made.
    own: Option<LocalCache>,
    /// Layouts of kaniko's that were looked at.
    theirs: Mutex<Vec<Arc<OciLayout>>>,
}

impl BaseCache {
    /// Opens a directory; with `create` it is made, and images are kept there.
    ///
    /// # Errors
    /// It cannot be read, or made.
    pub fn open(path: &Path, create: bool) -> Result<Option<Self>, CacheError> {
        let own = if create { Some(LocalCache::create(path)?) } else { LocalCache::open(path)? };
        if own.is_none() && !path.is_dir() {
            return Ok(None);
        }
        Ok(Some(BaseCache { path: path.to_owned(), own, theirs: Mutex::default() }))
    }

    /// Whether images are kept here.
    pub fn keeps(&self) -> bool {
        self.own.is_some()
    }

    /// A manifest, its digest checked.
    pub fn manifest(&self, digest: &Digest) -> Option<Vec<u8>> {
        let layouts = self.own.iter().map(|own| own.layout().clone()).chain(self.their_layout(digest));
        layouts.into_iter().find_map(|layout| {
            let bytes = read_bounded(&layout.blob_path(digest), MAX_DOCUMENT).ok()??;
            (Digest::of(&bytes) == *digest).then_some(bytes)
        })
    }

    /// A config, its digest checked.
    pub fn document(&self, descriptor: &Descriptor) -> Option<Vec<u8>> {
        let bytes = read_bounded(&self.layout_of(descriptor)?.blob_path(&descriptor.digest), MAX_DOCUMENT);
        bytes.ok()?.filter(|bytes| Digest::of(bytes) == descriptor.digest)
    }

    /// The layout that has a blob of this digest and size.
    pub fn layout_of(&self, descriptor: &Descriptor) -> Option<Arc<OciLayout>> {
        let has = |layout: &Arc<OciLayout>| {
            let metadata = fs::metadata(layout.blob_path(&descriptor.digest));
            metadata.is_ok_and(|m| m.is_file() && m.len() == descriptor.size)
        };
        let own = self.own.iter().map(|own| own.layout().clone());
        let theirs = self.theirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        own.chain(theirs).find(has)
    }

    /// kaniko's layout of an image.
    fn their_layout(&self, digest: &Digest) -> Option<Arc<OciLayout>> {
        let layout = Arc::new(OciLayout::open(&self.path.join(digest.to_string())).ok()?);
        self.theirs.lock().unwrap_or_else(PoisonError::into_inner).push(layout.clone());
        Some(layout)
    }

    /// Keeps a manifest or a config.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<(), CacheError> {
        let descriptor = Descriptor::of(MediaType::from(""), bytes);
        self.put_blob(&ImageBlob { descriptor, source: BlobSource::Bytes(bytes) })
    }

    /// Keeps a layer from a file of ours.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_file(&self, descriptor: &Descriptor, file: &Path) -> Result<(), CacheError> {
        self.put_blob(&ImageBlob { descriptor: descriptor.clone(), source: BlobSource::File(file) })
    }

    fn put_blob(&self, blob: &ImageBlob<'_>) -> Result<(), CacheError> {
        let Some(own) = &self.own else { return Ok(()) };
        own.layout().put_blob(blob).map_err(|e| CacheError::Garbage(e.to_string()))
    }

    /// A new file to fetch a blob into, on the same file system.
    ///
    /// # Errors
    /// It cannot be made, or nothing is kept here.
    pub fn file(&self) -> io::Result<tempfile::NamedTempFile> {
        let own = self.own.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        tempfile::Builder::new()
            .prefix(".fetching-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(own.layout().stable_path())
    }

    fn name_path(&self, reference: &Reference, platform: &Platform) -> Option<PathBuf> {
        let mut parts = Components::new();
        parts.add("name", reference.whole()).add("platform", platform.to_string());
        let name: Key = parts.key(KeyKind::Index);
        let own = self.own.as_ref()?;
        Some(own.layout().stable_path().join("yadokari/names").join(format!("{name}.json")))
    }

    /// Notes what a name means now.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember(
        &self,
        reference: &Reference,
        platform: &Platform,
        digest: Digest,
        time: i64,
    ) -> Result<(), CacheError> {
        let Some(path) = self.name_path(reference, platform) else { return Ok(()) };
        let remembered = Remembered { name: reference.whole(), digest, time };
        let bytes = serde_json::to_vec(&remembered).map_err(|e| CacheError::Garbage(e.to_string()))?;
        write_whole(&path, &bytes)
    }

    /// What a name meant last.
    pub fn recall(&self, reference: &Reference, platform: &Platform) -> Option<Remembered> {
        let bytes = read_bounded(&self.name_path(reference, platform)?, MAX_DOCUMENT).ok()??;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Whether a file in a layout holds the bytes of its digest.
pub fn is_whole(layout: &OciLayout, descriptor: &Descriptor) -> bool {
    let read = |mut blob: Box<dyn Read + Send>| io::copy(&mut blob, &mut io::sink());
    layout.blob(descriptor).is_ok_and(|blob| read(blob).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_found_by_digest_and_checked() {
        let directory = tempfile::tempdir().unwrap();
        let cache = BaseCache::open(&directory.path().join("c"), true).unwrap().unwrap();
        cache.put(b"{}").unwrap();
        let digest = Digest::of(b"{}");
        assert_eq!(cache.manifest(&digest).as_deref(), Some(b"{}".as_slice()));
        assert_eq!(cache.manifest(&Digest::of(b"other")), None);
        let path = directory.path().join("c/blobs/sha256").join(digest.hex());
        fs::write(path, "[]").unwrap();
        assert_eq!(cache.manifest(&digest), None, "it holds something else now");
    }

    #[test]
    fn names_are_remembered_for_each_platform() {
        let directory = tempfile::tempdir().unwrap();
        let cache = BaseCache::open(directory.path(), true).unwrap().unwrap();
        let name: Reference = "debian:12".parse().unwrap();
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        let digest = Digest::of(b"m");
        cache.remember(&name, &platform("linux/amd64"), digest, 7).unwrap();
        assert_eq!(
            cache.recall(&name, &platform("linux/amd64")).map(|r| (r.digest, r.time)),
            Some((digest, 7))
        );
        assert_eq!(cache.recall(&name, &platform("linux/arm64")), None);
    }

    #[test]
    fn a_directory_of_kanikos_is_read_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = br#"{"schemaVersion":2}"#;
        let digest = Digest::of(manifest);
        let layout = directory.path().join(digest.to_string());
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        OciLayout::begin(&layout).unwrap();
        fs::write(layout.join("blobs/sha256").join(digest.hex()), manifest).unwrap();
        let cache = BaseCache::open(directory.path(), false).unwrap().unwrap();
        assert_eq!(cache.manifest(&digest).as_deref(), Some(manifest.as_slice()));
        assert!(!cache.keeps());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(BaseCache::open(&directory.path().join("none"), false).unwrap().is_none());
    }
}
