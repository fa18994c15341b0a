//! The inputs of build-push-action and of metadata-action, and ours.

use jiff::Timestamp;

use super::{Github, facts};
use crate::ci;
use crate::env::Env;
use crate::settings::dialect::{self, Dialect, Meaning, Read};
use crate::settings::{Key, Origin, Settings};
use crate::tags::{self, Facts, Metadata, Rules};
use crate::usage::Usage;

/// build-push-action's names, and what only a runner passes. A line of `tags` is a whole reference.
const PLAIN: Dialect = Dialect {
    noun: "input",
    spelling: dialect::kebab,
    names: &[
        ("tags", Meaning::Is(Key::Destinations)),
        ("file", Meaning::Is(Key::Dockerfile)),
        ("secrets", Meaning::Is(Key::SecretValues)),
        ("mode", Meaning::Own),
        ("digests", Meaning::Own),
        ("images", Meaning::Own),
        ("github-token", Meaning::Own),
        ("artifacts", Meaning::Own),
        ("builder", Meaning::Own),
        ("cgroup-parent", Meaning::Own),
        ("shm-size", Meaning::Own),
        ("ulimit", Meaning::Own),
        ("allow", Meaning::Own),
        // The runner's own for docker actions:
        ("args", Meaning::Own),
        ("entrypoint", Meaning::Own),
    ],
    defaults: &[(Key::Context, "."), (Key::Push, "false")],
};

/// With the input `images` these are metadata-action's.
const RULED: [&str; 4] = ["tags", "flavor", "labels", "annotations"];

/// What is left out, because no image differs by it, and why.
const IGNORED: [(&str, &str); 5] = [
    ("builder", "there is no builder to choose"),
    ("cgroup-parent", "commands run in the cgroup of this job"),
    ("shm-size", "commands use this machine's /dev/shm"),
    ("ulimit", "commands have the limits of this job"),
    ("allow", "an instruction that needs more than this job may do says so itself"),
];

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Builds an image.
    Build,
    /// Joins images that are there.
    Index,
}

/// What the step does.
///
/// # Errors
/// Nothing that there is.
pub(super) fn mode(env: &Env) -> Result<Mode, Usage> {
    match variable(env, "mode").unwrap_or("build") {
        "build" => Ok(Mode::Build),
        "index" => Ok(Mode::Index),
        mode => Err(Usage::new(format!("there is no mode {mode}")).help("write build or index")),
    }
}

/// What the inputs say.
pub(super) struct Told {
    /// What everybody understands.
    pub(super) settings: Settings,
    /// What only this platform does.
    pub(super) github: Github,
}

/// Reads the step's inputs.
///
/// # Errors
/// Values that make no build.
pub(super) fn read(words: &[String], env: &Env) -> Result<Told, Usage> {
    let mut github = Github::new(env);
    let images = env.get("INPUT_IMAGES").filter(|images| !images.trim().is_empty());
    let mut read = match images {
        Some(_) => variables_but(env, &RULED)?,
        None => PLAIN.variables(env, "INPUT_")?,
    };
    let given = |name: &str| variable(env, name).unwrap_or_default();
    let texts = RULED.map(given);
    let dated = texts.iter().chain([&given("tag-rules")]).any(|text| text.contains("commit_date"));
    let facts = facts::of(env, Timestamp::now(), dated);
    if let Some(images) = images {
        let [tags, flavor, labels, annotations] = texts;
        let rules = Rules {
            images,
            tags,
            flavor,
            labels,
            annotations,
            short_sha: env.get("DOCKER_METADATA_SHORT_SHA_LENGTH"),
            levels: env.get("DOCKER_METADATA_ANNOTATIONS_LEVELS"),
        };
        let metadata = tags::metadata(&rules, &facts)?;
        let annotated = !annotations.is_empty() || rules.levels.is_some();
        apply(&metadata, annotated, &mut read.settings)?;
        github.warnings.extend(metadata.warnings.iter().cloned());
        github.metadata = Some(metadata);
    }
    notice(&read, &mut github.notices);
    context(&mut read, &facts, env)?;
    github.artifacts = read.own_boolean("artifacts")?.unwrap_or(false);
    github.joins = mode(env)? == Mode::Index;
    github.digests = read.own("digests").unwrap_or_default().to_owned();
    github.facts = Some(facts);
    let mut settings = read.settings;
    ci::more_arguments(&mut settings, words)?;
    settings.put(Key::Context, ".", Origin::platform("default of GitHub"))?;
    // build-push-action's default, which is no other platform's.
    settings.put(Key::Push, "false", Origin::platform("default of GitHub"))?;
    Ok(Told { settings, github })
}

/// An input by either of its spellings.
fn variable<'a>(env: &'a Env, name: &str) -> Option<&'a str> {
    let name = format!("INPUT_{}", name.to_ascii_uppercase());
    env.get(&name).or_else(|| env.get(&name.replace('-', "_"))).map(str::trim).filter(|text| !text.is_empty())
}

/// The inputs without these.
fn variables_but(env: &Env, names: &[&str]) -> Result<Read, Usage> {
    let kept =
        |variable: &str| !names.iter().any(|n| variable == format!("INPUT_{}", n.to_ascii_uppercase()));
    PLAIN.variables(&env.filtered(kept), "INPUT_")
}

/// Puts what rules came to where plain inputs would have gone.
fn apply(metadata: &Metadata, annotated: bool, settings: &mut Settings) -> Result<(), Usage> {
    let pairs =
        |pairs: &[(String, String)]| pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    settings.put_items(Key::Destinations, &metadata.tags, Origin::input("input tags"))?;
    settings.put_items(Key::Labels, &pairs(&metadata.labels), Origin::input("input labels"))?;
    if annotated {
        settings.put_items(
            Key::Annotations,
            &metadata.leveled_annotations(),
            Origin::input("input annotations"),
        )?;
    }
    // A build argument without a value asks for what a step before would have exported.
    let exported = super::outputs::exported(metadata);
    let asked = settings.items(Key::BuildArgs).into_iter().filter_map(|name| {
        let (_, value) = exported.iter().find(|(known, _)| *known == name)?;
        Some(format!("{name}={value}"))
    });
    let asked: Vec<String> = asked.collect();
    settings.put_items(Key::BuildArgs, &asked, Origin::decided("output of metadata"))
}

/// Says what has no effect.
fn notice(read: &Read, notices: &mut Vec<String>) {
    for (input, why) in IGNORED {
        if read.own(input).is_some() {
            notices.push(format!("the input {input} has no effect: {why}"));
        }
    }
}

/// `{{defaultContext}}`, and the token for it.
fn context(read: &mut Read, facts: &Facts, env: &Env) -> Result<(), Usage> {
    let Some(context) = read.settings.text(Key::Context).map(str::to_owned) else { return Ok(()) };
    let Some(default) = facts::default_context(env) else { return Ok(()) };
    let filled = tags::fill(&context, "defaultContext", &default)?;
    if filled != context {
        read.settings.put(Key::Context, &filled, Origin::decided("input context"))?;
    }
    let server = env.get("GITHUB_SERVER_URL").unwrap_or_default();
    let host = server.split_once("://").map_or(server, |(_, host)| host);
    let own = filled.starts_with(&format!("{server}/{}", env.get("GITHUB_REPOSITORY").unwrap_or_default()));
    let secrets = read.settings.items(Key::SecretValues);
    let has_one = secrets.iter().any(|secret| secret.starts_with("GIT_AUTH_TOKEN"));
    if let Some(token) = read.own("github-token").filter(|_| own && !has_one && !facts.sha.is_empty()) {
        let secret = format!("GIT_AUTH_TOKEN.{host}={}", token.trim());
        read.settings.put_items(Key::SecretValues, &[secret], Origin::input("input github-token"))?;
    }
    Ok(())
}
