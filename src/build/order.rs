//! Which stage is carried out when: one after the other, or side by side where the placement allows.

use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::config::StepOutcome;
use crate::plan::StageBase;
use crate::rootfs::Placement;

use super::Error;
use super::executor::{Ahead, Done, Executor, MadeImage, Ran, unreadable};
use super::idle;
use super::memory::Memory;

impl Executor<'_> {
    /// Carries out all stages; the target's layers and what all steps took.
    pub(super) fn run(&self) -> Result<Ran, Error> {
        let parallel = self.placement.is_none_or(Placement::parallel);
        let outcome = if parallel { self.side_by_side() } else { self.one_by_one() };
        outcome?;
        let mut ran = Ran::default();
        for at in 0..self.stages.len() {
            ran.steps.extend(self.wait_for(at)?.steps.iter().cloned());
        }
        for image in &self.plan.images {
            let done = self.wait_for(image.stage)?;
            ran.images.push(MadeImage { layers: done.layers.clone(), times: done.memory.times.clone() });
        }
        Ok(ran)
    }

    /// Stages in their order. While one runs, the tree of the next that needs one is unpacked.
    fn one_by_one(&self) -> Result<(), Error> {
        for at in 0..self.plan.stages.len() {
            if self.skip(at) {
                continue;
            }
            std::thread::scope(|scope| {
                let next = (at + 1..self.plan.stages.len()).find(|next| self.unpacks_image(*next));
                let ahead = next.filter(|next| !self.has_tree_ahead(*next));
                // The stage's own tree first: both would be slower side by side.
                let mut state = self.open(at)?;
                let ahead = ahead.filter(|_| state.has_files());
                let making = ahead.map(|next| scope.spawn(move || self.make_ahead(next)));
                let outcome = self.steps(at, &mut state).and_then(|()| self.close(at, state));
                if let Some(making) = making {
                    making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                }
                outcome
            })?;
        }
        Ok(())
    }

    /// Whether a stage starts by unpacking an image.
    fn unpacks_image(&self, at: usize) -> bool {
        self.needs_disk(at, 0) && matches!(self.plan.stages[at].base, StageBase::Image(_))
    }

    fn has_tree_ahead(&self, at: usize) -> bool {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&at)
    }

    /// Unpacks a stage's base before its turn.
    fn make_ahead(&self, at: usize) {
        let stage = &self.plan.stages[at];
        let StageBase::Image(image) = &stage.base else { return };
        let made = self.images.get(image, &stage.platform).and_then(|resolved| {
            let mut layers = resolved.layers.clone();
            layers.extend(self.cached.map(|c| c.leading(at)).unwrap_or_default());
            let tree = super::extract::unpacked(self, at, &layers)?;
            let mark = idle::mark(&super::extract::listed(self, &layers, false)?).map_err(unreadable)?;
            Ok(Ahead { tree, mark, layers: layers.len() })
        });
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).insert(at, made);
    }

    /// A thread a stage; each waits for the stages it needs. The first failure ends the rest, and
    /// is the one reported.
    fn side_by_side(&self) -> Result<(), Error> {
        let failures = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for at in 0..self.plan.stages.len() {
                let failures = &failures;
                scope.spawn(move || {
                    if let Err(error) = self.stage(at) {
                        // Not while somebody looks at an earlier failure: it would end the shell.
                        let shell = self.terminal.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                        self.cancel.abort();
                        drop(shell);
                        for slot in &self.stages {
                            slot.changed.notify_all();
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (cancelled, real): (Vec<_>, Vec<_>) =
            failures.into_iter().partition(|e| matches!(e.root(), Error::Cancelled { .. }));
        real.into_iter().chain(cancelled).next().map_or(Ok(()), Err)
    }

    /// One stage, from its base to its last step.
    fn stage(&self, at: usize) -> Result<(), Error> {
        if self.skip(at) {
            return Ok(());
        }
        let mut state = self.open(at)?;
        self.steps(at, &mut state)?;
        self.close(at, state)
    }

    /// Leaves out a stage that nobody needs.
    fn skip(&self, at: usize) -> bool {
        let Some(cached) = self.cached.filter(|c| !c.needs(at)) else { return false };
        cached.skipped(at);
        let stage = &self.plan.stages[at];
        let steps = stage.steps.iter().filter(|s| s.action.has_layer()).map(|step| StepOutcome {
            stage: stage.label.clone(),
            instruction: step.text.clone(),
            duration: Duration::ZERO,
            cached: true,
        });
        let done = Done {
            layers: Vec::new(),
            files: RwLock::new(None),
            steps: steps.collect(),
            mark: None,
            memory: Memory::new(self, at),
        };
        self.events
            .info(format!("the stage '{}' is not needed: all that reads it is in the cache", stage.label));
        self.leave(at, done);
        true
    }
}
