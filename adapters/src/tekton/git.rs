//! What the Task's parameters say of the source.

use jiff::Timestamp;

use crate::settings::Key;
use crate::settings::dialect::Read;
use crate::tags::{Facts, Repository};
use crate::usage::Usage;

/// What rules for tags speak of.
///
/// # Errors
/// Rules are given without a branch, tag or pull request.
pub(super) fn facts(read: &Read) -> Result<Facts, Usage> {
    let Some(given) = read.own("git-ref").map(str::trim) else {
        return Err(Usage::new("TAG_RULES are given, and GIT_REF is empty: nothing is known of the commit")
            .help("give GIT_REF (refs/heads/main, refs/tags/v1 or refs/pull/7/head) and GIT_REVISION"));
    };
    // Pipelines as Code writes a branch without its beginning.
    let reference = if given.starts_with("refs/") { given.to_owned() } else { format!("refs/heads/{given}") };
    let reference = match reference.strip_suffix("/head").filter(|_| reference.starts_with("refs/pull/")) {
        Some(request) => format!("{request}/merge"),
        None => reference,
    };
    let text = |name: &str| read.own(name).unwrap_or_default().trim().to_owned();
    let now = Timestamp::now();
    let epoch = read.settings.text(Key::SourceDateEpoch).and_then(|seconds| seconds.parse().ok());
    let committed = epoch.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(now);
    let url = text("git-url");
    let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    Ok(Facts {
        event: if reference.starts_with("refs/pull/") { "pull_request" } else { "push" }.to_owned(),
        reference,
        sha: text("git-revision"),
        base_ref: String::new(),
        now,
        created: committed,
        committed,
        repository: Repository {
            name: name.trim_end_matches(".git").to_owned(),
            default_branch: text("git-default-branch"),
            url,
            ..Repository::default()
        },
    })
}

/// Labels of the image that name its source.
pub(super) fn labels(read: &Read) -> Vec<String> {
    let named = [
        ("org.opencontainers.image.source", read.own("git-url")),
        ("org.opencontainers.image.revision", read.own("git-revision")),
    ];
    let label = |(key, value): (&str, Option<&str>)| Some(format!("{key}={}", value?.trim()));
    named.into_iter().filter_map(label).collect()
}
