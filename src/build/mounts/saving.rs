//! Directories of `RUN --mount=type=cache` that are restored before their first use in a build and saved
//! after their last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::cache::{CacheError, Difference, MountSet, SavedMounts, State, Updated};
use crate::config::CompressionConfig;
use crate::event::Events;
use crate::image::{Compression, Descriptor, MediaType};
use crate::layer::{Entry, Kind, PackOptions, pack};
use crate::plan::{Action, CacheMount, FileOwner, RunMountKind};

use super::super::cached::{At, Cached};
use super::super::{Error, Job, threads};
use super::caches::{Caches, Lease, NEW};
use super::{cache_key, files};

/// Name of the file that says what a directory held when it was last saved or restored.
const STATE: &str = "state";

/// The saved directories of one build.
pub(in crate::build) struct Saving<'a> {
    store: SavedMounts,
    events: &'a Events,
    /// Where what is fetched and packed is kept meanwhile.
    spool: PathBuf,
    threads: usize,
    /// What directories hold that were restored, until they are in their place.
    restored: Mutex<BTreeMap<String, State>>,
    /// Directories that are known to be what they should be.
    settled: Mutex<BTreeSet<(String, PathBuf)>>,
    /// Keys that were used, with the id for people and the number of one of their directories.
    used: Mutex<BTreeMap<String, (String, usize)>>,
}

impl<'a> Saving<'a> {
    /// Opens the places, and begins to ask for what the steps to be carried out will need; none if
    /// nothing is restored or saved.
    pub(in crate::build) fn open(job: &Job<'a>, cached: Option<&Cached<'_>>) -> Option<Saving<'a>> {
        let Job { config, session, events, workspace, .. } = *job;
        let now = jiff::Timestamp::now().as_second();
        let (settings, scope) = (&config.cache.mounts, &config.cache.scope);
        if settings.from.is_empty() && settings.to.is_empty() {
            return None;
        }
        let wanted = wanted(job, cached);
        if wanted.is_empty() {
            return None;
        }
        let store = SavedMounts::open(settings, scope, now, &session.network, &session.registry, events)?;
        // What a cache that starts with files is called is known when they are.
        let plain = wanted.iter().filter(|cache| cache.seed.is_none());
        plain.for_each(|cache| store.begin(&cache_key(cache, None)));
        Some(Saving {
            store,
            events,
            spool: workspace.blobs(),
            threads: threads(config),
            restored: Mutex::default(),
            settled: Mutex::default(),
            used: Mutex::default(),
        })
    }

    /// Whether a directory that is there was saved or restored, and something else has been saved since.
    pub(super) fn is_outdated(&self, key: &str, one: &Path) -> bool {
        let place = (key.to_owned(), one.to_owned());
        if self.settled.lock().unwrap_or_else(PoisonError::into_inner).contains(&place) {
            return false;
        }
        let Some(found) = self.store.find(key) else { return false };
        let before = State::read(&one.join(STATE)).and_then(|state| state.set);
        before.is_some_and(|set| set.layers != found.set.layers)
    }

    /// Makes a directory with what was saved; false if nothing was, or it is of no use.
    pub(super) fn restore(
        &self,
        key: &str,
        one: &Path,
        seed: Option<&Path>,
        owner: FileOwner,
    ) -> Result<bool, Error> {
        let new = one.join(NEW);
        // Until the new one is in its place nothing is known of this one.
        let _ = fs::remove_file(one.join(STATE));
        let Some(found) = self.store.find(key) else { return Ok(false) };
        files::start_empty(&new, seed, owner)?;
        match self.store.restore(&found, &new, &self.spool) {
            Ok(state) => {
                self.restored.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), state);
                Ok(true)
            }
            Err(error) => {
                self.events.warn(format!("a saved cache mount is not used: {error}"));
                fs::remove_dir_all(&new)
                    .map_err(|e| Error::other(format!("cannot remove {}: {e}", new.display())))?;
                Ok(false)
            }
        }
    }

    /// Notes that a step uses a directory.
    pub(super) fn used(&self, key: &str, cache: &CacheMount, lease: &Lease) {
        let one = lease.path().parent().unwrap_or(lease.path());
        let restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        if let Some(state) = restored {
            let bytes = state.set.as_ref().map_or(0, |set| set.bytes);
            self.events.info(format!(
                "the cache mount '{}' begins with what was saved: {} files, {} KiB",
                cache.id,
                state.len(),
                bytes.div_ceil(1024)
            ));
            if let Err(error) = state.write(&one.join(STATE)) {
                self.events.debug(format!("what was restored is not remembered: {error}"));
            }
        }
        let place = (key.to_owned(), one.to_owned());
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let known = used.entry(key.to_owned()).or_insert((cache.id.clone(), lease.number()));
        known.1 = known.1.min(lease.number());
    }

    /// Saves what changed in the directories that were used, side by side.
    pub(in crate::build) fn save(&self, caches: &Path, cancelled: &(dyn Fn() -> bool + Sync)) {
        if !self.store.saves() {
            return;
        }
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let caches = Caches::new(caches.to_owned());
        std::thread::scope(|scope| {
            for (key, (id, number)) in used.iter() {
                let caches = &caches;
                scope.spawn(move || {
                    if let Err(error) = self.save_one(caches, key, id, *number, cancelled) {
                        self.events.warn(format!("the cache mount '{id}' is not saved: {error}"));
                    }
                });
            }
        });
    }

    fn save_one(
        &self,
        caches: &Caches,
        key: &str,
        id: &str,
        number: usize,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), CacheError> {
        let Some(lease) = caches.look(key, number) else {
            self.events.info(format!("the cache mount '{id}' is not saved: another build uses it"));
            return Ok(());
        };
        let file = lease.path().with_file_name(STATE);
        let mut before = State::read(&file).unwrap_or_default();
        let mut origin = before.set.as_ref().and_then(|set| self.store.origin(set));
        if origin.is_none() {
            before = State::default();
        }
        let mut found = before.difference(lease.path())?;
        if found.bytes > self.store.limit() {
            self.events.warn(format!(
                "the cache mount '{id}' is not saved: its {} MiB are more than --cache-mounts-limit allows",
                found.bytes >> 20
            ));
            return Ok(());
        }
        let worn = before.set.as_ref().is_some_and(|set| set.is_worn(packed_size(&found), found.bytes));
        if worn && !found.is_empty() {
            (before, origin) = (State::default(), None);
            found = before.difference(lease.path())?;
        }
        if found.is_empty() && before.set.is_none() {
            return Ok(());
        }
        let updated = self.updated(key, &before, &found, origin)?;
        if !self.store.save(&updated.0, cancelled) {
            return Ok(());
        }
        if !found.is_empty() {
            let size = updated.0.layer.as_ref().map_or(0, |(layer, _)| layer.size);
            let count = found.entries.len();
            self.events.info(format!(
                "the cache mount '{id}' is saved: {count} of its {} files, {} KiB",
                found.count.max(count),
                size.div_ceil(1024)
            ));
        }
        found.state(updated.0.set.clone(), &updated.1).write(&file)
    }

    /// What a directory is saved as, with the hashes of the files in the layer that is new.
    fn updated(
        &self,
        key: &str,
        before: &State,
        found: &Difference,
        origin: Option<crate::cache::Found>,
    ) -> Result<(Updated, BTreeMap<Vec<u8>, u128>), CacheError> {
        let now = self.store.now();
        let mut set = before.set.clone().unwrap_or_else(|| MountSet {
            name: self.store.name(key),
            layers: Vec::new(),
            bytes: 0,
            saved: now,
            used: now,
        });
        (set.bytes, set.used) = (found.bytes, now);
        if found.is_empty() {
            return Ok((Updated { set, layer: None, origin }, BTreeMap::new()));
        }
        set.saved = now;
        let options = PackOptions {
            compression: CompressionConfig {
                algorithm: Compression::Zstd,
                level: None,
                single_member: false,
            },
            clamp_mtime: None,
            zero_times: false,
            fractions: true,
            threads: self.threads,
            directory: self.spool.clone(),
            content_id: false,
        };
        let mut hashes = BTreeMap::new();
        let mut observer = |entry: &Entry, hash: Option<u128>| {
            if let (Kind::File { .. }, Some(hash)) = (&entry.kind, hash) {
                hashes.insert(entry.path.clone(), hash);
            }
        };
        let packed =
            pack(&found.entries, &options, &mut observer).map_err(|e| CacheError::Garbage(e.to_string()))?;
        let layer = Descriptor::new(MediaType::from(MediaType::OCI_LAYER_ZSTD), packed.digest, packed.size);
        set.layers.push((layer.clone(), packed.diff_id, packed.uncompressed_size));
        Ok((Updated { set, layer: Some((layer, packed.path)), origin }, hashes))
    }
}

/// The cache mounts of the steps that will be carried out, as far as definitions tell.
fn wanted(job: &Job<'_>, cached: Option<&Cached<'_>>) -> Vec<CacheMount> {
    let mut wanted = Vec::new();
    for (stage, planned) in job.plan.stages.iter().enumerate() {
        for (step, planned) in planned.steps.iter().enumerate() {
            let at = At { stage, step };
            let known = cached.is_some_and(|c| !c.needs(stage) || c.hit(at).is_some());
            let Action::Run(run) = &planned.action else { continue };
            let mounts = run.mounts.iter().filter(|_| !known);
            wanted.extend(mounts.filter_map(|mount| match &mount.kind {
                RunMountKind::Cache(cache) => Some(cache.clone()),
                _ => None,
            }));
        }
    }
    wanted
}

/// About how large a layer of these will be before it is compressed.
fn packed_size(found: &Difference) -> u64 {
    let size = |entry: &Entry| match entry.kind {
        Kind::File { size } => size + 1024,
        _ => 512,
    };
    found.entries.iter().map(size).fold(0, u64::saturating_add)
}
