//! What the step tells those after it: the runner's file commands.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use yadokari::config::BuildOutcome;
use yadokari::image::{Digest, Reference};

use crate::cli::job::Job;
use crate::cli::results;
use crate::joined::Joined;
use crate::session::EmitError;
use crate::several::{self, Made};
use crate::tags::Metadata;

/// The runner reads what steps append, and other steps' lines must stay.
pub(super) fn append(path: &Path, text: &str) -> Result<(), EmitError> {
    let write = || {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|source| EmitError::Append { path: path.to_owned(), source })
}

/// The step's outputs; without a push those that name an image in a registry are left out.
pub(super) fn outputs(
    job: &Job,
    outcome: &BuildOutcome,
    metadata: Option<&Metadata>,
    token: fn() -> String,
) -> String {
    let mut all = vec![
        ("digest", outcome.digest.to_string()),
        ("imageid", outcome.image_id().to_string()),
        ("metadata", results::metadata(&job.config, outcome).to_string()),
        ("size", outcome.compressed_size().to_string()),
        ("platform-digests", platform_digests(outcome)),
    ];
    all.extend(place(&outcome.pushed, outcome.digest));
    match metadata {
        Some(metadata) => all.extend(of_rules(metadata)),
        None if !outcome.pushed.is_empty() => all.extend(of_rules(&without_rules(job, &outcome.pushed))),
        None => {}
    }
    all.iter().map(|(name, value)| entry(name, value, token)).collect()
}

/// The outputs of several images: docker/bake-action's `metadata`, and for each image what spares a parser.
pub(super) fn several(made: &[Made<'_>], token: fn() -> String) -> String {
    let mut text = entry("metadata", &several::metadata(made).to_string(), token);
    for Made { name, outcome, .. } in made {
        text += &entry(&format!("digest-{name}"), &outcome.digest.to_string(), token);
        if let Some(first) = outcome.pushed.first() {
            let image = format!("{}/{}@{}", first.registry(), first.repository(), outcome.digest);
            text += &entry(&format!("image-ref-{name}"), &image, token);
        }
    }
    text
}

/// The outputs of an index.
pub(super) fn joined(
    job: &Job,
    joined: &Joined,
    metadata: Option<&Metadata>,
    token: fn() -> String,
) -> String {
    let names: Vec<String> = joined.pushed.iter().map(Reference::whole).collect();
    let of_buildkit = json!({
        "containerimage.descriptor": joined.descriptor,
        "containerimage.digest": joined.digest.to_string(),
        "image.name": names.join(","),
    });
    let digests =
        joined.platforms.iter().map(|(name, digest)| (name.clone(), Value::from(digest.to_string())));
    let mut all = vec![
        ("digest", joined.digest.to_string()),
        ("metadata", of_buildkit.to_string()),
        ("platform-digests", Value::Object(digests.collect()).to_string()),
    ];
    all.extend(place(&joined.pushed, joined.digest));
    match metadata {
        Some(metadata) => all.extend(of_rules(metadata)),
        None => all.extend(of_rules(&without_rules(job, &joined.pushed))),
    }
    all.iter().map(|(name, value)| entry(name, value, token)).collect()
}

/// Where the image is.
fn place(pushed: &[Reference], digest: Digest) -> Vec<(&'static str, String)> {
    let Some(first) = pushed.first() else { return Vec::new() };
    let repository = format!("{}/{}", first.registry(), first.repository());
    vec![
        ("image", first.whole()),
        ("image-ref", format!("{repository}@{digest}")),
        ("repository", repository),
    ]
}

/// What rules would have come to, had they made what the inputs say.
fn without_rules(job: &Job, pushed: &[Reference]) -> Metadata {
    // By its digest alone it has no tags.
    let tagged = || pushed.iter().filter(|_| !job.config.push_by_digest);
    let names = tagged().map(|r| r.tag().unwrap_or("latest").to_owned());
    let mut tag_names: Vec<String> = Vec::new();
    for name in names {
        if !tag_names.contains(&name) {
            tag_names.push(name);
        }
    }
    Metadata {
        version: tag_names.first().cloned().unwrap_or_default(),
        tags: tagged().map(Reference::whole).collect(),
        tag_names,
        labels: job.config.labels.clone(),
        annotations: job.config.annotations.iter().map(|a| (a.full_key(), a.value.clone())).collect(),
        levels: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The manifest of each platform, as JSON.
fn platform_digests(outcome: &BuildOutcome) -> String {
    let digests =
        outcome.images.iter().map(|image| (image.platform.to_string(), image.digest.to_string().into()));
    Value::Object(digests.collect()).to_string()
}

/// metadata-action's outputs.
fn of_rules(metadata: &Metadata) -> Vec<(&'static str, String)> {
    let labels: Vec<String> = metadata.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    vec![
        ("version", metadata.version.clone()),
        ("tags", metadata.tags.join("\n")),
        ("tag-names", metadata.tag_names.join("\n")),
        ("labels", labels.join("\n")),
        ("annotations", metadata.leveled_annotations().join("\n")),
        ("json", metadata.json()),
    ]
}

/// The variables that metadata-action exports.
pub(super) fn exported(metadata: &Metadata) -> Vec<(String, String)> {
    let name = |name: &str| format!("DOCKER_METADATA_OUTPUT_{}", name.replace('-', "_").to_uppercase());
    of_rules(metadata).into_iter().map(|(output, value)| (name(output), value)).collect()
}

/// The lines of `GITHUB_ENV`.
pub(super) fn environment(metadata: &Metadata, token: fn() -> String) -> String {
    exported(metadata).iter().map(|(name, value)| entry(name, value, token)).collect()
}

/// What was pushed, one subject of attestations a line (`GITHUB_ARTIFACTS`).
pub(super) fn artifacts(pushed: &[Reference], digest: Digest) -> String {
    let mut lines: Vec<String> = Vec::new();
    for reference in pushed {
        let line = format!("oci://{}/{}@{digest}\n", reference.registry(), reference.repository());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.concat()
}

/// One entry. A value of several lines needs a delimiter that it cannot hold: a random one.
pub(super) fn entry(name: &str, value: &str, token: fn() -> String) -> String {
    if !value.contains(['\n', '\r']) {
        return format!("{name}={value}\n");
    }
    let delimiter = format!("ghadelimiter_{}", token());
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}
