//! What is saved of cache mounts, for one build: found, restored and saved again. Nothing of it ever
//! fails a build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::CacheError;
use super::super::key::Key;
use super::place::Place;
use super::set::MountSet;
use super::state::{MOST_ENTRIES, State};
use crate::config::MountCacheConfig;
use crate::event::Events;
use crate::image::{Descriptor, DiffId};
use crate::layer::{LayerSource, Limits, unpack};
use crate::registry::{Network, Registry, Task};

/// How long a place may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long moving layers may take before their size is looked at.
const MOVING: Duration = Duration::from_secs(30);
/// Bytes a second that moving must reach: below that making anew is no slower.
const MOVING_RATE: u64 = 2 << 20;
/// How often a wait looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);
/// What a tar has beside the bytes of files, for each entry.
const TAR_OVERHEAD: u64 = 4096;

/// The saved directories that one build reads and writes.
pub struct SavedMounts {
    network: Arc<Network>,
    registry: Registry,
    events: Events,
    scope: String,
    limit: u64,
    now: i64,
    from: Vec<Arc<Place>>,
    to: Vec<Arc<Place>>,
    known: Mutex<BTreeMap<Key, Arc<Mutex<Answer>>>>,
}

/// What is known of a name.
enum Answer {
    Asked(Vec<(Arc<Place>, Task<Looked>)>),
    Known(Option<Found>),
}

type Looked = Result<Option<MountSet>, CacheError>;

/// Something that is saved.
#[derive(Clone)]
pub struct Found {
    /// What it is.
    pub set: MountSet,
    place: Arc<Place>,
}

/// What a directory is now, to be saved.
pub struct Updated {
    /// What it is saved as.
    pub set: MountSet,
    /// The layer that is new, as a file.
    pub layer: Option<(Descriptor, PathBuf)>,
    /// Who has the others.
    pub origin: Option<Found>,
}

impl SavedMounts {
    /// Opens all places; none if nothing is to be read or saved. What cannot be opened is left out,
    /// with a warning. `now` is in seconds since 1970.
    pub fn open(
        config: &MountCacheConfig,
        scope: &str,
        now: i64,
        network: &Arc<Network>,
        registry: &Registry,
        events: &Events,
    ) -> Option<SavedMounts> {
        let mut places: BTreeMap<String, Arc<Place>> = BTreeMap::new();
        for location in config.to.iter().chain(&config.from) {
            let name = location.to_string();
            if places.contains_key(&name) {
                continue;
            }
            match Place::open(location, config.to.contains(location), registry) {
                Ok(Some(place)) => drop(places.insert(name, Arc::new(place))),
                Ok(None) => {}
                Err(error) => events.warn(format!("the cache {name} is not used: {error}")),
            }
        }
        let opened = |locations: &[_]| {
            let all =
                locations.iter().filter_map(|l: &crate::config::CacheLocation| places.get(&l.to_string()));
            all.cloned().collect::<Vec<_>>()
        };
        let (from, to) = (opened(&config.from), opened(&config.to));
        (!from.is_empty() || !to.is_empty()).then(|| SavedMounts {
            network: network.clone(),
            registry: registry.clone(),
            events: events.clone(),
            scope: scope.to_owned(),
            limit: config.limit,
            now,
            from,
            to,
            known: Mutex::default(),
        })
    }

    /// Whether anything is saved.
    pub fn saves(&self) -> bool {
        self.to.iter().any(|p| p.is_alive())
    }

    /// Bytes of files that a directory may hold to be saved.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Now, in seconds since 1970.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// What a cache is saved as.
    pub fn name(&self, cache: &str) -> Key {
        MountSet::name(&self.scope, cache)
    }

    /// Begins to ask for what is saved of a cache.
    pub fn begin(&self, cache: &str) {
        self.answer(cache);
    }

    fn answer(&self, cache: &str) -> Arc<Mutex<Answer>> {
        let name = self.name(cache);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = known.entry(name).or_insert_with(|| {
            let asked = self.from.iter().filter(|p| p.is_alive()).map(|p| (p.clone(), self.ask(p, name)));
            Arc::new(Mutex::new(Answer::Asked(asked.collect())))
        });
        answer.clone()
    }

    fn ask(&self, place: &Arc<Place>, name: Key) -> Task<Looked> {
        let place = place.clone();
        self.network.spawn(async move {
            let found = tokio::time::timeout(PATIENCE, place.find(&name)).await;
            found.unwrap_or(Err(CacheError::Slow(PATIENCE.as_secs())))
        })
    }

    /// What is saved of a cache: in the first place that has it, asked once.
    pub fn find(&self, cache: &str) -> Option<Found> {
        let answer = self.answer(cache);
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Answer::Asked(asked) = &mut *answer {
            let mut first = None;
            for (place, task) in std::mem::take(asked) {
                let found = self.looked(&place, task);
                first = first.or(found.map(|set| Found { set, place }));
            }
            *answer = Answer::Known(first);
        }
        match &*answer {
            Answer::Known(found) => found.clone(),
            Answer::Asked(_) => None,
        }
    }

    fn looked(&self, place: &Arc<Place>, task: Task<Looked>) -> Option<MountSet> {
        match task.wait()? {
            Ok(set) => set,
            Err(CacheError::Garbage(problem)) => {
                self.events.warn(format!("{}: {problem}", place.name));
                None
            }
            Err(error) => {
                self.give_up(place, &error);
                None
            }
        }
    }

    fn give_up(&self, place: &Place, error: &CacheError) {
        if place.give_up() {
            self.events.warn(format!(
                "the cache {} does not answer; cache mounts go on without it: {error}",
                place.name
            ));
        }
    }

    /// Puts what was saved into an empty directory; `spool` is a directory for what is fetched.
    ///
    /// # Errors
    /// It could not be had in time, or is not what it should be. The directory may hold a part.
    pub fn restore(&self, found: &Found, target: &Path, spool: &Path) -> Result<State, CacheError> {
        let restored = self.unpack(found, target, spool);
        // What could not be read for the moment is not to be replaced either.
        match &restored {
            Err(CacheError::Slow(_)) => _ = found.place.give_up(),
            Err(CacheError::Registry(error)) if error.is_silence() => _ = found.place.give_up(),
            _ => {}
        }
        restored
    }

    fn unpack(&self, found: &Found, target: &Path, spool: &Path) -> Result<State, CacheError> {
        let Found { set, place } = found;
        if set.bytes > self.limit {
            return Err(CacheError::Garbage(format!(
                "it holds {} MiB, more than --cache-mounts-limit allows",
                set.bytes >> 20
            )));
        }
        let patience = patience(set.size());
        let fetched: Vec<_> = set
            .layers
            .iter()
            .map(|(layer, ..)| {
                let (place, registry) = (place.clone(), self.registry.clone());
                let (layer, spool) = (layer.clone(), spool.to_owned());
                self.network.spawn(async move {
                    let file = tokio::time::timeout(patience, place.layer(&registry, &layer, &spool)).await;
                    file.unwrap_or(Err(CacheError::Slow(patience.as_secs())))
                })
            })
            .collect();
        let (mut files, mut layers) = (Vec::new(), Vec::new());
        for (task, (layer, diff_id, _)) in fetched.into_iter().zip(&set.layers) {
            let gone = || Err(CacheError::Garbage("the network's threads are gone".to_owned()));
            let file = task.wait().unwrap_or_else(gone)?;
            layers.push(layer_source(file.reader(layer)?, layer, *diff_id));
            files.push(file);
        }
        let overhead = TAR_OVERHEAD * MOST_ENTRIES as u64;
        let limits = Limits {
            layer_size: self.limit.saturating_add(overhead),
            entries: MOST_ENTRIES as u64,
            ..Limits::default()
        };
        let mut contents = BTreeMap::new();
        unpack(layers, target, &limits, &mut |path, hash| {
            contents.insert(path.to_vec(), hash);
        })
        .map_err(|e| CacheError::Garbage(e.to_string()))?;
        State::of(target, set.clone(), &contents)
    }

    /// Whoever has what a directory was saved as: its layers are the first of what is there now.
    pub fn origin(&self, set: &MountSet) -> Option<Found> {
        let asked: Vec<_> = self.all().map(|p| (p.clone(), self.ask(p, set.name))).collect();
        let mut origin = None;
        for (place, task) in asked {
            let found = self.looked(&place, task).filter(|now| now.layers.starts_with(&set.layers));
            origin = origin.or(found.map(|now| Found { set: now, place }));
        }
        origin
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Place>> {
        let more = self.from.iter().filter(|p| !self.to.iter().any(|t| t.name == p.name));
        self.to.iter().chain(more).filter(|p| p.is_alive())
    }

    /// Saves a directory everywhere it should be; the bytes that went to places, for people. What does
    /// not work is said. Nobody waits for it any more once `cancelled`.
    pub fn save(&self, updated: &Updated, cancelled: &dyn Fn() -> bool) -> bool {
        let tasks: Vec<_> =
            self.to.iter().filter(|p| p.is_alive()).map(|place| (place, self.put(place, updated))).collect();
        let end = Instant::now() + patience(updated.set.size());
        let mut saved = false;
        for (place, mut task) in tasks {
            let outcome = loop {
                match task.wait_at_most(LOOK) {
                    Ok(outcome) => break outcome,
                    Err(unfinished) => task = unfinished,
                }
                if Instant::now() >= end || cancelled() {
                    task.abort();
                    break Some(Err(CacheError::Slow(patience(updated.set.size()).as_secs())));
                }
            };
            match outcome {
                Some(Ok(())) => saved = true,
                Some(Err(_)) if cancelled() => {}
                Some(Err(error)) => {
                    self.events.warn(format!("a cache mount is not saved in {}: {error}", place.name));
                    place.give_up();
                }
                None => {}
            }
        }
        saved
    }

    fn put(&self, place: &Arc<Place>, updated: &Updated) -> Task<Result<(), CacheError>> {
        let mut layers = Vec::new();
        for (layer, ..) in &updated.set.layers {
            let new = updated.layer.as_ref().filter(|(new, _)| new.digest == layer.digest);
            match (new, &updated.origin) {
                (Some((_, path)), _) => {
                    let file =
                        super::super::store::LayerSource::File { path: path.clone(), mount_from: Vec::new() };
                    layers.push((layer.clone(), file));
                }
                (None, Some(origin)) if origin.place.name != place.name => {
                    layers.push((layer.clone(), origin.place.source(layer)));
                }
                // It is there already.
                (None, _) => {}
            }
        }
        let (place, registry, set) = (place.clone(), self.registry.clone(), updated.set.clone());
        let unchanged = updated.layer.is_none();
        self.network.spawn(async move {
            if unchanged {
                let now = tokio::time::timeout(PATIENCE, place.find(&set.name)).await;
                let now = now.unwrap_or(Err(CacheError::Slow(PATIENCE.as_secs())))?;
                if let Some(now) = now.filter(|now| now.layers.starts_with(&set.layers)) {
                    if !now.is_stale(set.used) {
                        return Ok(());
                    }
                    // Somebody else may have saved more meanwhile.
                    let used = MountSet { used: set.used, ..now };
                    return place.save(&registry, &used, Vec::new()).await;
                }
            }
            place.save(&registry, &set, layers).await
        })
    }
}

fn layer_source(reader: Box<dyn std::io::Read + Send>, layer: &Descriptor, diff_id: DiffId) -> LayerSource {
    LayerSource { reader, diff_id: Some(diff_id), name: layer.digest.to_string() }
}

/// How long moving this many bytes may take.
fn patience(bytes: u64) -> Duration {
    MOVING + Duration::from_secs(bytes / MOVING_RATE)
}
