//! Build arguments that change nothing.

use crate::dockerfile::checks::{Finding, rule};
use crate::dockerfile::{InstructionKind, Span};

use super::super::arguments::is_known;
use super::super::watch::near;
use super::{Looked, Walk};

/// Reports every `--build-arg` that no stage declares and no `FROM` uses.
pub(super) fn check(walk: &mut Walk<'_, '_>) {
    let mut given: Vec<&str> = Vec::new();
    for name in walk.survey.inputs.arguments.names().filter(|name| !is_known(name)) {
        if !given.contains(&name) {
            given.push(name);
        }
    }
    for name in given {
        if walk.looked.iter().any(|l| (l.reached || walk.survey.all_stages) && declares(l, name)) {
            continue;
        }
        let global = walk.globals.declared.iter().rfind(|arg| arg.name == name);
        if global.is_some() && is_used_globally(walk, name) {
            continue;
        }
        let elsewhere = walk.looked.iter().find(|l| declares(l, name));
        let message = format!("the build argument `{name}` changes nothing");
        let (span, help) = match (global, elsewhere) {
            (Some(arg), None) => {
                let help = format!("write `ARG {name}` in the stage that uses it: this one is for FROM only");
                (arg.span, help)
            }
            (_, Some(stage)) => {
                let help = "only this stage declares it, and the target does not need it";
                (stage.stage.base.span, help.to_owned())
            }
            (None, None) => {
                let declared = walk.looked.iter().flat_map(declared_names).chain(walk.globals.names());
                let help = match near(name, declared) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("declare it with `ARG {name}` in the stage that uses it"),
                };
                (Span::default(), help)
            }
        };
        let finding = Finding::new(&rule::UNUSED_BUILD_ARG, &walk.dockerfile.source, span, span, message);
        walk.linter.report(finding.with_help(help));
    }
}

fn declares(looked: &Looked<'_>, name: &str) -> bool {
    declared_names(looked).any(|declared| declared == name)
}

fn declared_names<'l>(looked: &'l Looked<'_>) -> impl Iterator<Item = &'l str> {
    let triggers = looked.triggers.iter().map(|(trigger, _)| trigger);
    triggers.chain(&looked.stage.instructions).flat_map(|instruction| match &instruction.kind {
        InstructionKind::Arg(all) => all.iter().map(|arg| arg.name.text.as_str()).collect(),
        _ => Vec::new(),
    })
}

/// Whether a `FROM`, or an `ARG` that one uses, names the variable.
fn is_used_globally(walk: &Walk<'_, '_>, name: &str) -> bool {
    let names = |word| walk.globals.expand(&walk.expander, word).1.matched;
    let words = walk.dockerfile.stages.iter().flat_map(|s| std::iter::once(&s.base).chain(&s.platform));
    let mut used: Vec<String> = words.flat_map(names).collect();
    for stage in &walk.looked {
        used.extend(declared_names(stage).map(str::to_owned));
    }
    // From the last: an ARG uses those above it only.
    for arg in walk.globals.declared.iter().rev() {
        if used.contains(&arg.name) {
            used.extend(arg.uses.iter().cloned());
        }
    }
    used.iter().any(|used| used == name)
}
