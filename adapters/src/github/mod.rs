//! GitHub Actions (and Gitea's, Forgejo's): inputs in `INPUT_*` variables, results in
//! `GITHUB_OUTPUT`, a summary, groups and annotations.

pub(crate) mod commands;
mod summary;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use yadokari::config::BuildOutcome;
use yadokari::event::Events;

use crate::ci;
use crate::cli::job::Job;
use crate::cli::log::Format;
use crate::cli::progress::{Markup, Redactor, Sink};
use crate::cli::{config, credentials};
use crate::env::Env;
use crate::inputs::{Inputs, extra_args};
use crate::session::{EmitError, Reporter};
use crate::usage::Usage;
use crate::vocabulary::Separator;

/// Inputs beside the common ones; build-push-action's names.
const INPUTS: [&str; 14] = [
    "file",
    "registry",
    "username",
    "password",
    "pull",
    "no-cache",
    "no-cache-filters",
    "builder",
    "cache-from",
    "cache-to",
    "provenance",
    "sbom", // the runner's own for docker actions:
    "args",
    "entrypoint",
];

/// Whether this is a step of a workflow.
pub(crate) fn detect(env: &Env) -> bool {
    env.get("GITHUB_ACTIONS") == Some("true")
}

/// The build that the step's inputs ask for.
///
/// # Errors
/// Values that make no build.
pub(crate) fn job(words: &[String], env: &Env) -> Result<(Job, Github), Usage> {
    let inputs = Inputs::new(env, "INPUT_", &INPUTS)?;
    let mut flags = ci::flags(&extra_args(&inputs, words)?)?;
    flags.context = ".".to_owned();
    inputs.lay_over(&mut flags)?;
    if let Some(file) = inputs.get("file") {
        file.trim().clone_into(&mut flags.dockerfile);
    }
    let mut destinations = inputs.list("tags", Separator::Comma)?;
    destinations.append(&mut flags.destination);
    flags.destination = destinations;
    // build-push-action's default, which is no other platform's.
    let push = inputs.boolean("push")?.unwrap_or(false);
    flags.result.no_push |= !push;
    if push && flags.destination.is_empty() {
        return Err(Usage::new("push is true, but there are no tags")
            .help("give the input tags, such as ghcr.io/owner/name:latest"));
    }
    refuse_what_is_missing(&inputs)?;
    cache(&inputs, &mut flags)?;
    let mut job = config::job(&flags, env)?;
    if job.log.format == Format::Json {
        // The runner finds the old form of commands anywhere in a line.
        return Err(Usage::new(
            "--log-format=json would let what commands print reach the runner as commands",
        )
        .help("leave it out"));
    }
    login(&inputs, &mut job)?;
    Ok((job, Github::new(env)))
}

/// The cache's inputs, before the extra arguments' own.
fn cache(inputs: &Inputs<'_>, flags: &mut crate::cli::flags::Flags) -> Result<(), Usage> {
    for (to, input, separator) in [
        (&mut flags.cache.cache_from, "cache-from", Separator::Newline),
        (&mut flags.cache.cache_to, "cache-to", Separator::Newline),
        (&mut flags.cache.no_cache_filter, "no-cache-filters", Separator::Comma),
    ] {
        let mut all = inputs.list(input, separator)?;
        all.append(to);
        *to = all;
    }
    flags.cache.no_cache |= inputs.boolean("no-cache")?.unwrap_or(false);
    Ok(())
}

/// Inputs that would change the result.
fn refuse_what_is_missing(inputs: &Inputs<'_>) -> Result<(), Usage> {
    for input in ["provenance", "sbom"] {
        if inputs.get(input).is_some_and(|v| !v.trim().eq_ignore_ascii_case("false")) {
            return Err(Usage::new(format!("{input} is not supported yet"))
                .help("leave it out; actions/attest can attest the output digest"));
        }
    }
    Ok(())
}

/// `registry`, `username` and `password` come before all files.
fn login(inputs: &Inputs<'_>, job: &mut Job) -> Result<(), Usage> {
    match (inputs.get("username"), inputs.get("password")) {
        (Some(username), Some(password)) => {
            let registry = inputs.get("registry").map(|r| r.trim().to_owned());
            let first = || job.config.destinations.first().map(|d| d.registry().to_owned());
            let registry = registry.or_else(first).unwrap_or_else(|| "docker.io".to_owned());
            let source = credentials::basic("inputs username and password", &registry, username, password);
            job.config.keychain.sources.insert(0, source);
            Ok(())
        }
        (None, None) => Ok(()),
        _ => Err(Usage::new("of username and password only one is given").help("give both, or none")),
    }
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
