//! What a Task tells its Pipeline and Tekton Chains.

use serde_json::json;
use yadokari::config::BuildOutcome;
use yadokari::image::Reference;

use crate::joined::Joined;

/// Tekton passes all results of a pod in a termination message of 4096 bytes (12 KiB with all
/// containers) and fails the step after the push when they are larger. Ours stay below this.
pub(super) const BUDGET: usize = 1536;

/// The results, and what had to be left out: the last are left out first. Nothing when nothing was
/// pushed: Chains would sign an image that is not there. `image` is the parameter `IMAGE`.
pub(super) fn of(image: &str, outcome: &BuildOutcome) -> (Vec<(&'static str, String)>, Vec<String>) {
    of_several(image, outcome, &references(outcome))
}

/// Every reference that was pushed, with its digest.
pub(super) fn references(outcome: &BuildOutcome) -> Vec<String> {
    outcome.pushed.iter().map(|reference| format!("{}@{}", reference.whole(), outcome.digest)).collect()
}

/// The results of the first of several images, with the references of all.
pub(super) fn of_several(
    image: &str,
    outcome: &BuildOutcome,
    images: &[String],
) -> (Vec<(&'static str, String)>, Vec<String>) {
    let Some(first) = outcome.pushed.first() else { return (Vec::new(), Vec::new()) };
    let digest = outcome.digest.to_string();
    let repository = format!("{}/{}", first.registry(), first.repository());
    let mut budget = Budget::default();
    // These two are never left out: they are what pipelines and Chains read.
    budget.put("IMAGE_DIGEST", digest.clone());
    budget.put("IMAGE_URL", url(image, first));
    budget.offer("IMAGE_SIZE", outcome.compressed_size().to_string());
    budget.offer("IMAGE_REF", format!("{repository}@{digest}"));
    budget.images(images);
    let object = json!({"uri": repository, "digest": digest, "isBuildArtifact": "true"});
    budget.offer("image_ARTIFACT_OUTPUTS", object.to_string());
    (budget.results, budget.dropped)
}

/// The results of an index.
pub(super) fn of_index(image: &str, joined: &Joined) -> (Vec<(&'static str, String)>, Vec<String>) {
    let Some(first) = joined.pushed.first() else { return (Vec::new(), Vec::new()) };
    let digest = joined.digest.to_string();
    let mut budget = Budget::default();
    budget.put("IMAGE_DIGEST", digest.clone());
    budget.put("IMAGE_URL", url(image, first));
    budget.offer("IMAGE_REF", format!("{}/{}@{digest}", first.registry(), first.repository()));
    let all: Vec<String> = joined.pushed.iter().map(|name| format!("{}@{digest}", name.whole())).collect();
    budget.images(&all);
    (budget.results, budget.dropped)
}

/// The image as `IMAGE` names it, where it is that which was pushed: Pipelines that used the catalog's
/// kaniko Task append to it.
fn url(image: &str, pushed: &Reference) -> String {
    let image = image.trim();
    match image.parse::<Reference>() {
        Ok(named) if named.whole() == pushed.whole() => image.to_owned(),
        _ => pushed.whole(),
    }
}

/// Bytes of a result in the termination message.
pub(super) fn cost(name: &str, value: &str) -> usize {
    json!({"key": name, "value": value, "type": 1}).to_string().len() + ",".len()
}

/// Results, as many as fit.
#[derive(Default)]
struct Budget {
    results: Vec<(&'static str, String)>,
    dropped: Vec<String>,
    spent: usize,
}

impl Budget {
    fn put(&mut self, name: &'static str, value: String) {
        self.spent += cost(name, &value);
        self.results.push((name, value));
    }

    fn offer(&mut self, name: &'static str, value: String) {
        match self.spent + cost(name, &value) <= BUDGET {
            true => self.put(name, value),
            false => self.dropped.push(format!("the result {name} is left out: it is too long for Tekton")),
        }
    }

    /// As many of the references as fit, each whole.
    fn images(&mut self, images: &[String]) {
        let mut list = String::new();
        for (n, image) in images.iter().enumerate() {
            let separator = if list.is_empty() { "" } else { "," };
            let longer = format!("{list}{separator}{image}");
            if self.spent + cost("IMAGES", &longer) > BUDGET {
                self.dropped.push(format!(
                    "the result IMAGES has the first {n} of {} images: more are too long for Tekton",
                    images.len()
                ));
                break;
            }
            list = longer;
        }
        if !list.is_empty() {
            self.put("IMAGES", list);
        }
    }
}
