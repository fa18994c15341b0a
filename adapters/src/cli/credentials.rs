//! Where credentials are looked for, in order; the first source that knows the registry wins.

use std::path::PathBuf;

use yadokari::config::{CredentialLocation, CredentialSource, KeychainConfig};

use crate::env::Env;

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

/// The sources every front has: docker's, kaniko's, containers' and Tekton's places, and at the
/// end the variables that GitLab gives every job, if `gitlab`.
pub(crate) fn sources(env: &Env, kaniko_dir: Option<&str>, gitlab: bool) -> KeychainConfig {
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
    if let (true, Some(registry), Some(user), Some(password)) =
        (gitlab, env.get("CI_REGISTRY"), env.get("CI_REGISTRY_USER"), env.get("CI_REGISTRY_PASSWORD"))
    {
        sources.push(basic("CI_REGISTRY_USER", registry, user, password));
    }
    KeychainConfig { sources }
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
            "CI_REGISTRY_USER",
        ];
        assert_eq!(names(&sources(&env, None, true)), expected);
        assert!(!names(&sources(&env, None, false)).contains(&"CI_REGISTRY_USER"));
    }

    #[test]
    fn kanikos_own_environment_names_its_file_once() {
        let env = Env::of(&[("HOME", "/root"), ("DOCKER_CONFIG", "/kaniko/.docker/")]);
        let config = sources(&env, Some("/kaniko"), true);
        assert_eq!(names(&config).iter().filter(|n| n.starts_with("/kaniko")).count(), 1);
    }
}
