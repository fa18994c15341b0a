//! Base images that are kept in a directory: looked for there before the registry is asked for
//! bytes.

use std::sync::Arc;

use crate::cache::BaseCache;
use crate::config::BaseDirectory;
use crate::event::Events;
use crate::image::{Descriptor, Digest, MediaType, Platform, Reference};
use crate::registry::RawManifest;

use super::blobs::{BaseBlob, Blob};
use super::images::ResolvedImage;

/// The directory of base images, if there is one.
#[derive(Clone)]
pub(super) struct KeptImages {
    cache: Option<Arc<BaseCache>>,
    events: Events,
}

impl KeptImages {
    /// Opens the directory. One that cannot be used is left out, with a warning.
    pub(super) fn open(directory: Option<&BaseDirectory>, events: &Events) -> Self {
        let opened = directory.and_then(|d| match BaseCache::open(&d.path, d.write) {
            Ok(cache) => cache,
            Err(error) => {
                events.warn(format!("base images in {} are not used: {error}", d.path.display()));
                None
            }
        });
        KeptImages { cache: opened.map(Arc::new), events: events.clone() }
    }

    /// Whether images are kept.
    pub(super) fn keeps(&self) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.keeps())
    }

    /// A kept manifest.
    pub(super) fn manifest(&self, digest: &str) -> Option<RawManifest> {
        let digest: Digest = digest.parse().ok()?;
        let bytes = self.cache.as_ref()?.manifest(&digest)?;
        Some(RawManifest { bytes, media_type: MediaType::from(""), digest })
    }

    /// A kept config.
    pub(super) fn document(&self, descriptor: &Descriptor) -> Option<Vec<u8>> {
        self.cache.as_ref()?.document(descriptor)
    }

    /// Keeps a manifest or a config.
    pub(super) fn put(&self, bytes: &[u8]) {
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.put(bytes)) {
            self.events.debug(format!("a base image is not kept: {error}"));
        }
    }

    /// Notes what a name means now.
    pub(super) fn remember(&self, reference: &Reference, platform: &Platform, digest: Digest) {
        let now = jiff::Timestamp::now().as_second();
        let noted = self.cache.as_ref().map(|cache| cache.remember(reference, platform, digest, now));
        if let Some(Err(error)) = noted.filter(|_| reference.digest().is_none()) {
            self.events.debug(format!("a base image's name is not kept: {error}"));
        }
    }

    /// What a name meant last, where its manifest is kept; said in a warning.
    pub(super) fn recall(&self, reference: &Reference, platform: &Platform) -> Option<RawManifest> {
        let cache = self.cache.as_ref()?;
        let known = cache.recall(reference, platform)?;
        let found = self.manifest(&known.digest.to_string())?;
        let time = jiff::Timestamp::from_second(known.time).map(|t| t.to_string()).unwrap_or_default();
        self.events.warn(format!(
            "{} does not answer: {reference} is taken for {}, which it was at {time}",
            reference.registry(),
            known.digest
        ));
        Some(found)
    }

    /// The image with those layers read from the directory that are there, and the others kept
    /// there once they are fetched.
    pub(super) fn with_local_layers(&self, mut image: ResolvedImage) -> ResolvedImage {
        let Some(cache) = &self.cache else { return image };
        for layer in &mut image.layers {
            let Blob::Base(base) = &layer.blob else { continue };
            let local = cache.layout_of(&layer.descriptor);
            let keep = (local.is_none() && cache.keeps()).then(|| cache.clone());
            let source = base.source.clone();
            let blob = BaseBlob::kept(source, layer.descriptor.clone(), local, keep);
            layer.blob = Blob::Base(Arc::new(blob));
        }
        image
    }
}
