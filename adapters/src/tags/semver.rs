//! Versions as semver.org defines them, and as the package semver takes them.

use std::rc::Rc;

use super::template::{Scope, TemplateError, Value};

/// A version, as templates see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Semver {
    raw: String,
    major: u64,
    minor: u64,
    patch: u64,
    prerelease: Vec<String>,
    build: Vec<String>,
}

/// The package refuses longer ones.
const LONGEST: usize = 256;

/// The largest whole number JavaScript counts to.
const LARGEST: u64 = (1 << 53) - 1;

impl Semver {
    /// Reads a version; a `v` before it is allowed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let trimmed = text.trim();
        let rest = trimmed.strip_prefix('v').unwrap_or(trimmed);
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, identifiers(build, |_| true)?),
            None => (rest, Vec::new()),
        };
        let (core, prerelease) = match rest.split_once('-') {
            Some((core, pre)) => (core, identifiers(pre, no_leading_zero)?),
            None => (rest, Vec::new()),
        };
        let mut numbers = core.split('.').map(number);
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        if numbers.next().is_some() {
            return None;
        }
        Some(Semver { raw: text.to_owned(), major, minor, patch, prerelease, build })
    }

    /// Whether it comes before a release.
    pub(super) fn is_prerelease(&self) -> bool {
        !self.prerelease.is_empty()
    }

    fn version(&self) -> String {
        let core = format!("{}.{}.{}", self.major, self.minor, self.patch);
        if self.prerelease.is_empty() { core } else { format!("{core}-{}", self.prerelease.join(".")) }
    }
}

impl Scope for Semver {
    fn names(&self) -> Vec<(&'static str, Value)> {
        let list = |items: &[String], item: fn(&str) -> Value| {
            Value::List(Rc::new(items.iter().map(|id| item(id)).collect()))
        };
        vec![
            ("options", Value::object(vec![("loose", Value::Bool(true))])),
            ("loose", Value::Bool(true)),
            ("includePrerelease", Value::Bool(false)),
            ("raw", Value::Text(self.raw.clone())),
            ("major", Value::Number(self.major as f64)),
            ("minor", Value::Number(self.minor as f64)),
            ("patch", Value::Number(self.patch as f64)),
            ("prerelease", list(&self.prerelease, identifier)),
            ("build", list(&self.build, |id| Value::Text(id.to_owned()))),
            ("version", Value::Text(self.version())),
        ]
    }

    fn text(&self) -> Option<String> {
        Some(self.version())
    }

    fn call(
        &self,
        name: &str,
        _: &Value,
        _: &[Value],
        _: &[(String, Value)],
    ) -> Result<Value, TemplateError> {
        Err(TemplateError::new(format!("there is no function {name}")))
    }
}

/// An identifier of a prerelease, which is a number where it looks like one.
fn identifier(id: &str) -> Value {
    let digits = id.bytes().all(|b| b.is_ascii_digit());
    match id.parse::<u64>().ok().filter(|n| digits && *n < LARGEST) {
        Some(number) => Value::Number(number as f64),
        None => Value::Text(id.to_owned()),
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|n| digits && plain && *n <= LARGEST)
}

fn no_leading_zero(identifier: &str) -> bool {
    identifier == "0" || !identifier.starts_with('0') || !identifier.bytes().all(|b| b.is_ascii_digit())
}

fn identifiers(text: &str, allowed: fn(&str) -> bool) -> Option<Vec<String>> {
    let sound = |id: &&str| {
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && allowed(id)
    };
    let all: Vec<&str> = text.split('.').collect();
    all.iter().all(sound).then(|| all.into_iter().map(str::to_owned).collect())
}
