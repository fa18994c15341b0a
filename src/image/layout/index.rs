//! What a layout holds: its `index.json`, in a directory or in an archive.

use std::path::{Path, PathBuf};

use super::{Descriptor, Digest, LayoutError, REF_NAME};
use crate::image::{Index, Platform};

/// The file `index.json` of a layout.
#[derive(Debug, Clone)]
pub struct LayoutIndex {
    path: PathBuf,
    bytes: Vec<u8>,
    index: Index,
}

impl LayoutIndex {
    /// Reads the file; `path` is the layout, for messages.
    ///
    /// # Errors
    /// [`LayoutError::NotALayout`]
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self, LayoutError> {
        let index = serde_json::from_slice(bytes).map_err(|error| LayoutError::NotALayout {
            path: path.to_owned(),
            reason: format!("index.json: {error}"),
        })?;
        Ok(LayoutIndex { path: path.to_owned(), bytes: bytes.to_vec(), index })
    }

    /// The file as it is.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn document(&self) -> &Index {
        &self.index
    }

    /// Its entries.
    pub fn entries(&self) -> &[Descriptor] {
        &self.index.manifests
    }

    /// The entry with a digest.
    pub fn find(&self, digest: &Digest) -> Option<&Descriptor> {
        self.entries().iter().find(|d| d.digest == *digest)
    }

    /// Finds by tag, by digest, or the only one. If both are given, the digest counts. None is the file
    /// itself: its entries are one image for several platforms.
    ///
    /// # Errors
    /// There is none, or there are several and no choice.
    pub fn root(
        &self,
        tag: Option<&str>,
        digest: Option<&Digest>,
    ) -> Result<Option<Descriptor>, LayoutError> {
        let all = self.entries();
        if let Some(digest) = digest {
            let found = self.find(digest).cloned().ok_or_else(|| self.not_found(digest.to_string()))?;
            return Ok(Some(found));
        }
        if let Some(tag) = tag {
            let found = all.iter().find(|d| has_tag(d, tag)).cloned();
            return found.map(Some).ok_or_else(|| self.not_found(tag.to_owned()));
        }
        match all {
            [] => Err(self.not_found("at all".to_owned())),
            [first, rest @ ..] if rest.iter().all(|d| d.digest == first.digest) => Ok(Some(first.clone())),
            [first, rest @ ..] => {
                // One image for several platforms, without an index of its own.
                let name = first.annotations.get(REF_NAME);
                let one_name = rest.iter().all(|d| d.annotations.get(REF_NAME) == name);
                if one_name && all.iter().all(|d| d.platform.is_some()) {
                    return Ok(None);
                }
                Err(LayoutError::Ambiguous { path: self.path.clone(), offered: self.offered() })
            }
        }
    }

    /// The entry for a platform.
    pub(super) fn select(&self, platform: &Platform) -> Result<Descriptor, LayoutError> {
        let found = self.index.select(platform).ok().cloned();
        found.ok_or_else(|| LayoutError::Ambiguous { path: self.path.clone(), offered: self.offered() })
    }

    pub(super) fn not_found(&self, wanted: String) -> LayoutError {
        LayoutError::NotFound { path: self.path.clone(), wanted, offered: self.offered() }
    }

    fn offered(&self) -> Vec<String> {
        let name = |d: &Descriptor| match d.annotations.get(REF_NAME) {
            Some(name) => format!(":{}", name.escape_debug()),
            None => format!("@{}", d.digest),
        };
        self.entries().iter().take(20).map(name).collect()
    }
}

/// A tag stands alone in the annotation, or at the end of a reference.
fn has_tag(descriptor: &Descriptor, tag: &str) -> bool {
    let name = descriptor.annotations.get(REF_NAME).map(String::as_str).unwrap_or_default();
    name == tag || name.strip_suffix(tag).is_some_and(|rest| rest.ends_with(':'))
}
