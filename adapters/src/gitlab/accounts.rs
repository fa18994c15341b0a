//! Accounts at registries that a job has by itself, and the group's dependency proxy.

use yadokari::config::CredentialSource;

use crate::cli::credentials;
use crate::env::Env;
use crate::settings::dialect::Read;
use crate::settings::{Key, Origin};
use crate::usage::Usage;

/// The job token, the dependency proxy and the deploy token, for hosts that no file knows.
pub(super) fn of_the_job(env: &Env) -> Vec<CredentialSource> {
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

/// Lets Docker Hub's images come through the group's dependency proxy, if that is asked for.
///
/// # Errors
/// The group has none.
pub(super) fn mirror(read: &mut Read, env: &Env) -> Result<(), Usage> {
    if !read.own_boolean("dependency-proxy")?.unwrap_or(false) {
        return Ok(());
    }
    let Some(prefix) = env.get("CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX") else {
        return Err(Usage::new(
            "the input dependency-proxy is true, and CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX is not set: \
             the project is in no group, or the group's dependency proxy is off",
        )
        .help("turn it on in the group under Settings > Packages and registries, or leave the input out"));
    };
    let mut mirrors = vec![prefix.to_owned()];
    mirrors.extend(read.settings.items(Key::Mirrors));
    read.settings.put_items(Key::Mirrors, &mirrors, Origin::decided("input dependency-proxy"))
}

/// Why a registry that wants credentials got none, where GitLab kept them back.
pub(super) fn explain(report: &str, unprotected: bool) -> Option<String> {
    let refused = report.contains("give credentials for ");
    (refused && unprotected).then(|| {
        "this branch or tag is not protected, and GitLab gives protected variables to jobs of protected ones \
         only: protect it under Settings > Repository, or turn off \"Protect variable\" where the credentials are kept"
            .to_owned()
    })
}
