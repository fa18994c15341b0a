//! Steps of GitHub workflows that use docker's actions.

use super::edit::Edits;
use crate::yaml::{Node, Value};

/// Our action.
const OURS: &str = "yadokari-build/yadokari/github-action@main";

/// Rewrites the steps of every job, or of a composite action.
pub(super) fn rewrite(document: &Node, edits: &mut Edits<'_>) {
    let jobs = document.get("jobs").map_or(&[][..], Node::entries).iter().map(|(_, job)| job);
    for job in jobs.chain(document.get("runs")) {
        let steps = job.get("steps").map_or(&[][..], Node::items);
        if steps.iter().any(|step| action(step) == Some("docker/build-push-action")) {
            let emulated = steps.iter().any(names_platforms);
            steps.iter().for_each(|step| rewrite_step(step, emulated, edits));
        }
        for step in steps {
            if let Some(
                action @ ("docker/bake-action" | "redhat-actions/buildah-build" | "aevea/action-kaniko"),
            ) = action(step)
            {
                edits.remark(step, format!("{action} is left as it is: its inputs are others"));
            }
        }
    }
}

/// The action that a step uses, without its version.
fn action(step: &Node) -> Option<&str> {
    step.get("uses").and_then(Node::text)?.split('@').next()
}

/// Whether a step builds for platforms that it names: commands of theirs may need an emulator.
fn names_platforms(step: &Node) -> bool {
    let platforms = step.get("with").and_then(|with| with.get("platforms")).and_then(Node::text);
    platforms.is_some_and(|text| !text.trim().is_empty())
}

fn rewrite_step(step: &Node, emulated: bool, edits: &mut Edits<'_>) {
    let Some(uses) = step.get("uses") else { return };
    match action(step) {
        Some("docker/build-push-action") => {
            // A comment behind it usually names the version of a pinned commit.
            edits.set(uses, OURS);
            edits.remark(uses, "pin the action to a release: @main moves");
            inputs(step, edits);
        }
        Some("docker/setup-qemu-action") if emulated => {
            edits.remark(
                step,
                "docker/setup-qemu-action stays: commands of other platforms need it, and steps FROM --platform=$BUILDPLATFORM do not",
            );
        }
        Some(name @ ("docker/setup-buildx-action" | "docker/setup-qemu-action"))
            if step.get("id").is_none() =>
        {
            edits.remark(
                step,
                format!("{name} is taken out: there is no daemon, and one platform needs no emulation"),
            );
            edits.remove(step, step);
        }
        Some(name @ ("docker/setup-buildx-action" | "docker/setup-qemu-action")) => {
            edits.remark(step, format!("{name} is not needed, and stays because it has an id"));
        }
        _ => {}
    }
}

/// What our action refuses, and what it does not need.
fn inputs(step: &Node, edits: &mut Edits<'_>) {
    let Some(with) = step.get("with") else { return };
    for (name, value) in with.entries() {
        let text = value.text().unwrap_or_default().trim();
        let on = !matches!(text.to_ascii_lowercase().as_str(), "" | "false");
        match name.text().unwrap_or_default() {
            "load" if on => edits.remark(
                name,
                "load is refused, because there is no docker engine: outputs: type=docker,dest=image.tar writes an archive",
            ),
            "provenance" | "sbom" | "attests" if on => {
                edits.remark(name, "attestations may be refused; actions/attest attests the output digest");
            }
            "cache-from" | "cache-to" if text.contains("type=gha") => edits.remark(
                name,
                "type=gha does nothing here; a repository does: type=registry,ref=…",
            ),
            "builder" => {
                edits.remark(name, "builder is taken out: there is none");
                match (&with.value, with.entries().len()) {
                    (Value::Mapping(_), 1) => {}
                    _ => edits.remove(name, value),
                }
            }
            _ => {}
        }
    }
}
