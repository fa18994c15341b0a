//! The lines of the inputs `tags`, `flavor` and `images`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::csv;
use super::number::number;
use crate::usage::Usage;

/// What a rule makes a tag of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Schedule,
    Semver,
    Pep440,
    Match,
    Edge,
    Ref,
    Raw,
    Sha,
}

/// The kinds with their names and priorities.
const KINDS: [(&str, Kind, &str); 8] = [
    ("schedule", Kind::Schedule, "1000"),
    ("semver", Kind::Semver, "900"),
    ("pep440", Kind::Pep440, "900"),
    ("match", Kind::Match, "800"),
    ("edge", Kind::Edge, "700"),
    ("ref", Kind::Ref, "600"),
    ("raw", Kind::Raw, "200"),
    ("sha", Kind::Sha, "100"),
];

/// What no rules mean.
const DEFAULT: [&str; 4] =
    ["type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"];

/// One line of the input `tags`.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) kind: Kind,
    attributes: BTreeMap<String, String>,
}

impl Rule {
    /// An attribute, with its default; empty if it is not given.
    pub(super) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// An attribute that is given, even as an empty one.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// The rules, the most important first.
///
/// # Errors
/// A line that is no rule.
pub(super) fn rules(lines: &[String]) -> Result<Vec<Rule>, Usage> {
    let rules: Result<Vec<Rule>, Usage> = match lines.is_empty() {
        true => DEFAULT.iter().map(|line| rule(line)).collect(),
        false => lines.iter().map(|line| rule(line)).collect(),
    };
    let mut sorted: Vec<Rule> = Vec::new();
    for rule in rules? {
        // By hand: a priority that is no number is neither above nor below another.
        let (mut low, mut high) = (0, sorted.len());
        while low < high {
            let middle = low.midpoint(high);
            let (a, b) = (number(rule.get("priority")), number(sorted[middle].get("priority")));
            match b.partial_cmp(&a) {
                Some(Ordering::Less) => high = middle,
                _ => low = middle + 1,
            }
        }
        sorted.insert(low, rule);
    }
    Ok(sorted)
}

fn rule(line: &str) -> Result<Rule, Usage> {
    let mut kind = None;
    let mut attributes = BTreeMap::new();
    for field in csv::fields("tags", line)? {
        // The first character belongs to the name even if it is the equals sign.
        let after_first = field.chars().next().map_or(0, char::len_utf8);
        let first = field.starts_with('=');
        let parts: Vec<&str> = match field[after_first..].find('=').filter(|_| !first) {
            Some(at) => vec![&field[..after_first + at], &field[after_first + at + 1..]],
            None => vec![&field],
        };
        match csv::attribute(&parts) {
            Err(value) => {
                attributes.insert("value".to_owned(), value);
            }
            Ok((name, value)) if name == "type" => {
                let known = KINDS.iter().find(|(name, ..)| *name == value);
                kind = Some(known.ok_or_else(|| unknown_kind(&value))?.1);
            }
            Ok((name, value)) => {
                attributes.insert(name, value);
            }
        }
    }
    let kind = kind.unwrap_or(Kind::Raw);
    let mut rule = Rule { kind, attributes };
    complete(&mut rule, line)?;
    Ok(rule)
}

fn unknown_kind(kind: &str) -> Usage {
    let names: Vec<&str> = KINDS.iter().map(|(name, ..)| *name).collect();
    Usage::new(format!("there is no tag rule of the type {kind}"))
        .help(format!("the types are {}", names.join(", ")))
}

/// Fills in what a kind takes for granted.
fn complete(rule: &mut Rule, line: &str) -> Result<(), Usage> {
    let needs = |rule: &Rule, name: &str, example: &str| match rule.given(name) {
        Some(_) => Ok(()),
        None => Err(Usage::new(format!("the tag rule {line} needs the attribute {name}"))
            .help(format!("such as {name}={example}"))),
    };
    let one_of = |rule: &Rule, name: &str, values: &[&str]| match values.contains(&rule.get(name)) {
        true => Ok(()),
        false => Err(Usage::new(format!("the tag rule {line} has a wrong {name}"))
            .help(format!("write one of {}", values.join(", ")))),
    };
    let default = |rule: &mut Rule, name: &str, value: &str| {
        rule.attributes.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    match rule.kind {
        Kind::Schedule => default(rule, "pattern", "nightly"),
        Kind::Semver | Kind::Pep440 => needs(rule, "pattern", "{{version}}")?,
        Kind::Match => {
            needs(rule, "pattern", r"v(\d+)")?;
            default(rule, "group", "0");
            if number(rule.get("group")).is_nan() {
                return Err(Usage::new(format!("the tag rule {line} has a group that is no number")));
            }
        }
        Kind::Edge => {}
        Kind::Ref => {
            needs(rule, "event", "branch")?;
            one_of(rule, "event", &["branch", "tag", "pr"])?;
            if rule.get("event") == "pr" {
                default(rule, "prefix", "pr-");
            }
        }
        Kind::Raw => needs(rule, "value", "latest")?,
        Kind::Sha => {
            default(rule, "prefix", "sha-");
            default(rule, "format", "short");
            one_of(rule, "format", &["short", "long"])?;
        }
    }
    default(rule, "enable", "true");
    let priority = KINDS.iter().find(|(_, kind, _)| *kind == rule.kind).map_or("0", |(.., p)| p);
    default(rule, "priority", priority);
    Ok(())
}

/// What is done to all tags: the input `flavor`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flavor {
    /// Whether there is a tag `latest`; the rules say it if this does not.
    pub(super) latest: Option<bool>,
    pub(super) prefix: String,
    pub(super) suffix: String,
    /// Whether the prefix goes before `latest` as well.
    pub(super) prefix_latest: bool,
    pub(super) suffix_latest: bool,
}

/// Reads the input `flavor`.
///
/// # Errors
/// A line that is none.
pub(super) fn flavor(lines: &[String]) -> Result<Flavor, Usage> {
    let mut flavor = Flavor::default();
    for line in lines {
        let wrong = || {
            Usage::new(format!("'{line}' is no flavor"))
                .help("write latest=auto|true|false, prefix=…, suffix=…, or onlatest=true|false after these")
        };
        let mut last = "";
        for field in csv::fields("flavor", line)? {
            let (name, value) = csv::attribute(&field.split('=').collect::<Vec<_>>()).map_err(|_| wrong())?;
            match (name.as_str(), value.as_str()) {
                ("latest", "auto") => flavor.latest = None,
                ("latest" | "onlatest", "true" | "false") => {
                    let value = value == "true";
                    match (name.as_str(), last) {
                        ("latest", _) => flavor.latest = Some(value),
                        (_, "prefix") => flavor.prefix_latest = value,
                        (_, "suffix") => flavor.suffix_latest = value,
                        _ => {}
                    }
                }
                ("prefix", _) => (last, flavor.prefix) = ("prefix", value),
                ("suffix", _) => (last, flavor.suffix) = ("suffix", value),
                _ => return Err(wrong()),
            }
        }
    }
    Ok(flavor)
}

/// The names in the input `images` that are enabled, in lower case.
///
/// # Errors
/// A line that names none.
pub(super) fn images(lines: &[String]) -> Result<Vec<String>, Usage> {
    if let [line] = lines {
        let fields = csv::fields("images", line)?;
        if fields.iter().all(|field| !field.contains('=')) {
            return Ok(fields.iter().map(|field| field.trim().to_lowercase()).collect());
        }
    }
    let mut images = Vec::new();
    for line in lines {
        let (mut image, mut enabled) = (String::new(), true);
        for field in csv::fields("images", line)? {
            match csv::attribute(&field.split('=').collect::<Vec<_>>()) {
                Err(name) => image = name,
                Ok((name, value)) => match (name.as_str(), value.as_str()) {
                    ("name", _) => image = value,
                    ("enable", "true" | "false") => enabled = value == "true",
                    _ => {
                        return Err(Usage::new(format!("'{line}' is no image: {name}={value}"))
                            .help("write a name, or name=…,enable=true|false"));
                    }
                },
            }
        }
        if image.is_empty() {
            return Err(Usage::new(format!("'{line}' names no image")).help("write name=host/repository"));
        }
        if enabled {
            images.push(image.to_lowercase());
        }
    }
    Ok(images)
}
