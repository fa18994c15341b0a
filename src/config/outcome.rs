//! What a build made.

use std::time::Duration;

use crate::image::{Descriptor, Digest, MediaType, Platform, Reference};

/// What a build made.
#[derive(Debug, Clone)]
pub struct BuildOutcome {
    /// Digest of the image manifest.
    pub digest: Digest,
    /// Media type of the image manifest.
    pub media_type: MediaType,
    /// Size of the manifest in bytes.
    pub manifest_size: u64,
    /// Digest of the image config, docker's image id.
    pub config_digest: Digest,
    /// The image's platform.
    pub platform: Platform,
    /// The destinations pushed to, in order; empty when nothing was pushed.
    pub pushed: Vec<Reference>,
    /// The layers from the bottom, the base's first.
    pub layers: Vec<LayerOutcome>,
    /// The steps of the target and of what it needs, in the order of the Dockerfile.
    pub steps: Vec<StepOutcome>,
    /// What the cache did; absent where there is none.
    pub cache: Option<CacheOutcome>,
    /// Wall time of the build.
    pub duration: Duration,
}

/// What the cache did for a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheOutcome {
    /// Steps that were not carried out, because their results were known or nobody needed them.
    pub hits: usize,
    /// Steps that were carried out.
    pub misses: usize,
    /// Compressed bytes of layers that were not made again.
    pub bytes_saved: u64,
    /// How long the steps took when they were carried out.
    pub time_saved: Duration,
}

impl BuildOutcome {
    /// Compressed size of all layers in bytes.
    pub fn compressed_size(&self) -> u64 {
        self.layers.iter().map(|l| l.descriptor.size).sum()
    }
}

/// One layer of the result.
#[derive(Debug, Clone)]
pub struct LayerOutcome {
    /// Digest, compressed size and media type.
    pub descriptor: Descriptor,
    /// The history entry's `created_by`.
    pub created_by: String,
    /// Whether it comes from the base image.
    pub from_base: bool,
}

/// One step that was carried out.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// The stage's name, or its number.
    pub stage: String,
    /// The instruction as written.
    pub instruction: String,
    /// Wall time, waiting for other stages left out.
    pub duration: Duration,
    /// Whether its result was known.
    pub cached: bool,
}
