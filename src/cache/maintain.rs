//! Looking through a cache, and removing what is old: of a repository by its tags, of a directory by
//! its files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::CacheError;
use super::index::Index;
use super::key::Key;
use super::local::LocalCache;
use super::mounts::MountSet;
use super::record::Record;
use super::repository::RepositoryCache;
use crate::config::CacheLocation;
use crate::registry::{Network, Registry};

/// A record with what is known of its use.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The record.
    pub record: Record,
    /// When a build used it last, to a day: the newest index that names it, or when it was made.
    pub used: i64,
}

/// What is removed: a record to which one of them applies.
#[derive(Debug, Clone, Default)]
pub struct PruneRules {
    /// Made longer ago than this.
    pub older_than: Option<Duration>,
    /// Not used for longer than this.
    pub unused_for: Option<Duration>,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What removing came to.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// What was, or would be, removed.
    pub removed: Vec<Kept>,
    /// What stays.
    pub left: usize,
    /// What was, or would be, removed of what is saved of cache mounts.
    pub mounts: Vec<MountSet>,
    /// How many of those stay.
    pub mounts_left: usize,
    /// Whether the registry removes nothing: then only the indexes were written again.
    pub refused: bool,
}

/// A cache that is looked after.
#[derive(Debug)]
pub struct Maintained<'a> {
    place: Place,
    network: &'a Network,
}

#[derive(Debug)]
enum Place {
    Repository(RepositoryCache),
    Local(LocalCache),
}

impl<'a> Maintained<'a> {
    /// Opens a cache.
    ///
    /// # Errors
    /// There is none.
    pub fn open(
        location: &CacheLocation,
        network: &'a Network,
        registry: &Registry,
    ) -> Result<Self, CacheError> {
        let place = match location {
            CacheLocation::Registry(reference) | CacheLocation::Image(reference) => {
                Place::Repository(RepositoryCache::new(registry, reference))
            }
            CacheLocation::Directory(path) => Place::Local(
                LocalCache::open(path)?
                    .ok_or_else(|| CacheError::Garbage(format!("{} holds no cache", path.display())))?,
            ),
        };
        Ok(Maintained { place, network })
    }

    /// All records, last used first.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn list(&self) -> Result<Vec<Kept>, CacheError> {
        Ok(self.look()?.1)
    }

    /// What is saved of cache mounts, last used first.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn mounts(&self) -> Result<Vec<MountSet>, CacheError> {
        let mut sets = match &self.place {
            Place::Repository(repository) => self.network.block_on(repository.mounts())?,
            Place::Local(local) => local.mounts()?,
        };
        sets.sort_by_key(|set| std::cmp::Reverse(set.used));
        Ok(sets)
    }

    /// All indexes by name, and all records.
    fn look(&self) -> Result<(BTreeMap<Key, Index>, Vec<Kept>), CacheError> {
        let (indexes, keys) = match &self.place {
            Place::Repository(repository) => self.network.block_on(repository.contents())?,
            Place::Local(local) => local.contents()?,
        };
        let mut kept: BTreeMap<Key, Kept> = BTreeMap::new();
        let mut named: BTreeSet<Key> = BTreeSet::new();
        for entry in indexes.values().flat_map(|i| &i.entries) {
            let Some(first) = entry.record.keys.first() else { continue };
            named.extend(&entry.record.keys);
            let known = kept.entry(*first).or_insert(Kept { record: entry.record.clone(), used: entry.used });
            known.used = known.used.max(entry.used);
        }
        let unnamed: Vec<Key> = keys.into_iter().filter(|k| !named.contains(k)).collect();
        let (records, _) = match &self.place {
            Place::Repository(repository) => self.network.block_on(repository.records(&unnamed))?,
            Place::Local(local) => local.records(&unnamed)?,
        };
        for record in records.into_values() {
            let Some(first) = record.keys.first() else { continue };
            let used = record.created;
            kept.entry(*first).or_insert(Kept { record, used });
        }
        let mut all: Vec<Kept> = kept.into_values().collect();
        all.sort_by_key(|k| (std::cmp::Reverse(k.used), k.record.step.stage.clone(), k.record.step.number));
        Ok((indexes, all))
    }

    /// Removes what the rules say, records and the layers that nothing else names; `now` in seconds
    /// since 1970.
    ///
    /// # Errors
    /// The cache cannot be read, or be written.
    pub fn prune(&self, rules: &PruneRules, now: i64) -> Result<Pruned, CacheError> {
        let (indexes, all) = self.look()?;
        let before = |time: i64, limit: Option<Duration>| {
            let limit = limit.map(|l| i64::try_from(l.as_secs()).unwrap_or(i64::MAX));
            limit.is_some_and(|limit| time.saturating_add(limit) < now)
        };
        let goes = |k: &Kept| before(k.record.created, rules.older_than) || before(k.used, rules.unused_for);
        let (removed, left): (Vec<Kept>, Vec<Kept>) = all.into_iter().partition(goes);
        let goes = |s: &MountSet| before(s.saved, rules.older_than) || before(s.used, rules.unused_for);
        let (mounts, mounts_left): (Vec<MountSet>, Vec<MountSet>) =
            self.mounts()?.into_iter().partition(goes);
        let mut pruned =
            Pruned { removed, left: left.len(), mounts, mounts_left: mounts_left.len(), refused: false };
        if rules.dry_run || (pruned.removed.is_empty() && pruned.mounts.is_empty()) {
            return Ok(pruned);
        }
        let gone: BTreeSet<Key> =
            pruned.removed.iter().filter_map(|k| k.record.keys.first().copied()).collect();
        // Indexes first: nobody shall find what is about to go.
        for (name, mut index) in indexes {
            let count = index.entries.len();
            index.entries.retain(|e| e.record.keys.first().is_none_or(|k| !gone.contains(k)));
            if index.entries.len() < count {
                self.write_index(&name, &index)?;
            }
        }
        let saved = mounts_left.iter().flat_map(|s| &s.layers).map(|(layer, ..)| layer.digest.hex());
        let needed: BTreeSet<String> =
            left.iter().map(|k| k.record.layer.digest.hex()).chain(saved).collect();
        for kept in &pruned.removed {
            pruned.refused |= !self.remove(&kept.record, &needed)?;
        }
        for set in &pruned.mounts {
            pruned.refused |= !self.remove_mount(set, &needed)?;
        }
        Ok(pruned)
    }

    fn remove_mount(&self, set: &MountSet, needed: &BTreeSet<String>) -> Result<bool, CacheError> {
        match &self.place {
            Place::Repository(repository) => {
                self.network.block_on(repository.remove_manifest(&set.manifest().1))
            }
            Place::Local(local) => {
                local.remove_mount(&set.name)?;
                let mut gone = set.layers.iter().filter(|(layer, ..)| !needed.contains(&layer.digest.hex()));
                gone.try_for_each(|(layer, ..)| local.remove_layer(layer))?;
                Ok(true)
            }
        }
    }

    fn write_index(&self, name: &Key, index: &Index) -> Result<(), CacheError> {
        match &self.place {
            Place::Repository(repository) => self.network.block_on(repository.store_index(name, index)),
            Place::Local(local) => local.store_index(name, index),
        }
    }

    /// Removes a record, and its layer unless it is needed; false where that is refused.
    fn remove(&self, record: &Record, needed: &BTreeSet<String>) -> Result<bool, CacheError> {
        match &self.place {
            Place::Repository(repository) => self.network.block_on(repository.remove(record)),
            Place::Local(local) => {
                record.keys.iter().try_for_each(|key| local.remove_record(key))?;
                if !needed.contains(&record.layer.digest.hex()) {
                    local.remove_layer(&record.layer)?;
                }
                Ok(true)
            }
        }
    }
}
