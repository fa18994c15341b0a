//! Manifests and indexes (OCI image spec, manifest.md and image-index.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Descriptor, MediaType, Platform};

/// Why bytes are no usable manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON it should be.
    #[error("the manifest is not valid JSON of its type: {0}")]
    Json(#[from] serde_json::Error),
    /// A type nobody can build on.
    #[error("manifest type '{0}' is not supported: OCI and Docker schema 2 manifests, indexes and lists are")]
    Unsupported(String),
    /// No entry for the platform.
    #[error("no image for platform {wanted}; the index has {}", if offered.is_empty() { "none".to_owned() } else { offered.join(", ") })]
    NoPlatform {
        /// The platform asked for.
        wanted: Box<Platform>,
        /// The platforms there are.
        offered: Vec<String>,
    },
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The image config.
    pub config: Descriptor,
    /// From the bottom.
    pub layers: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields we do not know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// An image index or manifest list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Its own type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The manifests.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields we do not know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Index {
    /// The entry that suits a platform best; the first of equals.
    ///
    /// # Errors
    /// [`ManifestError::NoPlatform`] if none does.
    pub fn select(&self, wanted: &Platform) -> Result<&Descriptor, ManifestError> {
        let image = |d: &&Descriptor| d.media_type.is_manifest() || d.media_type.is_index();
        let mut best: Option<(u32, &Descriptor)> = None;
        for descriptor in self.manifests.iter().filter(image) {
            // An entry without a platform is all an index of one image may have.
            let score = descriptor.platform.as_ref().map_or(Some(0), |p| wanted.accepts(p));
            if let Some(score) = score
                && best.is_none_or(|(b, _)| score > b)
            {
                best = Some((score, descriptor));
            }
        }
        best.map(|(_, d)| d).ok_or_else(|| ManifestError::NoPlatform {
            wanted: Box::new(wanted.clone()),
            offered: self
                .manifests
                .iter()
                .filter_map(|d| d.platform.as_ref().map(ToString::to_string))
                .collect(),
        })
    }
}

/// Either kind, told apart by type and by shape.
#[derive(Debug, Clone, PartialEq)]
pub enum ManifestOrIndex {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several.
    Index(Index),
}

impl ManifestOrIndex {
    /// Reads a manifest or an index. `media_type` is the descriptor's or the reply header's;
    /// the document's own type is believed first, then its shape.
    ///
    /// # Errors
    /// [`ManifestError`] for anything else, Docker schema 1 included.
    pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            media_type: Option<String>,
            schema_version: Option<u32>,
            manifests: Option<Value>,
            config: Option<Value>,
        }
        let shape: Shape = serde_json::from_slice(bytes)?;
        let named = shape.media_type.as_deref().or(media_type).unwrap_or_default();
        let index =
            MediaType::from(named).is_index() || (shape.manifests.is_some() && shape.config.is_none());
        if shape.schema_version == Some(1) || (!index && shape.config.is_none()) {
            let name = if named.is_empty() { "unknown" } else { named };
            return Err(ManifestError::Unsupported(name.to_owned()));
        }
        if index {
            Ok(Self::Index(serde_json::from_slice(bytes)?))
        } else {
            Ok(Self::Manifest(Box::new(serde_json::from_slice(bytes)?)))
        }
    }
}
