//! Drone and Harness: a plugin's settings in `PLUGIN_*`, with the names of their kaniko plugin
//! (drone/drone-kaniko, `cmd/kaniko-docker/main.go`), results in the file that `$DRONE_OUTPUT` names and in the
//! artifact file.

mod tags;

use std::path::Path;

use serde_json::json;
use yadokari::config::{CredentialLocation, CredentialSource};

use super::commit::Variables;
use super::sinks::Results;
use super::{PLAIN, System, sinks};
use crate::cli::credentials;
use crate::cli::job::Job;
use crate::env::Env;
use crate::session::EmitError;
use crate::settings::dialect::{Dialect, Meaning, Read, kebab};
use crate::settings::{Key, Origin};
use crate::usage::Usage;

pub(super) static SYSTEM: System = PLUGIN;

/// Harness gives plugins what Drone gives them.
pub(super) static HARNESS: System = System {
    name: "harness",
    title: "Harness CI",
    detect: |env| ["HARNESS_BUILD_ID", "HARNESS_ACCOUNT_ID"].iter().any(|name| env.get(name).is_some()),
    ..PLUGIN
};

/// What runs plugins as Drone does.
const PLUGIN: System = System {
    name: "drone",
    title: "Drone",
    detect: |env| env.get("DRONE") == Some("true"),
    prefixes: &["PLUGIN_"],
    dialect: DIALECT,
    split: items,
    settle: |read, env| settle(read, env, "DRONE_COMMIT_REF", "DRONE_REPO_BRANCH"),
    complete,
    commit: COMMIT,
    gives: ("variables", "$DRONE_OUTPUT"),
    report,
    ..PLAIN
};

const COMMIT: Variables = Variables {
    reference: &["DRONE_COMMIT_REF"],
    tag: &["DRONE_TAG"],
    branch: &["DRONE_BRANCH"],
    sha: &["DRONE_COMMIT_SHA"],
    pull_request: &["DRONE_PULL_REQUEST"],
    base: &["DRONE_TARGET_BRANCH"],
    main: &["DRONE_REPO_BRANCH"],
    schedule: Some(("DRONE_BUILD_EVENT", "cron")),
};

/// The names of the plugins for kaniko.
pub(super) const DIALECT: Dialect = Dialect {
    noun: "setting",
    spelling: |name| kebab(name).replace('-', "_"),
    defaults: &[],
    names: &[
        ("repo", Meaning::Is(Key::Image)),
        ("file", Meaning::Is(Key::Dockerfile)),
        ("platform", Meaning::Is(Key::Platforms)),
        ("custom-platform", Meaning::Is(Key::Platforms)),
        ("destination", Meaning::Is(Key::Destinations)),
        ("custom-labels", Meaning::Is(Key::Labels)),
        ("registry-mirrors", Meaning::Is(Key::Mirrors)),
        ("insecure-registry", Meaning::Is(Key::InsecureRegistries)),
        ("skip-tls-verify", Meaning::Not(Key::TlsVerify)),
        ("skip-tls-verify-registry", Meaning::Is(Key::SkipTlsVerifyRegistries)),
        ("enable-cache", Meaning::Is(Key::Cache)),
        ("no-push", Meaning::Not(Key::Push)),
        ("dry-run", Meaning::Not(Key::Push)),
        ("destination-tar-path", Meaning::Is(Key::TarPath)),
        ("ignore-path", Meaning::Is(Key::IgnorePaths)),
        ("cache-ttl", Meaning::Own),
        ("config", Meaning::Own),
        ("docker-registry", Meaning::Own),
        ("docker-username", Meaning::Own),
        ("docker-password", Meaning::Own),
        ("base-image-registry", Meaning::Own),
        ("base-image-username", Meaning::Own),
        ("base-image-password", Meaning::Own),
        ("auto-tag", Meaning::Own),
        ("auto-tag-suffix", Meaning::Own),
        ("expand-tag", Meaning::Own),
        ("expand-repo", Meaning::Own),
        ("build-args-new", Meaning::Own),
        ("multiple-build-args", Meaning::Own),
        ("artifact-file", Meaning::Own),
        ("env-file", Meaning::Own),
        // Flags of kaniko's that are no keys.
        ("cache-copy-layers", Meaning::Own),
        ("cache-run-layers", Meaning::Own),
        ("cleanup", Meaning::Own),
        ("compressed-caching", Meaning::Own),
        ("force", Meaning::Own),
        ("ignore-var-run", Meaning::Own),
        ("image-download-retry", Meaning::Own),
        ("image-fs-extract-retry", Meaning::Own),
        ("image-name-tag-with-digest-file", Meaning::Own),
        ("image-name-with-digest-file", Meaning::Own),
        ("insecure", Meaning::Own),
        ("insecure-pull", Meaning::Own),
        ("log-timestamp", Meaning::Own),
        ("push-retry", Meaning::Own),
        ("registry-certificate", Meaning::Own),
        ("registry-client-cert", Meaning::Own),
        ("skip-default-registry-fallback", Meaning::Own),
        ("skip-push-permission-check", Meaning::Own),
        ("skip-tls-verify-pull", Meaning::Own),
        ("skip-unused-stages", Meaning::Own),
        ("snapshot-mode", Meaning::Own),
        ("use-new-run", Meaning::Own),
    ],
};

/// The first of [`DIALECT`]'s names that is a flag of `yadokari build` with the same name.
const FIRST_FLAG: &str = "cache-copy-layers";

/// `NAME=VALUE` items that were joined by commas: a comma separates where a name follows, so that values may
/// have commas. A text of several lines, or a JSON array, was not joined.
pub(super) fn items(text: &str) -> Option<Vec<String>> {
    if text.contains('\n') || text.trim_start().starts_with('[') {
        return None;
    }
    let mut items: Vec<String> = Vec::new();
    for part in text.split(',') {
        match items.last_mut() {
            Some(last) if !starts_an_item(part) => {
                last.push(',');
                last.push_str(part);
            }
            _ => items.push(part.to_owned()),
        }
    }
    Some(items.into_iter().map(|item| item.trim().to_owned()).collect())
}

fn starts_an_item(part: &str) -> bool {
    part.trim_start().split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
    })
}

/// Gives the plugin's settings the meaning that they have there. `reference` and `branch` are the variables with
/// the commit's reference and with the repository's main branch.
pub(super) fn settle(read: &mut Read, env: &Env, reference: &str, branch: &str) -> Result<(), Usage> {
    if read.own("env-file").is_some() {
        return Err(Usage::new("the setting env_file, a file with more settings, is not supported").help(
            "write the settings in the pipeline; results go into a file with output_files: IMAGE_DIGEST=PATH",
        ));
    }
    flags(read)?;
    if let Some(hours) = read.own("cache-ttl").map(str::trim) {
        let unit = if hours.parse::<u64>().is_ok() { "h" } else { "" };
        let ttl = format!("{hours}{unit}");
        read.settings.put(Key::CacheTtl, &ttl, Origin::input("setting cache_ttl"))?;
    }
    if read.own_boolean("multiple-build-args")?.unwrap_or(false) {
        let items = read.own("build-args-new").unwrap_or_default().split(';').map(str::to_owned);
        let items: Vec<String> = items.collect();
        read.settings.put_items(Key::BuildArgs, &items, Origin::input("setting build_args_new"))?;
    }
    registry(read)?;
    tags::settle(read, env.get(reference), env.get(branch))
}

fn flags(read: &mut Read) -> Result<(), Usage> {
    let names = DIALECT.names.iter().map(|(name, _)| *name).skip_while(|name| *name != FIRST_FLAG);
    let words: Vec<String> =
        names.filter_map(|name| Some(format!("--{name}={}", read.own(name)?.trim()))).collect();
    read.settings.put_items(Key::ExtraArgs, &words, Origin::input("settings of kaniko's names"))
}

/// `registry` may be written as docker's index is; `expand_repo` puts it before `repo`.
fn registry(read: &mut Read) -> Result<(), Usage> {
    let Some(given) = read.settings.text(Key::Registry).map(str::to_owned) else { return Ok(()) };
    let address = given.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let index = matches!(host, "index.docker.io" | "docker.io");
    let host = if index { "docker.io" } else { host };
    read.settings.put(Key::Registry, host, Origin::decided("setting registry"))?;
    let images = read.settings.items(Key::Image);
    if !index && read.own_boolean("expand-repo")?.unwrap_or(false) {
        let whole = [host, path.trim_matches('/')].join("/");
        let whole = whole.trim_end_matches('/');
        let expanded: Vec<String> = images
            .iter()
            .map(|image| match image.starts_with(&format!("{whole}/")) {
                true => image.clone(),
                false => format!("{whole}/{image}"),
            })
            .collect();
        read.settings.put_items(Key::Image, &expanded, Origin::decided("setting expand_repo"))?;
    }
    Ok(())
}

/// The accounts that the plugin has beside `registry`, `username` and `password`.
pub(super) fn complete(job: &mut Job, read: &Read, _: &Env) -> Result<(), Usage> {
    let mut sources = Vec::new();
    if let Some(json) = read.own("config") {
        let location = CredentialLocation::Inline(json.to_owned());
        sources.push(CredentialSource { name: "setting config".to_owned(), location });
    }
    for prefix in ["docker", "base-image"] {
        let own = |name: &str| read.own(&format!("{prefix}-{name}")).map(str::trim);
        if let (Some(registry), Some(username), Some(password)) =
            (own("registry"), own("username"), own("password"))
        {
            let name = format!("setting {}_registry", prefix.replace('-', "_"));
            let host = registry.trim_start_matches("https://").split('/').next().unwrap_or(registry);
            sources.push(credentials::basic(&name, host, username, password));
        }
    }
    job.config.keychain.sources.splice(0..0, sources);
    Ok(())
}

/// Writes the files that later steps, and Harness' list of artifacts, are made of.
pub(super) fn report(results: &Results<'_>, read: &Read, env: &Env) -> Result<(), EmitError> {
    if let Some(path) = env.get("DRONE_OUTPUT") {
        let mut lines = format!("digest={}\n", results.get("digest").unwrap_or_default());
        if let Some(tar) = read.settings.text(Key::TarPath) {
            lines += &format!("tar_path={tar}\n");
        }
        sinks::append(Path::new(path), &(lines + &results.lines(|name, value| format!("{name}={value}"))))?;
    }
    let Some(path) = read.own("artifact-file") else { return Ok(()) };
    let pushed =
        results.outcomes().flat_map(|outcome| outcome.pushed.iter().map(move |image| (image, outcome)));
    let images: Vec<_> = pushed
        .clone()
        .map(|(image, outcome)| json!({ "image": image.whole(), "digest": outcome.digest.to_string() }))
        .collect();
    let host = pushed.map(|(image, _)| image.registry()).next().unwrap_or_default();
    let data = json!({ "registryType": "Docker", "registryUrl": host, "publicUrl": "", "images": images });
    sinks::json(Path::new(path.trim()), &json!({ "kind": "docker/v1", "data": data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_separates_where_a_name_follows() {
        for (text, expected) in [
            ("A=1,B=2", vec!["A=1", "B=2"]),
            ("A=1,2,3", vec!["A=1,2,3"]),
            ("A=1,2,B=x=y", vec!["A=1,2", "B=x=y"]),
            ("A=", vec!["A="]),
            ("A", vec!["A"]),
            ("org.x/y=1, b.c=2", vec!["org.x/y=1", "b.c=2"]),
        ] {
            assert_eq!(items(text).unwrap(), expected, "{text}");
        }
        assert_eq!(items("[\"A=1\"]"), None);
        assert_eq!(items("A=1\nB=2"), None);
    }

    #[test]
    fn every_name_of_kanikos_is_a_flag() {
        let names = DIALECT.names.iter().map(|(name, _)| *name).skip_while(|name| *name != FIRST_FLAG);
        for name in names {
            let value = match name {
                "snapshot-mode" => "redo",
                name if name.ends_with("-file") || name.starts_with("registry-c") => "a=/x",
                name if name.ends_with("retry") => "1",
                _ => "true",
            };
            let parsed = crate::front::flags(&[format!("--{name}={value}")]);
            assert!(parsed.is_ok(), "--{name}: {:?}", parsed.err());
        }
    }
}
