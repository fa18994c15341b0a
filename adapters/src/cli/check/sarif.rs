//! SARIF 2.1.0 (OASIS), as code scanning of GitHub and others reads it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use yadokari::build::CheckReport;
use yadokari::dockerfile::checks::rule;

use super::{ERROR_ID, Item, Severity, items, path_in_project, whole_message};
use crate::env::Env;

pub(super) fn render(report: &CheckReport, env: &Env) -> String {
    let items = items(report);
    let mut rules: Vec<Value> = vec![json!({
        "id": ERROR_ID,
        "shortDescription": { "text": "what is wrong with the Dockerfile" },
        "defaultConfiguration": { "level": "error" },
    })];
    for rule in rule::ALL {
        let mut value = json!({
            "id": rule.id,
            "shortDescription": { "text": rule.summary },
            "defaultConfiguration": { "level": "warning", "enabled": !rule.experimental },
        });
        if let Some(url) = rule.url() {
            value["helpUri"] = url.into();
        }
        rules.push(value);
    }
    let results: Vec<Value> = items.iter().map(|item| result(item, &rules, env)).collect();
    let root = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "yadokari",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://github.com/yadokari-build/yadokari",
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{root:#}\n")
}

fn result(item: &Item<'_>, rules: &[Value], env: &Env) -> Value {
    let ((line, column), (end_line, end_column)) = item.diagnostic.positions();
    let (first, last) = item.lines;
    let mut region = json!({ "startLine": first, "endLine": last });
    // Columns belong to the lines only where all that is underlined stands there.
    if (line, end_line) == (first, last) {
        region["startColumn"] = column.into();
        region["endColumn"] = (end_column + 1).into();
    }
    let index = rules.iter().position(|rule| rule["id"] == item.id).unwrap_or_default();
    json!({
        "ruleId": item.id,
        "ruleIndex": index,
        "level": if item.severity == Severity::Error { "error" } else { "warning" },
        "message": { "text": whole_message(item.diagnostic) },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(&path_in_project(item.diagnostic.in_file().0.name(), env)) },
            "region": region,
        } }],
    })
}

/// A path as a URI reference: what RFC 3986 does not allow in a path is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte as char)
            }
            _ => {
                let _ = write!(uri, "%{byte:02X}"); // writing to a String cannot fail
            }
        }
    }
    uri
}
