//! Google Cloud Build: results of a step in the directory that `$BUILDER_OUTPUT` names.

use std::path::Path;

use serde_json::json;
use yadokari::config::BuildOutcome;

use super::commit::Variables;
use super::{PLAIN, System, commit, sinks};
use crate::cli::files;
use crate::session::EmitError;

pub(super) static SYSTEM: System = System {
    name: "cloudbuild",
    title: "Google Cloud Build",
    detect: |env| env.get("BUILDER_OUTPUT").is_some(),
    gives: ("output and images", "$BUILDER_OUTPUT"),
    report: |results, _, env| {
        let Some(directory) = env.get("BUILDER_OUTPUT").map(Path::new) else {
            results.events.warn("BUILDER_OUTPUT is not set: the build gets no results");
            return Ok(());
        };
        write_images(directory, results.outcomes())?;
        let names = ["digest", "image-ref", "image", "tags"];
        let texts = (1..=names.len()).rev().map(|count| results.object(&names[..count]).to_string());
        let text = texts.into_iter().find(|text| text.len() <= LARGEST).unwrap_or_default();
        sinks::write(&directory.join("output"), &text)
    },
    // Substitutions, where the step maps them into its environment.
    commit: Variables {
        tag: &["TAG_NAME"],
        branch: &["BRANCH_NAME"],
        sha: &["COMMIT_SHA", "REVISION_ID"],
        pull_request: &["_PR_NUMBER"],
        base: &["_BASE_BRANCH"],
        ..commit::UNKNOWN
    },
    ..PLAIN
};

/// Cloud Build keeps as many bytes of a step's output (`results.buildStepOutputs`).
const LARGEST: usize = 4096;

/// The images in the file and the form in which kaniko reports them (pkg/executor/push.go,
/// `writeImageOutputs`): one JSON object a line.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_images<'a>(
    directory: &Path,
    outcomes: impl Iterator<Item = &'a BuildOutcome>,
) -> Result<(), EmitError> {
    let lines = outcomes.flat_map(|outcome| {
        let digest = outcome.digest.to_string();
        outcome
            .pushed
            .iter()
            .map(move |image| format!("{}\n", json!({ "name": image.whole(), "digest": digest })))
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        return Ok(());
    }
    Ok(files::write(&directory.join("images"), lines.as_bytes())?)
}
