//! What was fetched, into the layer: a file under the name its URL ends in, or a repository's tree
//! (BuildKit, `dispatchCopy`).

use super::filter::Filter;
use super::pending::Pending;
use super::select::{Selected, follow};
use super::tree::{Taken, TreeCopy};
use super::{CopyError, CopyJob, Fetched, SourceTree, archive};

/// Copies what was fetched for a source. Only `--unpack` unpacks an archive.
pub(super) fn copy(
    job: &CopyJob<'_>,
    pending: &mut Pending<'_>,
    taken: &mut Taken,
    fetched: &Fetched,
) -> Result<(), CopyError> {
    let source = SourceTree {
        view: &fetched.view,
        ignore: None,
        ignore_file: None,
        keep_owner: false,
        modes: crate::config::ContextModes::Disk,
        name: fetched.name.clone(),
    };
    let selected = selected(&source, fetched)?;
    let archive = job.step.unpack == Some(true) && selected.is_file;
    if archive && archive::unpack(job, &source, &selected.path, pending)? {
        return Ok(());
    }
    let filter = Filter::new(None, &job.step.excludes)?;
    TreeCopy::new(&source, &filter).copy(&selected, job.step.place(), pending, taken)?;
    Ok(())
}

/// The file, or the wanted directory of the tree; links to it are followed inside the tree.
fn selected(source: &SourceTree<'_>, fetched: &Fetched) -> Result<Selected, CopyError> {
    let path = fetched.path.as_bytes();
    if fetched.is_file {
        return Ok(Selected { name: path.to_vec(), path: path.to_vec(), is_file: true });
    }
    let found = follow(source, path)?;
    if found.is_file {
        return Err(CopyError::NotFound {
            path: fetched.path.clone(),
            of: source.name.clone(),
            hint: Some("there is no directory of that name".to_owned()),
        });
    }
    Ok(found)
}
