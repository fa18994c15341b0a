//! `yadokari ci`: recognises the platform, takes its inputs, reports in its format.

use std::path::Path;

use crate::env::Env;
use crate::orders::Order;
use crate::platforms::{self, SYSTEMS, System, gitea};
use crate::session::Reporter;
use crate::settings::{Key, Origin, Settings};
use crate::usage::Usage;
use crate::vocabulary::suggest;
use crate::{github, gitlab, joined, tekton};

/// A CI platform we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Tekton Pipelines
    Tekton,
    /// GitLab CI/CD
    Gitlab,
    /// GitHub Actions
    Github,
    /// Gitea and Forgejo Actions
    Gitea,
    /// One of those that work by variables and files
    Other(&'static System),
}

impl Platform {
    /// As in `yadokari ci <name>`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Platform::Tekton => "tekton",
            Platform::Gitlab => "gitlab",
            Platform::Github => "github",
            Platform::Gitea => "gitea",
            Platform::Other(system) => system.name,
        }
    }

    /// All of them, those first that are looked for first: a variable speaks for the job, Tekton's directories
    /// only for the pod, in which another system's agent may run.
    pub(crate) fn all() -> impl Iterator<Item = Platform> {
        let others = SYSTEMS.into_iter().map(Platform::Other);
        [Platform::Gitea, Platform::Github, Platform::Gitlab]
            .into_iter()
            .chain(others)
            .chain([Platform::Tekton])
    }
}

/// The platform this process runs on.
pub(crate) fn detect(env: &Env) -> Option<Platform> {
    detect_below(Path::new("/"), env)
}

fn detect_below(root: &Path, env: &Env) -> Option<Platform> {
    Platform::all().find(|platform| match platform {
        Platform::Tekton => tekton::detect(root),
        Platform::Gitlab => gitlab::detect(env),
        Platform::Github => github::detect(env),
        Platform::Gitea => gitea::detect(env),
        Platform::Other(system) => (system.detect)(env),
    })
}

/// Builds as the platform's inputs say; the exit code. The first of `words` may name the
/// platform.
///
/// # Errors
/// No platform, or inputs that make no build.
pub(crate) fn run(words: &[String], env: &Env) -> Result<u8, Usage> {
    let (platform, words) = match words.split_first() {
        Some((name, rest)) if !name.starts_with('-') => (named(name)?, rest),
        _ => (detect(env).ok_or_else(nowhere)?, words),
    };
    let (explain, words) = without_explain(words);
    let (index, words) = match words.split_first() {
        Some((first, rest)) if first == "index" => (true, rest),
        _ => (
            matches!(platform, Platform::Github | Platform::Gitea) && github::is_index(env)?,
            words.as_slice(),
        ),
    };
    let front = match platform {
        Platform::Tekton => tekton::front(words)?,
        Platform::Gitlab => gitlab::front(words, env)?,
        Platform::Github => github::front(words, env)?,
        Platform::Gitea => gitea::front(words, env)?,
        Platform::Other(system) => platforms::front(system, words, env)?,
    };
    if index && !explain {
        return joined::run(&front, env);
    }
    let order = Order { platform: Some(platform), settings: front.settings, explain };
    order.carry_out(env, front.reporter.as_ref())
}

/// `--explain` among the words, before any that are for the build alone.
fn without_explain(words: &[String]) -> (bool, Vec<String>) {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let mut words = words.to_vec();
    let found = words[..end].iter().position(|word| word == "--explain");
    if let Some(at) = found {
        words.remove(at);
    }
    (found.is_some(), words)
}

/// What a platform was told, and how it is told what came out.
pub(crate) struct Front {
    /// What it was told.
    pub(crate) settings: Settings,
    /// Who reports.
    pub(crate) reporter: Box<dyn Reporter>,
}

/// The words after `yadokari ci <platform>` where inputs are variables: more extra arguments.
///
/// # Errors
/// Never in practice: a list of words is a list.
pub(crate) fn more_arguments(settings: &mut Settings, words: &[String]) -> Result<(), Usage> {
    let words = match words.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => words,
    };
    settings.put_items(Key::ExtraArgs, words, Origin::input("the command line"))
}

fn named(name: &str) -> Result<Platform, Usage> {
    let spelling = if name == "forgejo" { "gitea" } else { name };
    Platform::all().find(|p| p.name() == spelling).ok_or_else(|| {
        let mut names: Vec<&str> = Platform::all().map(Platform::name).collect();
        names.sort_unstable();
        let error = Usage::new(format!("'{name}' is no CI platform we know"));
        match suggest(name, &names) {
            Some(other) => error.help(format!("did you mean {other}?")),
            None => error.help(format!("write one of {}", names.join(", "))),
        }
    })
}

fn nowhere() -> Usage {
    Usage::new("no CI platform is recognised by its variables")
        .help("name it, as in yadokari ci gitlab, or use yadokari build")
}
