//! Copying files and directories of a source tree.

use std::collections::BTreeMap;

use crate::dockerfile::{IgnoreMatcher, ParentMatches};
use crate::layer::{Content, Entry, Kind, LinkId, Node, NodeKind, SourceEntry, join};

use super::pending::Pending;
use super::select::{Selected, read_error};
use super::visible::Sight;
use super::{CopyError, SourceTree};

/// One source argument's copy: hard links are kept inside it, not across arguments.
pub(super) struct TreeCopy<'a> {
    source: &'a SourceTree<'a>,
    excludes: Option<&'a IgnoreMatcher>,
    /// Directories above the walk that were left out, but are entries if something below them is.
    waiting: Vec<Entry>,
    /// Destination paths of files that may have several names.
    groups: BTreeMap<LinkId, Vec<Vec<u8>>>,
}

/// Where a directory's copy stands.
struct Directory<'p> {
    from: &'p [u8],
    to: Vec<u8>,
    /// The source argument, which `--exclude` patterns are relative to.
    top: &'p [u8],
    /// What the rules of the ignore file said of it.
    ignore: ParentMatches,
    /// What `--exclude` said of it.
    exclude: ParentMatches,
}

impl<'a> TreeCopy<'a> {
    pub(super) fn new(source: &'a SourceTree<'a>, excludes: Option<&'a IgnoreMatcher>) -> Self {
        TreeCopy { source, excludes, waiting: Vec::new(), groups: BTreeMap::new() }
    }

    /// Copies one selected source. A directory means its contents.
    pub(super) fn copy(
        &mut self,
        selected: &Selected,
        destination: &str,
        pending: &mut Pending<'_>,
    ) -> Result<(), CopyError> {
        let found = self.find(&selected.path)?;
        if found.entry.kind != Kind::Directory {
            let target = pending.file_target(destination, &selected.name)?;
            let entry = self.entry(found, target, pending);
            return pending.place(entry);
        }
        let target = pending.resolve(destination.as_bytes())?;
        top_directory(&found.entry, &target, pending)?;
        let top = &selected.path;
        let (_, ignore) = self.source.look_from_top(top);
        let exclude = ParentMatches::default();
        self.children(&Directory { from: top, to: target, top, ignore, exclude }, pending)
    }

    fn children(&mut self, directory: &Directory<'_>, pending: &mut Pending<'_>) -> Result<(), CopyError> {
        let names = self.source.view.names(directory.from).map_err(|e| read_error(directory.from, e))?;
        for name in names {
            let from = join(directory.from, &name);
            let (sight, ignore) = self.source.look(&from, &directory.ignore);
            if sight == Sight::Unseen {
                continue;
            }
            let (excluded, exclude) = self.exclude(&from, directory);
            let found = self.find(&from)?;
            let is_directory = found.entry.kind == Kind::Directory;
            let left_out = excluded || sight == Sight::BelowOnly;
            if left_out && !is_directory {
                continue;
            }
            let to = join(&directory.to, &name);
            let entry = self.entry(found, to.clone(), pending);
            if left_out {
                self.waiting.push(entry);
            } else {
                self.place(entry, pending)?;
            }
            if is_directory && (!excluded || self.excludes.is_some_and(IgnoreMatcher::has_negations)) {
                let below = Directory { from: &from, to, top: directory.top, ignore, exclude };
                self.children(&below, pending)?;
            }
            if left_out {
                // Still the last one if nothing below it was copied; gone with the others if so.
                self.waiting.pop();
            }
        }
        Ok(())
    }

    /// Places an entry, after the directories above it that are there only because of it.
    fn place(&mut self, entry: Entry, pending: &mut Pending<'_>) -> Result<(), CopyError> {
        for above in self.waiting.drain(..) {
            pending.place(above)?;
        }
        pending.place(entry)
    }

    /// Whether `--exclude` leaves a path out, and what to hand down to the paths below it.
    fn exclude(&self, path: &[u8], directory: &Directory<'_>) -> (bool, ParentMatches) {
        let relative = if directory.top.is_empty() { path } else { &path[directory.top.len() + 1..] };
        match self.excludes {
            Some(rules) => rules.matches_below(relative, &directory.exclude),
            None => (false, ParentMatches::default()),
        }
    }

    fn find(&self, path: &[u8]) -> Result<SourceEntry, CopyError> {
        let found = self.source.view.entry(path).map_err(|e| read_error(path, e))?;
        found.ok_or_else(|| read_error(path, std::io::ErrorKind::NotFound.into()))
    }

    /// The entry of a file at its destination: owner, mode, link group.
    fn entry(&mut self, found: SourceEntry, to: Vec<u8>, pending: &Pending<'_>) -> Entry {
        let SourceEntry { entry, link } = found;
        if let Some(link) = link {
            self.groups.entry(link).or_default().push(to.clone());
        }
        let kept = if self.source.keep_owner { (entry.uid, entry.gid) } else { (0, 0) };
        let (uid, gid) = pending.owner().unwrap_or(kept);
        let mode = match entry.kind {
            // A link's own mode means nothing; file systems give it as this.
            Kind::Symlink(_) => 0o777,
            _ => pending.mode(entry.mode, entry.kind == Kind::Directory),
        };
        Entry { path: to, mode, uid, gid, ..entry }
    }

    /// Ties the names of each file together: the first by bytes holds the content.
    pub(super) fn finish(self, pending: &mut Pending<'_>) {
        for mut names in self.groups.into_values() {
            names.sort();
            names.dedup();
            let Some((first, others)) = names.split_first() else { continue };
            for other in others {
                if let Some(entry) = pending.placed(other) {
                    entry.kind = Kind::HardLink(first.clone());
                    entry.content = Content::None;
                    entry.xattrs.clear();
                }
            }
        }
    }
}

/// The directory that a source directory's contents go to: it keeps mode and owner if it exists, and
/// takes the source's time either way (BuildKit).
fn top_directory(found: &Entry, target: &[u8], pending: &mut Pending<'_>) -> Result<(), CopyError> {
    if target.is_empty() {
        return Ok(());
    }
    pending.make_directory(target)?;
    if let Some(Node { kind: NodeKind::Directory, mode, uid, gid, .. }) = pending.node(target)? {
        pending.place(Entry {
            path: target.to_vec(),
            kind: Kind::Directory,
            mode,
            uid,
            gid,
            mtime: found.mtime,
            xattrs: Vec::new(),
            content: Content::None,
        })?;
    }
    Ok(())
}
