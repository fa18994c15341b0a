//! What was fetched, into the layer: a file under the name its URL ends in, or a repository's tree
//! (BuildKit, `dispatchCopy`).

use super::pending::Pending;
use super::select::{Selected, follow};
use super::tree::TreeCopy;
use super::{CopyError, CopyJob, Fetched, SourceTree, archive, excludes};

/// Copies what was fetched for a source. Only `--unpack` unpacks an archive.
pub(super) fn copy(job: &CopyJob<'_>, pending: &mut Pending<'_>, fetched: &Fetched) -> Result<(), CopyError> {
    let source = SourceTree {
        view: &fetched.view,
        ignore: None,
        ignore_file: None,
        keep_owner: false,
        name: fetched.name.clone(),
    };
    let selected = selected(&source, fetched)?;
    if job.step.unpack == Some(true)
        && selected.is_file
        && let Some(archive) = archive::open(&source, &selected.path, job.spool)?
    {
        return archive::entries(&archive, &job.step.destination, pending);
    }
    let excludes = excludes(job.step)?;
    let mut copy = TreeCopy::new(&source, excludes.as_ref());
    copy.copy(&selected, &job.step.destination, pending)?;
    copy.finish(pending);
    Ok(())
}

/// The file, or the wanted directory of the tree; links to it are followed inside the tree.
fn selected(source: &SourceTree<'_>, fetched: &Fetched) -> Result<Selected, CopyError> {
    let path = fetched.path.as_bytes();
    if fetched.is_file {
        return Ok(Selected { name: path.to_vec(), path: path.to_vec(), is_file: true });
    }
    match follow(source, path)? {
        Some(found) if !found.is_file => Ok(found),
        _ => Err(CopyError::NotFound {
            path: fetched.path.clone(),
            of: source.name.clone(),
            hint: Some("there is no directory of that name".to_owned()),
        }),
    }
}
