//! Buildkite: a plugin's settings in `BUILDKITE_PLUGIN_YADOKARI_*`, results in the build's meta-data, log groups.
//!
//! Groups start at a line that begins with `---`, `+++`, `~~~` or `^^^ +++`, and have no end
//! (<https://buildkite.com/docs/pipelines/configure/managing-log-output>).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::commit::Variables;
use super::markup::Folds;
use super::sinks::Results;
use super::{DIALECT, PLAIN, System, commit, fork};
use crate::env::Env;
use crate::settings::Key;
use crate::settings::dialect::{Dialect, Meaning, Read};

pub(super) static SYSTEM: System = System {
    name: "buildkite",
    title: "Buildkite",
    detect: |env| env.get("BUILDKITE") == Some("true"),
    prefixes: &["YADOKARI_", "BUILDKITE_PLUGIN_YADOKARI_"],
    dialect: Dialect {
        names: &[
            ("file", Meaning::Is(Key::Dockerfile)),
            ("platform", Meaning::Is(Key::Platforms)),
            ("destination", Meaning::Is(Key::Destinations)),
            ("meta-data-prefix", Meaning::Own),
            ("push-from-forks", Meaning::Own),
        ],
        ..DIALECT
    },
    before: |env| agent(env).map(|agent| agent.seal()),
    folds: FOLDS,
    gives: ("meta-data of the build", "buildkite-agent"),
    report: |results, read, env| {
        meta_data(results, read, env);
        Ok(())
    },
    fork: |env| fork::differ(env, "BUILDKITE_PULL_REQUEST_REPO", "BUILDKITE_REPO"),
    commit: Variables {
        tag: &["BUILDKITE_TAG"],
        branch: &["BUILDKITE_BRANCH"],
        sha: &["BUILDKITE_COMMIT"],
        pull_request: &["BUILDKITE_PULL_REQUEST"],
        base: &["BUILDKITE_PULL_REQUEST_BASE_BRANCH"],
        main: &["BUILDKITE_PIPELINE_DEFAULT_BRANCH"],
        schedule: Some(("BUILDKITE_SOURCE", "schedule")),
        ..commit::UNKNOWN
    },
    ..PLAIN
};

const FOLDS: Folds = Folds {
    open: |_, title| format!("--- {title}\n"),
    close: |_, _| String::new(),
    guard,
    // An error opens the group it is in; its text follows.
    issue: |place| match place.severity {
        crate::cli::progress::Severity::Error => "^^^ +++\n".to_owned(),
        crate::cli::progress::Severity::Warning => String::new(),
    },
    reads_log: true,
};

/// A line of others that would start a group.
fn guard(line: &str) -> String {
    let starts = ["---", "+++", "~~~", "^^^"];
    match starts.iter().any(|start| line.starts_with(start)) {
        true => format!(" {line}"),
        false => line.to_owned(),
    }
}

/// The agent's program, as it is now.
struct Agent {
    path: PathBuf,
    /// What cannot be set back by who changes a file.
    identity: (u64, u64, i64, i64, u64),
}

impl Agent {
    fn seal(&self) -> String {
        format!("{:?} {}", self.identity, self.path.display())
    }
}

/// The program on the path, where this is a job with access to its build.
fn agent(env: &Env) -> Option<Agent> {
    env.get("BUILDKITE_AGENT_ACCESS_TOKEN")?;
    let places = env.get("BUILDKITE_BIN_PATH").into_iter().chain(env.get("PATH")?.split(':'));
    let found = places.map(|place| Path::new(place).join("buildkite-agent")).find(|path| path.is_file())?;
    let path = found.canonicalize().ok()?;
    let meta = path.metadata().ok()?;
    Some(Agent { path, identity: (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.size()) })
}

/// Sets the results; a build whose image is pushed does not fail because the agent does.
fn meta_data(results: &Results<'_>, read: &Read, env: &Env) {
    let Some(agent) = agent(env) else {
        return results.events.warn("no buildkite-agent can be run here: the build gets no meta-data");
    };
    // A step that runs in place is root where the agent lies, and the agent is handed the job's token.
    if results.before != Some(agent.seal().as_str()) {
        return results
            .events
            .warn("buildkite-agent was changed while building: the build gets no meta-data");
    }
    let prefix = read.own("meta-data-prefix").unwrap_or_default().trim();
    for (name, value) in results.pairs() {
        if let Err(why) = set(&agent.path, &format!("{prefix}{name}"), &value, env) {
            return results
                .events
                .warn(format!("buildkite-agent meta-data set {prefix}{name} failed: {why}"));
        }
    }
}

fn set(agent: &Path, key: &str, value: &str, env: &Env) -> Result<(), String> {
    // The agent needs its own variables; what else is there may be a registry's password.
    let own = env.iter().filter(|(name, _)| {
        let plugin = name.starts_with("BUILDKITE_PLUGIN_");
        (name.starts_with("BUILDKITE_") && !plugin) || ["PATH", "HOME"].contains(name) || is_network(name)
    });
    let output = Command::new(agent)
        .args(["meta-data", "set", key, value])
        .env_clear()
        .envs(own)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().last().unwrap_or("it said nothing").to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Proxies and certificates.
fn is_network(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("_proxy") || name.starts_with("SSL_CERT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_starts_a_group() {
        for line in ["--- x", "+++", "~~~ y", "^^^ +++", "---"] {
            assert_eq!(guard(line), format!(" {line}"));
        }
        assert_eq!(guard("    0.1s  --- x"), "    0.1s  --- x");
    }
}
