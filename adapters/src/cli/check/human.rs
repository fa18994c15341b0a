//! For people: the lines underlined, and how many there are.

use yadokari::build::CheckReport;

use super::{Severity, items};
use crate::cli::diagnostic::{self, Kind};

pub(super) fn render(report: &CheckReport, color: bool) -> String {
    let mut text = String::new();
    let items = items(report);
    for item in &items {
        let kind = if item.severity == Severity::Error { Kind::Error } else { Kind::Warning };
        text += &diagnostic::render(item.diagnostic, kind, color);
        text += "\n\n";
    }
    let count = |severity| items.iter().filter(|item| item.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let file = crate::cli::progress::text::clean_lines(report.source.name());
    text += &match (errors, warnings) {
        (0, 0) => format!("{file}: nothing found\n"),
        _ => format!("{file}: {}, {}\n", counted(errors, "error"), counted(warnings, "warning")),
    };
    text
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
