//! GitLab CI/CD: inputs in `YADOKARI_*` variables, GitLab's own variables for what is not said,
//! results in a dotenv report, steps in collapsible sections.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use yadokari::config::{BuildOutcome, Isolation};
use yadokari::event::Events;

use crate::ci::{self, Front};
use crate::cli::job::Job;
use crate::cli::progress::{Markup, Redactor, Sink};
use crate::cli::{credentials, files};
use crate::env::Env;
use crate::session::{EmitError, Reporter};
use crate::settings::dialect::{self, Dialect, Meaning, Read};
use crate::settings::{Key, Origin, Settings};
use crate::several::{self, Made};
use crate::usage::Usage;

/// Inputs that no other platform has.
const DIALECT: Dialect = Dialect {
    noun: "input",
    spelling: dialect::kebab,
    names: &[
        ("dotenv", Meaning::Own),
        ("push-from-forks", Meaning::Own),
        ("platform", Meaning::Is(Key::Platforms)),
        ("file", Meaning::Is(Key::Dockerfile)),
    ],
    defaults: &[(Key::Context, "."), (Key::Dockerfile, "Dockerfile"), (Key::Push, "true")],
};

/// Whether this is a job. `GITLAB_CI` is there even where it is not `true` (gitlab-ci-local).
pub(crate) fn detect(env: &Env) -> bool {
    env.get("GITLAB_CI").is_some() || (env.get("CI_JOB_ID").is_some() && env.get("CI_SERVER_URL").is_some())
}

/// What the job's variables ask for.
///
/// # Errors
/// Values that make no build.
pub(crate) fn front(words: &[String], env: &Env) -> Result<Front, Usage> {
    let (settings, reporter) = read(words, env)?;
    Ok(Front { settings, reporter: Box::new(reporter) })
}

fn read(words: &[String], env: &Env) -> Result<(Settings, Gitlab), Usage> {
    let mut read = DIALECT.variables(env, "YADOKARI_")?;
    let settings = &mut read.settings;
    ci::more_arguments(settings, words)?;
    let project = project(env);
    settings.put(Key::Context, &project.display().to_string(), Origin::platform("CI_PROJECT_DIR"))?;
    for (key, variables) in [
        (Key::Image, ["CI_REGISTRY_IMAGE"].as_slice()),
        (Key::Tags, &["CI_COMMIT_TAG", "CI_COMMIT_REF_SLUG"]),
        (Key::CaFile, &["CI_SERVER_TLS_CA_FILE"]),
    ] {
        let set = variables.iter().find_map(|name| Some((*name, env.get(name)?)));
        if let Some((name, value)) = set {
            settings.put_items(key, &[value.to_owned()], Origin::platform(name))?;
        }
    }
    let warning = fork(&mut read, env)?;
    let dotenv = project.join(read.own("dotenv").unwrap_or("yadokari.env"));
    Ok((read.settings, Gitlab { dotenv, warning }))
}

/// The project's directory; a job starts in it, and where the runner's name for it does not exist
/// (gitlab-ci-local without containers) the working directory is all there is.
fn project(env: &Env) -> PathBuf {
    env.get("CI_PROJECT_DIR").map(PathBuf::from).filter(|p| p.is_dir()).unwrap_or_else(|| PathBuf::from("."))
}

/// Decides against a push, with a remark, where GitLab's variables say that the merge request comes from a
/// fork: that is somebody else's code.
fn fork(read: &mut Read, env: &Env) -> Result<Option<String>, Usage> {
    let fork = match (env.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"), env.get("CI_MERGE_REQUEST_PROJECT_ID")) {
        (Some(source), Some(target)) => source != target,
        _ => false,
    };
    let push = read.settings.boolean(Key::Push).unwrap_or(true);
    if !push || !fork || read.own_boolean("push-from-forks")?.unwrap_or(false) {
        return Ok(None);
    }
    read.settings.put(Key::Push, "false", Origin::decided("a merge request from a fork"))?;
    Ok(Some(
        "the merge request comes from a fork: the image is not pushed (input push-from-forks)".to_owned(),
    ))
}

/// The job token, the dependency proxy and the deploy token, for hosts that no file knows.
fn credentials_of_the_job(env: &Env) -> Vec<yadokari::config::CredentialSource> {
    let mut sources = Vec::new();
    if let (Some(registry), Some(token)) = (env.get("CI_REGISTRY"), env.get("CI_JOB_TOKEN")) {
        sources.push(credentials::basic("CI_JOB_TOKEN", registry, "gitlab-ci-token", token));
    }
    if let (Some(server), Some(user), Some(password)) = (
        env.get("CI_DEPENDENCY_PROXY_SERVER"),
        env.get("CI_DEPENDENCY_PROXY_USER"),
        env.get("CI_DEPENDENCY_PROXY_PASSWORD"),
    ) {
        // References to it are written with and without the port.
        let name = "CI_DEPENDENCY_PROXY_USER";
        sources.push(credentials::basic(name, server, user, password));
        if let Some(host) = server.strip_suffix(":443") {
            sources.push(credentials::basic(name, host, user, password));
        }
    }
    if let (Some(registry), Some(user), Some(password)) =
        (env.get("CI_REGISTRY"), env.get("CI_DEPLOY_USER"), env.get("CI_DEPLOY_PASSWORD"))
    {
        sources.push(credentials::basic("CI_DEPLOY_USER", registry, user, password));
    }
    sources
}

/// Shell and SSH executors run jobs on the runner's own machine (`CI_SHARED_ENVIRONMENT`), whose
/// root is nothing to swap.
fn never_in_place_on_a_shared_host(job: &mut Job, env: &Env) -> Result<(), Usage> {
    if env.get("CI_SHARED_ENVIRONMENT").is_none() {
        return Ok(());
    }
    match job.config.rootfs.isolation {
        Isolation::Inplace => Err(Usage::new(
            "this job runs on the runner's own machine (CI_SHARED_ENVIRONMENT is set): building in place would swap its files",
        )
        .help("use a runner with the docker or kubernetes executor, or --isolation=overlay")),
        Isolation::Auto => {
            job.config.rootfs.isolation = Isolation::Overlay;
            job.config.rootfs.force = false;
            Ok(())
        }
        Isolation::Overlay | Isolation::Chroot => Ok(()),
    }
}

/// Reports to GitLab.
#[derive(Debug)]
pub(crate) struct Gitlab {
    dotenv: PathBuf,
    warning: Option<String>,
}

impl Reporter for Gitlab {
    fn sink(&self) -> Sink {
        Sink::Stdout
    }

    fn markup(&self, _: &Redactor) -> Box<dyn Markup> {
        Box::new(Sections::new(unix_time))
    }

    fn nowhere(&self) -> Usage {
        Usage::new("CI_REGISTRY_IMAGE is not set: the project's container registry is off")
            .help("turn it on under Settings > General > Visibility, or give the input image")
    }

    fn complete(&self, job: &mut Job, env: &Env) -> Result<(), Usage> {
        job.warnings.extend(self.warning.clone());
        job.config.keychain.sources.extend(credentials_of_the_job(env));
        never_in_place_on_a_shared_host(job, env)
    }

    fn emit(&self, _: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        let tags: Vec<String> = outcome.pushed.iter().map(yadokari::image::Reference::whole).collect();
        let (text, dropped) = dotenv(&tags, outcome);
        if let Some(text) = dropped {
            events.warn(text);
        }
        write_dotenv(&self.dotenv, &text)
    }

    fn emit_all(&self, made: &[Made<'_>], events: &Events) -> Result<(), EmitError> {
        let mut text = String::new();
        for Made { name, outcome, .. } in made {
            // The names of one image's results, with the target's behind each.
            let (lines, _) = dotenv(&[], outcome);
            let first = outcome.pushed.first();
            let more = first.map_or_else(String::new, |r| {
                format!(
                    "IMAGE_URL={}\nIMAGE_REF={}/{}@{}\n",
                    r.whole(),
                    r.registry(),
                    r.repository(),
                    outcome.digest
                )
            });
            let suffix = several::variable(name);
            let lines = format!("{lines}{more}");
            let lines: String =
                lines.lines().map(|line| line.replacen('=', &format!("_{suffix}="), 1) + "\n").collect();
            if text.len() + lines.len() > DOTENV_LIMIT {
                events.warn(format!("the results of {name} are left out: GitLab takes no larger report"));
                continue;
            }
            text += &lines;
        }
        write_dotenv(&self.dotenv, &text)
    }

    fn emits(&self, _: &Job) -> Vec<(String, String)> {
        let what = "dotenv report: IMAGE_DIGEST, IMAGE_URL, IMAGE_REF, IMAGE_TAGS".to_owned();
        vec![(what, self.dotenv.display().to_string())]
    }
}

fn write_dotenv(path: &Path, text: &str) -> Result<(), EmitError> {
    Ok(files::write(path, text.as_bytes())?)
}

/// GitLab refuses larger dotenv reports.
const DOTENV_LIMIT: usize = 5 * 1024;

/// The report: letters, digits and underscores in names, no spaces or quotes in values, one line
/// each. Without a push only the digest: the rest would name an image that is not there.
fn dotenv(tags: &[String], outcome: &BuildOutcome) -> (String, Option<String>) {
    let mut text = format!("IMAGE_DIGEST={}\n", outcome.digest);
    let (Some(first), Some(url)) = (outcome.pushed.first(), tags.first()) else { return (text, None) };
    text += &format!("IMAGE_URL={url}\n");
    text += &format!("IMAGE_REF={}/{}@{}\n", first.registry(), first.repository(), outcome.digest);
    let room = DOTENV_LIMIT.saturating_sub(text.len() + "IMAGE_TAGS=\n".len());
    let mut list = String::new();
    let mut dropped = None;
    for (n, tag) in tags.iter().enumerate() {
        if list.len() + 1 + tag.len() > room {
            dropped = Some(format!(
                "IMAGE_TAGS has the first {n} of {} tags: GitLab takes no larger report",
                tags.len()
            ));
            break;
        }
        if n > 0 {
            list.push(',');
        }
        list.push_str(tag);
    }
    text += &format!("IMAGE_TAGS={list}\n");
    (text, dropped)
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Collapsible sections of the job log.
struct Sections {
    now: fn() -> u64,
    number: usize,
}

impl Sections {
    fn new(now: fn() -> u64) -> Self {
        Sections { now, number: 0 }
    }
}

impl Markup for Sections {
    fn open(&mut self, title: &str) -> String {
        self.number += 1;
        format!("\x1b[0Ksection_start:{}:yadokari_step_{}\r\x1b[0K{title}\n", (self.now)(), self.number)
    }

    fn close(&mut self) -> String {
        format!("\x1b[0Ksection_end:{}:yadokari_step_{}\r\x1b[0K\n", (self.now)(), self.number)
    }
}

#[cfg(test)]
#[path = "gitlab_tests.rs"]
mod tests;
