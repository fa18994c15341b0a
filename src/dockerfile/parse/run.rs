//! `RUN`.

use super::command::command;
use super::statement::Statement;
use crate::dockerfile::flags::{Flags, Takes};
use crate::dockerfile::report::Report;
use crate::dockerfile::{Device, Heredoc, InstructionKind, RunInstruction, Word, mount, suggest};

pub(super) fn run(
    statement: &Statement<'_>,
    heredocs: &[Heredoc],
    report: &mut Report<'_>,
) -> Option<InstructionKind> {
    let known = [
        ("mount", Takes::Values),
        ("network", Takes::Value),
        ("security", Takes::Value),
        ("device", Takes::Values),
    ];
    let flags = statement.check_flags(&known, report);
    let network = one_of(&flags, "network", &["default", "none", "host"], report);
    let security = one_of(&flags, "security", &["sandbox", "insecure"], report);
    let mounts = flags.values("mount");
    for mount in &mounts {
        if let Err(error) = mount::check(&mount.text) {
            report.error(mount.span, error.message, error.help);
        }
    }
    // The shell would get other bytes than the file has.
    let span = statement.line.span(statement.rest.clone());
    let has_replacement = statement.line.slice(statement.rest.clone()).contains(char::REPLACEMENT_CHARACTER);
    if has_replacement && report.source.is_replaced(span) {
        report.error(span, "this command is not UTF-8", "save the file as UTF-8");
    }
    let command = command(statement, statement.rest.clone(), report)?;
    let devices = flags.values("device");
    for device in &devices {
        if let Err((message, help)) = Device::parse(&device.text) {
            report.error(device.span, message, help);
        }
    }
    Some(InstructionKind::Run(RunInstruction {
        command,
        heredocs: heredocs.to_vec(),
        mounts,
        network,
        security,
        devices,
    }))
}

fn one_of(flags: &Flags, name: &str, values: &[&str], report: &mut Report<'_>) -> Option<Word> {
    let word = flags.given(name)?;
    if values.contains(&word.text.as_str()) {
        return Some(word);
    }
    let help = match suggest(&word.text, values.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it is {}", values.join(" or ")),
    };
    report.error(word.span, format!("`--{name}` cannot be `{}`", word.text), help);
    None
}
