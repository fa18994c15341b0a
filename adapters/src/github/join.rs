//! `mode: index`: which images become one.

use yadokari::config::BuildConfig;
use yadokari::image::Reference;

use crate::usage::Usage;

/// The images to join: references, or digests in the repository of the first destination.
pub(super) fn images(digests: &str, destinations: &[Reference]) -> Result<Vec<String>, Usage> {
    let words = digests.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let images = words.map(|word| {
        let whole = match (word.starts_with("sha256:"), destinations.first()) {
            (true, Some(first)) => format!("{}/{}@{word}", first.registry(), first.repository()),
            _ => word.to_owned(),
        };
        whole.parse::<Reference>().map(|_| whole.clone()).map_err(|e| {
            Usage::new(format!("input digests: '{word}' is no image: {e}"))
                .help("give each as repository@sha256:…, the output image-ref of the job that built it")
        })
    });
    let images = images.collect::<Result<Vec<_>, _>>()?;
    if images.is_empty() {
        return Err(Usage::new("mode is index, but there are no digests to join")
            .help("give the input digests: the outputs image-ref of the jobs that built the images"));
    }
    Ok(images)
}

/// Leaves out annotations of an index where none is made, and says so: workflows give one list of
/// annotations to builds of one platform and of several.
pub(super) fn without_index(config: &mut BuildConfig) -> Option<String> {
    let before = config.annotations.len();
    if config.platforms.len() <= 1 {
        config.annotations.retain(|annotation| !annotation.level().of_index());
    }
    (config.annotations.len() < before)
        .then(|| "annotations of the index are left out: an image for one platform has none".to_owned())
}
