//! Bitbucket Pipelines: results as variables of later steps, which name them under `output-variables`. A pipe's
//! lists come as `NAME_0`, `NAME_1`, … and `NAME_COUNT`.

use std::path::Path;

use super::commit::Variables;
use super::{PLAIN, System, commit, sinks};

pub(super) static SYSTEM: System = System {
    name: "bitbucket",
    title: "Bitbucket Pipelines",
    detect: |env| env.get("BITBUCKET_BUILD_NUMBER").is_some(),
    gives: ("variables", "$BITBUCKET_PIPELINES_VARIABLES_PATH"),
    report: |results, _, env| {
        let lines = results.lines(|name, value| format!("{name}={value}"));
        let file = env.get("BITBUCKET_PIPELINES_VARIABLES_PATH").map(Path::new);
        let shared = env.get("BITBUCKET_PIPE_SHARED_STORAGE_DIR").map(Path::new);
        if let Some(path) = file {
            sinks::append(path, &lines)?;
        }
        // Pipes of one step see each other's files, and no variables.
        if let Some(directory) = shared.filter(|directory| directory.is_dir()) {
            sinks::write(&directory.join("yadokari.env"), &lines)?;
        }
        if file.is_none() && shared.is_none() {
            results
                .events
                .warn("BITBUCKET_PIPELINES_VARIABLES_PATH is not set: later steps do not see the results");
        }
        Ok(())
    },
    commit: Variables {
        tag: &["BITBUCKET_TAG"],
        branch: &["BITBUCKET_BRANCH"],
        sha: &["BITBUCKET_COMMIT"],
        pull_request: &["BITBUCKET_PR_ID"],
        base: &["BITBUCKET_PR_DESTINATION_BRANCH"],
        ..commit::UNKNOWN
    },
    ..PLAIN
};
