//! `EXPOSE`, `VOLUME`, `USER`, `WORKDIR`, `STOPSIGNAL` and `MAINTAINER`.

use super::statement::Statement;
use crate::dockerfile::report::Report;
use crate::dockerfile::{InstructionKind, words};

pub(super) fn expose(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.check_flags(&[], report);
    let mut ports = words::split(statement.line, statement.rest.clone());
    if ports.is_empty() {
        statement.missing("a port", "EXPOSE 8080/tcp", report);
        return None;
    }
    // BuildKit sorts them as texts, and the history shows it.
    ports.sort_by(|left, right| left.text.cmp(&right.text));
    Some(InstructionKind::Expose(ports))
}

pub(super) fn volume(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.check_flags(&[], report);
    let mut volumes = statement.list(report)?;
    if volumes.is_empty() {
        statement.missing("a path", "VOLUME /data", report);
        return None;
    }
    for volume in &mut volumes {
        volume.text = volume.text.trim().to_owned();
        if volume.text.is_empty() {
            report.error(volume.span, "a volume's path cannot be empty", "write a path, or remove it");
        }
    }
    Some(InstructionKind::Volume(volumes))
}

pub(super) fn user(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.check_flags(&[], report);
    statement.text("a user", "USER app", report).map(InstructionKind::User)
}

pub(super) fn workdir(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.check_flags(&[], report);
    statement.text("a path", "WORKDIR /app", report).map(InstructionKind::Workdir)
}

pub(super) fn stopsignal(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.warn_of_flags(report);
    statement.text("a signal", "STOPSIGNAL SIGTERM", report).map(InstructionKind::Stopsignal)
}

pub(super) fn maintainer(statement: &Statement<'_>, report: &mut Report<'_>) -> Option<InstructionKind> {
    statement.check_flags(&[], report);
    statement.text("a name", "MAINTAINER me@example.com", report).map(InstructionKind::Maintainer)
}
