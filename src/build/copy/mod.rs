//! `COPY` and `ADD`: from sources to the entries of a layer, by BuildKit's rules
//! (`solver/llbsolver/file/backend.go` and fsutil's `copy.go`).
//!
//! Nothing is written: the destination is only looked at, the entries say where their bytes are.

mod archive;
mod mode;
mod pending;
mod remote;
mod select;
mod tree;
mod visible;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crate::dockerfile::IgnoreMatcher;
use crate::layer::{Content, Entry, Kind, Timestamp, View, join};
use crate::plan::{CopySource, CopyStep};
use crate::run::user;

use super::remotes::Fetched;
use mode::Chmod;
use pending::Pending;

pub(super) use pending::workdir_entries;
use tree::TreeCopy;

/// Why files could not be copied; each a sentence.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// A source names nothing.
    #[error("'{path}' is not in {of}{}", hint.as_deref().map(|h| format!(": {h}")).unwrap_or_default())]
    NotFound { path: String, of: String, hint: Option<String> },
    /// A pattern is no pattern.
    #[error("'{pattern}' is not a valid pattern: {reason}")]
    Pattern { pattern: String, reason: String },
    /// A file would have to become a directory, or a directory a file.
    #[error("cannot copy {what} to '/{to}': {why}")]
    Clash { what: &'static str, to: String, why: &'static str },
    /// An owner that the image does not know.
    #[error("--chown={owner}: {reason}")]
    Owner { owner: String, reason: String },
    /// Permission bits that are none.
    #[error(
        "--chmod={mode} is not valid: give octal digits up to 7777 or a symbolic mode such as u=rwX,go=rX"
    )]
    Mode { mode: String },
    /// An archive that cannot be unpacked.
    #[error("cannot unpack '{path}': {reason}")]
    Archive { path: String, reason: String },
    /// A file operation failed.
    #[error("cannot read '{path}': {source}")]
    Read { path: String, source: std::io::Error },
    /// The destination cannot be looked at.
    #[error("cannot look up '/{path}' in the image: {source}")]
    Look { path: String, source: std::io::Error },
}

/// Where the files of a copy come from.
pub(super) struct SourceTree<'a> {
    /// The files.
    pub(super) view: &'a dyn View,
    /// What of them is invisible.
    pub(super) ignore: Option<&'a IgnoreMatcher>,
    /// The ignore file, for error texts.
    pub(super) ignore_file: Option<&'a Path>,
    /// Whether owners are kept: those of an image are, those of a context become 0:0.
    pub(super) keep_owner: bool,
    /// What people call it.
    pub(super) name: String,
}

/// One copy to plan.
pub(super) struct CopyJob<'a> {
    /// The instruction.
    pub(super) step: &'a CopyStep,
    /// Its sources; absent when all are heredocs or fetched.
    pub(super) source: Option<SourceTree<'a>>,
    /// For each source what was fetched for it, if it is elsewhere.
    pub(super) fetched: &'a [Option<Arc<Fetched>>],
    /// What the stage holds.
    pub(super) destination: &'a dyn View,
    /// Time of what the copy itself creates.
    pub(super) now: Timestamp,
    /// Makes a file to unpack an archive into.
    pub(super) spool: &'a dyn Fn() -> std::io::Result<std::fs::File>,
}

/// The entries of the copy's layer, sorted, existing parents included.
pub(super) fn copy_entries(job: &CopyJob<'_>) -> Result<Vec<Entry>, CopyError> {
    let owner = match &job.step.chown {
        None => None,
        Some(owner) => Some(lookup_owner(job.destination, &owner.0)?),
    };
    let chmod = job.step.chmod.as_deref().map(Chmod::parse).transpose()?;
    let mut pending = Pending::new(job.destination, job.now, owner, chmod);
    for (at, source) in job.step.sources.iter().enumerate() {
        match source {
            CopySource::Inline { name, content } => inline(job, &mut pending, name, content)?,
            CopySource::Path(path) => copy_path(job, &mut pending, path)?,
            CopySource::Url(_) | CopySource::Git(_) => {
                let fetched = job.fetched.get(at).and_then(Option::as_ref);
                remote::copy(job, &mut pending, fetched.expect("fetched before it is copied"))?;
            }
        }
    }
    Ok(pending.finish())
}

/// Numeric ids of `user[:group]`; names are looked up in the destination (BuildKit,
/// `ops/user_linux.go`; an unknown name is an error here, where BuildKit silently takes root).
fn lookup_owner(view: &dyn View, owner: &str) -> Result<(u32, u32), CopyError> {
    // A number alone is the group too; a name alone has its primary group (BuildKit).
    if let Ok(number) = owner.parse::<u32>() {
        return Ok((number, number));
    }
    let found = user::lookup(view, owner)
        .map_err(|e| CopyError::Owner { owner: owner.to_owned(), reason: e.to_string() })?;
    Ok((found.uid, found.gid))
}

fn inline(job: &CopyJob<'_>, pending: &mut Pending<'_>, name: &str, content: &str) -> Result<(), CopyError> {
    let target = pending.file_target(&job.step.destination, name.as_bytes())?;
    let bytes: Arc<[u8]> = content.as_bytes().into();
    let kind = Kind::File { size: bytes.len() as u64 };
    let (uid, gid) = pending.owner().unwrap_or((0, 0));
    let mode = pending.mode(0o644, false);
    pending.place(Entry {
        path: target,
        kind,
        mode,
        uid,
        gid,
        mtime: job.now,
        xattrs: Vec::new(),
        content: Content::Bytes(bytes),
    })
}

fn copy_path(job: &CopyJob<'_>, pending: &mut Pending<'_>, path: &str) -> Result<(), CopyError> {
    let Some(source) = &job.source else {
        return Err(CopyError::NotFound {
            path: path.to_owned(),
            of: "the build context".to_owned(),
            hint: Some("there is none; name one with --context".to_owned()),
        });
    };
    let excludes = excludes(job.step)?;
    let mut copy = TreeCopy::new(source, excludes.as_ref());
    for selected in select::select(source, path)? {
        if job.step.add
            && job.step.unpack != Some(false)
            && selected.is_file
            && let Some(archive) = archive::open(source, &selected.path, job.spool)?
        {
            archive::entries(&archive, &job.step.destination, pending)?;
            continue;
        }
        copy.copy(&selected, &job.step.destination, pending)?;
    }
    copy.finish(pending);
    Ok(())
}

/// The rules of `--exclude`, if there are any.
fn excludes(step: &CopyStep) -> Result<Option<IgnoreMatcher>, CopyError> {
    if step.excludes.is_empty() {
        return Ok(None);
    }
    let wrong = |e: crate::dockerfile::IgnoreError| CopyError::Pattern {
        pattern: step.excludes.join(", "),
        reason: e.to_string(),
    };
    IgnoreMatcher::new(&step.excludes).map(Some).map_err(wrong)
}

/// `/a//b/../c/` to `a/c`: lexically, inside the root.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.iter().fold(Vec::new(), |path, part| join(&path, part))
}

/// A path for an error text.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
