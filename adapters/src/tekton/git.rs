//! What the Task's parameters say of the source.

use crate::settings::dialect::Read;

/// Labels of the image that name its source.
pub(super) fn labels(read: &Read) -> Vec<String> {
    let named = [
        ("org.opencontainers.image.source", read.own("git-url")),
        ("org.opencontainers.image.revision", read.own("git-revision")),
    ];
    let label = |(key, value): (&str, Option<&str>)| Some(format!("{key}={}", value?.trim()));
    named.into_iter().filter_map(label).collect()
}
