//! Where the files of a `COPY` or a mount are: the context, another stage, an image, a named directory.

use std::sync::PoisonError;

use crate::config::ContextModes;
use crate::context::Context;
use crate::layer::{Entry, View};
use crate::plan::{CopyFrom, CopySource, CopyStep, Place};

use super::Error;
use super::copy::{CopyJob, SourceTree, copy_entries};
use super::executor::Executor;

/// The entries of a copy's layer.
pub(super) fn copy(
    executor: &Executor<'_>,
    at: usize,
    destination: &dyn View,
    step: &CopyStep,
    place: &Place,
) -> Result<Vec<Entry>, Error> {
    let spool = || executor.workspace.spool();
    let warn = |text: String| executor.events.warn(place.diagnostic(text).to_string());
    let (now, compat) = (executor.now, executor.config.compat);
    let limits = super::limits(executor.config);
    let get = |source| executor.remotes.get(source, executor.cancel);
    let fetched: Vec<_> = step.sources.iter().map(get).collect::<Result<_, _>>()?;
    for fetched in fetched.iter().flatten() {
        executor.events.debug(format!("{} is {}", fetched.name, fetched.content));
    }
    let entries = |source: Option<SourceTree<'_>>| {
        let (fetched, spool, warn) = (&fetched, &spool, &warn);
        let job = CopyJob { step, source, fetched, destination, now, spool, limits, compat, warn };
        copy_entries(&job).map_err(Error::from_display)
    };
    if !step.sources.iter().any(|s| matches!(s, CopySource::Path(_))) {
        return entries(None);
    }
    with_tree(executor, at, &step.from, entries)
}

/// Calls `use_it` with the files a copy or a mount of stage `at` names; with nothing where it names
/// the context and there is none.
pub(super) fn with_tree<T>(
    executor: &Executor<'_>,
    at: usize,
    from: &CopyFrom,
    use_it: impl FnOnce(Option<SourceTree<'_>>) -> Result<T, Error>,
) -> Result<T, Error> {
    match from {
        CopyFrom::Context => {
            let moved = executor.context.map(|c| relocated(executor, c)).transpose()?.flatten();
            let context = moved.as_ref().or(executor.context);
            use_it(context.map(|c| tree(c, "the build context".to_owned(), executor.config.context_modes)))
        }
        CopyFrom::Directory(name, path) => {
            let opened = executor.directories.get(path);
            let moved = opened.map(|c| relocated(executor, c)).transpose()?.flatten();
            let context = moved.as_ref().or(opened);
            let modes = executor.config.context_modes;
            use_it(context.map(|c| tree(c, format!("the build context '{name}'"), modes)))
        }
        CopyFrom::Stage(from) => {
            let done = executor.wait_for(*from)?;
            executor.list_files(&done)?;
            let files = done.files.read().unwrap_or_else(PoisonError::into_inner);
            let files = files.as_ref().ok_or_else(|| Error::other("the stage's files are gone"))?;
            let name = format!("the stage '{}'", executor.plan.stages[*from].name);
            if !executor.is_intact(&done, files)? {
                return Err(Error::Other {
                    message: format!("a command of another stage changed the files of {name}"),
                    help: Some("name directories in place of / in commands that go through all files (chown -R, find)".to_owned()),
                });
            }
            use_it(Some(made_tree(files.view(), name)))
        }
        CopyFrom::Image(image) => {
            let files = executor.image_files(image, &executor.plan.stages[at].source_platform)?;
            use_it(Some(made_tree(&*files, image.to_string())))
        }
    }
}

/// The files of a stage or image.
pub(super) fn made_tree(view: &dyn View, name: String) -> SourceTree<'_> {
    SourceTree { view, ignore: None, ignore_file: None, keep_owner: true, modes: ContextModes::Disk, name }
}

/// The context where its files are now, if building in place has set them aside.
fn relocated(executor: &Executor<'_>, context: &Context) -> Result<Option<Context>, Error> {
    let Some(placement) = executor.placement else { return Ok(None) };
    let now = placement.locate(context.path());
    if now == context.path() {
        return Ok(None);
    }
    context.relocated(&now).map(Some).map_err(Error::from_display)
}

/// The files of a context.
pub(super) fn tree(context: &Context, name: String, modes: ContextModes) -> SourceTree<'_> {
    let rules = context.ignore();
    SourceTree {
        view: context.view(),
        ignore: rules.map(|r| &r.matcher),
        ignore_file: rules.map(|r| r.path.as_path()),
        keep_owner: false,
        modes,
        name,
    }
}
