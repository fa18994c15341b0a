//! `mode: index`: which images become one, and what that is annotated with.

use std::collections::BTreeMap;

use yadokari::image::Reference;

use super::Github;
use crate::cli::job::Job;
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

impl Github {
    /// What the index itself is annotated with.
    pub(super) fn annotations_of_index(&self, job: &Job) -> BTreeMap<String, String> {
        if let Some(metadata) = &self.metadata {
            let wanted = metadata.levels.iter().any(|level| level.starts_with("index"));
            return metadata.annotations.iter().filter(|_| wanted).cloned().collect();
        }
        let given = job.config.annotations.iter().filter_map(|(key, value)| {
            let (level, name) = key.split_once(':').unwrap_or(("index", key));
            (level == "index").then(|| (name.to_owned(), value.clone()))
        });
        given.collect()
    }
}
