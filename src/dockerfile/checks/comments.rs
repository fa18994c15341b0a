//! Comments above stages and arguments, which describe them if they begin with their name.

use super::{Linter, about, about_stage, rule};
use crate::dockerfile::{ArgDeclaration, Instruction, Source, Stage, Word};

pub(super) fn check_stage(source: &Source, stage: &Stage, linter: &mut Linter) {
    let Some(name) = &stage.name else { return };
    if let Some(help) = misplaced(&stage.comments, &[&name.text]) {
        let message = format!("the comment above does not begin with the stage's name `{}`", name.text);
        let finding = about_stage(&rule::INVALID_DEFINITION_DESCRIPTION, source, stage, message);
        linter.report_below(&stage.comments, finding.with_help(help));
    }
}

pub(super) fn check_arg(instruction: &Instruction, declared: &[ArgDeclaration], linter: &mut Linter) {
    let names: Vec<&str> = declared.iter().map(|d| d.name.text.as_str()).collect();
    if let Some(help) = misplaced(&instruction.comments, &names) {
        let message = "the comment above does not begin with the name of an argument it describes";
        let finding = about(&rule::INVALID_DEFINITION_DESCRIPTION, instruction, message);
        linter.report_below(&instruction.comments, finding.with_help(help));
    }
}

/// The way out, if the last comment describes none of the names.
fn misplaced(comments: &[Word], names: &[&str]) -> Option<String> {
    let last = comments.last()?;
    let first_word = last.text.split(' ').next().unwrap_or_default();
    if names.contains(&first_word) {
        return None;
    }
    let name = match names {
        [name] => name,
        _ => "<name>",
    };
    Some(format!("write `# {name} …` if it describes it, or put a line with `#` alone below it"))
}

/// What the comments above a stage or argument say of it: the first that begins with its name.
pub fn description(comments: &[Word], name: &str) -> Option<String> {
    comments.iter().find_map(|comment| {
        let rest = comment.text.strip_prefix(name)?.strip_prefix(' ')?;
        Some(rest.to_owned())
    })
}
