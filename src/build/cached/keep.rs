//! What is kept of the steps, and what is noted of those that were known.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::blobs::Layer;
use super::super::keys::{FilesRead, StepKey};
use super::super::upload::Uploads;
use super::{At, Cached};
use crate::cache::{Hit, Key, LayerPlace, LayerSource, Made, Record, Seen, hints};
use crate::layer::{PackedContent, PackedLayer};
use crate::plan::Action;

impl Cached<'_> {
    /// Notes a step that was not carried out. One known by its content answers to its definition
    /// from now on.
    pub(in crate::build) fn took(&self, at: At, hit: &Hit, in_image: bool) {
        self.totals.hits.fetch_add(1, Ordering::Relaxed);
        self.saved(at, hit, in_image);
    }

    /// Notes the steps of a stage that nobody needs.
    pub(in crate::build) fn skipped(&self, stage: usize) {
        for (step, planned) in self.plan.stages[stage].steps.iter().enumerate() {
            if planned.action.has_layer() {
                self.totals.hits.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(hit) = self.hit(At { stage, step }) {
                self.saved(At { stage, step }, hit, false);
            }
        }
    }

    fn saved(&self, at: At, hit: &Hit, in_image: bool) {
        self.totals.bytes.fetch_add(hit.record.layer.size, Ordering::Relaxed);
        self.totals.milliseconds.fetch_add(hit.record.milliseconds, Ordering::Relaxed);
        let Some(key) = self.key(at) else { return };
        let known = hit.record.keys.contains(&key.definition);
        let fetched = self.seen_since(at, &hit.record);
        if known && fetched.is_none() {
            self.cache.used(hit, in_image);
            return;
        }
        let mut record = Record { fetched: fetched.unwrap_or_else(|| self.seen(at)), ..hit.record.clone() };
        if !known {
            let contents = hit.record.keys.iter().skip(1).copied();
            record.keys = std::iter::once(key.definition).chain(contents).collect();
            record.step = self.name(at);
            record.components = hints(&key.components, &key.details());
        }
        let layer = match &hit.place {
            LayerPlace::Repository(reference) => LayerSource::Repository(reference.clone()),
            LayerPlace::Layout(layout) => {
                let path = layout.blob_path(&hit.record.layer.digest);
                LayerSource::File { path, mount_from: Vec::new() }
            }
        };
        self.cache.keep(&Made { record, layer, ready: None, in_image });
    }

    /// What servers said of the files of a step.
    fn seen(&self, at: At) -> Vec<Seen> {
        match &self.plan.stages[at.stage].steps[at.step].action {
            Action::Copy(copy) => self.maker.remotes.seen(copy),
            _ => Vec::new(),
        }
    }

    /// The same with what a record tells, if they said something else than that.
    fn seen_since(&self, at: At, record: &Record) -> Option<Vec<Seen>> {
        let mut seen = self.seen(at);
        if seen.iter().all(|s| record.fetched.contains(s)) {
            return None;
        }
        let before = record.fetched.iter().filter(|s| !seen.contains(s)).cloned().collect::<Vec<_>>();
        seen.extend(before);
        seen.truncate(Seen::MOST);
        Some(seen)
    }

    /// Keeps the layer of a step that was carried out. `state` is the content state before it.
    pub(in crate::build) fn keep(&self, at: At, made: &MadeLayer<'_>) {
        let Some(key) = self.key(at).filter(|_| self.cache.keeps()) else { return };
        if !self.is_what_was_read(at, key, &made.content) {
            let name = self.name(at);
            self.events.warn(format!(
                "the result of step {} of '{}' is not kept in the cache: its files changed while they were copied",
                name.number + 1,
                name.stage
            ));
            return;
        }
        let content = key.content(made.state, made.read);
        let record = Record {
            version: Record::current_version(),
            keys: std::iter::once(key.definition).chain(content).collect(),
            layer: made.layer.descriptor.clone(),
            diff_id: made.layer.diff_id,
            content_id: made.content.id,
            created: made.created,
            newest: made.content.newest,
            milliseconds: u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX),
            step: self.name(at),
            fetched: self.seen(at),
            components: hints(&key.components, &key.details()),
        };
        let mount_from = made.uploads.map(|u| u.repositories().to_vec()).unwrap_or_default();
        let ready = made.uploads.and_then(|u| u.watch(&made.layer.descriptor.digest));
        let layer = LayerSource::File { path: made.packed.path.clone(), mount_from };
        self.cache.keep(&Made { record, layer, ready, in_image: made.uploads.is_some() });
    }

    /// Whether a copy from a context packed the same bytes that its key was made of.
    fn is_what_was_read(&self, at: At, key: &StepKey, content: &PackedContent) -> bool {
        match &self.plan.stages[at.stage].steps[at.step].action {
            // An archive's files are not what was read.
            Action::Copy(copy) if copy.add => true,
            Action::Copy(_) => key.files.iter().all(|(_, files)| files.contents == content.files),
            _ => true,
        }
    }
}

/// A layer that a step made.
pub(in crate::build) struct MadeLayer<'a> {
    pub(in crate::build) layer: &'a Layer,
    pub(in crate::build) packed: &'a PackedLayer,
    pub(in crate::build) content: PackedContent,
    /// The content state before the step.
    pub(in crate::build) state: Option<&'a Key>,
    /// What was read of other stages.
    pub(in crate::build) read: &'a [FilesRead],
    /// When the step ended, in seconds since 1970.
    pub(in crate::build) created: i64,
    pub(in crate::build) took: Duration,
    /// Where the layer goes as a part of the image.
    pub(in crate::build) uploads: Option<&'a Uploads>,
}
