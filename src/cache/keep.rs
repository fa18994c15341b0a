//! Keeping results while a build goes on, and what is written at its end.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::CacheError;
use super::index::Index;
use super::inline;
use super::lookup::{Cache, CacheSettings, Hit, LayerPlace};
use super::place::{Backend, Place};
use super::record::Record;
use super::store::{LayerSource, Made, store_locally, wait_for};
use crate::config::CacheMode;
use crate::image::Digest;
use crate::registry::Task;

/// How long keeping may take after the build is done, before its size is looked at.
const KEEPING: Duration = Duration::from_secs(30);
/// Bytes a second that keeping must reach.
const KEEPING_RATE: u64 = 256 << 10;
/// How often a wait looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

impl Cache {
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
            Backend::Image(_) => return,
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
        let CacheSettings { config, index: name, now, .. } = self.settings();
        let oldest = now.saturating_sub(i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX));
        let before = self.index(place).cloned().unwrap_or_default();
        let Some(index) = before.after(&used, *now, oldest) else { return };
        let written = match &place.backend {
            Backend::Image(_) => return,
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

    /// The records of results that are layers of an image, to be kept in the image itself. `fixed` says
    /// that nothing in the image may depend on when it was built.
    pub fn inline(&self, layers: &[Digest], fixed: bool) -> Option<Vec<Record>> {
        if !self.settings().config.inline {
            return None;
        }
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let records = used.values().filter(|record| layers.contains(&record.layer.digest));
        Some(records.map(|record| inline::record(record, fixed)).collect())
    }
}
