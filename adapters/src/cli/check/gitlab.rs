//! GitLab's code quality report: a subset of Code Climate's issues.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use yadokari::build::CheckReport;
use yadokari::image::Digest;

use super::{Severity, items, path_in_project, whole_message};
use crate::env::Env;

pub(super) fn render(report: &CheckReport, env: &Env) -> String {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut issues = Vec::new();
    for item in items(report) {
        let path = path_in_project(item.diagnostic.in_file().0.name(), env);
        let text = item.diagnostic.source.slice(item.diagnostic.span);
        // Without the line's number, so that an issue stays the same when lines move; equal ones
        // are numbered.
        let base = format!("{}\n{path}\n{}\n{text}", item.id, item.diagnostic.message);
        let number = seen.entry(base.clone()).and_modify(|count| *count += 1).or_insert(0);
        let fingerprint = Digest::of(format!("{base}\n{number}").as_bytes()).hex();
        issues.push(json!({
            "type": "issue",
            "check_name": item.id,
            "description": whole_message(item.diagnostic),
            "categories": ["Bug Risk"],
            "severity": if item.severity == Severity::Error { "critical" } else { "minor" },
            "fingerprint": fingerprint,
            "location": { "path": path, "lines": { "begin": item.lines.0, "end": item.lines.1 } },
        }));
    }
    format!("{:#}\n", Value::Array(issues))
}
