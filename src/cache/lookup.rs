//! The cache of one build: all its places as one. Whatever goes wrong with a place is said once,
//! and the place is left alone from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::CacheError;
use super::index::Index;
use super::key::Key;
use super::local::LocalCache;
use super::record::Record;
use super::repository::RepositoryCache;
use super::store::{LayerSource, Made, store_locally, wait_for};
use crate::config::{CacheConfig, CacheLocation, CacheMode};
use crate::event::Events;
use crate::image::{Descriptor, OciLayout, Reference};
use crate::registry::{Network, Registry, Task};

/// How long a place may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long keeping may take after the build is done, before its size is looked at.
const KEEPING: Duration = Duration::from_secs(30);
/// Bytes a second that keeping must reach.
const KEEPING_RATE: u64 = 256 << 10;
/// How often a wait looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

/// What a build wants of its cache.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Where, and which.
    pub config: CacheConfig,
    /// Name of the build's index.
    pub index: Key,
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

enum Backend {
    Repository(RepositoryCache),
    Local(LocalCache),
}

/// What asking for an index comes to.
type IndexAnswer = Result<Option<Index>, CacheError>;

struct Place {
    name: String,
    backend: Backend,
    reads: bool,
    writes: Option<CacheMode>,
    dead: AtomicBool,
    asked: Mutex<Option<Task<IndexAnswer>>>,
    index: OnceLock<Option<Index>>,
    keeping: Mutex<Vec<Task<Result<(), CacheError>>>>,
}

/// The cache of one build.
pub struct Cache {
    network: Arc<Network>,
    registry: Registry,
    events: Events,
    settings: CacheSettings,
    places: Vec<Place>,
    /// Records this build used or made, by their first key.
    used: Mutex<BTreeMap<Key, Record>>,
    /// Bytes being kept.
    bytes: AtomicU64,
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
            match cache.place(location, reads, writes) {
                Ok(Some(place)) => cache.places.push(place),
                Ok(None) => {}
                Err(error) => events.warn(format!("the cache {location} is not used: {error}")),
            }
        }
        cache
    }

    fn place(
        &self,
        location: &CacheLocation,
        reads: bool,
        writes: Option<CacheMode>,
    ) -> Result<Option<Place>, CacheError> {
        let name = location.to_string();
        let backend = match location {
            CacheLocation::Registry(reference) => {
                Backend::Repository(RepositoryCache::new(&self.registry, reference))
            }
            CacheLocation::Directory(path) if writes.is_some() => Backend::Local(LocalCache::create(path)?),
            CacheLocation::Directory(path) => match LocalCache::open(path)? {
                Some(cache) => Backend::Local(cache),
                None => return Ok(None),
            },
        };
        let asked = match &backend {
            Backend::Repository(repository) => {
                let (repository, index) = (repository.clone(), self.settings.index);
                Some(self.network.spawn(async move {
                    tokio::time::timeout(PATIENCE, repository.index(&index))
                        .await
                        .unwrap_or(Err(CacheError::Slow(PATIENCE.as_secs())))
                }))
            }
            Backend::Local(_) => None,
        };
        Ok(Some(Place {
            name,
            backend,
            reads,
            writes,
            dead: AtomicBool::new(false),
            asked: Mutex::new(asked),
            index: OnceLock::new(),
            keeping: Mutex::default(),
        }))
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
        self.places.iter().any(|p| p.writes.is_some() && p.is_alive())
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
            Backend::Local(local) => LayerPlace::Layout(local.layout().clone()),
        };
        found.insert(key, Hit { record, place: at, from: place.name.clone() });
    }

    fn ask(&self, place: &Place, keys: &[Key]) -> Result<(BTreeMap<Key, Record>, Vec<String>), CacheError> {
        match &place.backend {
            Backend::Local(local) => local.records(keys),
            Backend::Repository(repository) => self.network.block_on(async {
                tokio::time::timeout(PATIENCE, repository.records(keys))
                    .await
                    .unwrap_or(Err(CacheError::Slow(PATIENCE.as_secs())))
            }),
        }
    }

    /// A place's index, waited for once.
    fn index<'p>(&self, place: &'p Place) -> Option<&'p Index> {
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

    /// Notes that a known result was used, and keeps it in the places that do not have it.
    pub fn used(&self, hit: &Hit, in_image: bool) {
        self.note(&hit.record);
        let layer = match &hit.place {
            LayerPlace::Repository(r) => LayerSource::Repository(r.clone()),
            LayerPlace::Layout(layout) => {
                let path = layout.blob_path(&hit.record.layer.digest);
                LayerSource::File { path, mount_from: Vec::new() }
            }
        };
        let made = Made { record: hit.record.clone(), layer, ready: None, in_image };
        for place in self.places.iter().filter(|p| p.name != hit.from) {
            let first = hit.record.keys.first();
            let has = |index: &Index| index.entries.iter().any(|e| e.record.keys.first() == first);
            if place.writes.is_some() && !self.index(place).is_some_and(has) {
                self.keep_in(place, &made);
            }
        }
    }

    /// Begins to keep a result everywhere it should be.
    pub fn keep(&self, made: &Made) {
        self.note(&made.record);
        for place in &self.places {
            self.keep_in(place, made);
        }
    }

    fn note(&self, record: &Record) {
        if let Some(key) = record.keys.first() {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, record.clone());
        }
    }

    fn keep_in(&self, place: &Place, made: &Made) {
        let wanted = place.writes == Some(CacheMode::Max) || (place.writes.is_some() && made.in_image);
        if !wanted || !place.is_alive() {
            return;
        }
        self.bytes.fetch_add(made.record.layer.size, Ordering::Relaxed);
        let Made { record, layer, ready, .. } = made.clone();
        let task = match &place.backend {
            Backend::Local(local) => {
                self.network.spawn(store_locally(local.clone(), self.registry.clone(), record, layer))
            }
            Backend::Repository(repository) => {
                let repository = repository.clone();
                self.network.spawn(async move {
                    wait_for(ready).await;
                    repository.store(&record, &layer).await
                })
            }
        };
        place.keeping.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Waits until everything is kept, for as long as that is worth it, and writes the indexes.
    pub fn finish(&self, cancelled: &dyn Fn() -> bool) {
        let more = Duration::from_secs(self.bytes.load(Ordering::Relaxed) / KEEPING_RATE);
        let end = Instant::now() + KEEPING + more;
        for place in self.places.iter().filter(|p| p.writes.is_some()) {
            let keeping = std::mem::take(&mut *place.keeping.lock().unwrap_or_else(PoisonError::into_inner));
            for task in keeping {
                match self.kept(place, task, end, cancelled) {
                    Some(Err(error)) => self.give_up(place, "takes nothing more", &error),
                    Some(Ok(())) => {}
                    None => {
                        let error = CacheError::Slow((KEEPING + more).as_secs());
                        self.give_up(place, "takes nothing more", &error);
                    }
                }
            }
            if place.is_alive() && !cancelled() {
                self.write_index(place);
            }
        }
    }

    /// How keeping a result ended; none if nobody waits for it any more.
    fn kept(
        &self,
        place: &Place,
        mut task: Task<Result<(), CacheError>>,
        end: Instant,
        cancelled: &dyn Fn() -> bool,
    ) -> Option<Result<(), CacheError>> {
        loop {
            match task.wait_at_most(LOOK) {
                Ok(kept) => return kept,
                Err(unfinished) => task = unfinished,
            }
            if !place.is_alive() || Instant::now() >= end || cancelled() {
                task.abort();
                return None;
            }
        }
    }

    fn write_index(&self, place: &Place) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used: Vec<Record> = used.values().cloned().collect();
        let CacheSettings { config, index: name, now, .. } = &self.settings;
        let oldest = now.saturating_sub(i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX));
        let before = self.index(place).cloned().unwrap_or_default();
        let Some(index) = before.after(&used, *now, oldest) else { return };
        let written = match &place.backend {
            Backend::Local(local) => local.store_index(name, &index),
            Backend::Repository(repository) => self.network.block_on(async {
                tokio::time::timeout(KEEPING, repository.store_index(name, &index))
                    .await
                    .unwrap_or(Err(CacheError::Slow(KEEPING.as_secs())))
            }),
        };
        if let Err(error) = written {
            self.give_up(place, "takes no index", &error);
        }
    }

    fn give_up(&self, place: &Place, what: &str, error: &CacheError) {
        if !place.dead.swap(true, Ordering::SeqCst) {
            self.events
                .warn(format!("the cache {} {what}; the build goes on without it: {error}", place.name));
        }
    }
}

impl Place {
    fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::SeqCst)
    }
}
