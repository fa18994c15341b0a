//! What of a stage anybody needs: its layers, its files on disk.

use crate::plan::{Action, CopyFrom, PlannedStage, StageBase, Step};

use super::executor::Executor;

impl Executor<'_> {
    /// Whether a stage's layers are wanted: they are in an image, or kept.
    pub(super) fn wants_layers(&self, at: usize) -> bool {
        if self.cached.is_some_and(|c| c.wants_all_layers()) {
            return true;
        }
        if self.in_images[at] {
            return true;
        }
        // In place, a stage that others start from may have to be unpacked again.
        let serial = self.placement.is_some_and(|p| !p.parallel());
        serial && self.plan.stages.iter().any(|s| matches!(s.base, StageBase::Stage(p) if p == at))
    }

    /// Whether a layer of this stage becomes part of the result.
    pub(super) fn in_result(&self, at: usize) -> bool {
        self.in_images[at]
    }

    /// Whether a stage's files must be on disk for its steps from `from` on: a command runs in it, or
    /// in a stage built on it.
    pub(super) fn needs_disk(&self, at: usize, from: usize) -> bool {
        if self.materializes(at) {
            return true;
        }
        let stage = &self.plan.stages[at];
        let Some(cached) = self.cached else { return stage.on_disk };
        // Where layers are not made, what is known of later steps is of no use.
        let all_run = !self.wants_layers(at);
        let command = |s: &Step| matches!(s.action, Action::Run(_));
        cached.needs_disk(at, from) || (all_run && stage.steps[from..].iter().any(command))
    }

    /// How many later stages need this one's files.
    pub(super) fn users(&self, at: usize) -> usize {
        let starts = |s: &&PlannedStage| matches!(s.base, StageBase::Stage(p) if p == at);
        let built_on = self.plan.stages.iter().filter(starts).count();
        let sources = self.plan.stages.iter().flat_map(|s| &s.steps).flat_map(|step| step.action.sources());
        built_on + sources.filter(|from| matches!(from, CopyFrom::Stage(f) if *f == at)).count()
    }
}
