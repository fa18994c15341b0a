//! Jenkins: results in a file of the workspace that `readProperties` and a shell read. Stages are Jenkins' own
//! folds, and `withCredentials` masks.

use super::commit::Variables;
use super::{PLAIN, System, commit, env_file};

pub(super) static SYSTEM: System = System {
    name: "jenkins",
    title: "Jenkins",
    // Agents have the address as well; a build has a number.
    detect: |env| env.get("JENKINS_URL").is_some() && env.get("BUILD_NUMBER").is_some(),
    settle: |read, env| env_file(read, env, "WORKSPACE"),
    // Of a multibranch project: the fork that the change comes from.
    fork: |env| env.get("CHANGE_FORK").is_some(),
    commit: Variables {
        tag: &["TAG_NAME"],
        branch: &["BRANCH_NAME", "GIT_BRANCH"],
        sha: &["GIT_COMMIT"],
        pull_request: &["CHANGE_ID"],
        base: &["CHANGE_TARGET"],
        ..commit::UNKNOWN
    },
    ..PLAIN
};
