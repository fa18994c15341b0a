//! What GitLab's variables say of the commit that is built.

use jiff::Timestamp;

use crate::env::Env;
use crate::tags::{Facts, Repository};

/// The tag where nobody names one, and the variable it is from: the Git tag, or the branch.
pub(super) fn tag(env: &Env) -> Option<(String, &'static str)> {
    let of = |name: &'static str| Some((env.get(name)?, name));
    let (name, variable) = of("CI_COMMIT_TAG").or_else(|| of("CI_COMMIT_REF_SLUG"))?;
    // A Git tag may hold what an image's may not: release/1.0, v1.0+build.
    let fits = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    let tag: String = name.chars().map(fits).take(128).collect();
    let tag = tag.trim_start_matches(['-', '.']);
    (!tag.is_empty()).then(|| (tag.to_owned(), variable))
}

/// The labels of the OCI's image specification.
pub(super) fn labels(env: &Env) -> Vec<String> {
    let label = |(key, names): (&str, &[&str])| {
        let value = names.iter().find_map(|name| env.get(name))?;
        Some(format!("org.opencontainers.image.{key}={value}"))
    };
    let all: [(&str, &[&str]); 7] = [
        ("title", &["CI_PROJECT_TITLE", "CI_PROJECT_NAME"]),
        ("description", &["CI_PROJECT_DESCRIPTION"]),
        ("url", &["CI_PROJECT_URL"]),
        ("source", &["CI_PROJECT_URL"]),
        ("revision", &["CI_COMMIT_SHA"]),
        ("version", &["CI_COMMIT_TAG", "CI_COMMIT_REF_NAME"]),
        // The commit's time and not this moment: the same commit gives the same image.
        ("created", &["CI_COMMIT_TIMESTAMP"]),
    ];
    all.into_iter().filter_map(label).collect()
}

/// What rules for tags speak of.
pub(super) fn facts(env: &Env) -> Facts {
    let get = |name: &str| env.get(name).unwrap_or_default().to_owned();
    let now = Timestamp::now();
    let time = |name: &str| env.get(name).and_then(|text| text.parse::<Timestamp>().ok());
    let epoch = env.get("SOURCE_DATE_EPOCH").and_then(|text| Timestamp::from_second(text.parse().ok()?).ok());
    let request = env.get("CI_MERGE_REQUEST_IID");
    let event = match (get("CI_PIPELINE_SOURCE").as_str(), request) {
        ("schedule", _) => "schedule",
        (_, Some(_)) => "pull_request",
        _ => "push",
    };
    let reference = match (request, env.get("CI_COMMIT_TAG")) {
        (Some(number), _) => format!("refs/pull/{number}/merge"),
        (None, Some(tag)) => format!("refs/tags/{tag}"),
        (None, None) => {
            format!(
                "refs/heads/{}",
                env.get("CI_COMMIT_BRANCH").or(env.get("CI_COMMIT_REF_NAME")).unwrap_or_default()
            )
        }
    };
    Facts {
        event: event.to_owned(),
        reference,
        sha: get("CI_COMMIT_SHA"),
        base_ref: get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
        now,
        created: epoch.or(time("CI_COMMIT_TIMESTAMP")).unwrap_or(now),
        committed: time("CI_COMMIT_TIMESTAMP").unwrap_or(now),
        repository: Repository {
            name: get("CI_PROJECT_NAME"),
            description: get("CI_PROJECT_DESCRIPTION"),
            url: get("CI_PROJECT_URL"),
            license: String::new(),
            default_branch: get("CI_DEFAULT_BRANCH"),
        },
    }
}
