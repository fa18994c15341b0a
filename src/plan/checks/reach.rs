//! What the target needs.

use crate::dockerfile::{Dockerfile, Instruction, InstructionKind, Mount, Stage};

use super::super::step::FromImage;
use super::{Base, Walk};

/// The stage to build: the last, or the one named or numbered; `None` if it is not there.
pub(super) fn target(dockerfile: &Dockerfile, wanted: Option<&str>) -> Option<usize> {
    let count = dockerfile.stages.len();
    let Some(wanted) = wanted else { return count.checked_sub(1) };
    let same = |s: &Stage| s.name.as_ref().is_some_and(|n| n.text.eq_ignore_ascii_case(wanted));
    let by_number = || wanted.parse::<usize>().ok().filter(|number| *number < count);
    dockerfile.stages.iter().rposition(same).or_else(by_number)
}

impl Walk<'_, '_> {
    /// The stages that a stage needs itself, its triggers included.
    pub(super) fn needs(&self, number: usize) -> Vec<usize> {
        let looked = &self.looked[number];
        let mut found = Vec::new();
        if let Base::Stage(parent) = looked.base {
            found.push(parent);
        }
        let triggers = looked.triggers.iter().map(|(trigger, _)| trigger);
        for instruction in triggers.chain(&looked.stage.instructions) {
            for from in sources(instruction) {
                found.extend(self.stage_from(&from, number));
            }
        }
        found
    }

    /// The image of a registry that a `from` means.
    pub(super) fn image_from(&self, from: &str) -> Option<FromImage> {
        let count = self.dockerfile.stages.len();
        let is_known = self.context_named(from).is_some() || self.stage_named(from, count).is_some();
        if is_known || from == "scratch" || from.parse::<i64>().is_ok() {
            return None;
        }
        from.parse().ok().map(FromImage::Registry)
    }

    /// The stage a `from` means, by number or by name: of several with one name the last in the
    /// file.
    fn stage_from(&self, from: &str, number: usize) -> Option<usize> {
        if self.context_named(from).is_some() {
            return None;
        }
        let count = self.dockerfile.stages.len();
        let by_number = from.parse::<usize>().ok().filter(|n| *n < count);
        by_number.or_else(|| self.stage_named(from, count)).filter(|n| *n != number)
    }
}

/// The `from` names of an instruction: none of them has variables.
pub(super) fn sources(instruction: &Instruction) -> Vec<String> {
    match &instruction.kind {
        InstructionKind::Copy(copy) => copy.from.iter().map(|word| word.text.clone()).collect(),
        InstructionKind::Run(run) => {
            let parse = |text: &str| Mount::parse(text, &|value| Ok(value.to_owned()));
            let mounts = run.mounts.iter().filter_map(|word| parse(&word.text).ok());
            mounts.map(|mount| mount.from).filter(|from| !from.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}
