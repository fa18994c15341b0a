//! The annotations report: links on the job's page.

use serde_json::json;
use yadokari::image::{Digest, Reference};

use crate::env::Env;

/// The page of the project's container registry, and the registry's host.
pub(super) fn registry_page(env: &Env) -> Option<String> {
    let image = env.get("CI_REGISTRY_IMAGE")?;
    Some(format!("{image} {}/container_registry", env.get("CI_PROJECT_URL")?))
}

/// A link to each image that was pushed: to GitLab's page of its registry, else to the image by digest.
/// `page` is what [`registry_page`] gave.
pub(super) fn of(pushed: &[Reference], digest: &Digest, page: Option<&str>) -> String {
    let link = |reference: &Reference| {
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let own =
            page.and_then(|page| page.split_once(' ')).filter(|(image, _)| repository.starts_with(image));
        let url = match own {
            Some((_, page)) => page.to_owned(),
            None => format!("https://{repository}@{}", digest),
        };
        json!({"external_link": {"label": format!("{}@{}", reference.whole(), digest), "url": url}})
    };
    // A page with hundreds of links helps nobody.
    let links: Vec<_> = pushed.iter().take(20).map(link).collect();
    format!("{:#}\n", json!({ "images": links }))
}
