//! Which steps will be carried out and which stages anybody needs, from what is known by definition.

use crate::cache::{Hit, Key};
use crate::plan::{Action, CopyFrom, PlannedStage, StageBase};

use super::{At, Cached};

impl Cached<'_> {
    /// Decides what is of use and who is needed, from what is known by definition.
    pub(super) fn decide(&mut self) {
        self.decide_cutoffs();
        self.decide_needed();
    }

    fn decide_cutoffs(&mut self) {
        self.cutoff = vec![None; self.plan.stages.len()];
        if self.all_layers {
            return;
        }
        let in_images = self.plan.in_images();
        for (stage, planned) in self.plan.stages.iter().enumerate() {
            if in_images[stage] {
                continue;
            }
            let inherited = match planned.base {
                StageBase::Stage(parent) => self.cutoff[parent].is_some(),
                _ => false,
            };
            let missed = |step: &usize| self.runs(At { stage, step: *step });
            let first = if inherited { Some(0) } else { (0..planned.steps.len()).find(missed) };
            self.cutoff[stage] = first;
        }
    }

    /// Before anything is executed: forgets hits whose layers are not there any more.
    pub(super) fn drop_lost(&mut self) {
        let all: Vec<(Key, Hit)> = self.hits.iter().map(|(k, h)| (*k, h.clone())).collect();
        let asked: Vec<&Hit> = all.iter().map(|(_, hit)| hit).collect();
        for ((key, _), there) in all.iter().zip(self.cache.present(&asked)) {
            if !there {
                self.hits.remove(key);
            }
        }
    }

    /// Whether anybody needs a stage.
    pub(in crate::build) fn needs(&self, stage: usize) -> bool {
        self.needed[stage]
    }

    /// The stages that the images cannot be made without, from what is known by definition.
    fn decide_needed(&mut self) {
        let mut needed = vec![false; self.plan.stages.len()];
        for image in &self.plan.images {
            needed[image.stage] = true;
        }
        for stage in (0..self.plan.stages.len()).rev() {
            if !needed[stage] {
                continue;
            }
            if let StageBase::Stage(parent) = self.plan.stages[stage].base {
                needed[parent] = true;
            }
            for (step, planned) in self.plan.stages[stage].steps.iter().enumerate() {
                if self.hit(At { stage, step }).is_some() {
                    continue;
                }
                for from in planned.action.sources() {
                    if let CopyFrom::Stage(at) = from {
                        needed[*at] = true;
                    }
                }
            }
        }
        self.needed = needed;
    }

    /// Whether a step will be carried out, as far as definitions tell.
    fn runs(&self, at: At) -> bool {
        self.plan.stages[at.stage].steps[at.step].action.has_layer() && self.hit(at).is_none()
    }

    /// Whether somebody needs a step that will be carried out, as far as definitions tell.
    pub(in crate::build) fn carries_out(&self, at: At) -> bool {
        self.needed[at.stage] && self.runs(at)
    }

    pub(super) fn anything_runs(&self) -> bool {
        let steps = |stage: usize| 0..self.plan.stages[stage].steps.len();
        (0..self.plan.stages.len())
            .filter(|stage| self.needed[*stage])
            .any(|stage| steps(stage).any(|step| self.runs(At { stage, step })))
    }

    /// Whether a command may have to run in a stage from a step on, or in a stage built on it.
    pub(in crate::build) fn needs_disk(&self, stage: usize, from: usize) -> bool {
        if !self.needed[stage] {
            return false;
        }
        let planned = &self.plan.stages[stage];
        let command = |step: usize| {
            matches!(planned.steps[step].action, Action::Run(_)) && self.runs(At { stage, step })
        };
        if (from..planned.steps.len()).any(command) {
            return true;
        }
        let built_on = |s: &PlannedStage| matches!(s.base, StageBase::Stage(p) if p == stage);
        let children = self.plan.stages.iter().enumerate().filter(|(_, s)| built_on(s));
        children.map(|(at, _)| at).any(|at| self.needs_disk(at, 0))
    }

    /// Whether a command may have to run anywhere.
    pub(in crate::build) fn any_needs_disk(&self) -> bool {
        (0..self.plan.stages.len()).any(|stage| self.needs_disk(stage, 0))
    }
}
