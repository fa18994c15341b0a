//! `yadokari ci`: recognises the platform, takes its inputs, reports in its format.

use std::path::Path;

use crate::cli::flags::Flags;
use crate::env::Env;
use crate::front;
use crate::session::{self, Reporter};
use crate::usage::Usage;
use crate::vocabulary::suggest;
use crate::{github, gitlab, tekton};

/// A CI platform we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Tekton Pipelines
    Tekton,
    /// GitLab CI/CD
    Gitlab,
    /// GitHub Actions, Gitea and Forgejo
    Github,
}

impl Platform {
    /// As in `yadokari ci <name>`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Platform::Tekton => "tekton",
            Platform::Gitlab => "gitlab",
            Platform::Github => "github",
        }
    }
}

const ALL: [Platform; 3] = [Platform::Tekton, Platform::Gitlab, Platform::Github];

/// The platform this process runs on.
pub(crate) fn detect(env: &Env) -> Option<Platform> {
    detect_below(Path::new("/"), env)
}

/// A variable speaks for the job; Tekton's directories only for the pod, in which another
/// system's agent may run.
fn detect_below(root: &Path, env: &Env) -> Option<Platform> {
    ALL.into_iter().rev().find(|platform| match platform {
        Platform::Tekton => tekton::detect(root),
        Platform::Gitlab => gitlab::detect(env),
        Platform::Github => github::detect(env),
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
    let (job, reporter): (_, Box<dyn Reporter>) = match platform {
        Platform::Tekton => {
            let inputs = tekton::Inputs::parse(words)?;
            let job = tekton::job(&inputs, env)?;
            (job, Box::new(tekton::Tekton::new(inputs)))
        }
        Platform::Gitlab => {
            let (job, reporter) = gitlab::job(words, env)?;
            (job, Box::new(reporter))
        }
        Platform::Github => {
            let (job, reporter) = github::job(words, env)?;
            (job, Box::new(reporter))
        }
    };
    session::run(&job, env, reporter.as_ref())
}

fn named(name: &str) -> Result<Platform, Usage> {
    ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| {
        let names = ALL.map(Platform::name);
        let error = Usage::new(format!("'{name}' is no CI platform we know"));
        match suggest(name, &names) {
            Some(other) => error.help(format!("did you mean {other}?")),
            None => error.help(format!("write one of {}", names.join(", "))),
        }
    })
}

fn nowhere() -> Usage {
    Usage::new("no CI platform is recognised: neither Tekton, GitLab CI nor GitHub Actions")
        .help("name it, as in yadokari ci gitlab, or use yadokari build")
}

/// The flags a platform starts from: the defaults, and what the user gave as extra arguments.
///
/// # Errors
/// What is wrong with the extra arguments.
pub(crate) fn flags(extra: &[String]) -> Result<Flags, Usage> {
    front::flags(extra).map_err(|text| {
        let text = text.trim_start_matches("error: ").lines().next().unwrap_or_default();
        Usage::new(format!("in the extra arguments: {text}"))
            .help("give each argument as an item of its own; yadokari build --help lists them")
    })
}
