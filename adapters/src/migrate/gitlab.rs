//! Jobs of GitLab CI that run kaniko.

use super::edit::Edits;
use super::image;
use crate::yaml::Node;

/// Rewrites every job, and the defaults of all.
pub(super) fn rewrite(document: &Node, edits: &mut Edits<'_>) {
    job(document, edits);
    for (_, value) in document.entries() {
        job(value, edits);
    }
}

fn job(job: &Node, edits: &mut Edits<'_>) {
    let Some(node) = job.get("image") else { return };
    let Some(name) = node.get("name").or(Some(node)).filter(|node| node.text().is_some()) else { return };
    let image = name.text().unwrap_or_default();
    if !image::is_kaniko(image) {
        return;
    }
    // GitLab runs scripts, for which there must be a shell.
    edits.set(name, &image::ours(image, true));
    edits.remark(
        name,
        "the job's script stays; the component gitlab/templates/build does the same without one, and reports the digest",
    );
    for (key, script) in job.entries() {
        if matches!(key.text(), Some("before_script" | "script")) {
            lines(key, script, edits);
        }
    }
}

/// Takes out what wrote the registry's password to a file: the job's own variables are enough.
fn lines(key: &Node, script: &Node, edits: &mut Edits<'_>) {
    let login = |node: &&Node| {
        let text = node.text().unwrap_or_default().trim();
        let own = text.contains("CI_REGISTRY_PASSWORD") || text.contains("CI_JOB_TOKEN");
        let one = !text.contains('\n') && !text.contains("&&") && !text.contains("executor");
        let makes = text.starts_with("mkdir ") && text.ends_with("/kaniko/.docker");
        one && (makes || (own && text.starts_with("echo ") && text.contains("/kaniko/.docker/config.json")))
    };
    let (logins, others): (Vec<&Node>, Vec<&Node>) = script.items().iter().partition(login);
    let foreign = others.iter().any(|node| node.text().is_some_and(|text| text.contains("/kaniko/.docker")));
    if logins.is_empty()
        || foreign
        || !logins.iter().any(|node| node.text().is_some_and(|t| t.starts_with("echo ")))
    {
        return;
    }
    match (others.is_empty(), logins.last()) {
        (true, Some(last)) => edits.remove(key, last),
        _ => logins.iter().for_each(|login| edits.remove(login, login)),
    }
}
