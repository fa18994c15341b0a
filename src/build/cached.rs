//! What of a plan the cache answers for: which steps need not be carried out, which stages nobody
//! needs, and what is kept of the others.

mod decide;
mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cache::{Cache, Hit, Key, LayerPlace, Record, StepName, explain, hints, state_after};
use crate::config::{BuildConfig, CacheOutcome};
use crate::event::Events;
use crate::image::Digest;
use crate::plan::{Action, Plan, StageBase};

use super::attempt::Job;
use super::blobs::{BaseBlob, Blob, Layer};
use super::images::ImageSource;
use super::keys::{KeyMaker, StageKeys, StepKey, keyword};
pub(super) use keep::MadeLayer;

/// The cache as the steps of one plan see it.
pub(super) struct Cached<'a> {
    cache: &'a Cache,
    config: &'a BuildConfig,
    events: &'a Events,
    plan: &'a Plan,
    keys: &'a [StageKeys],
    maker: &'a KeyMaker<'a>,
    /// What is known by the definition of a step.
    hits: BTreeMap<Key, Hit>,
    /// Which stages somebody needs.
    needed: Vec<bool>,
    /// Whether layers are made of all stages, to be kept; decided once, whatever becomes of the cache.
    all_layers: bool,
    /// For each stage the step after which nothing known is of use: the step is carried out, and no
    /// layer is made of it that a known one could lie on.
    cutoff: Vec<Option<usize>>,
    /// Set when a known layer turns out to be lost or wrong.
    suspect: Arc<AtomicBool>,
    totals: Totals,
    /// Stages whose first miss was explained.
    explained: Mutex<BTreeSet<usize>>,
}

#[derive(Default)]
struct Totals {
    hits: AtomicUsize,
    misses: AtomicUsize,
    bytes: AtomicU64,
    milliseconds: AtomicU64,
}

/// A step's place in the plan.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// Position of the stage.
    pub(super) stage: usize,
    /// Position of the step in it.
    pub(super) step: usize,
}

impl<'a> Cached<'a> {
    /// Looks all steps up at once.
    pub(super) fn plan(
        cache: &'a Cache,
        job: &Job<'a>,
        keys: &'a [StageKeys],
        maker: &'a KeyMaker<'a>,
    ) -> Self {
        let plan = job.plan;
        let mut cached = Cached {
            cache,
            config: job.config,
            events: job.events,
            plan,
            keys,
            maker,
            hits: BTreeMap::new(),
            needed: vec![true; plan.stages.len()],
            all_layers: cache.keeps_all(),
            cutoff: vec![None; plan.stages.len()],
            suspect: Arc::default(),
            totals: Totals::default(),
            explained: Mutex::default(),
        };
        let mut wanted = Vec::new();
        for (stage, keys) in keys.iter().enumerate() {
            for (step, key) in keys.steps.iter().enumerate() {
                if let Some(key) = key
                    && cached.takes_part(At { stage, step })
                    && cached.looks_up(stage)
                {
                    wanted.push(key.definition);
                }
            }
        }
        cached.hits = cache.find(&wanted);
        cached.decide();
        if cached.anything_runs() {
            cached.drop_lost();
            cached.decide();
        }
        cached
    }

    /// Whether the settings let a step be looked up and kept.
    fn takes_part(&self, at: At) -> bool {
        match &self.plan.stages[at.stage].steps[at.step].action {
            Action::Metadata => false,
            Action::Run(_) | Action::Workdir(_) => self.config.cache.run_layers,
            Action::Copy(_) => self.config.cache.copy_layers,
        }
    }

    /// Whether the steps of a stage are looked up.
    fn looks_up(&self, stage: usize) -> bool {
        let stage = &self.plan.stages[stage];
        let named = |n: &String| n.eq_ignore_ascii_case(&stage.name) || *n == stage.number.to_string();
        self.cache.reads() && !self.config.cache.no_cache_stages.iter().any(named)
    }

    /// The result of a step, known by its definition.
    pub(super) fn hit(&self, at: At) -> Option<&Hit> {
        let key = self.key(at)?;
        let hit = self.hits.get(&key.definition)?;
        let inherited =
            matches!(self.plan.stages[at.stage].base, StageBase::Stage(p) if self.cutoff[p].is_some());
        match self.cutoff[at.stage] {
            Some(_) if inherited => None,
            Some(first) if at.step > first => None,
            _ => Some(hit),
        }
    }

    /// The keys of a step that takes part.
    pub(super) fn key(&self, at: At) -> Option<&StepKey> {
        self.keys[at.stage].steps[at.step].as_ref().filter(|_| self.takes_part(at))
    }

    /// Notes a step that is carried out, and says why if that is of interest.
    pub(super) fn missed(&self, at: At) {
        self.totals.misses.fetch_add(1, Ordering::Relaxed);
        let Some(key) = self.key(at) else { return };
        let mut explained = self.explained.lock().unwrap_or_else(PoisonError::into_inner);
        let first = explained.insert(at.stage);
        if !(first || self.config.cache.explain) || !self.looks_up(at.stage) {
            return;
        }
        let name = self.name(at);
        let components = hints(&key.components, &key.details());
        let label = format!("[{} {}]", name.stage, name.number + 1);
        match explain::nearest(&name, &components, &self.cache.known()) {
            Some(difference) => {
                self.events.info(format!(
                    "{label} {} is not in the cache: {}",
                    name.instruction,
                    difference.reason()
                ));
                if self.config.cache.explain {
                    for line in difference.lines() {
                        self.events.info(format!("{label}   {line}"));
                    }
                }
            }
            None if self.config.cache.explain => {
                self.events
                    .info(format!("{label} {} is not in the cache: nothing like it is", name.instruction));
            }
            None => {}
        }
    }

    fn name(&self, at: At) -> StepName {
        let stage = &self.plan.stages[at.stage];
        StepName {
            stage: stage.name.clone(),
            number: at.step + 1,
            instruction: keyword(&stage.steps[at.step].action).to_owned(),
        }
    }

    /// What keys are made with.
    pub(super) fn maker(&self) -> &KeyMaker<'a> {
        self.maker
    }

    /// The content state a stage starts with, where that is no earlier stage's.
    pub(super) fn start(&self, stage: usize) -> Option<Key> {
        self.keys[stage].content
    }

    /// The result of a step by the contents of what it reads.
    pub(super) fn find_by_content(&self, at: At, key: Key) -> Option<Hit> {
        if !self.looks_up(at.stage) {
            return None;
        }
        let hit = self.cache.find(&[key]).remove(&key)?;
        self.cache.present(&[&hit]).first().is_some_and(|there| *there).then_some(hit)
    }

    /// The layers of the leading steps that are known: what a stage's tree starts with, beside its
    /// base's.
    pub(super) fn leading(&self, stage: usize) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (step, planned) in self.plan.stages[stage].steps.iter().enumerate() {
            if !planned.action.has_layer() {
                continue;
            }
            match self.hit(At { stage, step }) {
                Some(hit) => layers.push(self.layer(hit)),
                None => break,
            }
        }
        layers
    }

    /// A known layer.
    pub(super) fn layer(&self, hit: &Hit) -> Layer {
        let source = match &hit.place {
            LayerPlace::Repository(reference) => ImageSource::Registry(reference.clone()),
            LayerPlace::Layout(layout) => ImageSource::Layout(layout.clone()),
        };
        let blob = BaseBlob::cached(source, hit.record.layer.clone(), self.suspect.clone());
        Layer {
            descriptor: hit.record.layer.clone(),
            diff_id: hit.record.diff_id,
            blob: Blob::Base(Arc::new(blob)),
        }
    }

    /// Whether layers are made of stages that are not in the image, to be kept.
    pub(super) fn wants_all_layers(&self) -> bool {
        self.all_layers
    }

    /// Whether content ids are of any use.
    pub(super) fn wants_content(&self) -> bool {
        self.cache.keeps() || self.cache.reads()
    }

    /// Begins to fetch what the steps name that will be carried out, as far as definitions tell.
    pub(super) fn fetch_what_runs(&self) {
        for (stage, planned) in self.plan.stages.iter().enumerate().filter(|(at, _)| self.needed[*at]) {
            for (step, planned) in planned.steps.iter().enumerate() {
                if let Action::Copy(copy) = &planned.action
                    && self.hit(At { stage, step }).is_none()
                {
                    self.maker.remotes.begin_all(copy);
                }
            }
        }
    }

    /// Whether a known layer turned out to be lost or wrong.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::SeqCst)
    }

    /// The records that the image itself shall hold, of the layers that it has.
    pub(super) fn inline(&self, layers: &[Digest], fixed: bool) -> Option<Vec<Record>> {
        self.cache.inline(layers, fixed)
    }

    /// Waits until everything is kept.
    pub(super) fn finish(&self, cancelled: &dyn Fn() -> bool) {
        self.cache.finish(cancelled);
    }

    /// What the cache did.
    pub(super) fn outcome(&self) -> CacheOutcome {
        let totals = &self.totals;
        CacheOutcome {
            hits: totals.hits.load(Ordering::Relaxed),
            misses: totals.misses.load(Ordering::Relaxed),
            bytes_saved: totals.bytes.load(Ordering::Relaxed),
            time_saved: Duration::from_millis(totals.milliseconds.load(Ordering::Relaxed)),
        }
    }
}

/// The content state after a layer.
pub(super) fn content_after(state: Option<&Key>, content: Option<&crate::image::ContentId>) -> Option<Key> {
    Some(state_after(state?, content?.bytes()))
}
