//! For programs: BuildKit's form (`docker build --call=check,format=json`), in its order, with
//! more beside it: help, severity, columns, every error, notes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use yadokari::build::CheckReport;
use yadokari::dockerfile::Diagnostic;

use crate::cli::progress::text::clean_lines;

pub(super) fn render(report: &CheckReport) -> String {
    let severity = if report.findings_are_errors { "error" } else { "warning" };
    let warnings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            let diagnostic = &finding.diagnostic;
            let mut value = place(diagnostic);
            value["ruleName"] = finding.rule.id.into();
            value["description"] = finding.rule.summary.into();
            value["detail"] = clean_lines(&diagnostic.message).into();
            value["severity"] = severity.into();
            value["location"] = location(finding.line_range());
            if let Some(url) = finding.rule.url() {
                value["url"] = url.into();
            }
            value
        })
        .collect();
    let errors: Vec<Value> = report.errors.iter().map(error).collect();
    let mut root = json!({
        "warnings": warnings,
        "errors": errors,
        "notes": report.notes,
        "sources": [{
            "filename": report.source.name(),
            "language": "Dockerfile",
            "data": STANDARD.encode(report.source.text()),
        }],
    });
    if let Some(first) = errors.first() {
        root["buildError"] = json!({ "message": first["message"], "location": first["location"] });
    }
    format!("{root:#}\n")
}

fn error(diagnostic: &Diagnostic) -> Value {
    let ((first, _), (last, _)) = diagnostic.positions();
    let mut value = place(diagnostic);
    value["message"] = clean_lines(&diagnostic.message).into();
    value["severity"] = "error".into();
    value["location"] = location((first, last));
    value
}

/// Help and the underlined words; the file where it is not the Dockerfile, as for a trigger.
fn place(diagnostic: &Diagnostic) -> Value {
    let ((line, column), (end_line, end_column)) = diagnostic.positions();
    let mut value = json!({
        "file": clean_lines(diagnostic.source.name()),
        "line": line,
        "column": column,
        "endLine": end_line,
        "endColumn": end_column,
    });
    if let Some(help) = &diagnostic.help {
        value["help"] = clean_lines(help).into();
    }
    value
}

/// One range for each line, as BuildKit's parser gives them.
fn location((first, last): (usize, usize)) -> Value {
    let ranges: Vec<Value> =
        (first..=last).map(|line| json!({ "start": { "line": line }, "end": { "line": line } })).collect();
    json!({ "ranges": ranges })
}
