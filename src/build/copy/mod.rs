//! `COPY` and `ADD`: from sources to the entries of a layer, by BuildKit's rules
//! (`solver/llbsolver/file/backend.go` and fsutil's `copy.go`).
//!
//! Nothing is written: the destination is only looked at, the entries say where their bytes are.

mod archive;
mod filter;
mod missing;
mod owner;
mod pending;
mod remote;
mod select;
mod tree;
mod visible;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crate::config::ContextModes;
use crate::dockerfile::IgnoreMatcher;
use crate::layer::{Content, Entry, Kind, Limits, Listing, Timestamp, View, join};
use crate::plan::{CopyFrom, CopySource, CopyStep};

use super::remotes::Fetched;
use filter::Filter;
use owner::Accounts;
use pending::Pending;
use tree::{Taken, TreeCopy};

pub(super) use pending::workdir_entries;
pub(super) use select::{has_wildcards, literal_part, select};

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
    /// Several files for one place.
    #[error(
        "several files would become '/{to}', and only the last would be left: end the destination with a slash to make it a directory (with --compat the last one wins, as in BuildKit)"
    )]
    Several { to: String },
    /// A heredoc whose name is no file name.
    #[error("'{name}' cannot be the name of a file: give the heredoc a name without slashes")]
    Name { name: String },
    /// An owner that the image does not know.
    #[error("--chown={owner}: {reason}")]
    Owner { owner: String, reason: String },
    /// A user in force that the image does not know, who should own a working directory.
    #[error("USER {user}: {reason}")]
    User { user: String, reason: String },
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
    /// How much of the modes counts.
    pub(super) modes: ContextModes,
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
    /// What an archive may ask for.
    pub(super) limits: Limits,
    /// Do as BuildKit where that is silently wrong.
    pub(super) compat: bool,
    /// Takes what the user should know.
    pub(super) warn: &'a dyn Fn(String),
}

/// The entries of the copy's layer, sorted, existing parents included.
pub(super) fn copy_entries(job: &CopyJob<'_>) -> Result<Vec<Entry>, CopyError> {
    // A linked copy knows nothing of what is below it: parents are new, links are not followed. With
    // --chmod BuildKit makes a plain copy of it (`convert_copy.go`).
    let linked = job.step.link && job.step.chmod.is_none();
    let nothing = Listing::new();
    let destination = if linked { &nothing } else { job.destination };
    let accounts = Accounts { image: (!linked).then_some(job.destination), unknown_is_root: job.compat };
    let owner = job.step.chown.as_ref().map(|chown| owner::ids(&accounts, &chown.0)).transpose()?;
    let mut pending = Pending::new(destination, job.now, owner, job.step.chmod.clone());
    let mut taken = Taken::new(job.compat);
    for (at, source) in job.step.sources.iter().enumerate() {
        match source {
            CopySource::Inline { name, content } => {
                inline(job, &mut pending, &mut taken, name, content)?;
            }
            CopySource::Path(path) => copy_path(job, &mut pending, &mut taken, path)?,
            CopySource::Url(_) | CopySource::Git(_) => {
                let fetched = job.fetched.get(at).and_then(Option::as_ref);
                remote::copy(job, &mut pending, &mut taken, fetched.expect("fetched before it is copied"))?;
            }
        }
    }
    Ok(pending.finish())
}

/// A heredoc: a file of mode 0644 and of this moment.
fn inline(
    job: &CopyJob<'_>,
    pending: &mut Pending<'_>,
    taken: &mut Taken,
    name: &str,
    content: &str,
) -> Result<(), CopyError> {
    if name.contains('/') || matches!(name, "" | "." | "..") {
        return Err(CopyError::Name { name: name.to_owned() });
    }
    let target = pending.file_target(job.step.place(), name.as_bytes())?;
    taken.take(&target.path, target.exact)?;
    let bytes: Arc<[u8]> = content.as_bytes().into();
    let (uid, gid) = pending.owner().unwrap_or((0, 0));
    let entry = Entry {
        path: target.path,
        kind: Kind::File { size: bytes.len() as u64 },
        mode: pending.mode(0o644, false),
        uid,
        gid,
        mtime: job.now,
        xattrs: Vec::new(),
        content: Content::Bytes(bytes),
    };
    pending.place(entry, None)
}

fn copy_path(
    job: &CopyJob<'_>,
    pending: &mut Pending<'_>,
    taken: &mut Taken,
    path: &str,
) -> Result<(), CopyError> {
    let Some(source) = &job.source else {
        return Err(CopyError::NotFound {
            path: path.to_owned(),
            of: "the build context".to_owned(),
            hint: Some("there is none; name one with --context".to_owned()),
        });
    };
    let (from, pattern) = if job.step.parents { kept_parents(source, path)? } else { (path, None) };
    let filter = Filter::new(pattern.as_deref(), &job.step.excludes)?;
    let selected = select::select(source, from)?;
    // Of the context's the check says so, before anything is done.
    let is_checked = job.step.from == CopyFrom::Context && !job.step.parents;
    if selected.is_empty() && !is_checked {
        (job.warn)(format!("'{path}' matches nothing in {}: nothing is copied", source.name));
    }
    let mut copied = selected.is_empty() || pattern.is_none();
    for selected in selected {
        let archive = job.step.add && job.step.unpack != Some(false) && selected.is_file;
        if archive && archive::unpack(job, source, &selected.path, pending)? {
            continue;
        }
        let count = TreeCopy::new(source, &filter).copy(&selected, job.step.place(), pending, taken)?;
        copied |= count > 0;
    }
    if !copied {
        let why = match pattern.as_deref() {
            Some("") => {
                "it names no file or directory below itself; leave --parents out to copy what is in it"
            }
            Some(pattern) if select::has_wildcards(pattern.as_bytes()) => "nothing matches",
            _ => "a part of it is a link, and --parents follows none",
        };
        (job.warn)(format!("--parents keeps nothing of '{path}': {why}"));
    }
    Ok(())
}

/// What `--parents` makes of a source: the directory whose contents are copied, left of `/./` or the
/// root, and the pattern that says which of them. Without wildcards it must name something.
fn kept_parents<'p>(source: &SourceTree<'_>, path: &'p str) -> Result<(&'p str, Option<String>), CopyError> {
    let (from, pattern) = split_parents(path);
    let pattern = shown(&clean(pattern.as_bytes()));
    if !select::has_wildcards(from.as_bytes()) && !select::has_wildcards(pattern.as_bytes()) {
        select::follow(source, &clean(format!("{from}/{pattern}").as_bytes()))?;
    }
    Ok((from, Some(pattern.trim().to_owned())))
}

/// Splits a source of `--parents` where the part that is kept begins.
pub(super) fn split_parents(path: &str) -> (&str, &str) {
    path.split_once("/./").unwrap_or(("/", path))
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
