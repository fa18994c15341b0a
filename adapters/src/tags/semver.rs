//! Versions as semver.org defines them, and as the package semver takes them.

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
    fn get(&self, name: &str) -> Value {
        let list = |items: &[String]| Value::List(items.iter().cloned().map(Value::Text).collect());
        match name {
            "raw" => Value::Text(self.raw.clone()),
            "version" => Value::Text(self.version()),
            "major" => Value::Number(self.major.to_string()),
            "minor" => Value::Number(self.minor.to_string()),
            "patch" => Value::Number(self.patch.to_string()),
            "prerelease" => list(&self.prerelease),
            "build" => list(&self.build),
            "loose" => Value::Bool(true),
            "includePrerelease" => Value::Bool(false),
            _ => Value::Undefined,
        }
    }

    fn call(&self, name: &str, _: &[Value], _: &[(String, Value)]) -> Result<Value, TemplateError> {
        Err(TemplateError::new(format!("there is no function {name}")))
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
