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
        let own = |name: &str| looked.args.iter().rfind(|d| d.is_own && d.arg.name == name);
        let declared = looked.args.iter().map(|d| d.arg.name.clone());
        let mut names: Vec<String> = declared.chain(looked.uses.iter().cloned()).collect();
        let mut args = Vec::new();
        let mut at = 0;
        // The list grows by what the defaults before the first FROM name.
        while let Some(name) = names.get(at).cloned() {
            at += 1;
            if names[..at - 1].contains(&name) {
                continue;
            }
            match own(&name) {
                Some(declared) => args.push(declared.arg.clone()),
                None => {
                    args.extend(self.global(&name));
                    let last = self.globals.declared.iter().rfind(|arg| arg.name == name);
                    names.extend(last.iter().flat_map(|arg| arg.uses.iter().cloned()));
                }
            }
        }
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
