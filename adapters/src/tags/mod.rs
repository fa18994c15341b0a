//! Tags, labels and annotations from where a build stands: the rules of docker/metadata-action,
//! on every platform.
//!
//! A platform says what it knows ([`Facts`]), its user what is wanted ([`Rules`]); out comes
//! [`Metadata`]. Expressions, the order of tags and what goes wrong are that action's, version 6.

mod csv;
mod date;
mod labels;
mod number;
mod pattern;
mod pep440;
mod rule;
mod semver;
mod template;
mod version;

use jiff::Timestamp;

use crate::settings::land::TagRules;
use crate::usage::Usage;

/// What a platform knows of the build.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// What started it, by GitHub's names: `push`, `pull_request`, `schedule`, …
    pub(crate) event: String,
    /// Git's full name: `refs/heads/…`, `refs/tags/…`, `refs/pull/7/merge`.
    pub(crate) reference: String,
    /// The commit.
    pub(crate) sha: String,
    /// The branch a tag was made on, or that a pull request goes to; empty if unknown.
    pub(crate) base_ref: String,
    /// When this is.
    pub(crate) now: Timestamp,
    /// What the label `created` says: now, or `SOURCE_DATE_EPOCH`.
    pub(crate) created: Timestamp,
    /// When the commit was made.
    pub(crate) committed: Timestamp,
    /// Where the source comes from.
    pub(crate) repository: Repository,
}

/// A repository of source code; what is unknown is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Repository {
    /// Name without owner.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: String,
    /// Address of its page.
    pub(crate) url: String,
    /// SPDX identifier of its licence.
    pub(crate) license: String,
    /// Name of its main branch.
    pub(crate) default_branch: String,
}

/// What is wanted: inputs as they were given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules<'a> {
    /// Names without tags, one a line, or `name=…,enable=…`.
    pub(crate) images: &'a str,
    /// Rules, one a line.
    pub(crate) tags: &'a str,
    /// `latest=…`, `prefix=…`, `suffix=…`
    pub(crate) flavor: &'a str,
    /// More labels, `KEY=VALUE` one a line.
    pub(crate) labels: &'a str,
    /// More annotations.
    pub(crate) annotations: &'a str,
    /// How many digits a short commit has (`DOCKER_METADATA_SHORT_SHA_LENGTH`).
    pub(crate) short_sha: Option<&'a str>,
    /// What annotations are put on, separated by commas (`DOCKER_METADATA_ANNOTATIONS_LEVELS`).
    pub(crate) levels: Option<&'a str>,
}

/// What comes out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The most important tag; empty if there is none.
    pub(crate) version: String,
    /// Every image with every tag; just the tags if no image is named.
    pub(crate) tags: Vec<String>,
    /// The tags alone.
    pub(crate) tag_names: Vec<String>,
    /// Labels, sorted by key.
    pub(crate) labels: Vec<(String, String)>,
    /// Annotations, sorted by key.
    pub(crate) annotations: Vec<(String, String)>,
    /// What annotations are put on: `manifest`, `index`, …
    pub(crate) levels: Vec<String>,
    /// Rules that did not apply although they were meant to.
    pub(crate) warnings: Vec<String>,
}

/// Applies rules to facts.
///
/// # Errors
/// A rule that is none, or an expression that fails.
pub(crate) fn metadata(rules: &Rules<'_>, facts: &Facts) -> Result<Metadata, Usage> {
    let images = rule::images(&csv::lines("images", rules.images)?)?;
    let flavor = rule::flavor(&csv::lines("flavor", rules.flavor)?)?;
    let scope = version::Global { facts, short_sha: rules.short_sha };
    let versions = version::versions(rule::rules(&csv::lines("tags", rules.tags)?)?, &flavor, &scope)?;
    let tag_names = versions.tag_names(&flavor);
    let tags = match images.is_empty() {
        true => tag_names.clone(),
        false => images.iter().flat_map(|i| tag_names.iter().map(move |t| format!("{i}:{t}"))).collect(),
    };
    let labels = labels::of(&csv::lines("labels", rules.labels)?, &versions.main, &scope)?;
    let annotations = labels::of(&csv::lines("annotations", rules.annotations)?, &versions.main, &scope)?;
    let levels = rules.levels.filter(|l| !l.is_empty()).unwrap_or("manifest");
    Ok(Metadata {
        version: versions.main,
        tags,
        tag_names,
        labels,
        annotations,
        levels: levels.split(',').map(str::to_owned).collect(),
        warnings: versions.warnings,
    })
}

/// The tags that rules make, best first, without images.
///
/// # Errors
/// As [`metadata`].
pub(crate) fn names(rules: &TagRules, facts: &Facts) -> Result<Vec<String>, Usage> {
    // They are items already: quotes that are left belong to fields.
    let lines: Vec<String> = rules.rules.iter().filter(|line| !line.starts_with('#')).cloned().collect();
    let flavor = rule::flavor(&rules.flavor)?;
    let scope = version::Global { facts, short_sha: None };
    Ok(version::versions(rule::rules(&lines)?, &flavor, &scope)?.tag_names(&flavor))
}

/// A text in which `{{name}}` stands for a value.
///
/// # Errors
/// It is no template.
pub(crate) fn fill(text: &str, name: &'static str, value: &str) -> Result<String, Usage> {
    struct One<'a>(&'static str, &'a str);
    impl template::Scope for One<'_> {
        fn names(&self) -> Vec<(&'static str, template::Value)> {
            vec![(self.0, template::Value::Text(self.1.to_owned()))]
        }

        fn call(
            &self,
            name: &str,
            _: &template::Value,
            _: &[template::Value],
            _: &[(String, template::Value)],
        ) -> Result<template::Value, template::TemplateError> {
            Err(template::TemplateError::new(format!("there is no function {name}")))
        }
    }
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    let wrong = |why| Usage::new(format!("the expression {text} cannot be evaluated: {why}"));
    template::render(text, &One(name, value)).map_err(wrong)
}

impl Metadata {
    /// The annotations with what they are put on, `LEVEL:KEY=VALUE`; without levels, the keys have them.
    pub(crate) fn leveled_annotations(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.levels.is_empty() {
            all.extend(self.annotations.iter().map(|(k, v)| format!("{k}={v}")));
        }
        for level in &self.levels {
            all.extend(self.annotations.iter().map(|(k, v)| format!("{level}:{k}={v}")));
        }
        all
    }

    /// All of it, as metadata-action's output `json`.
    pub(crate) fn json(&self) -> String {
        labels::json(self)
    }
}

#[cfg(test)]
mod tests;
