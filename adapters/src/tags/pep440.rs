//! Versions of Python packages (PEP 440), as the package @renovate/pep440 takes them.

use regex::{Captures, Regex};

use super::template::{Scope, TemplateError, Value};

/// The pattern of the PEP's appendix B.
const PATTERN: &str = concat!(
    r"(?i-u)^v?(?:(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)",
    r"(?:[-_\.]?(?P<pre_l>a|b|c|rc|alpha|beta|pre|preview)[-_\.]?(?P<pre_n>[0-9]+)?)?",
    r"(?:(?:-(?P<post_n1>[0-9]+))|(?:[-_\.]?(?P<post_l>post|rev|r)[-_\.]?(?P<post_n2>[0-9]+)?))?",
    r"(?:[-_\.]?(?P<dev_l>dev)[-_\.]?(?P<dev_n>[0-9]+)?)?)",
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_\.][a-z0-9]+)*))?$",
);

/// A version, as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pep440 {
    raw: String,
    epoch: String,
    release: Vec<String>,
    pre: Option<String>,
    post: Option<String>,
    dev: Option<String>,
    local: Option<String>,
}

impl Pep440 {
    /// Reads a version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let groups = Regex::new(PATTERN).ok()?.captures(text)?;
        let get = |name: &str| groups.name(name).map(|m| m.as_str());
        let part = |letter: &str, number: &str| segment(&groups, letter, number);
        Some(Pep440 {
            raw: text.to_owned(),
            epoch: number(get("epoch").unwrap_or("0")),
            release: get("release")?.split('.').map(number).collect(),
            pre: part("pre_l", "pre_n"),
            post: match get("post_n1") {
                Some(n) => Some(format!("post{}", number(n))),
                None => part("post_l", "post_n2"),
            },
            dev: part("dev_l", "dev_n"),
            local: get("local").map(local),
        })
    }

    /// Whether it is anything else than a final release.
    pub(super) fn is_unfinished(&self) -> bool {
        self.pre.is_some() || self.post.is_some() || self.dev.is_some()
    }

    /// As it was written.
    pub(super) fn raw(&self) -> &str {
        &self.raw
    }

    /// Its normal form.
    pub(super) fn clean(&self) -> String {
        let mut text = if self.epoch == "0" { String::new() } else { format!("{}!", self.epoch) };
        text += &self.release.join(".");
        text += self.pre.as_deref().unwrap_or_default();
        for part in [&self.post, &self.dev].into_iter().flatten() {
            text.push('.');
            text += part;
        }
        if let Some(local) = &self.local {
            text.push('+');
            text += local;
        }
        text
    }
}

impl Scope for Pep440 {
    fn names(&self) -> Vec<(&'static str, Value)> {
        ["raw", "version", "major", "minor", "patch"].map(|name| (name, Value::Function(name))).into()
    }

    fn call(
        &self,
        name: &str,
        _: &Value,
        _: &[Value],
        _: &[(String, Value)],
    ) -> Result<Value, TemplateError> {
        let release = |at: usize| {
            let number = self.release.get(at).and_then(|digits| digits.parse().ok());
            Value::Number(number.unwrap_or_default())
        };
        Ok(match name {
            "raw" => Value::Text(self.raw.clone()),
            "version" => Value::Text(self.clean()),
            "major" => release(0),
            "minor" => release(1),
            "patch" => release(2),
            _ => return Err(TemplateError::new(format!("there is no function {name}"))),
        })
    }
}

/// A letter in its normal spelling, with its number, 0 if there is none.
fn segment(groups: &Captures<'_>, letter: &str, count: &str) -> Option<String> {
    let letter = groups.name(letter)?.as_str().to_ascii_lowercase();
    let letter = match letter.as_str() {
        "alpha" => "a",
        "beta" => "b",
        "c" | "pre" | "preview" => "rc",
        "rev" | "r" => "post",
        other => other,
    };
    Some(format!("{letter}{}", number(groups.name(count).map_or("0", |n| n.as_str()))))
}

/// Digits without zeros before them.
fn number(digits: &str) -> String {
    let digits = digits.trim_start_matches('0');
    match digits.len() {
        0 => "0".to_owned(),
        1..16 => digits.to_owned(),
        // As precise as JavaScript's numbers are.
        _ => digits.parse::<f64>().map_or_else(|_| digits.to_owned(), |number| number.to_string()),
    }
}

/// The parts of a local version; the package joins them with commas.
fn local(text: &str) -> String {
    let part =
        |p: &str| if p.bytes().all(|b| b.is_ascii_digit()) { number(p) } else { p.to_ascii_lowercase() };
    text.split(['.', '_', '-']).map(part).collect::<Vec<_>>().join(",")
}
