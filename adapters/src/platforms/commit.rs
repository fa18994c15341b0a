//! What a system's variables say of the commit, for rules of tags.

use jiff::Timestamp;

use crate::env::Env;
use crate::tags::{Facts, Repository};

/// The variables that speak of the commit; of several the first that is set.
#[derive(Clone, Copy)]
pub(super) struct Variables {
    /// Git's full name, `refs/heads/main`.
    pub(super) reference: &'static [&'static str],
    /// A Git tag.
    pub(super) tag: &'static [&'static str],
    /// A branch.
    pub(super) branch: &'static [&'static str],
    /// The commit.
    pub(super) sha: &'static [&'static str],
    /// Number of a pull request, or its address; `false` is none.
    pub(super) pull_request: &'static [&'static str],
    /// The branch that it goes to.
    pub(super) base: &'static [&'static str],
    /// The repository's main branch.
    pub(super) main: &'static [&'static str],
    /// What started the job, and what it says if that was a schedule.
    pub(super) schedule: Option<(&'static str, &'static str)>,
}

/// Nothing.
pub(super) const UNKNOWN: Variables = Variables {
    reference: &[],
    tag: &[],
    branch: &[],
    sha: &[],
    pull_request: &[],
    base: &[],
    main: &[],
    schedule: None,
};

/// The facts; none where neither a reference nor a commit is known.
pub(super) fn facts(variables: &Variables, env: &Env, now: Timestamp) -> Option<Facts> {
    let get = |names: &[&str]| names.iter().find_map(|name| env.get(name)).unwrap_or_default();
    let branch = |name: &str| {
        let name = name.strip_prefix("refs/heads/").unwrap_or(name);
        name.strip_prefix("origin/").unwrap_or(name).to_owned()
    };
    let number = get(variables.pull_request).rsplit('/').next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let (given, tag) = (get(variables.reference), get(variables.tag));
    let name = branch(get(variables.branch));
    let reference = match (is_number, tag, given, name.as_str()) {
        (true, ..) => format!("refs/pull/{number}/merge"),
        (_, tag, ..) if !tag.is_empty() => format!("refs/tags/{tag}"),
        (_, _, given, _) if given.starts_with("refs/") => given.to_owned(),
        (.., "") => String::new(),
        (.., name) => format!("refs/heads/{name}"),
    };
    let sha = get(variables.sha).to_owned();
    if reference.is_empty() && sha.is_empty() {
        return None;
    }
    let scheduled = variables.schedule.is_some_and(|(name, value)| env.get(name) == Some(value));
    let event = match (scheduled, is_number) {
        (true, _) => "schedule",
        (_, true) => "pull_request",
        _ => "push",
    };
    let epoch = env.get("SOURCE_DATE_EPOCH").and_then(|text| Timestamp::from_second(text.parse().ok()?).ok());
    let default_branch = branch(get(variables.main));
    Some(Facts {
        event: event.to_owned(),
        reference,
        sha,
        base_ref: branch(get(variables.base)),
        now,
        created: epoch.unwrap_or(now),
        committed: now,
        repository: Repository { default_branch, ..Repository::default() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: Variables = Variables {
        tag: &["TAG"],
        branch: &["BRANCH"],
        sha: &["SHA"],
        pull_request: &["PR"],
        main: &["MAIN"],
        schedule: Some(("WHY", "cron")),
        ..UNKNOWN
    };

    fn known(variables: &[(&str, &str)]) -> Option<(String, String)> {
        let facts = facts(&VARIABLES, &Env::of(variables), Timestamp::UNIX_EPOCH)?;
        Some((facts.event, facts.reference))
    }

    #[test]
    fn what_variables_say() {
        for (variables, event, reference) in [
            (&[("BRANCH", "main")] as &[(&str, &str)], "push", "refs/heads/main"),
            (&[("BRANCH", "origin/main")], "push", "refs/heads/main"),
            (&[("BRANCH", "v1"), ("TAG", "v1")], "push", "refs/tags/v1"),
            (&[("BRANCH", "x"), ("PR", "false")], "push", "refs/heads/x"),
            (&[("BRANCH", "x"), ("PR", "7")], "pull_request", "refs/pull/7/merge"),
            (&[("PR", "https://github.com/a/b/pull/7")], "pull_request", "refs/pull/7/merge"),
            (&[("BRANCH", "main"), ("WHY", "cron")], "schedule", "refs/heads/main"),
            (&[("SHA", "abc")], "push", ""),
        ] {
            assert_eq!(known(variables), Some((event.into(), reference.into())), "{variables:?}");
        }
        assert_eq!(known(&[]), None);
    }
}
