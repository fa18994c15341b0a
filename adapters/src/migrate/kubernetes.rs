//! Pods, and everything that has a template of one.

use super::edit::Edits;
use super::image;
use crate::yaml::{Node, Value};

/// Rewrites the containers of a manifest, wherever its pod is.
pub(super) fn rewrite(document: &Node, edits: &mut Edits<'_>) {
    match &document.value {
        Value::Mapping(entries) => {
            for (name, value) in entries {
                match name.text() {
                    Some("containers" | "initContainers") => {
                        value.items().iter().for_each(|container| rewrite_container(container, edits));
                    }
                    _ => rewrite(value, edits),
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| rewrite(item, edits)),
        Value::Scalar(..) => {}
    }
}

/// Rewrites a container, or a step of Tekton's, that runs kaniko.
pub(super) fn rewrite_container(container: &Node, edits: &mut Edits<'_>) {
    let Some(node) = container.get("image") else { return };
    let Some(image) = node.text() else { return };
    let command: Vec<&str> =
        container.get("command").map_or(&[][..], Node::items).iter().filter_map(Node::text).collect();
    if image.rsplit('/').next().is_some_and(|name| name.starts_with("warmer")) && image.contains("kaniko") {
        edits.remark(
            node,
            "kaniko's warmer is `yadokari warm` of the same image: set command: [yadokari, warm]",
        );
        return;
    }
    if !image::is_kaniko(image) {
        return;
    }
    edits.set(node, &image::ours(image, false));
    if container.get("script").is_some() {
        edits.remark(node, "a script needs a shell: use the image with the tag's ending -debug");
        return;
    }
    if let Some(program) = command.first().filter(|program| !program.ends_with("executor")) {
        edits
            .remark(node, format!("the command {program} is left as it is; /kaniko/executor is the program"));
        return;
    }
    let arguments: Vec<&Node> = container.get("args").map_or(&[][..], Node::items).iter().collect();
    // Substitutions of Kubernetes and Tekton are understood when they have become values.
    let plain = |node: &&Node| node.text().is_some_and(|text| !text.trim_start().starts_with("$("));
    image::check_arguments(&arguments.into_iter().filter(plain).collect::<Vec<_>>(), edits);
    if container.get("securityContext").and_then(|context| context.get("privileged")).and_then(Node::text)
        == Some("true")
    {
        edits.remark(container, "privileged is not needed");
    }
}
