//! Where credentials are looked for, in order; the first source that knows the registry wins.

use std::path::PathBuf;

use yadokari::config::{CloudConfig, CloudRegistry, CredentialLocation, CredentialSource, KeychainConfig};

use super::flags::Registry;
use crate::env::Env;
use crate::usage::Usage;

/// How the names of variables begin that the clouds' own tools read.
const CLOUDS: [&str; 10] = [
    "AWS_",
    "AZURE_",
    "CLOUDSDK_",
    "GCE_",
    "GOOGLE_",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "S3_ENDPOINT",
    "S3_FORCE_PATH_STYLE",
    "STORAGE_EMULATOR_HOST",
];

/// A source of credentials beside the files (kaniko's `--credential-helpers`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Helper {
    /// `KANIKO_<HOST>_USER` and `KANIKO_<HOST>_PASSWORD`.
    Env,
    /// A cloud's identity.
    Cloud(CloudRegistry),
    /// The variables that GitLab gives every job.
    Gitlab,
}

/// All of them, in kaniko's order.
pub(crate) const HELPERS: [(&str, Helper); 5] = [
    ("env", Helper::Env),
    ("google", Helper::Cloud(CloudRegistry::Google)),
    ("ecr", Helper::Cloud(CloudRegistry::Ecr)),
    ("acr", Helper::Cloud(CloudRegistry::Acr)),
    ("gitlab", Helper::Gitlab),
];

/// The helpers that were typed: all if none were, none for `""`.
///
/// # Errors
/// An unknown name.
pub(crate) fn helpers(typed: &[String]) -> Result<Vec<Helper>, Usage> {
    if typed.is_empty() {
        return Ok(HELPERS.iter().map(|(_, helper)| *helper).collect());
    }
    // kaniko's `default` is the files, which are always asked.
    let names = typed.iter().flat_map(|text| text.split(',')).map(str::trim);
    let names = names.filter(|name| !matches!(*name, "" | "default"));
    names
        .map(|name| {
            let known = HELPERS.iter().find(|(known, _)| *known == name).map(|(_, helper)| *helper);
            known.ok_or_else(|| {
                Usage::new(format!("--credential-helpers '{name}' is unknown")).help(
                    "write env, google, ecr, acr, gitlab or \"\"; other helpers are programs docker-credential-<name> on \
                     PATH that docker's config.json names under credHelpers",
                )
            })
        })
        .collect()
}

/// A source that is a file.
pub(crate) fn file(path: PathBuf) -> CredentialSource {
    CredentialSource { name: path.display().to_string(), location: CredentialLocation::File(path) }
}

/// A source that is a user name and a password from variables.
pub(crate) fn basic(name: &str, registry: &str, username: &str, password: &str) -> CredentialSource {
    CredentialSource {
        name: name.to_owned(),
        location: CredentialLocation::Basic {
            registry: registry.to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
        },
    }
}

/// The sources that the flags of a command mean: the file that they name, then those of [`sources`].
///
/// # Errors
/// The file is not there, or a helper is unknown.
pub(crate) fn of_flags(
    env: &Env,
    kaniko_dir: Option<&str>,
    flags: &Registry,
) -> Result<KeychainConfig, Usage> {
    let mut config = sources(env, kaniko_dir, &helpers(&flags.credential_helpers)?);
    if !flags.authfile.is_empty() {
        let path = PathBuf::from(&flags.authfile);
        // The places that everybody may have are skipped where they are not; this one was meant.
        std::fs::metadata(&path).map_err(|e| {
            Usage::new(format!("cannot read --authfile {}: {e}", path.display()))
                .help("`yadokari login --authfile FILE REGISTRY` writes one")
        })?;
        config.sources.insert(0, file(path));
    }
    Ok(config)
}

/// The sources every front has: docker's, kaniko's, containers' and Tekton's places, and after them
/// the helpers.
pub(crate) fn sources(env: &Env, kaniko_dir: Option<&str>, helpers: &[Helper]) -> KeychainConfig {
    let mut sources = Vec::new();
    if let Some(json) = env.get("DOCKER_AUTH_CONFIG") {
        sources.push(CredentialSource {
            name: "DOCKER_AUTH_CONFIG".to_owned(),
            location: CredentialLocation::Inline(json.to_owned()),
        });
    }
    for path in files(env, kaniko_dir) {
        sources.push(file(path));
    }
    for helper in helpers {
        match helper {
            Helper::Env => sources.extend(named(env)),
            Helper::Cloud(cloud) => sources.push(of_cloud(*cloud)),
            Helper::Gitlab => sources.extend(gitlab(env)),
        }
    }
    KeychainConfig { sources, clouds: clouds(env), withheld: withheld(env) }
}

/// Names of the variables with secrets that are for us alone: no helper has any use for them.
fn withheld(env: &Env) -> Vec<String> {
    let is_ours = |name: &str| {
        let of_host = name.starts_with("KANIKO_") && name.ends_with("_PASSWORD");
        of_host || ["DOCKER_AUTH_CONFIG", "GIT_TOKEN", "GIT_PASSWORD"].contains(&name)
    };
    env.iter().map(|(name, _)| name).filter(|name| is_ours(name)).map(str::to_owned).collect()
}

/// What the clouds' own tools read of the environment.
fn clouds(env: &Env) -> CloudConfig {
    let wanted = |name: &str| CLOUDS.iter().any(|start| name.starts_with(start));
    let variables = env.iter().filter(|(name, _)| wanted(name));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    CloudConfig { variables, home: Some(env.home()) }
}

fn of_cloud(cloud: CloudRegistry) -> CredentialSource {
    let name =
        HELPERS.iter().find(|(_, helper)| *helper == Helper::Cloud(cloud)).map_or("", |(name, _)| name);
    CredentialSource { name: name.to_owned(), location: CredentialLocation::Cloud(cloud) }
}

/// kaniko's variables for single hosts, the longest names first: they say most.
fn named(env: &Env) -> Vec<CredentialSource> {
    let mut sources: Vec<(String, CredentialSource)> = Vec::new();
    for (name, username) in env.iter() {
        let Some(host) = name.strip_prefix("KANIKO_").and_then(|rest| rest.strip_suffix("_USER")) else {
            continue;
        };
        let Some(password) = env.get(&format!("KANIKO_{host}_PASSWORD")) else { continue };
        let location = CredentialLocation::Named {
            host: host.to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
        };
        sources.push((host.to_owned(), CredentialSource { name: name.to_owned(), location }));
    }
    sources.sort_by_key(|(host, _)| std::cmp::Reverse(host.len()));
    sources.into_iter().map(|(_, source)| source).collect()
}

fn gitlab(env: &Env) -> Option<CredentialSource> {
    let (registry, user) = (env.get("CI_REGISTRY")?, env.get("CI_REGISTRY_USER")?);
    Some(basic("CI_REGISTRY_USER", registry, user, env.get("CI_REGISTRY_PASSWORD")?))
}

fn files(env: &Env, kaniko_dir: Option<&str>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut add = |path: PathBuf| {
        if !paths.contains(&path) {
            paths.push(path);
        }
    };
    if let Some(dir) = env.get("DOCKER_CONFIG") {
        add(PathBuf::from(dir).join("config.json"));
    }
    add(env.home().join(".docker/config.json"));
    if let Some(dir) = kaniko_dir {
        add(PathBuf::from(dir).join(".docker/config.json"));
    }
    add("/kaniko/.docker/config.json".into());
    if let Some(file) = env.get("REGISTRY_AUTH_FILE") {
        add(file.into());
    }
    if let Some(dir) = env.get("XDG_RUNTIME_DIR") {
        add(PathBuf::from(dir).join("containers/auth.json"));
    }
    let config = env.get("XDG_CONFIG_HOME").map_or_else(|| env.home().join(".config"), PathBuf::from);
    add(config.join("containers/auth.json"));
    // Tekton copies this to $HOME/.docker, but not where HOME is missing or read-only.
    add("/tekton/creds/.docker/config.json".into());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(config: &KeychainConfig) -> Vec<&str> {
        config.sources.iter().map(|s| s.name.as_str()).collect()
    }

    #[test]
    fn the_order_of_sources() {
        let env = Env::of(&[
            ("HOME", "/home/u"),
            ("DOCKER_AUTH_CONFIG", "{}"),
            ("DOCKER_CONFIG", "/cfg/"),
            ("REGISTRY_AUTH_FILE", "/auth.json"),
            ("XDG_RUNTIME_DIR", "/run/user/1"),
            ("KANIKO_EXAMPLE_USER", "u"),
            ("KANIKO_EXAMPLE_PASSWORD", "p"),
            ("KANIKO_REGISTRY_EXAMPLE_USER", "u"),
            ("KANIKO_REGISTRY_EXAMPLE_PASSWORD", "p"),
            ("KANIKO_LONELY_USER", "u"),
            ("AWS_REGION", "eu-west-1"),
            ("CI_REGISTRY", "registry.gitlab.example"),
            ("CI_REGISTRY_USER", "u"),
            ("CI_REGISTRY_PASSWORD", "p"),
        ]);
        let expected = [
            "DOCKER_AUTH_CONFIG",
            "/cfg/config.json",
            "/home/u/.docker/config.json",
            "/kaniko/.docker/config.json",
            "/auth.json",
            "/run/user/1/containers/auth.json",
            "/home/u/.config/containers/auth.json",
            "/tekton/creds/.docker/config.json",
            "KANIKO_REGISTRY_EXAMPLE_USER",
            "KANIKO_EXAMPLE_USER",
            "google",
            "ecr",
            "acr",
            "CI_REGISTRY_USER",
        ];
        let all = helpers(&[]).expect("right");
        let config = sources(&env, None, &all);
        assert_eq!(names(&config), expected);
        assert_eq!(config.clouds.variables.keys().collect::<Vec<_>>(), ["AWS_REGION"]);
        let files = sources(&env, None, &[]);
        assert_eq!(names(&files), expected[..8]);
    }

    #[test]
    fn the_file_that_was_typed_is_the_first() {
        let env = Env::of(&[("HOME", "/home/u"), ("DOCKER_AUTH_CONFIG", "{}")]);
        let there = tempfile::NamedTempFile::new().expect("a file");
        let flags = |path: &str| Registry { authfile: path.to_owned(), ..Registry::default() };
        let path = there.path().display().to_string();
        let config = of_flags(&env, None, &flags(&path)).expect("it is there");
        assert_eq!(names(&config)[..2], [path.as_str(), "DOCKER_AUTH_CONFIG"]);
        let error = of_flags(&env, None, &flags("/not/there.json")).expect_err("it is not");
        assert!(error.message.contains("/not/there.json") && error.help.is_some(), "{error:?}");
    }

    #[test]
    fn helpers_that_were_typed() {
        let read = |typed: &[&str]| helpers(&typed.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        let (env, ecr) = (Helper::Env, Helper::Cloud(CloudRegistry::Ecr));
        for (typed, expected) in [
            (vec![""], vec![]),
            (vec!["ecr", "env"], vec![ecr, env]),
            (vec!["default,ecr"], vec![ecr]),
            (vec!["gitlab"], vec![Helper::Gitlab]),
        ] {
            assert_eq!(read(&typed), Ok(expected), "{typed:?}");
        }
        assert_eq!(read(&[]).map(|all| all.len()), Ok(5));
        assert!(read(&["quay"]).is_err_and(|e| e.help.is_some()));
    }

    #[test]
    fn kanikos_own_environment_names_its_file_once() {
        let env = Env::of(&[("HOME", "/root"), ("DOCKER_CONFIG", "/kaniko/.docker/")]);
        let config = sources(&env, Some("/kaniko"), &[]);
        assert_eq!(names(&config).iter().filter(|n| n.starts_with("/kaniko")).count(), 1);
    }
}
