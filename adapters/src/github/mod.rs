//! GitHub Actions (and Gitea's, Forgejo's): inputs in `INPUT_*` variables, results in
//! `GITHUB_OUTPUT`, a summary, groups and annotations.

pub(crate) mod commands;
mod summary;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use yadokari::config::BuildOutcome;
use yadokari::event::Events;

use crate::ci::{self, Front};
use crate::cli::job::Job;
use crate::cli::log::Format;
use crate::cli::progress::{Markup, Redactor, Sink};
use crate::env::Env;
use crate::session::{EmitError, Reporter};
use crate::settings::dialect::{self, Dialect, Meaning};
use crate::settings::{Key, Origin};
use crate::usage::Usage;

/// build-push-action's names, and what only a runner passes.
const DIALECT: Dialect = Dialect {
    noun: "input",
    spelling: dialect::kebab,
    names: &[
        ("file", Meaning::Is(Key::Dockerfile)),
        // A line of `tags` is a whole reference.
        ("tags", Meaning::Is(Key::Destinations)),
        ("secrets", Meaning::Is(Key::SecretValues)),
        ("builder", Meaning::Own),
        // The runner's own for docker actions:
        ("args", Meaning::Own),
        ("entrypoint", Meaning::Own),
    ],
};

/// Whether this is a step of a workflow.
pub(crate) fn detect(env: &Env) -> bool {
    env.get("GITHUB_ACTIONS") == Some("true")
}

/// What the step's inputs ask for.
///
/// # Errors
/// Values that make no build.
pub(crate) fn front(words: &[String], env: &Env) -> Result<Front, Usage> {
    let mut settings = DIALECT.variables(env, "INPUT_")?.settings;
    ci::more_arguments(&mut settings, words)?;
    settings.put(Key::Context, ".", Origin::platform("default of GitHub"))?;
    // build-push-action's default, which is no other platform's.
    settings.put(Key::Push, "false", Origin::platform("default of GitHub"))?;
    Ok(Front { settings, reporter: Box::new(Github::new(env)) })
}

/// Reports to GitHub.
#[derive(Debug)]
pub(crate) struct Github {
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
    workspace: Option<PathBuf>,
}

impl Github {
    fn new(env: &Env) -> Self {
        let path = |name| env.get(name).map(PathBuf::from);
        Github {
            output: path("GITHUB_OUTPUT"),
            summary: path("GITHUB_STEP_SUMMARY"),
            workspace: path("GITHUB_WORKSPACE"),
        }
    }
}

impl Reporter for Github {
    fn sink(&self) -> Sink {
        Sink::Stdout
    }

    fn markup(&self, redactor: &Redactor) -> Box<dyn Markup> {
        Box::new(commands::Commands::new(commands::token(), redactor, self.workspace.clone()))
    }

    fn nowhere(&self) -> Usage {
        Usage::new("push is true, but there are no tags")
            .help("give the input tags, such as ghcr.io/owner/name:latest")
    }

    fn complete(&self, job: &mut Job, _: &Env) -> Result<(), Usage> {
        match job.log.format {
            // The runner finds the old form of commands anywhere in a line.
            Format::Json => Err(Usage::new(
                "--log-format=json would let what commands print reach the runner as commands",
            )
            .help("leave it out")),
            _ => Ok(()),
        }
    }

    fn emit(&self, _: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        match &self.output {
            Some(path) => append(path, &outputs(outcome, commands::token))?,
            None => events.warn("GITHUB_OUTPUT is not set: the step has no outputs"),
        }
        if let Some(path) = &self.summary {
            append(path, &summary::markdown(outcome))?;
        }
        Ok(())
    }
}

/// The runner reads what steps append, and other steps' lines must stay.
fn append(path: &Path, text: &str) -> Result<(), EmitError> {
    let write = || {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|source| EmitError::Append { path: path.to_owned(), source })
}

/// The step's outputs; without a push those that name an image in a registry are left out.
fn outputs(outcome: &BuildOutcome, token: fn() -> String) -> String {
    let mut text = output("digest", &outcome.digest.to_string(), token);
    text += &output("imageid", &outcome.config_digest.to_string(), token);
    if let Some(first) = outcome.pushed.first() {
        let tags: Vec<String> = outcome.pushed.iter().map(yadokari::image::Reference::whole).collect();
        let image_ref = format!("{}/{}@{}", first.registry(), first.repository(), outcome.digest);
        text += &output("image", &first.whole(), token);
        text += &output("image-ref", &image_ref, token);
        text += &output("tags", &tags.join("\n"), token);
    }
    text
}

/// One output. A value of several lines needs a delimiter that it cannot hold: a random one.
fn output(name: &str, value: &str, token: fn() -> String) -> String {
    if !value.contains(['\n', '\r']) {
        return format!("{name}={value}\n");
    }
    let delimiter = format!("ghadelimiter_{}", token());
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}

#[cfg(test)]
mod tests;
