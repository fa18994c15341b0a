//! The CI systems that two engines serve: inputs are variables with a prefix ([`inputs`]), results go into
//! files and lines ([`sinks`]), and the log is folded and fenced ([`markup`]). One file a system says how.

mod argo;
mod azure;
mod bitbucket;
mod buildkite;
mod circleci;
pub(crate) mod cloudbuild;
mod codebuild;
mod commit;
mod drone;
mod fork;
pub(crate) mod gitea;
mod inputs;
mod jenkins;
mod markup;
mod sinks;
mod spinnaker;
mod teamcity;
mod travis;
mod woodpecker;

use yadokari::config::BuildOutcome;
use yadokari::event::Events;

use crate::ci::{self, Front};
use crate::cli::job::Job;
use crate::cli::log::Format;
use crate::cli::progress::{Markup, Redactor, Sink};
use crate::env::Env;
use crate::session::{EmitError, Reporter};
use crate::settings::dialect::{Dialect, Meaning, Read, kebab};
use crate::settings::land::TagRules;
use crate::settings::{Key, Origin};
use crate::several::{self, Made};
use crate::tags;
use crate::usage::Usage;

use commit::Variables;
use markup::Folds;
use sinks::{Image, Results};

/// A CI system.
pub(crate) struct System {
    /// As in `yadokari ci NAME`.
    pub(crate) name: &'static str,
    /// As its makers write it.
    pub(crate) title: &'static str,
    /// Whether these are its variables. Where several say so the first of [`SYSTEMS`] is meant.
    pub(crate) detect: fn(&Env) -> bool,
    /// What the variables of inputs start with.
    prefixes: &'static [&'static str],
    /// What inputs are called.
    dialect: Dialect,
    /// Splits `NAME=VALUE` items that come as one text, where the system joins them in a way of its own.
    split: fn(&str) -> Option<Vec<String>>,
    /// Adds what the system knows, weaker than what its user says.
    settle: fn(&mut Read, &Env) -> Result<(), Usage>,
    /// What the report must know of the time before the build.
    before: fn(&Env) -> Option<String>,
    /// Adds what no setting says.
    complete: fn(&mut Job, &Read, &Env) -> Result<(), Usage>,
    /// Whether its variables say that somebody else's code is built.
    fork: fn(&Env) -> bool,
    /// What it says of the commit.
    commit: Variables,
    /// How the log is marked up.
    folds: Folds,
    /// What the report is, and where it goes, for people.
    gives: (&'static str, &'static str),
    /// Reports a success.
    report: fn(&Results<'_>, &Read, &Env) -> Result<(), EmitError>,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for System {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for System {}

/// What most systems have in common.
const PLAIN: System = System {
    name: "",
    title: "",
    detect: |_| false,
    prefixes: &["YADOKARI_"],
    dialect: DIALECT,
    split: |_| None,
    settle: |_, _| Ok(()),
    before: |_| None,
    complete: |_, _, _| Ok(()),
    fork: |_| false,
    commit: commit::UNKNOWN,
    folds: markup::NONE,
    gives: ("", ""),
    report: |_, _, _| Ok(()),
};

const DIALECT: Dialect = Dialect { noun: "input", spelling: kebab, defaults: &[], names: NAMES };

/// Names that are no keys, everywhere.
const NAMES: &[(&str, Meaning)] = &[
    ("file", Meaning::Is(Key::Dockerfile)),
    ("platform", Meaning::Is(Key::Platforms)),
    ("destination", Meaning::Is(Key::Destinations)),
    ("push-from-forks", Meaning::Own),
];

/// Every system, in the order in which they are looked for: what runs inside of another comes first, such as
/// Jenkins' agents in CodeBuild, and what is only an environment for something else last.
pub(crate) static SYSTEMS: [&System; 14] = [
    &buildkite::SYSTEM,
    &circleci::SYSTEM,
    &travis::SYSTEM,
    &azure::SYSTEM,
    &bitbucket::SYSTEM,
    &teamcity::SYSTEM,
    &woodpecker::SYSTEM,
    &drone::HARNESS,
    &drone::SYSTEM,
    &jenkins::SYSTEM,
    &codebuild::SYSTEM,
    &cloudbuild::SYSTEM,
    &argo::SYSTEM,
    &spinnaker::SYSTEM,
];

/// Whether this is a plugin of a system that starts a plugin's image as it is, and gives it settings.
pub(crate) fn is_plugin(env: &Env) -> bool {
    let plugins = [&woodpecker::SYSTEM, &drone::HARNESS, &drone::SYSTEM];
    env.iter().any(|(name, _)| name.starts_with("PLUGIN_"))
        && plugins.iter().any(|system| (system.detect)(env))
}

/// What the variables of a system ask for; `words` are more flags of `yadokari build`.
///
/// # Errors
/// Values that make no build.
pub(crate) fn front(system: &'static System, words: &[String], env: &Env) -> Result<Front, Usage> {
    let mut read = inputs::read(&system.dialect, system.prefixes, system.split, env)?;
    ci::more_arguments(&mut read.settings, words)?;
    read.settings.put(Key::Context, ".", Origin::platform("the working directory"))?;
    (system.settle)(&mut read, env)?;
    let warning = fork::refuse((system.fork)(env), system.prefixes[0], &mut read)?;
    let settings = read.settings.clone();
    let native = Native { system, read, env: env.clone(), before: (system.before)(env), warning };
    Ok(Front { settings, reporter: Box::new(native) })
}

/// Writes results as `NAME=VALUE` lines into a file of the job's directory, where nobody says otherwise: for
/// systems that hand on files only.
fn env_file(read: &mut Read, env: &Env, directory: &str) -> Result<(), Usage> {
    let path = env.get(directory).map(std::path::Path::new).filter(|path| path.is_dir());
    let path = path.unwrap_or(std::path::Path::new("")).join("yadokari.env");
    read.settings.put(Key::EnvFile, &path.display().to_string(), Origin::platform(directory))
}

/// Reports to a system.
struct Native {
    system: &'static System,
    read: Read,
    env: Env,
    before: Option<String>,
    /// What was decided against its user's word.
    warning: Option<String>,
}

impl Reporter for Native {
    fn sink(&self) -> Sink {
        Sink::Stdout
    }

    fn markup(&self, _: &Redactor) -> Box<dyn Markup> {
        Box::new(markup::Folding::new(self.system.folds))
    }

    fn nowhere(&self) -> Usage {
        let prefix = self.system.prefixes[0];
        let image = if self.system.dialect.meaning("repo").is_some() { "REPO" } else { "IMAGE" };
        Usage::new("there is nowhere to push the image to").help(format!(
            "set {prefix}{image}, such as registry.example.com/team/app, or {prefix}PUSH=false"
        ))
    }

    fn tags(&self, rules: &TagRules) -> Result<Vec<String>, Usage> {
        match commit::facts(&self.system.commit, &self.env, jiff::Timestamp::now()) {
            Some(facts) => tags::names(rules, &facts),
            None => Err(Usage::new(format!(
                "tag-rules: no variable of {} says which commit this is",
                self.system.title
            ))
            .help("name the tags: tags")),
        }
    }

    fn complete(&self, job: &mut Job, env: &Env) -> Result<(), Usage> {
        if self.system.folds.reads_log && job.log.format == Format::Json {
            return Err(Usage::new(format!(
                "--log-format=json would let what commands print reach {} as commands",
                self.system.title
            ))
            .help("leave it out"));
        }
        job.warnings.extend(self.warning.clone());
        (self.system.complete)(job, &self.read, env)
    }

    fn emit(&self, job: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        self.report(vec![Image { suffix: String::new(), config: &job.config, outcome }], events)
    }

    fn emit_all(&self, made: &[Made<'_>], events: &Events) -> Result<(), EmitError> {
        let images = made.iter().map(|made| Image {
            suffix: format!("_{}", several::variable(made.name)),
            config: &made.job.config,
            outcome: &made.outcome,
        });
        match images.collect::<Vec<_>>() {
            images if images.is_empty() => Ok(()),
            images => self.report(images, events),
        }
    }

    fn emits(&self, _: &Job) -> Vec<(String, String)> {
        match self.system.gives {
            ("", _) => Vec::new(),
            (what, place) => {
                // A variable's value, where it is one.
                let path = self.env.get(place.trim_start_matches('$')).unwrap_or(place);
                vec![(what.to_owned(), path.to_owned())]
            }
        }
    }
}

impl Native {
    fn report(&self, images: Vec<Image<'_>>, events: &Events) -> Result<(), EmitError> {
        let before = self.before.as_deref();
        (self.system.report)(&Results { images, events, before }, &self.read, &self.env)
    }
}

#[cfg(test)]
mod tests;
