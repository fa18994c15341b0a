//! `CMD`, `ENTRYPOINT`, `SHELL`, and commands in general: a JSON array, or text for the shell.

use super::statement::{Arguments, Statement};
use crate::dockerfile::checks::rule;
use crate::dockerfile::report::Report;
use crate::dockerfile::{Command, InstructionKind};
use std::ops::Range;

pub(super) fn cmd(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.check_flags(&[], report);
    Some(InstructionKind::Cmd(command(statement, statement.rest.clone(), report)?))
}

pub(super) fn entrypoint(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.check_flags(&[], report);
    Some(InstructionKind::Entrypoint(command(statement, statement.rest.clone(), report)?))
}

pub(super) fn shell(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.check_flags(&[], report);
    match command(statement, statement.rest.clone(), report)? {
        Command::Exec(words) if !words.is_empty() => Some(InstructionKind::Shell(words)),
        _ => {
            statement.missing("a JSON array", "SHELL [\"/bin/bash\", \"-c\"]", report);
            None
        }
    }
}

/// The command in a range; `None` after an error.
pub(super) fn command(
    statement: &Statement<'_>,
    range: Range<usize>,
    report: &mut Report<'_>,
) -> Option<Command> {
    match statement.arguments(range, report)? {
        Arguments::Json(words) => Some(Command::Exec(words.into_iter().map(|word| word.text).collect())),
        Arguments::Text(range) => {
            let word = statement.line.word(range);
            if looks_like_json(&word.text) {
                let message = "this is not a JSON array, so it is given to the shell as text";
                let help = "JSON needs double quotes, commas between the strings, and doubled backslashes";
                report.warn(&rule::JSON_MISSPELT, word.span, message, help);
            }
            Some(Command::Shell(word))
        }
    }
}

/// Whether a text was probably meant to be an array: `['a', 'b']`, but not `[ -f x ]`.
fn looks_like_json(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('[') else { return false };
    inside.trim_start().starts_with(['"', '\'']) && text.ends_with(']') && !inside.starts_with('[')
}
