//! Woodpecker: a plugin's settings in `PLUGIN_*`, scalar lists joined by commas, everything else as JSON
//! (pipeline/frontend/yaml/compiler/settings); results in a file of the workspace, which all steps share.

use super::commit::Variables;
use super::drone::{self, DIALECT};
use super::{PLAIN, System, env_file};

pub(super) static SYSTEM: System = System {
    name: "woodpecker",
    title: "Woodpecker",
    detect: |env| env.get("CI") == Some("woodpecker") || env.get("CI_SYSTEM_NAME") == Some("woodpecker"),
    prefixes: &["PLUGIN_"],
    dialect: DIALECT,
    split: drone::items,
    settle: |read, env| {
        drone::settle(read, env, "CI_COMMIT_REF", "CI_REPO_DEFAULT_BRANCH")?;
        env_file(read, env, "CI_WORKSPACE")
    },
    complete: drone::complete,
    report: drone::report,
    commit: Variables {
        reference: &["CI_COMMIT_REF"],
        tag: &["CI_COMMIT_TAG"],
        branch: &["CI_COMMIT_BRANCH"],
        sha: &["CI_COMMIT_SHA"],
        pull_request: &["CI_COMMIT_PULL_REQUEST"],
        base: &["CI_COMMIT_TARGET_BRANCH"],
        main: &["CI_REPO_DEFAULT_BRANCH"],
        schedule: Some(("CI_PIPELINE_EVENT", "cron")),
    },
    ..PLAIN
};
