//! GitHub's annotations: one workflow command a line.

use yadokari::build::CheckReport;

use super::{ERROR_ID, Severity, items, path_in_project, whole_message};
use crate::env::Env;
use crate::github::commands::{message, property};

pub(super) fn render(report: &CheckReport, env: &Env) -> String {
    let mut text = String::new();
    for item in items(report) {
        let kind = if item.severity == Severity::Error { "error" } else { "warning" };
        let title = if item.id == ERROR_ID { "Dockerfile" } else { item.id };
        let path = path_in_project(item.diagnostic.in_file().0.name(), env);
        let (first, last) = item.lines;
        text += &format!(
            "::{kind} file={},line={first},endLine={last},title={}::{}\n",
            property(&path),
            property(title),
            message(&whole_message(item.diagnostic))
        );
    }
    text
}
