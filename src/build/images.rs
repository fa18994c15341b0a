//! Base images: from a name to manifest, config and layers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::NamedContext;
use crate::dockerfile::{Dockerfile, suggest};
use crate::image::{
    Descriptor, Digest, History, ImageConfig, Index, Manifest, ManifestError, ManifestOrIndex, MediaType,
    OciLayout, Platform, Reference,
};
use crate::plan::{BaseImage, Bases, CopyFrom, FromImage, Plan, StageBase};
use crate::registry::{Direction, Network, RawManifest, Registry, RegistryError};

use super::Error;
use super::bases::KeptImages;
use super::blobs::{BaseBlob, Blob, Layer};
use super::named::Named;

/// Most bytes of a config: what registries accept as a manifest, and more than any config has.
const MAX_CONFIG: u64 = 8 << 20;

/// Where an image's blobs are.
#[derive(Clone)]
pub(super) enum ImageSource {
    /// In a repository.
    Registry(Reference),
    /// In a layout on disk.
    Layout(Arc<OciLayout>),
}

/// An image whose manifest and config are known.
pub(super) struct ResolvedImage {
    /// Digest of the manifest.
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
    pub(super) media_type: MediaType,
    pub(super) config: ImageConfig,
    /// From the bottom; shared by all stages, so that each blob is fetched once.
    pub(super) layers: Vec<Layer>,
}

/// Looks images up, each once.
pub(super) struct Images<'a> {
    network: &'a Network,
    registry: &'a Registry,
    named: Option<&'a Named<'a>>,
    bases: KeptImages,
    known: BTreeMap<String, Arc<ResolvedImage>>,
    /// Names of stages and build contexts, one of which may have been meant.
    names: Vec<(&'static str, String)>,
}

impl<'a> Images<'a> {
    pub(super) fn new(
        network: &'a Network,
        registry: &'a Registry,
        named: Option<&'a Named<'a>>,
        bases: KeptImages,
    ) -> Self {
        Images { network, registry, named, bases, known: BTreeMap::new(), names: Vec::new() }
    }

    /// Looks images up that may be misspelt names of stages or build contexts.
    pub(super) fn among(
        mut self,
        dockerfile: &Dockerfile,
        contexts: &BTreeMap<String, NamedContext>,
    ) -> Self {
        let stages = dockerfile.stages.iter().filter_map(|stage| stage.name.as_ref());
        let stages = stages.map(|name| ("stage", name.text.clone()));
        self.names = stages.chain(contexts.keys().map(|name| ("build context", name.clone()))).collect();
        self
    }

    /// Adds to an error what was probably meant.
    fn misspelt(&self, image: &FromImage, error: Error) -> Error {
        let FromImage::Registry(reference) = image else { return error };
        let Some(name) = reference.repository().strip_prefix("library/") else { return error };
        let near = suggest(name, self.names.iter().map(|(_, name)| name.as_str()));
        let meant = near.and_then(|near| self.names.iter().find(|(_, name)| name == near));
        match (meant, error) {
            (Some((what, near)), Error::Other { message, .. }) => {
                Error::Other { message, help: Some(format!("did you mean the {what} '{near}'?")) }
            }
            (_, error) => error,
        }
    }

    /// An image for a platform.
    pub(super) fn resolve(
        &mut self,
        image: &FromImage,
        platform: &Platform,
    ) -> Result<Arc<ResolvedImage>, Error> {
        let key = key(image, platform);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let on_disk = self.named.and_then(|named| named.on_disk(image));
        let resolved = match on_disk.as_ref().unwrap_or(image) {
            FromImage::Registry(reference) | FromImage::Named(_, NamedContext::Image(reference)) => {
                self.registry_image(reference, platform).map_err(|e| self.misspelt(image, e))?
            }
            FromImage::Named(_, NamedContext::OciLayout { path, tag, digest }) => {
                self.named.map_or(Ok(()), |named| named.ensure(path))?;
                let layout = OciLayout::open(path).map_err(Error::from_display)?;
                let found =
                    layout.find(tag.as_deref(), digest.as_ref(), platform).map_err(Error::from_display)?;
                let config = layout.read(&found.manifest.config).map_err(Error::from_display)?;
                let media_type = found.manifest.media_type.clone().unwrap_or(found.descriptor.media_type);
                let source = ImageSource::Layout(Arc::new(layout));
                let digest = found.descriptor.digest;
                resolved(source, digest, found.manifest, media_type, &config, &image.to_string())?
            }
            FromImage::Named(name, _) => {
                return Err(Error::other(format!("the build context '{name}' holds files, not an image")));
            }
        };
        let resolved = Arc::new(resolved);
        self.known.insert(key, resolved.clone());
        Ok(resolved)
    }

    fn registry_image(&self, reference: &Reference, platform: &Platform) -> Result<ResolvedImage, Error> {
        let mut found = self.first_manifest(reference, platform)?;
        let mut pinned = reference.clone();
        // An index may hold an index; nobody nests deeper.
        for _ in 0..3 {
            let parsed = ManifestOrIndex::parse(&found.bytes, Some(found.media_type.as_str()))
                .map_err(|e| Error::other(format!("{pinned}: {e}")))?;
            match parsed {
                ManifestOrIndex::Manifest(manifest) => {
                    self.bases.remember(reference, platform, found.digest);
                    let config = self.config(&pinned, &manifest.config)?;
                    let media_type = manifest.media_type.clone().unwrap_or(found.media_type);
                    let source = ImageSource::Registry(pinned);
                    let name = reference.to_string();
                    let image = resolved(source, found.digest, *manifest, media_type, &config, &name)?;
                    return Ok(self.bases.with_local_layers(image));
                }
                ManifestOrIndex::Index(index) => {
                    let chosen = index.select(platform).map_err(|e| no_platform(reference, &index, &e))?;
                    pinned = pinned.clone_with_digest(chosen.digest.to_string());
                    found = self.manifest(&pinned)?;
                }
            }
        }
        Err(Error::other(format!("{reference}: indexes are nested too deeply")))
    }

    /// What a reference names: asked of the registry, unless it is a digest that is kept; where the
    /// registry does not answer, what it named last.
    fn first_manifest(&self, reference: &Reference, platform: &Platform) -> Result<RawManifest, Error> {
        match self.manifest_of_registry(reference) {
            Ok(found) => Ok(found),
            Err(error) if error.is_silence() => {
                let known = self.bases.recall(reference, platform);
                known.ok_or_else(|| Error::from(error))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn manifest(&self, reference: &Reference) -> Result<RawManifest, Error> {
        Ok(self.manifest_of_registry(reference)?)
    }

    fn manifest_of_registry(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        if let Some(kept) = reference.digest().and_then(|d| self.bases.manifest(d)) {
            return Ok(kept);
        }
        let found = self.network.block_on(self.registry.manifest(reference, Direction::Pull))?;
        self.bases.put(&found.bytes);
        Ok(found)
    }

    fn config(&self, from: &Reference, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        if let Some(kept) = self.bases.document(descriptor) {
            return Ok(kept);
        }
        let fetched = self.registry.blob_bytes(from, descriptor, MAX_CONFIG);
        let bytes = self.network.block_on(fetched)?;
        self.bases.put(&bytes);
        Ok(bytes)
    }

    /// Resolves the images that are only copied from: later the network may be needed from inside
    /// another root, and credentials are not to be had there.
    pub(super) fn resolve_sources(&mut self, plan: &Plan) -> Result<(), Error> {
        for stage in &plan.stages {
            for step in &stage.steps {
                for from in step.action.sources() {
                    if let CopyFrom::Image(image) = from {
                        let resolved = self.resolve(image, &stage.source_platform);
                        resolved.map_err(|e| e.at(&step.place))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// All images that were resolved.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ResolvedImage>> {
        self.known.values()
    }

    /// An image that was resolved while planning.
    pub(super) fn get(&self, image: &FromImage, platform: &Platform) -> Result<Arc<ResolvedImage>, Error> {
        let known = self.known.get(&key(image, platform));
        known.cloned().ok_or_else(|| Error::other(format!("{image} was not looked up before the build")))
    }

    /// The image that a stage, or the stage it goes on from, is built on.
    pub(super) fn base_of(&self, plan: &Plan, at: usize) -> Option<Arc<ResolvedImage>> {
        let stage = &plan.stages[at];
        match &stage.base {
            StageBase::Scratch => None,
            StageBase::Stage(parent) => self.base_of(plan, *parent),
            StageBase::Image(image) => self.get(image, &stage.platform).ok(),
        }
    }
}

impl Bases for Images<'_> {
    type Error = Error;

    fn image(&mut self, image: &FromImage, platform: &Platform) -> Result<BaseImage, Error> {
        Ok(BaseImage { config: self.resolve(image, platform)?.config.clone() })
    }
}

fn key(image: &FromImage, platform: &Platform) -> String {
    format!("{image} {platform}")
}

fn resolved(
    source: ImageSource,
    digest: Digest,
    manifest: Manifest,
    media_type: MediaType,
    config: &[u8],
    name: &str,
) -> Result<ResolvedImage, Error> {
    let mut config: ImageConfig = serde_json::from_slice(config)
        .map_err(|e| Error::other(format!("{name}: the image config is not valid: {e}")))?;
    let (count, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if count != diff_ids {
        return Err(Error::other(format!(
            "{name}: the manifest has {count} layers and the config {diff_ids} diff ids"
        )));
    }
    if config.os == "windows" {
        return Err(windows(name));
    }
    complete_history(&mut config, count);
    let layers = manifest
        .layers
        .iter()
        .zip(&config.rootfs.diff_ids)
        .map(|(descriptor, diff_id)| Layer {
            descriptor: descriptor.clone(),
            diff_id: *diff_id,
            blob: Blob::Base(Arc::new(BaseBlob::new(source.clone(), descriptor.clone()))),
        })
        .collect();
    Ok(ResolvedImage { digest, manifest, media_type, config, layers })
}

/// An index has nothing for the platform; one of Windows images never has.
fn no_platform(reference: &Reference, index: &Index, error: &ManifestError) -> Error {
    let mut named = index.manifests.iter().filter_map(|entry| entry.platform.as_ref()).peekable();
    if named.peek().is_some() && named.all(|platform| platform.os == "windows") {
        return windows(&reference.to_string());
    }
    Error::other(format!("{reference}: {error}"))
}

fn windows(name: &str) -> Error {
    Error::Other {
        message: format!("{name} is a Windows image, and only Linux images can be built here"),
        help: Some("build Windows images with Docker on a Windows host".to_owned()),
    }
}

/// Gives every layer of a base a history entry, as BuildKit does: readers count one for each layer.
fn complete_history(config: &mut ImageConfig, layers: usize) {
    let known = config.history.iter().filter(|h| !h.empty_layer).count();
    for _ in known..layers {
        config
            .history
            .push(History { comment: Some("base layer without history".to_owned()), ..History::default() });
    }
}
