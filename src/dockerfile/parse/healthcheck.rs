//! `HEALTHCHECK`.

use super::command::command;
use super::statement::{Arguments, Statement};
use crate::dockerfile::duration::{self, MILLISECOND};
use crate::dockerfile::flags::{Flags, Takes};
use crate::dockerfile::report::Report;
use crate::dockerfile::{Command, HealthcheckInstruction, InstructionKind};
use std::ops::Range;

const BLANKS: [char; 6] = ['\t', '\n', '\x0b', '\x0c', '\r', ' '];

pub(super) fn healthcheck(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    let (range, arguments) = first_argument(statement);
    let kind = statement.line.slice(range.clone());
    // An array is looked at whatever the check is.
    let words = match statement.arguments(arguments.clone(), report)? {
        Arguments::Json(words) => words.len(),
        Arguments::Text(text) => text.len(),
    };
    let instruction = match kind.to_uppercase().as_str() {
        "" => {
            statement.missing("`CMD` and a command, or `NONE`", "HEALTHCHECK CMD curl -f localhost", report);
            return None;
        }
        "NONE" => {
            statement.warn_of_flags(report);
            if words > 0 {
                let span = statement.line.span(arguments);
                report.error(span, "nothing can follow HEALTHCHECK NONE", "remove it");
                return None;
            }
            HealthcheckInstruction::None
        }
        "CMD" => check(statement, arguments, report)?,
        _ => {
            let message = format!("HEALTHCHECK knows no `{kind}`");
            report.error(statement.line.span(range), message, "write `CMD` and a command, or `NONE`");
            return None;
        }
    };
    Some(InstructionKind::Healthcheck(instruction))
}

/// The first word after the flags, and what follows it.
pub(super) fn first_argument(statement: &Statement<'_>) -> (Range<usize>, Range<usize>) {
    let Range { start, end } = statement.rest;
    let text = statement.line.slice(start..end);
    // Only these blanks end the word, as with Go, which looks at bytes here.
    let length = text.find(BLANKS).unwrap_or(text.len());
    let after = text[length..].trim_start_matches(BLANKS);
    (start..start + length, end - after.len()..end)
}

/// `CMD` and what it runs.
fn check(
    statement: &Statement<'_>,
    arguments: Range<usize>,
    report: &mut Report<'_>,
) -> Option<HealthcheckInstruction> {
    let known = [
        ("interval", Takes::Value),
        ("timeout", Takes::Value),
        ("start-period", Takes::Value),
        ("start-interval", Takes::Value),
        ("retries", Takes::Value),
    ];
    let flags = statement.check_flags(&known, report);
    let interval = duration_of(&flags, "interval", report);
    let timeout = duration_of(&flags, "timeout", report);
    let start_period = duration_of(&flags, "start-period", report);
    let start_interval = duration_of(&flags, "start-interval", report);
    let retries = retries(&flags, report);
    let command = command(statement, arguments, report)?;
    let is_empty = match &command {
        Command::Exec(words) => words.is_empty(),
        Command::Shell(word) => word.text.is_empty(),
    };
    if is_empty {
        statement.missing("a command after `CMD`", "HEALTHCHECK CMD curl -f localhost", report);
        return None;
    }
    Some(HealthcheckInstruction::Cmd { command, interval, timeout, start_period, start_interval, retries })
}

/// Nanoseconds; 0 if not given or wrong, and then reported.
fn duration_of(flags: &Flags, name: &str, report: &mut Report<'_>) -> i64 {
    let Some(word) = flags.value(name) else { return 0 };
    let Some(nanoseconds) = duration::parse(&word.text) else {
        let message = format!("`{}` is no duration", word.text);
        report.error(word.span, message, "write it as 30s, 1m30s or 500ms");
        return 0;
    };
    if nanoseconds != 0 && nanoseconds < MILLISECOND {
        let message = format!("`--{name}` must be at least 1ms, or 0 for the default");
        report.error(word.span, message, "write it as 30s, 1m30s or 500ms");
        return 0;
    }
    nanoseconds
}

fn retries(flags: &Flags, report: &mut Report<'_>) -> i64 {
    let Some(word) = flags.value("retries") else { return 0 };
    match word.text.parse::<i32>() {
        Ok(retries) if retries >= 0 => i64::from(retries),
        _ => {
            let message = format!("`--retries` cannot be `{}`", word.text);
            report.error(word.span, message, "write a whole number, 0 for the default");
            0
        }
    }
}
