//! Images that are only copied from: of their files those contents are kept that steps copy.

use crate::image::Digest;
use crate::layer::Listing;
use crate::plan::{Action, CopyFrom, CopySource, PlannedStage, RunMountKind};

use super::Error;
use super::copy::{literal_part, select, split_parents};
use super::executor::Executor;
use super::extract::{listed, listed_only};
use super::images::ResolvedImage;
use super::mounts::literal;
use super::sources::made_tree;

/// The files of an image with the contents that the plan's steps take.
pub(super) fn files(executor: &Executor<'_>, image: &ResolvedImage) -> Result<Listing, Error> {
    let sources = sources(executor, &image.manifest.config.digest);
    let paths: Vec<_> = sources.iter().map(|source| literal_part(source)).collect();
    let files = listed_only(executor, &image.layers, &paths)?;
    let Some(lacking) = sources.iter().find(|source| !is_whole(&files, source)) else { return Ok(files) };
    // Links are known to lead elsewhere only once what they lead to has come by.
    let text = format!("'{lacking}' of the image {} is had through links: reading it again", image.digest);
    executor.events.debug(text);
    drop(files);
    listed(executor, &image.layers, true)
}

/// What steps select of the image that has this config, as [`select`] takes it.
fn sources(executor: &Executor<'_>, config: &Digest) -> Vec<String> {
    let mut found = Vec::new();
    for stage in &executor.plan.stages {
        for step in &stage.steps {
            match &step.action {
                Action::Copy(copy) if is_it(executor, stage, &copy.from, config) => {
                    let paths = copy.sources.iter().filter_map(|source| match source {
                        CopySource::Path(path) if copy.parents => Some(split_parents(path).0),
                        CopySource::Path(path) => Some(path.as_str()),
                        _ => None,
                    });
                    found.extend(paths.map(str::to_owned));
                }
                Action::Run(run) => {
                    let shown = run.mounts.iter().filter_map(|mount| match &mount.kind {
                        RunMountKind::Bind { from, source, .. } => Some((from, source)),
                        RunMountKind::Cache(cache) => {
                            cache.seed.as_ref().map(|(from, source)| (from, source))
                        }
                        _ => None,
                    });
                    let shown = shown.filter(|(from, _)| is_it(executor, stage, from, config));
                    found.extend(shown.map(|(_, source)| literal(source)));
                }
                _ => {}
            }
        }
    }
    found
}

fn is_it(executor: &Executor<'_>, stage: &PlannedStage, from: &CopyFrom, config: &Digest) -> bool {
    matches!(from, CopyFrom::Image(image) if executor.is_image(image, &stage.source_platform, config))
}

/// Whether all contents of what a source selects are there. Where it selects nothing, the step says
/// why, and reads none.
fn is_whole(files: &Listing, source: &str) -> bool {
    let selected = select(&made_tree(files, String::new()), source);
    selected.map_or(true, |found| found.iter().all(|one| files.has_contents(&one.path)))
}
