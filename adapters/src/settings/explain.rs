//! `--explain`: what a build was told, by whom, what it comes to, and what will be written.

use std::fmt::Write as _;

use yadokari::config::{ContextSource, CredentialLocation};
use yadokari::image::Reference;

use super::key::{KEYS, Key, Kind};
use super::{Settings, Value};
use crate::cli::job::Job;
use crate::cli::progress::Redactor;
use crate::cli::secrets;
use crate::session::Reporter;

/// The explanation of one build, for people. Secrets are not in it.
pub(crate) fn explain(name: Option<&str>, settings: &Settings, job: &Job, reporter: &dyn Reporter) -> String {
    let mut out = String::new();
    if let Some(name) = name {
        let _ = writeln!(out, "target {name}\n"); // writing to a String cannot fail
    }
    section(&mut out, "told", &told(settings));
    section(&mut out, "which comes to", &build(job));
    section(&mut out, "written after the build", &written(job, reporter));
    section(
        &mut out,
        "remarks",
        &job.warnings.iter().map(|w| (w.clone(), String::new())).collect::<Vec<_>>(),
    );
    let redactor = Redactor::new(secrets::of(&job.config));
    redactor.redact(out)
}

fn section(out: &mut String, title: &str, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    let width = rows.iter().map(|(left, _)| left.chars().count()).filter(|n| *n <= 60).max().unwrap_or(0);
    let _ = writeln!(out, "{title}:");
    for (left, right) in rows {
        let line = format!("  {left:width$}  {right}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push('\n');
}

/// Every value that counts, with who gave it.
fn told(settings: &Settings) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for key in KEYS.iter().copied() {
        let name = key.name();
        let mut row = |value: &str, origin: &dyn std::fmt::Display| {
            let value = if key.secret() { "***" } else { value };
            rows.push((format!("{name} = {}", shown(key, value)), format!("({origin})")));
        };
        match key.kind() {
            Kind::List(_) | Kind::Pairs => {
                for (item, origin) in settings.items_given(key) {
                    row(item, origin);
                }
            }
            _ => {
                let all = settings.of(key);
                // Of texts that are kept each counts, of others the first of the strongest origin.
                let count = if key.merge() == super::Merge::Kept { all.len() } else { 1 };
                for given in all.into_iter().take(count) {
                    match &given.value {
                        Value::Text(text) => row(text, &given.origin),
                        Value::Boolean(value) => row(&value.to_string(), &given.origin),
                        Value::Items(_) => {}
                    }
                }
            }
        }
    }
    rows
}

/// One line of a value.
fn shown(key: Key, value: &str) -> String {
    let value = match (key, value.split_once('=')) {
        (Key::BuildArgs, Some((name, value))) if secrets::sounds_secret(name) && !value.is_empty() => {
            format!("{name}=***")
        }
        _ => value.to_owned(),
    };
    value.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

fn build(job: &Job) -> Vec<(String, String)> {
    let config = &job.config;
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((name.to_owned(), value));
    row(
        "context",
        match &config.context {
            ContextSource::Directory(path) | ContextSource::Archive(path) => path.display().to_string(),
            ContextSource::Stdin => "standard input".to_owned(),
            ContextSource::Url(url) => url.clone(),
            ContextSource::Git(git) => git.url.clone(),
            ContextSource::Empty => "nothing".to_owned(),
            #[allow(unreachable_patterns)] // more sources are being added
            _ => "elsewhere".to_owned(),
        },
    );
    row("dockerfile", config.dockerfile.display().to_string());
    row("target", config.target.clone().unwrap_or_else(|| "the last stage".to_owned()));
    let host = || format!("{} (this machine's)", yadokari::image::Platform::host());
    let platforms: Vec<String> = config.platforms.iter().map(ToString::to_string).collect();
    row("platform", if platforms.is_empty() { host() } else { platforms.join(", ") });
    for destination in &config.destinations {
        let verb = if config.push { "push to" } else { "name, not pushed" };
        row(verb, Reference::whole(destination));
    }
    if !config.push {
        row("push", "no".to_owned());
    }
    if let Some(epoch) = config.source_date_epoch {
        row("times", format!("none after {epoch}"));
    }
    for secret in &config.steps.secrets {
        row("secret of steps", secret.id.clone());
    }
    for location in &config.cache.from {
        row("cache read from", location.to_string());
    }
    for export in &config.cache.to {
        row("cache written to", export.location.to_string());
    }
    for source in &config.keychain.sources {
        let there = match &source.location {
            CredentialLocation::File(path) => path.exists(),
            _ => true,
        };
        if there {
            row("credentials from", source.name.clone());
        }
    }
    for path in &config.registry.ca_paths {
        row("certificates from", path.display().to_string());
    }
    rows
}

fn written(job: &Job, reporter: &dyn Reporter) -> Vec<(String, String)> {
    let files = &job.files;
    let mut rows = Vec::new();
    let fixed = [
        ("docker archive", &job.config.tar_path),
        ("OCI layout", &job.config.oci_layout_path),
        ("OCI archive", &job.config.oci_archive_path),
        ("digest", &files.digest),
        ("names with digest", &files.name),
        ("names, tags and digest", &files.name_tag),
        ("BuildKit's metadata", &files.metadata),
        ("results as NAME=VALUE", &files.environment),
    ];
    for (what, path) in fixed {
        rows.extend(path.as_ref().map(|path| (what.to_owned(), path.display().to_string())));
    }
    rows.extend(
        files.outputs.iter().map(|(name, path)| (name.output.to_owned(), path.display().to_string())),
    );
    rows.extend(reporter.emits(job));
    rows
}
