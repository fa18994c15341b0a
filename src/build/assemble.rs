//! The image: config, history and manifest of what the steps made.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cache::write_inline;
use crate::config::{BuildConfig, ImageFormat};
use crate::image::{Descriptor, ImageConfig, Manifest, MediaType};
use crate::plan::Plan;

use super::Error;
use super::blobs::Layer;
use super::cached::Cached;
use super::images::Images;

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

/// Puts the target's image together. The base's history entries keep their times.
pub(super) fn assemble(
    config: &BuildConfig,
    plan: &Plan,
    images: &Images<'_>,
    layers: &[Layer],
    times: &BTreeMap<usize, i64>,
    format: ImageFormat,
    cached: Option<&Cached<'_>>,
) -> Result<Image, Error> {
    let mut image_config = plan.stages[plan.target].config.clone();
    let base_history = images.base_of(plan, plan.target).map_or(0, |b| b.config.history.len());
    if config.single_snapshot {
        one_layer_history(&mut image_config, base_history);
    }
    let time = stamp(config, &mut image_config, base_history, times)?;
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
        annotations: config.annotations.iter().cloned().collect(),
        extra: BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest).map_err(|e| Error::other(e.to_string()))?;
    let manifest_descriptor = Descriptor::of(media_type, &manifest);
    Ok(Image { config: bytes, config_descriptor, manifest, manifest_descriptor, image_config })
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
