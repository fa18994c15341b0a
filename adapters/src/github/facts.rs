//! What a workflow run knows of its commit: variables, and the event's payload.

use std::fs::File;
use std::io::Read;
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;

use crate::env::Env;
use crate::tags::{Facts, Repository};

/// GitHub's payloads are below 25 MB.
const LARGEST_PAYLOAD: u64 = 32 << 20;

/// The facts of this run; what is unknown is empty. The time of the commit may cost a call of git, and is
/// only looked for if it is `dated`.
pub(super) fn of(env: &Env, now: Timestamp, dated: bool) -> Facts {
    let payload = payload(env);
    let text =
        |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let get = |name: &str| env.get(name).unwrap_or_default().to_owned();
    let event = get("GITHUB_EVENT_NAME");
    let mut reference = get("GITHUB_REF");
    let mut sha = get("GITHUB_SHA");
    let base_ref = match reference.starts_with("refs/tags/") {
        true => text("/base_ref").trim_start_matches("refs/heads/").to_owned(),
        false => Some(text("/pull_request/base/ref"))
            .filter(|r| !r.is_empty())
            .unwrap_or_else(|| get("GITHUB_BASE_REF")),
    };
    if event.contains("pull_request_target")
        && let Some(number) = payload.get("number").and_then(Value::as_u64)
    {
        // GITHUB_REF is the branch it goes to.
        reference = format!("refs/pull/{number}/merge");
    }
    let head =
        env.get("DOCKER_METADATA_PR_HEAD_SHA").is_some_and(|v| v.to_ascii_lowercase().contains("true"));
    let head_sha = text("/pull_request/head/sha");
    if head && event.contains("pull_request") && !head_sha.is_empty() {
        sha = head_sha;
    }
    let committed = if dated { committed(&payload, &sha, env) } else { None }.unwrap_or(now);
    let repository = repository(env, &text);
    Facts {
        event,
        reference,
        sha,
        base_ref,
        now,
        created: created(env).unwrap_or(now),
        committed,
        repository,
    }
}

/// The repository at the commit that is built, as a remote context: what `{{defaultContext}}` stands for.
pub(super) fn default_context(env: &Env) -> Option<String> {
    let (server, repository) = (env.get("GITHUB_SERVER_URL")?, env.get("GITHUB_REPOSITORY")?);
    let reference = env.get("GITHUB_REF").unwrap_or_default();
    let commit = match (env.get("GITHUB_SHA"), reference) {
        // The merge of a pull request is on no branch.
        (Some(sha), reference) if !reference.starts_with("refs/pull/") => sha,
        (_, reference) => reference,
    };
    Some(format!("{server}/{repository}.git#{commit}"))
}

/// The event's payload; null where there is none.
fn payload(env: &Env) -> Value {
    let read = || {
        let file = File::open(env.get("GITHUB_EVENT_PATH")?).ok()?;
        let mut text = Vec::new();
        file.take(LARGEST_PAYLOAD).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    };
    read().unwrap_or(Value::Null)
}

fn repository(env: &Env, text: &dyn Fn(&str) -> String) -> Repository {
    let or = |given: String, other: &dyn Fn() -> Option<String>| match given.is_empty() {
        true => other().unwrap_or_default(),
        false => given,
    };
    let full_name = env.get("GITHUB_REPOSITORY");
    let license = text("/repository/license/spdx_id");
    Repository {
        name: or(text("/repository/name"), &|| Some(full_name?.rsplit('/').next()?.to_owned())),
        description: text("/repository/description"),
        url: or(text("/repository/html_url"), &|| {
            Some(format!("{}/{}", env.get("GITHUB_SERVER_URL")?, full_name?))
        }),
        license,
        default_branch: text("/repository/default_branch"),
    }
}

/// What the image says of its age.
fn created(env: &Env) -> Option<Timestamp> {
    Timestamp::from_second(env.get("SOURCE_DATE_EPOCH")?.parse().ok()?).ok()
}

/// When a commit was made: by the payload, else by the repository that was checked out.
fn committed(payload: &Value, sha: &str, env: &Env) -> Option<Timestamp> {
    let commits = payload.get("commits").and_then(Value::as_array).into_iter().flatten();
    let of_push = commits.chain(payload.get("head_commit"));
    let known = |commit: &Value| {
        let same = commit.get("id").and_then(Value::as_str) == Some(sha);
        commit.get("timestamp").and_then(Value::as_str).filter(|_| same).map(str::to_owned)
    };
    of_push.filter_map(known).next().or_else(|| by_git(sha, env))?.parse().ok()
}

fn by_git(sha: &str, env: &Env) -> Option<String> {
    let commit = sha.len() >= 40 && sha.bytes().all(|b| b.is_ascii_hexdigit());
    let workspace = env.get("GITHUB_WORKSPACE").filter(|_| commit)?;
    let mut git = Command::new("git");
    // The runner's user owns it, and we may be root.
    git.args(["-c", "safe.directory=*", "-C", workspace, "show", "--no-patch", "--format=%cI", sha, "--"]);
    git.env_clear().envs(env.get("PATH").map(|path| ("PATH", path))).env("GIT_TERMINAL_PROMPT", "0");
    let output = git.stdin(std::process::Stdio::null()).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
