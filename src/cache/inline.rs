//! A cache in an image: the records of its layers, in its config (`docs/cache-format.md`, "In an image").

use std::collections::BTreeMap;

use serde_json::Value;

use super::CacheError;
use super::index::{Entry, Index};
use super::record::Record;
use crate::event::Events;
use crate::image::{Descriptor, ImageConfig, ManifestOrIndex, Platform, Reference};
use crate::registry::{Direction, Registry, RegistryError};

/// Field of the config that holds the records.
const FIELD: &str = "dev.yadokari.cache.v1";
/// BuildKit's field of that meaning, and its type of a cache that is no image
/// (`cache/remotecache/v1/spec.go`).
const BUILDKIT_FIELD: &str = "moby.buildkit.cache.v0";
const BUILDKIT_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// Most bytes of a config.
const MOST: u64 = 4 << 20;

/// An image with records.
#[derive(Clone)]
pub(super) struct ImageCache {
    registry: Registry,
    image: Reference,
    events: Events,
}

impl ImageCache {
    pub(super) fn new(registry: &Registry, image: &Reference, events: &Events) -> Self {
        ImageCache { registry: registry.clone(), image: image.clone(), events: events.clone() }
    }

    /// The image; its layers are in its repository.
    pub(super) fn image(&self) -> &Reference {
        &self.image
    }

    /// The records in the images for some platforms; none if there is no image, or none in it. `now`
    /// is in seconds since 1970.
    pub(super) async fn index(&self, platforms: &[Platform], now: i64) -> Result<Option<Index>, CacheError> {
        let mut all: Option<Index> = None;
        for platform in platforms {
            if let Some(found) = self.index_for(platform, now).await? {
                all.get_or_insert_default().entries.extend(found.entries);
            }
        }
        Ok(all)
    }

    async fn index_for(&self, platform: &Platform, now: i64) -> Result<Option<Index>, CacheError> {
        let garbage = |e: &dyn std::fmt::Display| CacheError::Garbage(e.to_string());
        let raw = match self.registry.manifest(&self.image, Direction::Pull).await {
            Err(RegistryError::Status { status: 404, .. }) => return Ok(None),
            raw => raw?,
        };
        let manifest = match ManifestOrIndex::parse(&raw.bytes, None).map_err(|e| garbage(&e))? {
            ManifestOrIndex::Manifest(manifest) => manifest,
            ManifestOrIndex::Index(index) => {
                if index.manifests.iter().any(|d| d.media_type.as_str() == BUILDKIT_TYPE) {
                    self.say_whose();
                    return Ok(None);
                }
                let Ok(chosen) = index.select(platform) else { return Ok(None) };
                let pinned = self.image.clone_with_digest(chosen.digest.to_string());
                let raw = self.registry.manifest(&pinned, Direction::Pull).await?;
                match ManifestOrIndex::parse(&raw.bytes, None).map_err(|e| garbage(&e))? {
                    ManifestOrIndex::Manifest(manifest) => manifest,
                    ManifestOrIndex::Index(_) => return Ok(None),
                }
            }
        };
        if manifest.config.media_type.as_str() == BUILDKIT_TYPE {
            self.say_whose();
            return Ok(None);
        }
        if !manifest.config.media_type.as_str().ends_with("+json") {
            return Ok(None);
        }
        let bytes = self.registry.blob_bytes(&self.image, &manifest.config, MOST).await?;
        let Ok(config) = serde_json::from_slice::<ImageConfig>(&bytes) else { return Ok(None) };
        if config.extra.contains_key(BUILDKIT_FIELD) {
            self.say_whose();
        }
        Ok(records(&config, &manifest.layers, now))
    }

    fn say_whose(&self) {
        self.events.info(format!(
            "the cache in {} is BuildKit's, which is not read here; --cache-to type=inline or type=registry makes one \
             that is",
            self.image
        ));
    }
}

/// The records in a config that are of the image's own layers.
fn records(config: &ImageConfig, layers: &[Descriptor], now: i64) -> Option<Index> {
    let all = config.extra.get(FIELD)?.as_array()?;
    let is_here = |r: &Record| layers.iter().any(|l| l.digest == r.layer.digest && l.size == r.layer.size);
    let read = |value: &Value| Record::parse(&serde_json::to_vec(value).ok()?, None).ok().filter(is_here);
    let entry = |mut record: Record| {
        // An image that does not say when it was made.
        if record.created == 0 {
            record.created = now;
        }
        Entry { used: record.created, record }
    };
    Some(Index { entries: all.iter().filter_map(read).map(entry).collect() })
}

/// A record as an image holds it: nothing that only people need, and no times if these are `fixed`.
pub(super) fn record(record: &Record, fixed: bool) -> Record {
    let mut record = Record { components: BTreeMap::new(), ..record.clone() };
    if fixed {
        (record.created, record.milliseconds) = (0, 0);
        record.fetched.clear();
    }
    record
}

/// Puts records into a config, and takes out what a base had there.
pub fn write(config: &mut ImageConfig, records: Option<&[Record]>) {
    for field in [FIELD, BUILDKIT_FIELD] {
        config.extra.remove(field);
    }
    let json = |r: &Record| serde_json::to_value(r).expect("a record is plain data");
    if let Some(records) = records {
        config.extra.insert(FIELD.to_owned(), records.iter().map(json).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record as sample;
    use super::*;

    #[test]
    fn records_survive_a_config() {
        let mut config = ImageConfig::default();
        config.extra.insert(BUILDKIT_FIELD.to_owned(), "x".into());
        let made = record(&sample(), false);
        write(&mut config, Some(std::slice::from_ref(&made)));
        let json = serde_json::to_string(&config).unwrap();
        assert!(!json.contains("moby") && !json.contains("components"), "{json}");
        let read: ImageConfig = serde_json::from_str(&json).unwrap();
        let layers = [made.layer.clone()];
        assert_eq!(
            records(&read, &layers, 7).unwrap().entries,
            [Entry { used: made.created, record: made.clone() }]
        );
        assert!(records(&read, &[], 7).unwrap().entries.is_empty(), "of another image");
        write(&mut config, Some(&[record(&sample(), true)]));
        assert_eq!(records(&config, &layers, 7).unwrap().entries[0].used, 7);
        write(&mut config, None);
        assert_eq!(config, ImageConfig::default());
    }
}
