//! What came out of a build, for those who asked for it.

use std::time::Instant;

use crate::config::{BuildOutcome, ImageOutcome, LayerOutcome};

use super::assemble::Image;
use super::attempt::{Built, Job};

/// Of a build that began at `started`.
pub(super) fn outcome(job: &Job<'_>, built: Built, started: Instant) -> BuildOutcome {
    let root = built.root.descriptor;
    BuildOutcome {
        digest: root.digest,
        media_type: root.media_type,
        manifest_size: root.size,
        images: built.images.iter().map(image).collect(),
        pushed: job.session.destinations().to_vec(),
        steps: built.steps,
        cache: built.cache,
        duration: started.elapsed(),
    }
}

fn image(image: &Image) -> ImageOutcome {
    let history = image.image_config.history.iter().filter(|h| !h.empty_layer);
    let texts =
        history.map(|h| h.created_by.clone().unwrap_or_default()).chain(std::iter::repeat(String::new()));
    let layers = image.layers.iter().zip(texts).enumerate();
    ImageOutcome {
        digest: image.manifest_descriptor.digest,
        config_digest: image.config_descriptor.digest,
        platform: image.image_config.platform(),
        layers: layers
            .map(|(at, (layer, created_by))| LayerOutcome {
                descriptor: layer.descriptor.clone(),
                created_by,
                from_base: at < image.base_layers,
            })
            .collect(),
    }
}
