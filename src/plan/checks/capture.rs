//! What the stages that a target needs take, for the outline.

use crate::dockerfile::checks::Linter;
use crate::dockerfile::{Diagnostic, Mount, Span};

use super::super::globals::Globals;
use super::super::names::Names;
use super::super::outline::{OutlineArg, described};
use super::{Limits, Survey, Walk};

/// What one stage takes.
pub(in super::super) struct Capture {
    /// The stage's number.
    pub(in super::super) number: usize,
    /// The arguments it declares or its `FROM` names, and those their defaults name.
    pub(in super::super) args: Vec<OutlineArg>,
    /// Its mounts, expanded, with the lines of their commands.
    pub(in super::super) mounts: Vec<(Mount, Span)>,
}

/// The target first, then what it is built on and copies from.
///
/// # Errors
/// The target is not there, or something cannot be expanded.
pub(in super::super) fn capture(
    survey: &Survey<'_>,
    linter: &mut Linter,
) -> Result<Vec<Capture>, Box<Diagnostic>> {
    let inputs = survey.inputs;
    let globals = Globals::read(inputs.dockerfile, inputs.arguments, super::target_name(inputs), true)?;
    let target = Names::new(inputs)?.target(inputs.target)?;
    let mut walk = Walk::new(survey, &globals, linter);
    // An outline needs no image.
    walk.froms()?;
    walk.bases(&mut |_, _| None, &mut Limits::default());
    walk.stages()?;
    let mut captured = Vec::new();
    let mut waiting = vec![target];
    let mut done = vec![false; walk.looked.len()];
    while let Some(number) = waiting.pop() {
        if std::mem::replace(&mut done[number], true) {
            continue;
        }
        captured.push(walk.captured(number));
        // The base comes next.
        let mut needs = walk.needs(number);
        needs.reverse();
        waiting.extend(needs);
    }
    Ok(captured)
}

impl Walk<'_, '_> {
    fn captured(&self, number: usize) -> Capture {
        let looked = &self.looked[number];
        let mut args = Vec::new();
        let triggers = looked.triggers.iter().map(|(trigger, _)| trigger);
        for instruction in triggers.chain(&looked.stage.instructions) {
            for arg in described(instruction, |name| looked.state.scope.get(name)) {
                let is_given = self.survey.inputs.arguments.given(&arg.name).is_some();
                match arg.default.is_some() || is_given || self.globals.get(&arg.name).is_none() {
                    true => args.insert(0, arg),
                    // It only takes over what is declared before the first FROM.
                    false => args.extend(self.global(&arg.name)),
                }
            }
        }
        let mut uses = looked.uses.clone();
        // From the last: an ARG uses those above it only.
        for arg in self.globals.declared.iter().rev() {
            if uses.contains(&arg.name) {
                uses.extend(arg.uses.iter().cloned());
            }
        }
        args.extend(uses.iter().filter_map(|name| self.global(name)));
        Capture { number, args, mounts: looked.mounts.clone() }
    }

    /// An argument declared before the first `FROM`; predefined ones are not listed.
    fn global(&self, name: &str) -> Option<OutlineArg> {
        let arg = self.globals.declared.iter().rfind(|arg| arg.name == name)?;
        let instruction = &self.dockerfile.global_args[arg.instruction];
        let found = described(instruction, |_| arg.value.clone());
        found.into_iter().rfind(|found| found.name == name)
    }
}
