//! The entries of a copy as they gather, over what the stage already holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;

use crate::layer::{Content, Entry, Kind, Node, NodeKind, Timestamp, View, join, parent, resolve};
use crate::plan::Chmod;

use super::owner::{self, Accounts};
use super::{CopyError, clean, shown};

/// Says which entries are names of one file.
pub(super) type Inode = u64;

/// Entries to be packed, over a view of the destination.
pub(super) struct Pending<'a> {
    base: Over<'a>,
    now: Timestamp,
    owner: Option<(u32, u32)>,
    chmod: Option<Chmod>,
    inodes: Inode,
    /// Owner, mode and time of files whose names came with different ones: the last count.
    settled: BTreeMap<Inode, Node>,
}

/// The destination with the entries so far applied.
struct Over<'a> {
    below: &'a dyn View,
    entries: BTreeMap<Vec<u8>, Placed>,
    /// Directories of the destination that something else took the place of.
    replaced: BTreeSet<Vec<u8>>,
}

/// An entry; each name of a file has its content until the end.
struct Placed {
    entry: Entry,
    inode: Option<Inode>,
}

/// The setgid bit of a mode.
const SETGID: u32 = 0o2000;

/// Where a file goes.
pub(super) struct Target {
    pub(super) path: Vec<u8>,
    /// Whether it is the destination as written, which so becomes this file.
    pub(super) exact: bool,
}

impl<'a> Pending<'a> {
    pub(super) fn new(
        destination: &'a dyn View,
        now: Timestamp,
        owner: Option<(u32, u32)>,
        chmod: Option<Chmod>,
    ) -> Self {
        let base = Over { below: destination, entries: BTreeMap::new(), replaced: BTreeSet::new() };
        Pending { base, now, owner, chmod, inodes: 0, settled: BTreeMap::new() }
    }

    /// `--chown`, as numbers.
    pub(super) fn owner(&self) -> Option<(u32, u32)> {
        self.owner
    }

    /// The mode of a copied entry that had `mode`.
    pub(super) fn mode(&self, mode: u32, directory: bool) -> u32 {
        self.chmod.as_ref().map_or(mode, |chmod| chmod.apply(mode, directory))
    }

    /// What stands at a path, links not followed.
    pub(super) fn node(&self, path: &[u8]) -> Result<Option<Node>, CopyError> {
        self.base.node(path).map_err(|source| CopyError::Look { path: shown(path), source })
    }

    /// The true path of a destination; its own last link is followed too, dangling or not.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, CopyError> {
        resolve(&self.base, path, true)
            .map_err(|source| CopyError::Look { path: shown(&clean(path)), source })
    }

    /// The true path of something below a directory that links do not lead out of: for them it is
    /// the root.
    pub(super) fn resolve_below(&self, root: &[u8], path: &[u8]) -> Result<Vec<u8>, CopyError> {
        let below = Below { view: &self.base, root };
        let found = resolve(&below, path, true);
        found
            .map(|path| join_path(root, &path))
            .map_err(|source| CopyError::Look { path: shown(&join_path(root, path)), source })
    }

    /// Where a file named `name` goes: into the destination if that is a directory or is written
    /// as one, else to its very path.
    pub(super) fn file_target(&mut self, destination: &str, name: &[u8]) -> Result<Target, CopyError> {
        let target = self.resolve(destination.as_bytes())?;
        if destination.ends_with('/') {
            self.make_directory(&target)?;
        } else {
            self.make_directory(parent(&target))?;
        }
        match self.node(&target)? {
            Some(Node { kind: NodeKind::Directory, .. }) => {
                Ok(Target { path: join(&target, name), exact: false })
            }
            // The root is a directory even where nothing says so.
            _ if target.is_empty() => Ok(Target { path: name.to_vec(), exact: false }),
            _ => Ok(Target { path: target, exact: true }),
        }
    }

    /// Creates a directory and its parents where they are missing: 0755 or the octal `--chmod`,
    /// owned by `--chown` or root.
    pub(super) fn make_directory(&mut self, path: &[u8]) -> Result<(), CopyError> {
        let mode = self.chmod.as_ref().map_or(0o755, Chmod::parent);
        self.make_directory_as(path, mode, self.owner)
    }

    /// Creates a directory and its parents where they are missing, as `mkdir` and `chown` would:
    /// below a directory with the setgid bit they have it too, and its group where no owner is given.
    pub(super) fn make_directory_as(
        &mut self,
        path: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<(), CopyError> {
        self.create(path, mode, owner, SETGID)
    }

    /// Creates the directories above an entry of an archive that it does not describe: 0755 and no
    /// more, root's, of the group that they inherit (go-archive, `createImpliedDirectories`).
    pub(super) fn make_implied(&mut self, path: &[u8]) -> Result<(), CopyError> {
        self.create(path, 0o755, None, 0)
    }

    /// Creates a directory and its parents; they keep the bits `inherited` of what they are in.
    fn create(
        &mut self,
        path: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
        inherited: u32,
    ) -> Result<(), CopyError> {
        if path.is_empty() {
            return Ok(());
        }
        match self.node(path)? {
            Some(Node { kind: NodeKind::Directory, .. }) => return Ok(()),
            Some(_) => {
                let why = "there is something else than a directory";
                return Err(CopyError::Clash { what: "into a directory", to: shown(path), why });
            }
            None => {}
        }
        self.create(parent(path), mode, owner, inherited)?;
        let (uid, gid) = owner.unwrap_or((0, 0));
        let mut node = Node { kind: NodeKind::Directory, mode, uid, gid, mtime: self.now };
        if let Some(above) = self.node(parent(path))?.filter(|above| above.mode & SETGID != 0) {
            node.mode |= SETGID & inherited;
            node.gid = if owner.is_some() { gid } else { above.gid };
        }
        self.insert(Entry::directory(path, &node), None)
    }

    /// A directory above what is copied, which neither a pattern names nor the destination is: made
    /// as `copy` says if it is missing, else it gets the mode of its source and keeps the rest
    /// (fsutil, `createParentDirs`).
    pub(super) fn make_parent(&mut self, copy: Entry, source_mode: u32) -> Result<(), CopyError> {
        match self.node(&copy.path)? {
            Some(node) if node.kind == NodeKind::Directory => {
                let node = Node { mode: source_mode, ..node };
                self.insert(Entry::directory(&copy.path, &node), None)
            }
            _ => self.place(copy, None),
        }
    }

    /// A number for a file that may have several names.
    pub(super) fn inode(&mut self) -> Inode {
        self.inodes += 1;
        self.inodes
    }

    /// Places an entry. A directory merges with a directory; anything else replaces what is no
    /// directory.
    pub(super) fn place(&mut self, entry: Entry, inode: Option<Inode>) -> Result<(), CopyError> {
        let existing = self.node(&entry.path)?.map(|n| n.kind);
        match (&entry.kind, existing) {
            (Kind::Directory, Some(NodeKind::Directory) | None) => {}
            (Kind::Directory, Some(_)) => {
                let why = "there is a file or a link of that name, which a directory does not replace";
                return Err(CopyError::Clash { what: "a directory", to: shown(&entry.path), why });
            }
            (_, Some(NodeKind::Directory)) => {
                let why = "there is a directory of that name, which a file does not replace";
                return Err(CopyError::Clash { what: "a file", to: shown(&entry.path), why });
            }
            (_, _) => {}
        }
        self.insert(entry, inode)
    }

    /// Places an entry as an archive does: a directory merges with a directory, everything else
    /// takes the place of whatever is there. Whether anything had to go.
    pub(super) fn replace(&mut self, entry: Entry, inode: Option<Inode>) -> Result<bool, CopyError> {
        let existing = self.node(&entry.path)?.map(|n| n.kind);
        let gone =
            existing.is_some() && (entry.kind != Kind::Directory || existing != Some(NodeKind::Directory));
        if gone && existing == Some(NodeKind::Directory) {
            let mut inside = entry.path.clone();
            inside.push(b'/');
            self.base.entries.retain(|path, _| !path.starts_with(&inside));
            self.base.replaced.insert(entry.path.clone());
        } else if entry.kind == Kind::Directory && self.base.hides(&entry.path) {
            let why = "the archive puts a file in the place of that directory, and then a directory";
            return Err(CopyError::Clash { what: "a directory", to: shown(&entry.path), why });
        }
        self.insert(entry, inode)?;
        Ok(gone)
    }

    /// Inserts an entry after its parents, which layers repeat as they are.
    fn insert(&mut self, entry: Entry, inode: Option<Inode>) -> Result<(), CopyError> {
        let mut above = parent(&entry.path);
        while !above.is_empty() && !self.base.entries.contains_key(above) {
            let node = self.node(above)?;
            let Some(node) = node.filter(|n| n.kind == NodeKind::Directory) else {
                let why = "its parent is no directory";
                return Err(CopyError::Clash { what: "files", to: shown(&entry.path), why });
            };
            let parent_entry = Placed { entry: Entry::directory(above, &node), inode: None };
            self.base.entries.insert(above.to_vec(), parent_entry);
            above = parent(above);
        }
        self.base.entries.insert(entry.path.clone(), Placed { entry, inode });
        Ok(())
    }

    /// The entry placed at a path, and the number it shares with its other names.
    pub(super) fn share(&mut self, path: &[u8]) -> Option<(Entry, Inode)> {
        let next = self.inodes + 1;
        let placed = self.base.entries.get_mut(path)?;
        let inode = *placed.inode.get_or_insert(next);
        self.inodes = self.inodes.max(inode);
        Some((placed.entry.clone(), inode))
    }

    /// All names of a file get the owner, mode and time that this one came with.
    pub(super) fn settle(&mut self, inode: Inode, entry: &Entry) {
        let Entry { mode, uid, gid, mtime, .. } = *entry;
        self.settled.insert(inode, Node { kind: NodeKind::File, mode, uid, gid, mtime });
    }

    /// The entries, sorted by path bytes. Of the names of a file the first has its content.
    pub(super) fn finish(self) -> Vec<Entry> {
        let mut first: BTreeMap<Inode, Vec<u8>> = BTreeMap::new();
        let mut entries = Vec::with_capacity(self.base.entries.len());
        for Placed { mut entry, inode } in self.base.entries.into_values() {
            if let Some(node) = inode.and_then(|inode| self.settled.get(&inode)) {
                (entry.mode, entry.uid, entry.gid, entry.mtime) = (node.mode, node.uid, node.gid, node.mtime);
            }
            if let Some(inode) = inode.filter(|_| matches!(entry.kind, Kind::File { .. })) {
                if let Some(first) = first.get(&inode) {
                    entry.kind = Kind::HardLink(first.clone());
                    entry.content = Content::None;
                    entry.xattrs.clear();
                } else {
                    first.insert(inode, entry.path.clone());
                }
            }
            entries.push(entry);
        }
        entries
    }
}

/// The entries of a `WORKDIR`: the directory and its missing parents, owned by the `user` in force
/// by the rules of `--chown`, not those of a command (BuildKit, `dispatchWorkdir`): a number alone is
/// the group too. Nothing if it exists.
pub(in crate::build) fn workdir_entries(
    destination: &dyn View,
    path: &str,
    user: &str,
    compat: bool,
    now: Timestamp,
) -> Result<Vec<Entry>, CopyError> {
    let accounts = Accounts { image: Some(destination), unknown_is_root: compat };
    let given = Some(user).filter(|user| !user.is_empty());
    let owner = given.map(|user| owner::ids(&accounts, user)).transpose().map_err(|error| match error {
        CopyError::Owner { owner, reason } => CopyError::User { user: owner, reason },
        error => error,
    })?;
    let mut pending = Pending::new(destination, now, None, None);
    let target = pending.resolve(path.as_bytes())?;
    pending.make_directory_as(&target, 0o755, owner)?;
    Ok(pending.finish())
}

/// `path` below `root`; either may be empty.
fn join_path(root: &[u8], path: &[u8]) -> Vec<u8> {
    if path.is_empty() { root.to_vec() } else { join(root, path) }
}

impl Over<'_> {
    /// Whether the destination's own files are gone at a path.
    fn hides(&self, path: &[u8]) -> bool {
        let mut path = path;
        while !self.replaced.is_empty() && !path.is_empty() {
            if self.replaced.contains(path) {
                return true;
            }
            path = parent(path);
        }
        false
    }
}

impl View for Over<'_> {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        if let Some(Placed { entry, .. }) = self.entries.get(path) {
            let kind = match &entry.kind {
                Kind::Directory => NodeKind::Directory,
                Kind::File { .. } | Kind::HardLink(_) => NodeKind::File,
                Kind::Symlink(target) => NodeKind::Symlink(target.clone()),
                _ => NodeKind::Other,
            };
            let (mode, uid, gid, mtime) = (entry.mode, entry.uid, entry.gid, entry.mtime);
            return Ok(Some(Node { kind, mode, uid, gid, mtime }));
        }
        if self.hides(path) { Ok(None) } else { self.below.node(path) }
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.below.names(path)
    }

    fn open(&self, path: &[u8]) -> io::Result<File> {
        self.below.open(path)
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        self.below.read(path, limit)
    }
}

/// A directory of a view as a root of its own, to look paths up in.
struct Below<'a> {
    view: &'a dyn View,
    root: &'a [u8],
}

impl View for Below<'_> {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        self.view.node(&join_path(self.root, path))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.view.names(&join_path(self.root, path))
    }

    fn open(&self, path: &[u8]) -> io::Result<File> {
        self.view.open(&join_path(self.root, path))
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        self.view.read(&join_path(self.root, path), limit)
    }
}
