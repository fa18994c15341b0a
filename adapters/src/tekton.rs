//! Tekton: the Task's parameters arrive as words in sections, results are files without a newline.
//!
//! An array parameter can only be an argument list, and may be empty, so the Task passes
//! `--build-args $(params.BUILD_ARGS[*]) --labels … -- $(params.EXTRA_ARGS[*])`: a word with two
//! dashes starts a section, and no item of an array starts so.

use std::path::{Path, PathBuf};

use yadokari::config::BuildOutcome;
use yadokari::event::Events;
use yadokari::image::Reference;

use crate::ci::Front;
use crate::cli::job::Job;
use crate::cli::progress::{Bare, Markup, Redactor, Sink};
use crate::cli::{credentials, files};
use crate::env::Env;
use crate::session::{EmitError, Reporter};
use crate::settings::dialect::{self, Dialect, Meaning, Read};
use crate::settings::{Key, Origin};
use crate::usage::Usage;

/// Whether this is a step: the directory for results is mounted in every one.
pub(crate) fn detect(root: &Path) -> bool {
    root.join("tekton/results").is_dir()
}

/// The Task's names that are no keys: where things are in the pod.
const DIALECT: Dialect = Dialect {
    noun: "parameter",
    spelling: dialect::shouted,
    names: &[
        ("platform", Meaning::Is(Key::Platforms)),
        ("tlsverify", Meaning::Is(Key::TlsVerify)),
        ("skip-push", Meaning::Not(Key::Push)),
        ("dockerconfig", Meaning::Own),
        ("sslcertdir", Meaning::Own),
        ("results", Meaning::OwnItems),
    ],
};

/// What the Task's parameters ask for.
///
/// # Errors
/// Words that make no sections, or values that make no build.
pub(crate) fn front(words: &[String]) -> Result<Front, Usage> {
    let read = sections(words)?;
    Ok(Front { settings: read.settings.clone(), reporter: Box::new(Tekton::new(read)) })
}

/// Reads the sections: `--name` and its words, up to the next. What takes one value takes the next word,
/// whatever it is. Empty words of lists are left out; after `--` come extra arguments.
///
/// # Errors
/// A word outside of a section, or a section that does not exist.
fn sections(words: &[String]) -> Result<Read, Usage> {
    let mut read = Read::default();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        if word == "--" {
            let origin = Origin::input("parameter EXTRA_ARGS");
            read.settings.put_items(Key::ExtraArgs, after, origin)?;
            break;
        }
        let Some(name) = word.strip_prefix("--") else {
            return Err(Usage::new(format!("'{word}' starts no section and is in none"))
                .help("a section is --name and its values, and -- starts extra arguments"));
        };
        let shown = format!("parameter {}", dialect::shouted(name));
        // These are parameters of type string, though others may give several.
        let single = ["image", "platform"].contains(&name);
        let count = match DIALECT.many(name) && !single {
            true => after.iter().take_while(|w| !w.starts_with("--")).count(),
            false if DIALECT.meaning(name).is_some() && after.is_empty() => {
                return Err(Usage::new(format!("{word} has no value")));
            }
            false => after.len().min(1),
        };
        DIALECT.put_items(&mut read, name, &after[..count], &shown)?;
        rest = &after[count..];
    }
    Ok(read)
}

/// Puts the bound workspaces first.
fn workspaces(read: &Read, job: &mut Job) {
    if let Some(dir) = read.own("dockerconfig") {
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
    if let Some(dir) = read.own("sslcertdir") {
        job.config.registry.ca_paths.push(PathBuf::from(dir));
    }
}

/// Reports to Tekton.
pub(crate) struct Tekton {
    read: Read,
}

impl Tekton {
    /// For a Task that was given this.
    fn new(read: Read) -> Self {
        Tekton { read }
    }

    /// Where a result goes: as the Task says, else where Tekton reads results.
    fn result_path(&self, result: &str) -> PathBuf {
        let named = self.read.own_items("results").iter().filter_map(|r| r.split_once('='));
        let path = named.filter(|(name, _)| *name == result).map(|(_, path)| PathBuf::from(path)).next();
        path.unwrap_or_else(|| Path::new("/tekton/results").join(result))
    }
}

impl Reporter for Tekton {
    fn sink(&self) -> Sink {
        Sink::Stdout
    }

    fn markup(&self, _: &Redactor) -> Box<dyn Markup> {
        Box::new(Bare)
    }

    fn complete(&self, job: &mut Job, _: &Env) -> Result<(), Usage> {
        workspaces(&self.read, job);
        Ok(())
    }

    fn nowhere(&self) -> Usage {
        Usage::new("there is nowhere to push the image to")
            .help("give the parameter IMAGE, or PUSH: \"false\" if the image shall not be pushed")
    }

    fn emit(&self, _: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        let (results, dropped) = results(&outcome.pushed, &outcome.digest.to_string());
        for text in dropped {
            events.warn(text);
        }
        for (name, value) in results {
            files::write(&self.result_path(name), value.as_bytes())?;
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
