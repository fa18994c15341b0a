//! Tekton: the Task's parameters arrive as words in sections, results are files without a newline.
//!
//! An array parameter can only be an argument list, and may be empty, so the Task passes
//! `--build-args $(params.BUILD_ARGS[*]) --labels … -- $(params.EXTRA_ARGS[*])`: a word with two
//! dashes starts a section, and no item of an array starts so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use yadokari::config::BuildOutcome;
use yadokari::event::Events;
use yadokari::image::Reference;

use crate::ci;
use crate::cli::job::Job;
use crate::cli::progress::{Bare, Markup, Redactor, Sink};
use crate::cli::{config, credentials, files, places};
use crate::env::Env;
use crate::session::{EmitError, Reporter};
use crate::usage::Usage;
use crate::vocabulary::{boolean, suggest};

/// Whether this is a step: the directory for results is mounted in every one.
pub(crate) fn detect(root: &Path) -> bool {
    root.join("tekton/results").is_dir()
}

/// Sections of one word.
const SCALARS: [&str; 9] = [
    "--image",
    "--context",
    "--dockerfile",
    "--target",
    "--platform",
    "--push",
    "--tls-verify",
    "--dockerconfig",
    "--sslcertdir",
];

/// Sections of any number of words.
const LISTS: [&str; 6] =
    ["--tags", "--build-args", "--labels", "--annotations", "--build-contexts", "--results"];

/// The Task's parameters, workspaces and results.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    scalars: BTreeMap<&'static str, String>,
    lists: BTreeMap<&'static str, Vec<String>>,
    extra: Vec<String>,
}

impl Inputs {
    /// Reads the sections; empty words of lists are left out.
    ///
    /// # Errors
    /// A word outside of a section, or a section that does not exist.
    pub(crate) fn parse(words: &[String]) -> Result<Self, Usage> {
        let mut inputs = Inputs::default();
        let mut words = words.iter();
        let mut list = None;
        while let Some(word) = words.next() {
            if word == "--" {
                inputs.extra = words.filter(|w| !w.is_empty()).cloned().collect();
                break;
            } else if let Some(name) = SCALARS.into_iter().find(|s| s == word) {
                let value = words.next().ok_or_else(|| Usage::new(format!("{name} has no value")))?;
                inputs.scalars.insert(name, value.clone());
                list = None;
            } else if let Some(name) = LISTS.into_iter().find(|s| s == word) {
                inputs.lists.entry(name).or_default();
                list = Some(name);
            } else if let (Some(name), false) = (list, word.starts_with("--")) {
                if !word.is_empty() {
                    inputs.lists.entry(name).or_default().push(word.clone());
                }
            } else {
                return Err(unknown(word));
            }
        }
        Ok(inputs)
    }

    fn scalar(&self, name: &str) -> Option<&str> {
        self.scalars.get(name).map(String::as_str).filter(|v| !v.trim().is_empty())
    }

    fn list(&self, name: &str) -> &[String] {
        self.lists.get(name).map_or(&[], Vec::as_slice)
    }

    /// Where a result goes: as the Task says, else where Tekton reads results.
    fn result_path(&self, result: &str) -> PathBuf {
        let named = self.list("--results").iter().filter_map(|r| r.split_once('='));
        let path = named.filter(|(name, _)| *name == result).map(|(_, path)| PathBuf::from(path)).next();
        path.unwrap_or_else(|| Path::new("/tekton/results").join(result))
    }
}

fn unknown(word: &str) -> Usage {
    let known: Vec<&str> = SCALARS.into_iter().chain(LISTS).collect();
    let error = Usage::new(format!("'{word}' starts no section and is in none"));
    match suggest(word, &known) {
        Some(meant) => error.help(format!("did you mean {meant}?")),
        None => error.help(format!("the sections are {}, and -- for extra arguments", known.join(", "))),
    }
}

/// The build that the Task's parameters ask for.
///
/// # Errors
/// Values that make no build.
pub(crate) fn job(inputs: &Inputs, env: &Env) -> Result<Job, Usage> {
    let mut flags = ci::flags(&inputs.extra)?;
    for (to, name) in [
        (&mut flags.context, "--context"),
        (&mut flags.dockerfile, "--dockerfile"),
        (&mut flags.custom_platform, "--platform"),
    ] {
        if let Some(value) = inputs.scalar(name) {
            value.clone_into(to);
        }
    }
    if let Some(target) = inputs.scalar("--target") {
        flags.target = vec![target.to_owned()];
    }
    for (to, name) in [
        (&mut flags.build_arg, "--build-args"),
        (&mut flags.label, "--labels"),
        (&mut flags.annotation, "--annotations"),
        (&mut flags.build_context, "--build-contexts"),
    ] {
        let mut items = inputs.list(name).to_vec();
        items.append(to);
        *to = items;
    }
    let mut destinations = destinations(inputs)?;
    destinations.append(&mut flags.destination);
    flags.destination = destinations;
    if let Some(push) = inputs.scalar("--push") {
        flags.result.no_push |= !boolean("PUSH", push)?;
    }
    if let Some(verify) = inputs.scalar("--tls-verify") {
        flags.registry.skip_tls_verify |= !boolean("TLSVERIFY", verify)?;
    }
    let mut job = config::job(&flags, env)?;
    workspaces(inputs, &mut job);
    Ok(job)
}

/// `IMAGE`, and its repository with each of `TAGS`; without a tag of its own `IMAGE` is only the
/// repository as soon as there are others.
fn destinations(inputs: &Inputs) -> Result<Vec<String>, Usage> {
    let tags = inputs.list("--tags");
    let Some(image) = inputs.scalar("--image") else {
        return match tags {
            [] => Ok(Vec::new()),
            _ => Err(Usage::new("TAGS are given without IMAGE").help("name the repository in IMAGE")),
        };
    };
    let image = image.trim();
    places::with_tags(image, tags)
}

/// Puts the bound workspaces first.
fn workspaces(inputs: &Inputs, job: &mut Job) {
    if let Some(dir) = inputs.scalar("--dockerconfig") {
        // `kubectl create secret docker-registry` names the key .dockerconfigjson.
        let paths = ["config.json", ".dockerconfigjson"].map(|name| Path::new(dir).join(name));
        if !paths.iter().any(|p| p.exists()) {
            job.warnings.push(format!(
                "the workspace dockerconfig ({dir}) has neither config.json nor .dockerconfigjson"
            ));
        }
        let sources = paths.map(credentials::file);
        job.config.keychain.sources.splice(0..0, sources);
    }
    if let Some(dir) = inputs.scalar("--sslcertdir") {
        job.config.registry.ca_paths.push(PathBuf::from(dir));
    }
}

/// Reports to Tekton.
pub(crate) struct Tekton {
    inputs: Inputs,
}

impl Tekton {
    /// For a Task with these inputs.
    pub(crate) fn new(inputs: Inputs) -> Self {
        Tekton { inputs }
    }
}

impl Reporter for Tekton {
    fn sink(&self) -> Sink {
        Sink::Stdout
    }

    fn markup(&self, _: &Redactor) -> Box<dyn Markup> {
        Box::new(Bare)
    }

    fn emit(&self, _: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        let (results, dropped) = results(&outcome.pushed, &outcome.digest.to_string());
        for text in dropped {
            events.warn(text);
        }
        for (name, value) in results {
            files::write(&self.inputs.result_path(name), value.as_bytes())?;
        }
        Ok(())
    }
}

/// Tekton passes all results of a pod in a termination message of 4096 bytes (12 KiB with all
/// containers) and fails the step after the push when they are larger. Ours stay below this.
const BUDGET: usize = 1536;

/// What a result costs beyond its name and value, in the message's JSON.
const OVERHEAD: usize = 40;

/// The results, and what had to be left out. Nothing when nothing was pushed: Tekton Chains would
/// sign an image that is not there.
fn results(pushed: &[Reference], digest: &str) -> (Vec<(&'static str, String)>, Vec<String>) {
    let Some(first) = pushed.first() else { return (Vec::new(), Vec::new()) };
    let mut results = Vec::new();
    let mut dropped = Vec::new();
    let mut left = BUDGET;
    let mut take = |name: &'static str, value: String, left: &mut usize| {
        let cost = name.len() + value.len() + OVERHEAD;
        let fits = cost <= *left;
        if fits {
            *left -= cost;
            results.push((name, value));
        }
        fits
    };
    // These two are never left out: they are what pipelines and Chains read.
    let url = first.whole();
    left = left.saturating_sub(digest.len() + url.len() + 2 * OVERHEAD + "IMAGE_DIGESTIMAGE_URL".len());
    if !take("IMAGE_REF", format!("{}/{}@{digest}", first.registry(), first.repository()), &mut left) {
        dropped.push("the result IMAGE_REF is left out: it is too long for Tekton".to_owned());
    }
    let all: Vec<String> = pushed.iter().map(|d| format!("{}@{digest}", d.whole())).collect();
    let mut images = String::new();
    for image in &all {
        let separator = usize::from(!images.is_empty());
        if images.len() + separator + image.len() + "IMAGES".len() + OVERHEAD > left {
            let shown = images.split(',').filter(|i| !i.is_empty()).count();
            dropped.push(format!(
                "the result IMAGES has the first {shown} of {} images: more are too long for Tekton",
                all.len()
            ));
            break;
        }
        images.push_str(if separator == 1 { "," } else { "" });
        images.push_str(image);
    }
    if !images.is_empty() {
        take("IMAGES", images, &mut left);
    }
    results.insert(0, ("IMAGE_URL", url));
    results.insert(0, ("IMAGE_DIGEST", digest.to_owned()));
    (results, dropped)
}

#[cfg(test)]
#[path = "tekton_tests.rs"]
mod tests;
