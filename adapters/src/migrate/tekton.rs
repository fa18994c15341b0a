//! References to the catalog's Tasks, and steps that run kaniko.

use super::edit::Edits;
use super::kubernetes;
use crate::yaml::{self, Node, Value};

/// Our Task, whose parameters say which of the catalog's can stay.
const TASK: &str = include_str!("../../../tekton/task/yadokari/0.1/yadokari.yaml");

/// Where it is.
const REFERENCE: [&str; 6] = [
    "taskRef:",
    "  resolver: git",
    "  params:",
    "    - { name: url, value: https://github.com/yadokari-build/yadokari }",
    "    - { name: revision, value: main }",
    "    - { name: pathInRepo, value: tekton/task/yadokari/0.1/yadokari.yaml }",
];

/// The same in a flow mapping.
const FLOW: &str = "taskRef: { resolver: git, params: [{ name: url, value: https://github.com/yadokari-build/yadokari }, \
     { name: revision, value: main }, { name: pathInRepo, value: tekton/task/yadokari/0.1/yadokari.yaml }] }";

/// Rewrites everything that refers to a Task or is a step.
pub(super) fn rewrite(document: &Node, edits: &mut Edits<'_>) {
    match &document.value {
        Value::Mapping(entries) => {
            if let Some((key, task)) = entries.iter().find(|(key, _)| key.text() == Some("taskRef"))
                && let Some(catalog) = catalog_task(task)
            {
                edits.replace_entry(key, task, &REFERENCE, FLOW);
                parameters(document, &catalog, edits);
                workspaces(document, &catalog, edits);
            }
            for (key, value) in entries {
                match key.text() {
                    Some("steps") => {
                        value.items().iter().for_each(|step| kubernetes::rewrite_container(step, edits));
                    }
                    Some("taskRef") => {}
                    _ => rewrite(value, edits),
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| rewrite(item, edits)),
        Value::Scalar(..) => {}
    }
}

/// The catalog's Task that is referred to, by its name in the cluster or through a resolver.
fn catalog_task(reference: &Node) -> Option<String> {
    let known = |name: &str| ["kaniko", "buildah"].contains(&name).then(|| name.to_owned());
    if let Some(name) = reference.get("name").and_then(Node::text) {
        return known(name);
    }
    let parameters = reference.get("params").map_or(&[][..], Node::items);
    let value = |wanted: &str| {
        let found = parameters.iter().find(|p| p.get("name").and_then(Node::text) == Some(wanted))?;
        found.get("value").and_then(Node::text)
    };
    if let Some(path) = value("pathInRepo") {
        return known(path.rsplit('/').next()?.trim_end_matches(".yaml"));
    }
    known(value("name")?)
}

fn parameters(of: &Node, catalog: &str, edits: &mut Edits<'_>) {
    let ours = declared();
    for parameter in of.get("params").map_or(&[][..], Node::items) {
        let Some(name) = parameter.get("name").and_then(Node::text) else { continue };
        match name {
            "BUILDER_IMAGE" => {
                edits.remark(parameter, format!("BUILDER_IMAGE was {catalog}'s image and is taken out"));
                edits.remove(parameter, parameter);
            }
            "BUILD_EXTRA_ARGS" | "PUSH_EXTRA_ARGS" => {
                edits.remark(
                    parameter,
                    format!(
                        "{name} is taken out: give yadokari's own flags in the array EXTRA_ARGS, one each"
                    ),
                );
                edits.remove(parameter, parameter);
            }
            name if ours.iter().any(|other| other == name) => {}
            name => {
                edits.remark(parameter, format!("{name} has no meaning here and is taken out"));
                edits.remove(parameter, parameter);
            }
        }
    }
}

/// Names of our Task's parameters.
fn declared() -> Vec<String> {
    let documents = yaml::parse(TASK).unwrap_or_default();
    let parameters = documents.iter().find_map(|task| task.at(&["spec", "params"]));
    let names = parameters.map_or(&[][..], Node::items).iter();
    names.filter_map(|p| p.get("name").and_then(Node::text).map(str::to_owned)).collect()
}

fn workspaces(of: &Node, catalog: &str, edits: &mut Edits<'_>) {
    for workspace in of.get("workspaces").map_or(&[][..], Node::items) {
        let name = workspace.get("name").and_then(Node::text).unwrap_or_default();
        if !["source", "dockerconfig", "sslcertdir"].contains(&name) {
            edits.remark(workspace, format!("the workspace {name} is not one of the catalog's {catalog}"));
        }
    }
}
