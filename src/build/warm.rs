//! Fills a directory with base images, so that builds find them there.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cloud::Clouds;
use crate::config::{BaseDirectory, KeychainConfig, RegistryConfig};
use crate::dockerfile;
use crate::event::Events;
use crate::image::{Platform, Reference};
use crate::keychain::Keychain;
use crate::plan::{self, Arguments, FromImage, Inputs};
use crate::registry::{Network, Registry};

use super::Error;
use super::bases::KeptImages;
use super::blobs::{Blob, Fetcher};
use super::images::Images;
use super::workspace::Workspace;

/// What is to be kept, and where.
#[derive(Debug, Clone)]
pub struct WarmConfig {
    /// Images.
    pub images: Vec<Reference>,
    /// A Dockerfile: all that its stages start from or copy from.
    pub dockerfile: Option<PathBuf>,
    /// Values of its `ARG`s.
    pub build_args: Vec<(String, String)>,
    /// The directory, which is made if it is missing. Several may fill it at the same time.
    pub directory: PathBuf,
    /// Platform of the images; the host's if absent.
    pub platform: Option<Platform>,
    /// How registries are spoken to.
    pub registry: RegistryConfig,
    /// Where credentials are looked for.
    pub keychain: KeychainConfig,
}

/// What became of the images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Images that are in the directory now.
    pub kept: usize,
    /// Images that could not be had; each was said in a warning.
    pub failed: usize,
}

/// Keeps base images in a directory.
///
/// # Errors
/// The Dockerfile or the directory cannot be used. An image that cannot be had is a warning.
pub fn warm(config: &WarmConfig, events: &Events) -> Result<Warmed, Error> {
    let network = Arc::new(Network::new().map_err(|e| Error::other(format!("cannot start threads: {e}")))?);
    let clouds = Clouds::new(&config.keychain.clouds, &config.registry, &network, events.clone());
    let keychain = Keychain::new(&config.keychain, clouds, events.clone())?;
    let registry = Registry::new(&config.registry, keychain, events.clone(), &network)?;
    let directory = BaseDirectory { path: config.directory.clone(), write: true };
    let bases = KeptImages::open(Some(&directory), events);
    if !bases.keeps() {
        return Err(Error::other(format!("nothing can be kept in {}", config.directory.display())));
    }
    let platform = config.platform.clone().unwrap_or_else(Platform::host);
    let mut images = Images::new(&network, &registry, None, bases);
    let mut warmed = Warmed::default();
    let mut failed = |what: &dyn std::fmt::Display, error: &dyn std::fmt::Display| {
        events.warn(format!("{what} is not kept: {error}"));
        warmed.failed += 1;
    };
    for reference in &config.images {
        if let Err(error) = images.resolve(&FromImage::Registry(reference.clone()), &platform) {
            failed(reference, &error);
        }
    }
    if let Some(path) = &config.dockerfile {
        for (stage, error) in resolve_all(path, config, &platform, &mut images)? {
            failed(&format!("the base of stage {stage}"), &error);
        }
    }
    let workspace = Workspace::create(&config.directory)?;
    let fetcher = Fetcher::new(&network, &registry, &workspace);
    let blobs = |image: &super::images::ResolvedImage| {
        let base = |blob: &Blob| match blob {
            Blob::Base(base) => Some(base.clone()),
            Blob::Packed(_) => None,
        };
        image.layers.iter().filter_map(|l| base(&l.blob)).collect::<Vec<_>>()
    };
    for image in images.all() {
        for blob in blobs(image) {
            blob.start(&fetcher)?;
        }
    }
    for image in images.all() {
        match blobs(image).iter().try_for_each(|blob| blob.file(&fetcher).map(drop)) {
            Ok(()) => warmed.kept += 1,
            Err(error) => {
                events.warn(format!("{} is not kept: {error}", image.digest));
                warmed.failed += 1;
            }
        }
    }
    Ok(warmed)
}

/// Resolves what every stage of a Dockerfile starts from and copies from; the stages that cannot be.
fn resolve_all(
    path: &std::path::Path,
    config: &WarmConfig,
    platform: &Platform,
    images: &mut Images<'_>,
) -> Result<Vec<(usize, Error)>, Error> {
    let source = crate::context::read_dockerfile(path, None).map_err(Error::from_display)?;
    let dockerfile = dockerfile::parse(&source).map_err(Error::Dockerfile)?;
    let arguments = Arguments::new(&config.build_args, platform);
    let contexts = Default::default();
    let mut wrong = Vec::new();
    for stage in 0..dockerfile.stages.len() {
        let target = stage.to_string();
        let inputs = Inputs {
            dockerfile: &dockerfile,
            arguments: &arguments,
            target: Some(&target),
            contexts: &contexts,
            platform_given: config.platform.is_some(),
        };
        let planned = plan::plan(&inputs, images).map_err(super::plan_error);
        if let Err(error) = planned.and_then(|plan| images.resolve_sources(&plan)) {
            wrong.push((stage, error));
        }
    }
    Ok(wrong)
}
