//! GitLab CI/CD: inputs in `YADOKARI_*` variables, GitLab's own variables for what is not said,
//! results in a dotenv report, steps in collapsible sections.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use yadokari::config::{BuildOutcome, Isolation};
use yadokari::event::Events;

use crate::ci;
use crate::cli::job::Job;
use crate::cli::progress::{Markup, Redactor, Sink};
use crate::cli::{config, credentials, files, places};
use crate::env::Env;
use crate::inputs::{Inputs, extra_args};
use crate::session::{EmitError, Reporter};
use crate::usage::Usage;
use crate::vocabulary::Separator;

/// Inputs beside the common ones.
const INPUTS: [&str; 5] = ["image", "dockerfile", "dotenv", "ca-file", "push-from-forks"];

/// Whether this is a job. `GITLAB_CI` is there even where it is not `true` (gitlab-ci-local).
pub(crate) fn detect(env: &Env) -> bool {
    env.get("GITLAB_CI").is_some() || (env.get("CI_JOB_ID").is_some() && env.get("CI_SERVER_URL").is_some())
}

/// The build that the job's variables ask for.
///
/// # Errors
/// Values that make no build.
pub(crate) fn job(words: &[String], env: &Env) -> Result<(Job, Gitlab), Usage> {
    let inputs = Inputs::new(env, "YADOKARI_", &INPUTS)?;
    let mut flags = ci::flags(&extra_args(&inputs, words)?)?;
    let project = project(env);
    flags.context = project.display().to_string();
    inputs.lay_over(&mut flags)?;
    if let Some(dockerfile) = inputs.get("dockerfile") {
        dockerfile.trim().clone_into(&mut flags.dockerfile);
    }
    let (push, why) = push(&inputs, env)?;
    flags.result.no_push |= !push;
    if flags.destination.is_empty() || inputs.get("image").is_some() {
        let mut all = destinations(&inputs, env, push)?;
        all.append(&mut flags.destination);
        flags.destination = all;
    }
    let mut job = config::job(&flags, env)?;
    job.warnings.extend(why);
    job.config.keychain.sources.extend(credentials_of_the_job(env));
    let ca_files = [inputs.get("ca-file"), env.get("CI_SERVER_TLS_CA_FILE")];
    job.config.registry.ca_paths.extend(ca_files.into_iter().flatten().map(PathBuf::from));
    never_in_place_on_a_shared_host(&mut job, env)?;
    let dotenv = project.join(inputs.get("dotenv").unwrap_or("yadokari.env"));
    Ok((job, Gitlab { dotenv }))
}

/// The project's directory; a job starts in it, and where the runner's name for it does not exist
/// (gitlab-ci-local without containers) the working directory is all there is.
fn project(env: &Env) -> PathBuf {
    env.get("CI_PROJECT_DIR").map(PathBuf::from).filter(|p| p.is_dir()).unwrap_or_else(|| PathBuf::from("."))
}

/// Whether to push, and a remark where GitLab's variables decided against it: a merge request
/// from a fork is somebody else's code.
fn push(inputs: &Inputs<'_>, env: &Env) -> Result<(bool, Option<String>), Usage> {
    let push = inputs.boolean("push")?.unwrap_or(true);
    let fork = match (env.get("CI_MERGE_REQUEST_SOURCE_PROJECT_ID"), env.get("CI_MERGE_REQUEST_PROJECT_ID")) {
        (Some(source), Some(target)) => source != target,
        _ => false,
    };
    if push && fork && !inputs.boolean("push-from-forks")?.unwrap_or(false) {
        let why = "the merge request comes from a fork: the image is not pushed (input push-from-forks)";
        return Ok((false, Some(why.to_owned())));
    }
    Ok((push, None))
}

/// The input, or the project's registry; with the input `tags`, or the commit's tag or branch.
fn destinations(inputs: &Inputs<'_>, env: &Env, push: bool) -> Result<Vec<String>, Usage> {
    let Some(image) = inputs.get("image").or_else(|| env.get("CI_REGISTRY_IMAGE")) else {
        if !push {
            return Ok(Vec::new());
        }
        return Err(Usage::new("CI_REGISTRY_IMAGE is not set: the project's container registry is off")
            .help("turn it on under Settings > General > Visibility, or give the input image"));
    };
    let image = image.trim();
    let mut tags = inputs.list("tags", Separator::Comma)?;
    let has_tag = image.rsplit('/').next().is_some_and(|name| name.contains(':'));
    if tags.is_empty() && !has_tag {
        let commit = env.get("CI_COMMIT_TAG").or_else(|| env.get("CI_COMMIT_REF_SLUG"));
        tags.extend(commit.map(str::to_owned));
    }
    places::with_tags(image, &tags)
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
}

impl Reporter for Gitlab {
    fn sink(&self) -> Sink {
        Sink::Stdout
    }

    fn markup(&self, _: &Redactor) -> Box<dyn Markup> {
        Box::new(Sections::new(unix_time))
    }

    fn emit(&self, _: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        let tags: Vec<String> = outcome.pushed.iter().map(yadokari::image::Reference::whole).collect();
        let (text, dropped) = dotenv(&tags, outcome);
        if let Some(text) = dropped {
            events.warn(text);
        }
        write_dotenv(&self.dotenv, &text)
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
