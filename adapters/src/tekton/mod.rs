//! Tekton: the Task's parameters arrive as words in sections, results are files without a newline.
//!
//! An array parameter can only be an argument list, and may be empty, so the Task passes
//! `--build-args $(params.BUILD_ARGS[*]) --labels … -- $(params.EXTRA_ARGS[*])`: a word with two
//! dashes starts a section, and no item of an array starts so.

mod git;
mod results;
mod workspace;

use std::path::{Path, PathBuf};

use yadokari::config::BuildOutcome;
use yadokari::event::Events;
use yadokari::image::Platform;

use crate::ci::Front;
use crate::cli::files;
use crate::cli::job::Job;
use crate::cli::progress::{Bare, Markup, Redactor, Sink};
use crate::env::Env;
use crate::joined::Joined;
use crate::session::{EmitError, Reporter};
use crate::settings::dialect::{self, Dialect, Meaning, Read};
use crate::settings::land::TagRules;
use crate::settings::{Key, Origin};
use crate::several::Made;
use crate::tags;
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
        // Where the workspaces are; empty where they are not bound.
        ("source", Meaning::Own),
        ("dockerconfig", Meaning::Own),
        ("credentials-once", Meaning::Own),
        ("sslcertdir", Meaning::Own),
        ("ssh-dir", Meaning::Own),
        ("output-dir", Meaning::Own),
        // What the source is.
        ("git-url", Meaning::Own),
        ("git-revision", Meaning::Own),
        ("git-ref", Meaning::Own),
        ("git-default-branch", Meaning::Own),
        ("results", Meaning::OwnItems),
        // What is joined in an index.
        ("images", Meaning::OwnItems),
    ],
    defaults: &[(Key::Dockerfile, "./Dockerfile"), (Key::Push, "true"), (Key::TlsVerify, "true")],
};

/// What the Task's parameters ask for.
///
/// # Errors
/// Words that make no sections, or values that make no build.
pub(crate) fn front(words: &[String]) -> Result<Front, Usage> {
    let mut read = sections(words)?;
    let has_source = words.iter().any(|word| word == "--source");
    if let Some(context) = workspace::context(&read, has_source)? {
        // Targets of a configuration file have contexts of their own.
        let origin = match read.settings.text(Key::Context) {
            Some(_) => Origin::decided("workspace source"),
            None => Origin::platform("workspace source"),
        };
        read.settings.put(Key::Context, &context, origin)?;
    }
    let labels = git::labels(&read);
    read.settings.put_items(
        Key::Labels,
        &labels,
        Origin::platform("the parameters GIT_URL and GIT_REVISION"),
    )?;
    let tags = read.settings.items(Key::Tags);
    if tags.iter().any(|tag| tag.contains(PLATFORM)) {
        let platform = slug(&read)?;
        let tags: Vec<String> = tags.iter().map(|tag| tag.replace(PLATFORM, &platform)).collect();
        read.settings.put_items(Key::Tags, &tags, Origin::decided("parameter TAGS"))?;
    }
    Ok(Front { settings: read.settings.clone(), reporter: Box::new(Tekton::new(read)) })
}

/// What stands in a tag for the platform. A matrix's builds share their parameters, and need tags of their own.
const PLATFORM: &str = "{{platform}}";

/// The platforms as a part of a tag: `linux-arm64`.
fn slug(read: &Read) -> Result<String, Usage> {
    let mut platforms = Vec::new();
    for text in read.settings.items(Key::Platforms).iter().flat_map(|item| item.split(',')) {
        platforms.push(text.trim().parse().map_err(|e| Usage::new(format!("parameter PLATFORM: {e}")))?);
    }
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    let slugs: Vec<String> = platforms.iter().map(|p| p.to_string().replace('/', "-")).collect();
    Ok(slugs.join("-"))
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
        // The parameter's default, which is no choice: what counts is where the workspace is.
        if (name, &after[..count]) != ("context", &["./".to_owned()]) {
            DIALECT.put_items(&mut read, name, &after[..count], &shown)?;
        }
        rest = &after[count..];
    }
    Ok(read)
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

    /// Where a result goes: as the Task says; where it says nothing at all, where Tekton reads results.
    fn result_path(&self, result: &str) -> Option<PathBuf> {
        let named = self.read.own_items("results");
        if named.is_empty() {
            return Some(Path::new("/tekton/results").join(result));
        }
        let mut named = named.iter().filter_map(|r| r.split_once('='));
        named.find(|(name, _)| *name == result).map(|(_, path)| PathBuf::from(path))
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
        workspace::complete(&self.read, job)
    }

    fn tags(&self, rules: &TagRules) -> Result<Vec<String>, Usage> {
        tags::names(rules, &git::facts(&self.read)?)
    }

    fn images(&self, _: &Job) -> Result<Vec<String>, Usage> {
        let images = self.read.own_items("images");
        match images.is_empty() {
            true => Err(Usage::new("the parameter IMAGES is empty: there is nothing to join")
                .help("give it the results of the builds: $(tasks.build.results.IMAGE_REF[*])")),
            false => Ok(images.iter().map(|image| image.trim().to_owned()).collect()),
        }
    }

    fn emit_index(&self, _: &Job, joined: &Joined, events: &Events) -> Result<(), EmitError> {
        self.write(results::of_index(&self.image(), joined), events)
    }

    fn nowhere(&self) -> Usage {
        Usage::new("there is nowhere to push the image to")
            .help("give the parameter IMAGE, or PUSH: \"false\" if the image shall not be pushed")
    }

    fn emit(&self, _: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        self.write(results::of(&self.image(), outcome), events)
    }

    /// A Task declares its results: of several images IMAGES has all, and the others are the first one's.
    fn emit_all(&self, made: &[Made<'_>], events: &Events) -> Result<(), EmitError> {
        let Some(first) = made.first() else { return Ok(()) };
        let images: Vec<String> = made.iter().flat_map(|made| results::references(&made.outcome)).collect();
        self.write(results::of_several(&self.image(), &first.outcome, &images), events)
    }

    fn emits(&self, job: &Job) -> Vec<(String, String)> {
        let names =
            ["IMAGE_DIGEST", "IMAGE_URL", "IMAGE_SIZE", "IMAGE_REF", "IMAGES", "image_ARTIFACT_OUTPUTS"];
        let paths = names.into_iter().filter(|_| job.config.push).filter_map(|name| {
            Some((format!("result {name}"), self.result_path(name)?.display().to_string()))
        });
        paths.collect()
    }
}

impl Tekton {
    /// The parameter `IMAGE`.
    fn image(&self) -> String {
        self.read.settings.items(Key::Image).into_iter().next().unwrap_or_default()
    }

    fn write(
        &self,
        (results, dropped): (Vec<(&'static str, String)>, Vec<String>),
        events: &Events,
    ) -> Result<(), EmitError> {
        for text in dropped {
            events.warn(text);
        }
        for (name, value) in results {
            if let Some(path) = self.result_path(name) {
                files::write(&path, value.as_bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
