//! The image: config, history and manifest of what the steps made.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cache::write_inline;
use crate::config::{AnnotationLevel, BuildConfig};
use crate::image::{Compression, Descriptor, ImageConfig, ImageFormat, Index, Manifest, MediaType, Platform};
use crate::plan::PlannedImage;

use super::Error;
use super::blobs::Layer;
use super::cached::Cached;
use super::executor::MadeImage;
use super::images::ResolvedImage;

/// A finished image, not yet anywhere.
pub(super) struct Image {
    /// The config's bytes.
    pub(super) config: Vec<u8>,
    /// The config's descriptor.
    pub(super) config_descriptor: Descriptor,
    /// The manifest's bytes.
    pub(super) manifest: Vec<u8>,
    /// The manifest's descriptor.
    pub(super) manifest_descriptor: Descriptor,
    /// The config, for reports.
    pub(super) image_config: ImageConfig,
    /// From the bottom, the base's first.
    pub(super) layers: Vec<Layer>,
    /// How many of them are the base's.
    pub(super) base_layers: usize,
    /// The platform that was asked for.
    platform: Platform,
}

/// What the destinations name: the manifest of the only image, or the index of several.
pub(super) struct Root {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// Its descriptor.
    pub(super) descriptor: Descriptor,
}

impl Root {
    /// Of one or more images, in their order.
    pub(super) fn of(config: &BuildConfig, images: &[Image]) -> Result<Root, Error> {
        if let [one] = images {
            return Ok(Root { bytes: one.manifest.clone(), descriptor: one.manifest_descriptor.clone() });
        }
        let docker = |image: &Image| image.manifest_descriptor.media_type.format() == ImageFormat::Docker;
        let annotations = annotations(config, AnnotationLevel::Index, None);
        let annotated = |image: &Image| !image.manifest_descriptor.annotations.is_empty();
        let plain = annotations.is_empty() && !images.iter().any(annotated);
        let media_type = match images.iter().all(docker) {
            true if plain => MediaType::DOCKER_LIST,
            _ => MediaType::OCI_INDEX,
        };
        let media_type = MediaType::from(media_type);
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type.clone()),
            manifests: images.iter().map(Image::entry).collect(),
            annotations,
            extra: BTreeMap::new(),
        };
        let bytes = serde_json::to_vec(&index).map_err(|e| Error::other(e.to_string()))?;
        let descriptor = Descriptor {
            annotations: self::annotations(config, AnnotationLevel::IndexDescriptor, None),
            ..Descriptor::of(media_type, &bytes)
        };
        Ok(Root { descriptor, bytes })
    }
}

impl Image {
    /// What an index says of it.
    fn entry(&self) -> Descriptor {
        let mut platform = self.platform.clone();
        platform.os_version.clone_from(&self.image_config.os_version);
        if let Some(features) = self.image_config.extra.get("os.features") {
            platform.extra.insert("os.features".to_owned(), features.clone());
        }
        Descriptor { platform: Some(platform), ..self.manifest_descriptor.clone() }
    }
}

/// What is put on this level, of the image of this platform where it is one's. What is for one
/// platform wins over what is for all.
fn annotations(
    config: &BuildConfig,
    level: AnnotationLevel,
    platform: Option<&Platform>,
) -> BTreeMap<String, String> {
    let all = || config.annotations.iter().filter(|a| a.level() == level);
    let own = all().filter(|a| a.platform.is_some() && a.platform.as_ref() == platform);
    let wanted = all().filter(|a| a.platform.is_none()).chain(own);
    wanted.map(|a| (a.key.clone(), a.value.clone())).collect()
}

/// The result's family of media types: the one asked for, or the base's, or OCI for scratch.
pub(super) fn image_format(config: &BuildConfig, base: Option<&ResolvedImage>) -> Result<ImageFormat, Error> {
    let inherited = base.map_or(ImageFormat::Oci, |b| b.media_type.format());
    let format = config.image_format.unwrap_or(inherited);
    if format == ImageFormat::Docker && config.compression.algorithm == Compression::Zstd {
        return Err(Error::Other {
            message: "Docker's image format has no zstd layers".to_owned(),
            help: Some("add --image-format=oci, or use --compression=gzip".to_owned()),
        });
    }
    Ok(format)
}

/// The time that new history entries and the config carry: the epoch given, 1970 for
/// `--reproducible`, else now.
pub(super) fn created(config: &BuildConfig) -> Result<Timestamp, Error> {
    match (config.source_date_epoch, config.reproducible) {
        (Some(seconds), _) => Timestamp::from_second(seconds)
            .map_err(|e| Error::other(format!("SOURCE_DATE_EPOCH {seconds} is no time: {e}"))),
        (None, true) => Ok(Timestamp::UNIX_EPOCH),
        (None, false) => Ok(Timestamp::now()),
    }
}

/// Whether nothing in the image depends on when it is built.
fn is_fixed(config: &BuildConfig) -> bool {
    config.source_date_epoch.is_some() || config.reproducible
}

/// Puts an image together. The base's history entries keep their times.
pub(super) fn assemble(
    config: &BuildConfig,
    planned: &PlannedImage,
    base: Option<&ResolvedImage>,
    made: MadeImage,
    cached: Option<&Cached<'_>>,
) -> Result<Image, Error> {
    let MadeImage { layers, times } = made;
    let format = image_format(config, base)?;
    let mut image_config = planned.config.clone();
    let base_history = base.map_or(0, |b| b.config.history.len());
    if config.single_snapshot {
        one_layer_history(&mut image_config, base_history);
    }
    let time = stamp(config, &mut image_config, base_history, &times)?;
    image_config.created = Some(time);
    image_config.rootfs.diff_ids = layers.iter().map(|l| l.diff_id).collect();
    for (key, value) in &config.labels {
        image_config.config.labels.insert(key.clone(), value.clone());
    }
    let digests: Vec<_> = layers.iter().map(|l| l.descriptor.digest).collect();
    let records = cached.and_then(|cached| cached.inline(&digests, is_fixed(config)));
    write_inline(&mut image_config, records.as_deref());
    let bytes = serde_json::to_vec(&image_config).map_err(|e| Error::other(e.to_string()))?;
    let config_descriptor = Descriptor::of(MediaType::config(format), &bytes);
    let media_type = MediaType::manifest(format);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type.clone()),
        config: config_descriptor.clone(),
        layers: layers.iter().map(|l| layer_descriptor(&l.descriptor, format)).collect(),
        annotations: annotations(config, AnnotationLevel::Manifest, Some(&planned.platform)),
        extra: BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest).map_err(|e| Error::other(e.to_string()))?;
    let manifest_descriptor = Descriptor {
        annotations: annotations(config, AnnotationLevel::ManifestDescriptor, Some(&planned.platform)),
        ..Descriptor::of(media_type, &manifest)
    };
    Ok(Image {
        config: bytes,
        config_descriptor,
        manifest,
        manifest_descriptor,
        image_config,
        layers,
        base_layers: base.map_or(0, |b| b.layers.len()),
        platform: planned.platform.clone(),
    })
}

/// Gives the new history entries their times, and says what the config's is: the same for all of
/// them, or, where steps are known by when they were carried out, that, so that a build whose every
/// step is known makes the same image again. What has no files goes with the step before it.
fn stamp(
    config: &BuildConfig,
    image_config: &mut ImageConfig,
    base_history: usize,
    times: &BTreeMap<usize, i64>,
) -> Result<String, Error> {
    let all = created(config)?;
    let fixed = is_fixed(config);
    let known: BTreeMap<usize, Timestamp> = times
        .iter()
        .filter_map(|(at, seconds)| Some((*at, Timestamp::from_second(*seconds).ok()?)))
        .filter(|_| !fixed)
        .collect();
    for (at, entry) in image_config.history.iter_mut().enumerate().skip(base_history) {
        let before = known.range(..=at).next_back().or_else(|| known.first_key_value());
        let time = before.map_or(all, |(_, time)| *time);
        entry.created.get_or_insert_with(|| time.to_string());
    }
    Ok(known.values().max().unwrap_or(&all).to_string())
}

/// With one layer for all steps, only the last of them has it.
fn one_layer_history(image_config: &mut ImageConfig, base_history: usize) {
    let mut with_layer: Vec<_> =
        image_config.history.iter_mut().skip(base_history).filter(|h| !h.empty_layer).collect();
    with_layer.pop();
    for entry in with_layer {
        entry.empty_layer = true;
    }
}

/// A layer's descriptor in a manifest of this format.
fn layer_descriptor(descriptor: &Descriptor, format: ImageFormat) -> Descriptor {
    Descriptor { media_type: descriptor.media_type.layer_as(format), ..descriptor.clone() }
}
