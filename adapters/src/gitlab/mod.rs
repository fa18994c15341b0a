//! GitLab CI/CD: inputs in `YADOKARI_*` variables, GitLab's own variables for what is not said,
//! results in reports of the job, steps in collapsible sections.

mod accounts;
mod commit;
mod dotenv;
mod links;
mod matrix;
mod quality;
mod sections;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use yadokari::config::{BuildOutcome, Isolation};
use yadokari::event::Events;

use crate::ci::{self, Front};
use crate::cli::files;
use crate::cli::job::Job;
use crate::cli::progress::{Markup, Redactor, Sink};
use crate::env::Env;
use crate::joined::Joined;
use crate::session::{EmitError, Reporter};
use crate::settings::dialect::{self, Dialect, Meaning, Read};
use crate::settings::land::TagRules;
use crate::settings::{Key, Origin, Settings};
use crate::several::Made;
use crate::tags::{self, Facts};
use crate::usage::Usage;
use quality::Findings;
use sections::Sections;

/// Inputs that no other platform has.
const DIALECT: Dialect = Dialect {
    noun: "input",
    spelling: dialect::kebab,
    names: &[
        ("platform", Meaning::Is(Key::Platforms)),
        ("file", Meaning::Is(Key::Dockerfile)),
        ("push-from-forks", Meaning::Own),
        ("oci-labels", Meaning::Own),
        ("dependency-proxy", Meaning::Own),
        ("dotenv", Meaning::Own),
        ("digests", Meaning::Own),
        ("code-quality", Meaning::Own),
        ("links", Meaning::Own),
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
    ci::more_arguments(&mut read.settings, words)?;
    let project = project(env);
    let settings = &mut read.settings;
    settings.put(Key::Context, &project.display().to_string(), Origin::platform("CI_PROJECT_DIR"))?;
    for (key, name) in [
        (Key::Image, "CI_REGISTRY_IMAGE"),
        (Key::CaFile, "CI_SERVER_TLS_CA_FILE"),
        (Key::SourceDateEpoch, "CI_COMMIT_TIMESTAMP"),
    ] {
        if let Some(value) = env.get(name) {
            settings.put_items(key, &[value.to_owned()], Origin::platform(name))?;
        }
    }
    if let Some((tag, name)) = commit::tag(env) {
        settings.put_items(Key::Tags, &[tag], Origin::platform(name))?;
    }
    if read.own_boolean("oci-labels")?.unwrap_or(true) {
        read.settings.put_items(Key::Labels, &commit::labels(env), Origin::platform("the commit"))?;
    }
    accounts::mirror(&mut read, env)?;
    let warning = fork(&mut read, env)?;
    let leg = matrix::Leg::of(&read, env)?;
    leg.rename(&mut read)?;
    let at = |name: &str, usual: &str| project.join(read.own(name).unwrap_or(usual));
    let reporter = Gitlab {
        dotenv: at("dotenv", "yadokari.env"),
        digests: at("digests", "yadokari-digests"),
        code_quality: at("code-quality", "gl-code-quality-report.json"),
        links: at("links", "yadokari-links.json"),
        page: links::registry_page(env),
        warning,
        leg,
        facts: commit::facts(env),
        unprotected: env.get("CI_COMMIT_REF_PROTECTED") == Some("false"),
        findings: Arc::new(Mutex::new(Findings::new(env))),
    };
    Ok((read.settings, reporter))
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
            job.config.rootfs.isolation = Isolation::Mounted;
            job.config.rootfs.force = false;
            Ok(())
        }
        Isolation::Mounted | Isolation::Overlay | Isolation::Chroot => Ok(()),
    }
}

/// Reports to GitLab.
#[derive(Debug)]
pub(crate) struct Gitlab {
    dotenv: PathBuf,
    digests: PathBuf,
    code_quality: PathBuf,
    links: PathBuf,
    page: Option<String>,
    warning: Option<String>,
    leg: matrix::Leg,
    facts: Facts,
    unprotected: bool,
    findings: Arc<Mutex<Findings>>,
}

impl Gitlab {
    fn write_findings(&self) -> Result<(), EmitError> {
        let report = quality::lock(&self.findings).report();
        Ok(files::write(&self.code_quality, report.as_bytes())?)
    }
}

impl Reporter for Gitlab {
    fn sink(&self) -> Sink {
        Sink::Stdout
    }

    fn markup(&self, _: &Redactor) -> Box<dyn Markup> {
        Box::new(Sections::new(sections::unix_time, Arc::clone(&self.findings)))
    }

    fn tags(&self, rules: &TagRules) -> Result<Vec<String>, Usage> {
        let names = tags::names(rules, &self.facts)?;
        Ok(names.iter().map(|name| self.leg.tag(name)).collect())
    }

    fn images(&self, _: &Job) -> Result<Vec<String>, Usage> {
        matrix::images(&self.digests)
    }

    fn emit_index(&self, _: &Job, joined: &Joined, events: &Events) -> Result<(), EmitError> {
        let (text, dropped) = dotenv::of_index(joined);
        if let Some(text) = dropped {
            events.warn(text);
        }
        files::write(&self.dotenv, text.as_bytes())?;
        let links = links::of(&joined.pushed, &joined.digest, self.page.as_deref());
        Ok(files::write(&self.links, links.as_bytes())?)
    }

    fn nowhere(&self) -> Usage {
        Usage::new("CI_REGISTRY_IMAGE is not set: the project's container registry is off")
            .help("turn it on under Settings > General > Visibility, or give the input image")
    }

    fn complete(&self, job: &mut Job, env: &Env) -> Result<(), Usage> {
        job.warnings.extend(self.warning.clone());
        job.config.keychain.sources.extend(accounts::of_the_job(env));
        never_in_place_on_a_shared_host(job, env)
    }

    fn emit(&self, _: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError> {
        self.write_findings()?;
        let (text, dropped) = dotenv::of(outcome, &self.leg.suffix());
        if let Some(text) = dropped {
            events.warn(text);
        }
        files::write(&self.dotenv, text.as_bytes())?;
        if let Some(first) = outcome.pushed.first() {
            let reference = format!("{}/{}@{}\n", first.registry(), first.repository(), outcome.digest);
            let name = matrix::slugs(outcome.images.iter().map(|image| &image.platform));
            files::write(&self.digests.join(name), reference.as_bytes())?;
            let links = links::of(&outcome.pushed, &outcome.digest, self.page.as_deref());
            files::write(&self.links, links.as_bytes())?;
        }
        Ok(())
    }

    fn emit_all(&self, made: &[Made<'_>], events: &Events) -> Result<(), EmitError> {
        if let [one] = made {
            return self.emit(one.job, &one.outcome, events);
        }
        self.write_findings()?;
        let (text, left_out) = dotenv::of_several(made, &self.leg.suffix());
        for name in left_out {
            events.warn(format!("the results of {name} are left out: GitLab takes no larger report"));
        }
        Ok(files::write(&self.dotenv, text.as_bytes())?)
    }

    fn emits(&self, job: &Job) -> Vec<(String, String)> {
        let mut all = vec![
            ("dotenv report: IMAGE_DIGEST, IMAGE_URL, IMAGE_REF, IMAGE_TAGS and others", &self.dotenv),
            ("code quality report", &self.code_quality),
        ];
        if job.config.push {
            all.push(("file for the index job", &self.digests));
            all.push(("annotations report: links to the image", &self.links));
        }
        all.into_iter().map(|(what, path)| (what.to_owned(), path.display().to_string())).collect()
    }

    fn fail(&self, _: &str) -> Result<(), EmitError> {
        self.write_findings()
    }

    fn explain(&self, report: &str) -> Option<String> {
        accounts::explain(report, self.unprotected)
    }
}

#[cfg(test)]
mod tests;
