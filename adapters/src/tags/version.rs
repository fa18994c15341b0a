//! Rules to versions: which apply, what their expressions say, which tag comes first.

use super::date;
use super::number::number;
use super::pep440::Pep440;
use super::rule::{Flavor, Kind, Rule};
use super::semver::Semver;
use super::template::{self, Scope, TemplateError, Value};
use super::{Facts, pattern};
use crate::usage::Usage;

/// The tags that rules make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Versions {
    /// The first; empty if there is none.
    pub(super) main: String,
    /// The others, each once.
    partial: Vec<String>,
    /// Whether there is `latest`, once a rule applied.
    latest: Option<bool>,
    /// Rules that were meant to apply.
    pub(super) warnings: Vec<String>,
}

impl Versions {
    /// All tags in order.
    pub(super) fn tag_names(&self, flavor: &Flavor) -> Vec<String> {
        if self.main.is_empty() {
            return Vec::new();
        }
        let mut names = vec![self.main.clone()];
        names.extend(self.partial.iter().cloned());
        if self.latest == Some(true) {
            let prefix = if flavor.prefix_latest { flavor.prefix.as_str() } else { "" };
            let suffix = if flavor.suffix_latest { flavor.suffix.as_str() } else { "" };
            names.push(sanitized(&format!("{prefix}latest{suffix}")));
        }
        names
    }

    fn add(&mut self, tag: &str, latest: bool) {
        if tag.is_empty() {
            return;
        }
        let tag = sanitized(tag);
        if self.main.is_empty() {
            self.main = tag;
        } else if tag != self.main && !self.partial.contains(&tag) {
            self.partial.push(tag);
        }
        self.latest.get_or_insert(latest);
    }
}

/// Applies the rules, the most important first.
///
/// # Errors
/// An expression that fails.
pub(super) fn versions(rules: Vec<Rule>, flavor: &Flavor, scope: &Global<'_>) -> Result<Versions, Usage> {
    let mut versions = Versions::default();
    for rule in rules {
        let enable = scope.render(rule.get("enable"))?;
        match enable.as_str() {
            "true" => {}
            "false" => continue,
            _ => {
                return Err(Usage::new(format!("a tag rule has enable={enable}"))
                    .help("write true or false, or an expression that is one of them"));
            }
        }
        let applier = Applier { rule: &rule, flavor, scope };
        if let Some((tag, latest)) = applier.tag(&mut versions.warnings)? {
            versions.add(&applier.affixed(&tag)?, flavor.latest.unwrap_or(latest));
        }
    }
    Ok(versions)
}

struct Applier<'a> {
    rule: &'a Rule,
    flavor: &'a Flavor,
    scope: &'a Global<'a>,
}

impl Applier<'_> {
    /// The rule's tag, and whether it calls for `latest`; none where it does not apply.
    fn tag(&self, warnings: &mut Vec<String>) -> Result<Option<(String, bool)>, Usage> {
        let facts = self.scope.facts;
        let below = |start: &str| facts.reference.strip_prefix(start).map(str::to_owned);
        let tag = match self.rule.kind {
            Kind::Schedule if facts.event.contains("schedule") => {
                let dates = Dates { facts };
                Some(render(self.rule.get("pattern"), &dates)?)
            }
            Kind::Schedule => None,
            Kind::Semver => return self.semver(warnings),
            Kind::Pep440 => return self.pep440(warnings),
            Kind::Match => return self.matched(warnings),
            Kind::Ref => match self.rule.get("event") {
                "branch" => below("refs/heads/"),
                "tag" => return Ok(below("refs/tags/").map(|tag| (tag, true))),
                _ => below("refs/pull/").map(|n| n.strip_suffix("/merge").unwrap_or(&n).to_owned()),
            },
            Kind::Edge => {
                let branch = match self.rule.get("branch") {
                    "" => facts.repository.default_branch.as_str(),
                    branch => branch,
                };
                below("refs/heads/").filter(|head| head == branch).map(|_| "edge".to_owned())
            }
            Kind::Raw => Some(self.scope.render(self.rule.get("value"))?),
            Kind::Sha if facts.sha.is_empty() => None,
            Kind::Sha if self.rule.get("format") == "short" => Some(self.scope.short_sha()?),
            Kind::Sha => Some(facts.sha.clone()),
        };
        Ok(tag.map(|tag| (tag, false)))
    }

    /// The attribute `value`, or the tag that is built.
    fn version(&self) -> Result<Option<String>, Usage> {
        match self.rule.get("value") {
            "" => Ok(self.scope.facts.reference.strip_prefix("refs/tags/").map(str::to_owned)),
            value => self.scope.render(value).map(Some),
        }
    }

    /// The version that the attribute `match` cuts out.
    fn cut(&self, warnings: &mut Vec<String>) -> Result<Option<String>, Usage> {
        let Some(version) = self.version()? else { return Ok(None) };
        let cut = match self.rule.get("match") {
            "" => version,
            pattern => match pattern::find_plain(pattern, &version)? {
                None => {
                    warnings.push(format!("{pattern} does not match {version}"));
                    version
                }
                Some(found) => found.into_iter().nth(1).flatten().ok_or_else(|| {
                    Usage::new(format!("match={pattern} has no group that matches {version}"))
                        .help("put the version in parentheses, such as match=v(.*)")
                })?,
            },
        };
        Ok(Some(cut.replace('/', "-")))
    }

    fn semver(&self, warnings: &mut Vec<String>) -> Result<Option<(String, bool)>, Usage> {
        let Some(text) = self.cut(warnings)? else { return Ok(None) };
        let Some(version) = Semver::parse(&text) else {
            warnings.push(format!("{text} is not a valid semver: see https://semver.org/"));
            return Ok(None);
        };
        let pattern = self.rule.get("pattern");
        if version.is_prerelease() && !template::is_only(pattern, "raw") {
            return Ok(Some((render("{{version}}", &version)?, false)));
        }
        Ok(Some((render(pattern, &version)?, !version.is_prerelease())))
    }

    fn pep440(&self, warnings: &mut Vec<String>) -> Result<Option<(String, bool)>, Usage> {
        let Some(text) = self.cut(warnings)? else { return Ok(None) };
        let Some(version) = Pep440::parse(&text) else {
            warnings.push(format!(
                "{text} does not conform to PEP 440: see https://www.python.org/dev/peps/pep-0440"
            ));
            return Ok(None);
        };
        let pattern = self.rule.get("pattern");
        if !version.is_unfinished() {
            return Ok(Some((render(pattern, &version)?, true)));
        }
        let raw = template::is_only(pattern, "raw");
        Ok(Some((if raw { version.raw().to_owned() } else { version.clean() }, false)))
    }

    fn matched(&self, warnings: &mut Vec<String>) -> Result<Option<(String, bool)>, Usage> {
        let Some(version) = self.version()? else { return Ok(None) };
        let pattern = self.rule.get("pattern");
        let Some(found) = pattern::find(pattern, &version)? else {
            warnings.push(format!("{pattern} does not match {version}"));
            return Ok(None);
        };
        let group = self.rule.get("group");
        // A group is named by its digits: `01` is none.
        let at = group.parse::<usize>().ok().filter(|n| n.to_string() == group);
        let tag = at.and_then(|at| found.into_iter().nth(at)).flatten();
        if tag.is_none() {
            warnings.push(format!("group {group} does not exist for the pattern {pattern}"));
        }
        Ok(tag.map(|tag| (tag, true)))
    }

    /// The tag between the rule's prefix and suffix, or the flavor's.
    fn affixed(&self, tag: &str) -> Result<String, Usage> {
        let affix = |name: &str, flavor: &str| self.scope.render(self.rule.given(name).unwrap_or(flavor));
        Ok(format!("{}{tag}{}", affix("prefix", &self.flavor.prefix)?, affix("suffix", &self.flavor.suffix)?))
    }
}

fn sanitized(tag: &str) -> String {
    let mut out = String::with_capacity(tag.len());
    for c in tag.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') => out.push(c),
            '-' => out.push(c),
            // One for a stretch of them; a hyphen of the tag's own stays beside it.
            _ if out.ends_with('\0') => {}
            _ => out.push('\0'),
        }
    }
    out.replace('\0', "-")
}

/// What expressions may use everywhere but in patterns.
pub(super) struct Global<'a> {
    pub(super) facts: &'a Facts,
    /// How many digits of a commit are shown.
    pub(super) short_sha: Option<&'a str>,
}

impl Global<'_> {
    /// Renders an expression.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn render(&self, text: &str) -> Result<String, Usage> {
        render(text, self)
    }

    /// # Errors
    /// The number of its digits is none.
    fn short_sha(&self) -> Result<String, Usage> {
        let text = self.short_sha.filter(|text| !text.is_empty()).unwrap_or("7");
        let length = number(text);
        if length.is_nan() {
            return Err(Usage::new(format!("DOCKER_METADATA_SHORT_SHA_LENGTH is not a number: {text}")));
        }
        // Saturates, and what is below zero is zero.
        Ok(self.facts.sha.chars().take(length as usize).collect())
    }

    fn is_default_branch(&self) -> bool {
        let reference = self.facts.reference.as_str();
        let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference);
        // These events are always about the last commit of the default branch.
        let always = ["create", "discussion", "issues", "schedule"];
        !branch.is_empty()
            && (branch == self.facts.repository.default_branch
                || always.iter().any(|event| self.facts.event.contains(event)))
    }
}

fn render(text: &str, scope: &dyn Scope) -> Result<String, Usage> {
    template::render(text, scope).map_err(|why| {
        Usage::new(format!("the expression {text} cannot be evaluated: {why}"))
            .help("see https://github.com/docker/metadata-action#global-expressions")
    })
}

/// The functions of expressions, in their order.
const GLOBAL: [&str; 8] =
    ["branch", "tag", "sha", "base_ref", "commit_date", "is_default_branch", "is_not_default_branch", "date"];

impl Scope for Global<'_> {
    fn names(&self) -> Vec<(&'static str, Value)> {
        GLOBAL.map(|name| (name, Value::Function(name))).into()
    }

    fn call(
        &self,
        name: &str,
        this: &Value,
        params: &[Value],
        hash: &[(String, Value)],
    ) -> Result<Value, TemplateError> {
        let reference = &self.facts.reference;
        let below = |start: &str| reference.strip_prefix(start).unwrap_or_default().to_owned();
        Ok(Value::Text(match name {
            "branch" => below("refs/heads/"),
            "tag" => below("refs/tags/"),
            "sha" => self.short_sha().map_err(|why| TemplateError::new(why.to_string()))?,
            "base_ref" => match reference.starts_with("refs/tags/") || reference.starts_with("refs/pull/") {
                true => self.facts.base_ref.clone(),
                false => String::new(),
            },
            "is_default_branch" => self.is_default_branch().to_string(),
            // It asks what it is called on.
            "is_not_default_branch" => match this.property("is_default_branch") {
                Value::Function("is_default_branch") => (!self.is_default_branch()).to_string(),
                _ => {
                    return Err(TemplateError::new(format!(
                        "{name} has another context there: write @root.{name}"
                    )));
                }
            },
            _ => return Dates { facts: self.facts }.call(name, this, params, hash),
        }))
    }
}

/// What expressions of scheduled builds may use.
struct Dates<'a> {
    facts: &'a Facts,
}

impl Scope for Dates<'_> {
    fn names(&self) -> Vec<(&'static str, Value)> {
        ["date", "commit_date"].map(|name| (name, Value::Function(name))).into()
    }

    fn call(
        &self,
        name: &str,
        _: &Value,
        params: &[Value],
        hash: &[(String, Value)],
    ) -> Result<Value, TemplateError> {
        let time = match name {
            "date" => self.facts.now,
            "commit_date" => self.facts.committed,
            _ => return Err(TemplateError::new(format!("there is no function {name}"))),
        };
        let format = match params {
            [Value::Text(format)] => format.as_str(),
            [format] if !format.holds() => "",
            _ => {
                return Err(TemplateError::new(format!(
                    "{name} takes one format, such as {{{{{name} 'YYYYMMDD'}}}}"
                )));
            }
        };
        let mut zone = "UTC";
        for (key, value) in hash {
            match (key.as_str(), value) {
                ("tz", Value::Text(tz)) if !tz.is_empty() => zone = tz,
                ("tz", _) => return Err(TemplateError::new("tz is the name of a time zone")),
                _ => return Err(TemplateError::new(format!("Unknown {key} attribute"))),
            }
        }
        Ok(Value::Text(date::format(time, zone, format)))
    }
}
