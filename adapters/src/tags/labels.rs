//! Labels and annotations that every image has, and what users add.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::Metadata;
use super::version::Global;
use crate::usage::Usage;

/// Keys and values, sorted: what is known of the source, replaced by what `more` says.
///
/// # Errors
/// An expression that fails.
pub(super) fn of(more: &[String], version: &str, scope: &Global<'_>) -> Result<Vec<(String, String)>, Usage> {
    let facts = scope.facts;
    let repository = &facts.repository;
    let known = [
        ("title", repository.name.clone()),
        ("description", repository.description.clone()),
        ("url", repository.url.clone()),
        ("source", repository.url.clone()),
        ("version", version.to_owned()),
        ("created", iso(facts.created)),
        ("revision", facts.sha.clone()),
        ("licenses", repository.license.clone()),
    ];
    let mut all: BTreeMap<String, String> =
        known.into_iter().map(|(key, value)| (format!("org.opencontainers.image.{key}"), value)).collect();
    for line in more {
        if let Some((key, value)) = scope.render(line)?.split_once('=') {
            all.insert(key.to_owned(), value.to_owned());
        }
    }
    let mut all: Vec<(String, String)> = all.into_iter().collect();
    all.sort_by(|(a, _), (b, _)| collate(a, b));
    Ok(all)
}

/// As JavaScript prints a date, in milliseconds.
fn iso(time: Timestamp) -> String {
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    time.strftime("%Y-%m-%dT%H:%M:%S.").to_string() + &format!("{:03}Z", time.millisecond())
}

/// Punctuation in the order of the Unicode collation algorithm; digits and letters follow.
const PUNCTUATION: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// The order of keys: letters of either case together, small ones first where all else is equal.
fn collate(a: &str, b: &str) -> Ordering {
    let primary = |text: &str| -> Vec<u32> { text.chars().map(weight).collect() };
    primary(a)
        .cmp(&primary(b))
        .then_with(|| b.chars().map(char::is_lowercase).cmp(a.chars().map(char::is_lowercase)))
}

fn weight(c: char) -> u32 {
    match PUNCTUATION.find(c) {
        Some(at) => u32::try_from(at).unwrap_or_default(),
        None => 0x100 + u32::from(c.to_ascii_lowercase()),
    }
}

/// metadata-action's output `json`, in its order.
pub(super) fn json(metadata: &Metadata) -> String {
    let text = |value: &str| Value::from(value).to_string();
    let list =
        |items: &[String]| format!("[{}]", items.iter().map(|i| text(i)).collect::<Vec<_>>().join(","));
    // An object of JavaScript has its whole numbers first, in their order.
    let number = |key: &str| key.parse::<u32>().ok().filter(|n| n.to_string() == key && *n < u32::MAX);
    let mut labels: Vec<&(String, String)> = metadata.labels.iter().collect();
    labels.sort_by_key(|(key, _)| number(key).map_or((true, 0), |n| (false, n)));
    let labels = labels.into_iter().map(|(key, value)| {
        // Its pattern stops at the end of a line.
        let line = value.split(['\n', '\r', '\u{2028}', '\u{2029}']).next().unwrap_or_default();
        format!("{}:{}", text(key), text(line))
    });
    format!(
        r#"{{"tags":{},"tag-names":{},"labels":{{{}}},"annotations":{}}}"#,
        list(&metadata.tags),
        list(&metadata.tag_names),
        labels.collect::<Vec<_>>().join(","),
        list(&metadata.leveled_annotations()),
    )
}
