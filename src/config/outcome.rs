//! What a build made.

use std::time::Duration;

use crate::image::{Descriptor, Digest, MediaType, Platform, Reference};

/// What a build made.
#[derive(Debug, Clone)]
pub struct BuildOutcome {
    /// Digest of what the destinations name: the manifest of the image, or the index of several.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub manifest_size: u64,
    /// The images, one for each platform, in the order asked for; never none.
    pub images: Vec<ImageOutcome>,
    /// The destinations pushed to, in order; empty when nothing was pushed.
    pub pushed: Vec<Reference>,
    /// The steps of the target and of what it needs, in the order of the Dockerfile, platform by
    /// platform.
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
        self.images.iter().map(ImageOutcome::compressed_size).sum()
    }

    /// Docker's image id: the digest of the config. Several images have the index's, as in BuildKit.
    pub fn image_id(&self) -> Digest {
        match self.images.as_slice() {
            [one] => one.config_digest,
            _ => self.digest,
        }
    }

    /// The platforms, with commas between them.
    pub fn platforms(&self) -> String {
        self.images.iter().map(|image| image.platform.to_string()).collect::<Vec<_>>().join(",")
    }
}

/// The image for one platform.
#[derive(Debug, Clone)]
pub struct ImageOutcome {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its config.
    pub config_digest: Digest,
    /// Its platform.
    pub platform: Platform,
    /// The layers from the bottom, the base's first.
    pub layers: Vec<LayerOutcome>,
}

impl ImageOutcome {
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
    /// The stage's name, or its number; with the platform where there are several.
    pub stage: String,
    /// The instruction as written.
    pub instruction: String,
    /// Wall time, waiting for other stages left out.
    pub duration: Duration,
    /// Whether its result was known.
    pub cached: bool,
}
