//! What the cache has to know of a stage as its steps go by.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::cache::{Hit, Key};
use crate::image::ContentId;
use crate::layer::PackedLayer;
use crate::plan::CopyFrom;

use super::blobs::Layer;
use super::cached::{At, MadeLayer, content_after};
use super::executor::Executor;
use super::keys::FilesRead;
use super::sources::with_tree;

/// The states of a stage between its steps.
#[derive(Clone)]
pub(super) struct Memory {
    /// What the files are, by their contents; unknown after a step without a layer.
    state: Option<Key>,
    /// Whether the layers hold all that the steps did.
    complete: bool,
    /// When each step was carried out, in seconds since 1970, by position in the history.
    pub(super) times: BTreeMap<usize, i64>,
    current: Option<Current>,
}

/// The step that is carried out now.
#[derive(Clone)]
struct Current {
    at: At,
    started: Instant,
    /// What was read of other stages.
    read: Vec<FilesRead>,
}

impl Memory {
    /// Of a stage that starts from nothing or from an image.
    pub(super) fn new(executor: &Executor<'_>, stage: usize) -> Self {
        let state = executor.cached.and_then(|c| c.start(stage));
        Memory { state, complete: true, times: BTreeMap::new(), current: None }
    }

    /// The result of a step, if it is known and of use.
    pub(super) fn look_up(&mut self, executor: &Executor<'_>, at: At) -> Option<Hit> {
        self.current = Some(Current { at, started: Instant::now(), read: Vec::new() });
        let cached = executor.cached.filter(|_| self.complete)?;
        if let Some(hit) = cached.hit(at) {
            return Some(hit.clone());
        }
        let key = cached.key(at)?;
        let mut read = Vec::new();
        for input in &key.inputs {
            let CopyFrom::Stage(_) = input.copy.from else { continue };
            // Where it cannot be read, carrying the step out says why.
            let files = with_tree(executor, at.stage, &input.copy.from, |tree| {
                cached.maker().read_once(&input.copy, tree)
            });
            read.push(files.ok()?);
        }
        let content = key.content(self.state.as_ref(), &read);
        if let Some(current) = &mut self.current {
            current.read = read;
        }
        cached.find_by_content(at, content?)
    }

    /// Goes on after a step whose layer is known.
    pub(super) fn after(&mut self, executor: &Executor<'_>, at: At, time: i64, content: Option<&ContentId>) {
        self.state = content_after(self.state.as_ref(), content);
        let history = executor.plan.stages[at.stage].steps[at.step].history;
        self.times.insert(history, time);
    }

    /// Goes on after a step that left no layer.
    pub(super) fn skip_layer(&mut self) {
        self.state = None;
        self.complete = false;
    }

    /// Keeps the layer that the current step made.
    pub(super) fn keep(
        &mut self,
        executor: &Executor<'_>,
        stage: usize,
        layer: &Layer,
        packed: &PackedLayer,
    ) {
        let (Some(cached), Some(content)) = (executor.cached, packed.content) else { return };
        let Some(current) = self.current.take() else { return };
        let created = jiff::Timestamp::now().as_second();
        let uploads = executor.in_result(stage).then_some(executor.uploads);
        cached.keep(
            current.at,
            &MadeLayer {
                layer,
                packed,
                content,
                state: self.state.as_ref(),
                read: &current.read,
                created,
                took: current.started.elapsed(),
                uploads,
            },
        );
        self.after(executor, current.at, created, Some(&content.id));
    }
}
