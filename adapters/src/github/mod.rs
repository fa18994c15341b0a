//! GitHub Actions (and Gitea's, Forgejo's): inputs in `INPUT_*` variables, results in
//! `GITHUB_OUTPUT`, a summary, groups and annotations.

pub(crate) mod commands;
mod facts;
mod inputs;
mod join;
mod outputs;
mod summary;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use yadokari::config::BuildOutcome;
use yadokari::event::Events;

use crate::ci::Front;
use crate::cli::flags::FormatFlag;
use crate::cli::job::Job;
use crate::cli::log::Format;
use crate::cli::progress::{Markup, Redactor, Sink};
use crate::env::Env;
use crate::joined::Joined;
use crate::session::{EmitError, Reporter};
use crate::settings::land::TagRules;
use crate::several::Made;
use crate::tags::{self, Facts, Metadata};
use crate::usage::Usage;
use crate::vocabulary::go_boolean;
use summary::Summary;

/// Whether this is a step of a workflow.
pub(crate) fn detect(env: &Env) -> bool {
    env.get("GITHUB_ACTIONS") == Some("true")
}

/// What the step's inputs ask for.
///
/// # Errors
/// Values that make no build.
pub(crate) fn front(words: &[String], env: &Env) -> Result<Front, Usage> {
    let told = inputs::read(words, env)?;
    Ok(Front { settings: told.settings, reporter: Box::new(told.github) })
}

/// Whether the inputs ask for an index in place of a build.
///
/// # Errors
/// A mode that is none.
pub(crate) fn is_index(env: &Env) -> Result<bool, Usage> {
    Ok(inputs::mode(env)? == inputs::Mode::Index)
}

/// Reports to GitHub.
#[derive(Debug, Default)]
pub(crate) struct Github {
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
    workspace: Option<PathBuf>,
    /// `GITHUB_ENV`, where what rules came to is exported.
    exports: Option<PathBuf>,
    /// `GITHUB_ARTIFACTS`
    subjects: Option<PathBuf>,
    /// Whether subjects are wanted.
    artifacts: bool,
    /// Whether a summary is wanted.
    summarised: bool,
    /// Whether what checks find is annotated.
    annotated: bool,
    /// What rules came to, where the input `images` is given.
    metadata: Option<Metadata>,
    /// What is known of the commit.
    facts: Option<Facts>,
    /// Whether images are joined and none is built.
    joins: bool,
    /// The images that an index is made of.
    digests: String,
    /// Inputs without effect.
    notices: Vec<String>,
    /// Rules that did not apply although they were meant to.
    warnings: Vec<String>,
    /// What was found at places of files.
    findings: commands::Findings,
    /// What is shown to nobody.
    redactor: Mutex<Redactor>,
}

impl Github {
    fn new(env: &Env) -> Self {
        let path = |name| env.get(name).map(PathBuf::from);
        let on = |name| env.get(name).and_then(|v| go_boolean(v).ok()).unwrap_or(true);
        Github {
            output: path("GITHUB_OUTPUT"),
            summary: path("GITHUB_STEP_SUMMARY"),
            workspace: path("GITHUB_WORKSPACE"),
            exports: path("GITHUB_ENV").filter(|_| on("DOCKER_METADATA_SET_OUTPUT_ENV")),
            subjects: path("GITHUB_ARTIFACTS"),
            summarised: on("DOCKER_BUILD_SUMMARY"),
            annotated: on("DOCKER_BUILD_CHECKS_ANNOTATIONS"),
            ..Github::default()
        }
    }
}

impl Reporter for Github {
    fn sink(&self) -> Sink {
        Sink::Stdout
    }

    fn markup(&self, redactor: &Redactor) -> Box<dyn Markup> {
        *self.redactor.lock().unwrap_or_else(PoisonError::into_inner) = redactor.clone();
        let commands = commands::Commands::new(commands::token(), redactor, self.workspace.clone());
        let commands = commands.with_notices(&self.notices);
        Box::new(commands.with_findings(Arc::clone(&self.findings), self.annotated))
    }

    fn tags(&self, rules: &TagRules) -> Result<Vec<String>, Usage> {
        match &self.facts {
            Some(facts) => tags::names(rules, facts),
            None => Err(Usage::new("nothing is known of the commit")),
        }
    }

    fn nowhere(&self) -> Usage {
        if self.metadata.is_some() {
            return Usage::new("push is true, but no rule of the input tags makes a tag of this run")
                .help("add a rule that always does, such as type=sha");
        }
        Usage::new("push is true, but there are no tags")
            .help("give the input tags, such as ghcr.io/owner/name:latest")
    }

    fn complete(&self, job: &mut Job, _: &Env) -> Result<(), Usage> {
        job.warnings.extend(self.warnings.iter().cloned());
        if !self.joins {
            job.notes.extend(join::without_index(&mut job.config));
        }
        match job.log.format {
            // The runner finds the old form of commands anywhere in a line.
            Format::Json => Err(Usage::new(
                "--log-format=json would let what commands print reach the runner as commands",
            )
            .help("leave it out")),
            _ => Ok(()),
        }
    }

    fn emit(&self, job: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        let metadata = self.metadata.as_ref();
        self.put_outputs(&outputs::outputs(job, outcome, metadata, commands::token), events)?;
        self.summarise(|summary| summary.built(outcome))?;
        self.put_subjects(&outputs::artifacts(&outcome.pushed, outcome.digest), events)
    }

    fn emit_all(&self, made: &[Made<'_>], events: &Events) -> Result<(), EmitError> {
        self.put_outputs(&outputs::several(made, commands::token), events)?;
        for Made { name, outcome, .. } in made {
            self.summarise(|summary| format!("## {name}\n\n{}", summary.built(outcome)))?;
        }
        let subjects = made.iter().map(|made| outputs::artifacts(&made.outcome.pushed, made.outcome.digest));
        self.put_subjects(&subjects.collect::<String>(), events)
    }

    fn images(&self, job: &Job) -> Result<Vec<String>, Usage> {
        join::images(&self.digests, &job.config.destinations)
    }

    fn emit_index(&self, job: &Job, joined: &Joined, events: &Events) -> Result<(), EmitError> {
        let metadata = self.metadata.as_ref();
        self.put_outputs(&outputs::joined(job, joined, metadata, commands::token), events)?;
        self.summarise(|summary| summary.joined(joined))?;
        self.put_subjects(&outputs::artifacts(&joined.pushed, joined.digest), events)
    }

    fn emits(&self, _: &Job) -> Vec<(String, String)> {
        let none = None;
        let summary = if self.summarised { &self.summary } else { &none };
        let exports = if self.metadata.is_some() { &self.exports } else { &none };
        let subjects = if self.artifacts { &self.subjects } else { &none };
        let files = [
            ("the step's outputs", &self.output),
            ("the step's summary", summary),
            ("variables of later steps", exports),
            ("subjects of attestations", subjects),
        ];
        let there = files.into_iter().filter_map(|(what, path)| Some((what, path.as_ref()?)));
        there.map(|(what, path)| (what.to_owned(), path.display().to_string())).collect()
    }

    fn check_format(&self) -> FormatFlag {
        FormatFlag::Github
    }

    fn fail(&self, report: &str) -> Result<(), EmitError> {
        self.summarise(|summary| summary.failed(report))
    }
}

impl Github {
    fn put_outputs(&self, text: &str, events: &Events) -> Result<(), EmitError> {
        match &self.output {
            Some(path) => outputs::append(path, text)?,
            None => events.warn("GITHUB_OUTPUT is not set: the step has no outputs"),
        }
        match (&self.exports, &self.metadata) {
            (Some(path), Some(metadata)) => {
                outputs::append(path, &outputs::environment(metadata, commands::token))
            }
            _ => Ok(()),
        }
    }

    fn put_subjects(&self, lines: &str, events: &Events) -> Result<(), EmitError> {
        match &self.subjects {
            Some(path) if self.artifacts => outputs::append(path, lines),
            None if self.artifacts => {
                events.warn("GITHUB_ARTIFACTS is not set: the runner takes no subjects");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn summarise(&self, text: impl FnOnce(&Summary<'_>) -> String) -> Result<(), EmitError> {
        let Some(path) = self.summary.as_ref().filter(|_| self.summarised) else { return Ok(()) };
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        let redactor = self.redactor.lock().unwrap_or_else(PoisonError::into_inner);
        outputs::append(path, &text(&Summary { redactor: &redactor, places: &findings }))
    }
}

#[cfg(test)]
mod inputs_tests;
#[cfg(test)]
mod tests;
