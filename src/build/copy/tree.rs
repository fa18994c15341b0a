//! Copying files and directories of a source tree.

use std::collections::BTreeMap;

use crate::config::ContextModes;
use crate::layer::{Entry, Kind, LinkId, Node, NodeKind, SourceEntry, join};

use super::filter::{Filter, Verdicts};
use super::pending::{Inode, Pending};
use super::select::{Selected, read_error};
use super::visible::Sight;
use super::{CopyError, SourceTree, shown};
use crate::dockerfile::ParentMatches;

/// The copy of one selected source: hard links are kept inside it, not across sources nor the
/// matches of a pattern.
pub(super) struct TreeCopy<'a> {
    source: &'a SourceTree<'a>,
    filter: &'a Filter,
    /// Directories above the walk that no pattern names, but are entries if something below them
    /// is; and the modes they have in the source.
    waiting: Vec<(Entry, u32)>,
    inodes: BTreeMap<LinkId, Inode>,
    /// Entries placed.
    copied: usize,
}

/// Where a directory's copy stands.
struct Directory<'p> {
    from: &'p [u8],
    to: Vec<u8>,
    /// The selected source, which patterns are relative to.
    top: &'p [u8],
    /// What the rules of the ignore file said of it.
    ignore: ParentMatches,
    /// What the patterns said of it.
    verdicts: Verdicts,
}

impl<'a> TreeCopy<'a> {
    pub(super) fn new(source: &'a SourceTree<'a>, filter: &'a Filter) -> Self {
        TreeCopy { source, filter, waiting: Vec::new(), inodes: BTreeMap::new(), copied: 0 }
    }

    /// Copies one selected source. A directory means its contents; says how many files and
    /// directories that was.
    pub(super) fn copy(
        mut self,
        selected: &Selected,
        destination: &str,
        pending: &mut Pending<'_>,
        taken: &mut Taken,
    ) -> Result<usize, CopyError> {
        let found = self.find(&selected.path)?;
        if found.entry.kind != Kind::Directory {
            let target = pending.file_target(destination, &selected.name)?;
            taken.take(&target.path, target.exact)?;
            let (entry, inode) = self.entry(found, target.path, pending);
            pending.place(entry, inode)?;
            return Ok(1);
        }
        let target = pending.resolve(destination.as_bytes())?;
        top_directory(&found.entry, &target, pending)?;
        let top = &selected.path;
        let (_, ignore) = self.source.look_from_top(top);
        let verdicts = Verdicts::default();
        self.children(&Directory { from: top, to: target, top, ignore, verdicts }, pending)?;
        Ok(self.copied)
    }

    fn children(&mut self, directory: &Directory<'_>, pending: &mut Pending<'_>) -> Result<(), CopyError> {
        let names = self.source.view.names(directory.from).map_err(|e| read_error(directory.from, e))?;
        for name in names {
            let from = join(directory.from, &name);
            let (sight, ignore) = self.source.look(&from, &directory.ignore);
            let there = match sight {
                Sight::Seen => true,
                Sight::BelowOnly => self.source.holds_visible(&from, &ignore)?,
                Sight::Unseen => false,
            };
            let relative = if directory.top.is_empty() { &from } else { &from[directory.top.len() + 1..] };
            let verdict = self.filter.look(relative, &directory.verdicts);
            if !there || !verdict.copied && !verdict.entered {
                continue;
            }
            let found = self.find(&from)?;
            let is_directory = found.entry.kind == Kind::Directory;
            if !verdict.copied && !is_directory {
                continue;
            }
            let to = join(&directory.to, &name);
            let source_mode = found.entry.mode;
            let (entry, inode) = self.entry(found, to.clone(), pending);
            if verdict.copied {
                self.place(entry, inode, pending)?;
            } else {
                self.waiting.push((entry, source_mode));
            }
            if is_directory && verdict.entered {
                let below =
                    Directory { from: &from, to, top: directory.top, ignore, verdicts: verdict.below };
                self.children(&below, pending)?;
            }
            if !verdict.copied {
                // Still the last one if nothing below it was copied; gone with the others if so.
                self.waiting.pop();
            }
        }
        Ok(())
    }

    /// Places an entry, after the directories above it that are there only because of it.
    fn place(
        &mut self,
        entry: Entry,
        inode: Option<Inode>,
        pending: &mut Pending<'_>,
    ) -> Result<(), CopyError> {
        for (above, source_mode) in self.waiting.drain(..) {
            pending.make_parent(above, source_mode)?;
        }
        self.copied += 1;
        pending.place(entry, inode)
    }

    fn find(&self, path: &[u8]) -> Result<SourceEntry, CopyError> {
        let found = self.source.view.entry(path).map_err(|e| read_error(path, e))?;
        found.ok_or_else(|| read_error(path, std::io::ErrorKind::NotFound.into()))
    }

    /// The entry of a file at its destination: owner, mode, and the number of its inode.
    fn entry(
        &mut self,
        found: SourceEntry,
        to: Vec<u8>,
        pending: &mut Pending<'_>,
    ) -> (Entry, Option<Inode>) {
        let SourceEntry { entry, link } = found;
        let inode = link.map(|link| *self.inodes.entry(link).or_insert_with(|| pending.inode()));
        let kept = if self.source.keep_owner { (entry.uid, entry.gid) } else { (0, 0) };
        let (uid, gid) = pending.owner().unwrap_or(kept);
        let mode = match entry.kind {
            // A link's own mode means nothing; file systems give it as this.
            Kind::Symlink(_) => 0o777,
            _ => pending.mode(self.mode(&entry), entry.kind == Kind::Directory),
        };
        (Entry { path: to, mode, uid, gid, ..entry }, inode)
    }

    /// The mode of a source entry, as far as it counts.
    fn mode(&self, entry: &Entry) -> u32 {
        match (self.source.modes, &entry.kind) {
            (ContextModes::Disk, _) => entry.mode,
            (ContextModes::Git, Kind::Directory) => 0o755,
            (ContextModes::Git, _) if entry.mode & 0o100 != 0 => 0o755,
            (ContextModes::Git, _) => 0o644,
        }
    }
}

/// Notes which file became the destination itself, so that a second one does not silently replace
/// it. BuildKit lets the last one win.
pub(super) struct Taken {
    first: Option<Vec<u8>>,
    last_wins: bool,
}

impl Taken {
    pub(super) fn new(last_wins: bool) -> Self {
        Taken { first: None, last_wins }
    }

    /// Takes a path for a file; `exact` if it is the destination itself.
    pub(super) fn take(&mut self, path: &[u8], exact: bool) -> Result<(), CopyError> {
        if !exact || self.last_wins {
            return Ok(());
        }
        if self.first.as_deref() == Some(path) {
            return Err(CopyError::Several { to: shown(path) });
        }
        self.first = Some(path.to_vec());
        Ok(())
    }
}

/// The directory that a source directory's contents go to: it keeps mode and owner if it exists, and
/// takes the source's time either way (BuildKit).
fn top_directory(found: &Entry, target: &[u8], pending: &mut Pending<'_>) -> Result<(), CopyError> {
    if target.is_empty() {
        return Ok(());
    }
    pending.make_directory(target)?;
    if let Some(node) = pending.node(target)?.filter(|n| n.kind == NodeKind::Directory) {
        pending.place(Entry::directory(target, &Node { mtime: found.mtime, ..node }), None)?;
    }
    Ok(())
}
