//! The cache of one build: all its places as one. Whatever goes wrong with a place is said once,
//! and the place is left alone from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::CacheError;
use super::index::Index;
use super::key::Key;
use super::place::{Backend, PATIENCE, Place};
use super::record::{Record, Seen};
use super::repository::RepositoryCache;
use crate::config::{CacheConfig, CacheLocation, CacheMode};
use crate::event::Events;
use crate::image::{Descriptor, OciLayout, Platform, Reference};
use crate::registry::{Network, Registry};

/// What a build wants of its cache.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Where, and which.
    pub config: CacheConfig,
    /// Name of the build's index.
    pub index: Key,
    /// The build's platforms.
    pub platforms: Vec<Platform>,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// No layer may hold a time after this.
    pub epoch: Option<i64>,
}

/// A result that is known.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The record.
    pub record: Record,
    /// Where the layer is.
    pub place: LayerPlace,
    /// Which of the places it is, for people.
    pub from: String,
}

/// Where a known layer is.
#[derive(Debug, Clone)]
pub enum LayerPlace {
    /// In a repository.
    Repository(Reference),
    /// In a layout on disk.
    Layout(Arc<OciLayout>),
}

/// The cache of one build.
pub struct Cache {
    pub(super) network: Arc<Network>,
    pub(super) registry: Registry,
    events: Events,
    settings: CacheSettings,
    pub(super) places: Vec<Place>,
    /// Records this build used or made, by their first key.
    pub(super) used: Mutex<BTreeMap<Key, Record>>,
    /// Bytes being kept.
    pub(super) bytes: AtomicU64,
    /// Layers that turned out to be lost or wrong.
    denied: Mutex<BTreeSet<String>>,
    /// Whether nothing is looked up any more.
    distrusted: AtomicBool,
}

impl Cache {
    /// Opens all places and begins to ask for their indexes. What cannot be opened is left out,
    /// with a warning.
    pub fn open(
        settings: CacheSettings,
        network: &Arc<Network>,
        registry: &Registry,
        events: &Events,
    ) -> Cache {
        let mut cache = Cache {
            network: network.clone(),
            registry: registry.clone(),
            events: events.clone(),
            settings,
            places: Vec::new(),
            used: Mutex::default(),
            bytes: AtomicU64::new(0),
            denied: Mutex::default(),
            distrusted: AtomicBool::new(false),
        };
        let config = cache.settings.config.clone();
        let mut locations: Vec<&CacheLocation> = Vec::new();
        for location in config.from.iter().chain(config.to.iter().map(|e| &e.location)) {
            if !locations.iter().any(|l| l.to_string() == location.to_string()) {
                locations.push(location);
            }
        }
        for location in locations {
            let reads = config.read && config.from.contains(location);
            let writes = config.to.iter().find(|e| e.location == *location).map(|e| e.mode);
            match Place::open(location, reads, writes, &cache.settings, network, registry, events) {
                Ok(Some(place)) => cache.places.push(place),
                Ok(None) => {}
                Err(error) => events.warn(format!("the cache {location} is not used: {error}")),
            }
        }
        cache
    }

    /// Says that no layer may hold a time after this, once that is known.
    pub fn set_epoch(&mut self, epoch: Option<i64>) {
        self.settings.epoch = epoch;
    }

    /// What the build wants.
    pub fn settings(&self) -> &CacheSettings {
        &self.settings
    }

    /// Whether the results of steps that are not in the image are kept anywhere.
    pub fn keeps_all(&self) -> bool {
        self.places.iter().any(|p| p.writes == Some(CacheMode::Max) && p.is_alive())
    }

    /// Whether anything is kept anywhere.
    pub fn keeps(&self) -> bool {
        self.settings.config.inline || self.places.iter().any(|p| p.writes.is_some() && p.is_alive())
    }

    /// Whether anything is looked up anywhere.
    pub fn reads(&self) -> bool {
        !self.distrusted.load(Ordering::SeqCst) && self.places.iter().any(|p| p.reads && p.is_alive())
    }

    /// Looks nothing up from now on: what was found turned out to be wrong.
    pub fn distrust(&self) {
        self.distrusted.store(true, Ordering::SeqCst);
    }

    /// The known results of these keys.
    pub fn find(&self, keys: &[Key]) -> BTreeMap<Key, Hit> {
        let mut found = BTreeMap::new();
        if !self.reads() {
            return found;
        }
        for place in self.places.iter().filter(|p| p.reads) {
            let mut left: Vec<Key> = Vec::new();
            let index = self.index(place).map(Index::by_key).unwrap_or_default();
            let missing: Vec<Key> = keys.iter().filter(|k| !found.contains_key(*k)).copied().collect();
            for key in &missing {
                match index.get(key) {
                    Some(record) => self.take(&mut found, place, *key, record.clone()),
                    None => left.push(*key),
                }
            }
            if left.is_empty() || !place.is_alive() {
                continue;
            }
            match self.ask(place, &left) {
                Ok((records, refused)) => {
                    for problem in refused {
                        self.events.warn(format!("{problem}; it is not used ({})", place.name));
                    }
                    for (key, record) in records {
                        self.take(&mut found, place, key, record);
                    }
                }
                Err(error) => self.give_up(place, "answers no questions", &error),
            }
        }
        found
    }

    /// Takes a record that is of use to this build.
    fn take(&self, found: &mut BTreeMap<Key, Hit>, place: &Place, key: Key, record: Record) {
        let settings = &self.settings;
        let ttl = i64::try_from(settings.config.ttl.as_secs()).unwrap_or(i64::MAX);
        let old = record.created.saturating_add(ttl) < settings.now;
        let late = settings.epoch.is_some_and(|epoch| record.newest > epoch);
        let denied = self.is_denied(&record.layer);
        if old || late || denied {
            self.events.debug(format!(
                "the result of {} {} in {} is not used: {}",
                record.step.instruction,
                key.short(),
                place.name,
                match (old, late) {
                    (true, _) => "it is older than --cache-ttl",
                    (_, true) => "it holds times after SOURCE_DATE_EPOCH",
                    _ => "its layer is lost",
                }
            ));
            return;
        }
        let at = match &place.backend {
            Backend::Repository(r) => LayerPlace::Repository(r.repository().clone()),
            Backend::Image(image) => LayerPlace::Repository(image.image().clone()),
            Backend::Local(local) => LayerPlace::Layout(local.layout().clone()),
        };
        found.insert(key, Hit { record, place: at, from: place.name.clone() });
    }

    fn ask(&self, place: &Place, keys: &[Key]) -> Result<(BTreeMap<Key, Record>, Vec<String>), CacheError> {
        match &place.backend {
            Backend::Image(_) => Ok(Default::default()),
            Backend::Local(local) => local.records(keys),
            Backend::Repository(repository) => self.network.block_on(async {
                tokio::time::timeout(PATIENCE, repository.records(keys))
                    .await
                    .unwrap_or(Err(CacheError::Slow(PATIENCE.as_secs())))
            }),
        }
    }

    /// A place's index, waited for once.
    pub(super) fn index<'p>(&self, place: &'p Place) -> Option<&'p Index> {
        let index = place.index.get_or_init(|| {
            let asked = place.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
            let answer = match (&place.backend, asked) {
                (Backend::Local(local), _) => local.index(&self.settings.index),
                (_, Some(task)) => task.wait().unwrap_or(Ok(None)),
                (_, None) => Ok(None),
            };
            answer.unwrap_or_else(|error| {
                match &error {
                    CacheError::Garbage(_) => {
                        self.events.warn(format!("the cache {} has no usable index: {error}", place.name));
                    }
                    _ => self.give_up(place, "does not answer", &error),
                }
                None
            })
        });
        index.as_ref()
    }

    /// All records that the indexes name: what a miss is compared with.
    pub fn known(&self) -> Vec<Record> {
        let places = self.places.iter().filter(|p| p.reads);
        let entries = places.filter_map(|p| self.index(p)).flat_map(|i| &i.entries);
        entries.map(|e| e.record.clone()).collect()
    }

    /// What servers said of files that steps fetched, latest use first.
    pub fn seen(&self) -> Vec<Seen> {
        let places = self.places.iter().filter(|p| p.reads);
        let entries = places.filter_map(|p| self.index(p)).flat_map(|i| &i.entries);
        entries.flat_map(|e| e.record.fetched.iter().cloned()).collect()
    }

    /// The hits whose layer is where it should be, asked for all at once.
    pub fn present(&self, hits: &[&Hit]) -> Vec<bool> {
        let asked: Vec<_> = hits
            .iter()
            .map(|hit| match &hit.place {
                LayerPlace::Layout(layout) => {
                    let path = layout.blob_path(&hit.record.layer.digest);
                    let size = hit.record.layer.size;
                    Err(std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == size))
                }
                LayerPlace::Repository(repository) => {
                    let repository = RepositoryCache::new(&self.registry, repository);
                    let layer = hit.record.layer.clone();
                    Ok(self.network.spawn(async move {
                        let there = tokio::time::timeout(PATIENCE, repository.has_layer(&layer)).await;
                        matches!(there, Ok(Ok(true)))
                    }))
                }
            })
            .collect();
        asked
            .into_iter()
            .zip(hits)
            .map(|(asked, hit)| {
                let there = asked.map_or_else(|known| known, |task| task.wait().unwrap_or(false));
                if !there {
                    self.deny(&hit.record.layer);
                    let layer = hit.record.layer.digest.short();
                    let step = &hit.record.step.instruction;
                    self.events
                        .info(format!("the layer {layer} of a {step} is not in {} any more", hit.from));
                }
                there
            })
            .collect()
    }

    /// Never uses a layer again in this build.
    pub fn deny(&self, layer: &Descriptor) {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).insert(layer.digest.hex());
    }

    fn is_denied(&self, layer: &Descriptor) -> bool {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).contains(&layer.digest.hex())
    }

    pub(super) fn give_up(&self, place: &Place, what: &str, error: &CacheError) {
        if !place.dead.swap(true, Ordering::SeqCst) {
            self.events
                .warn(format!("the cache {} {what}; the build goes on without it: {error}", place.name));
        }
    }
}
