//! The entries of a copy as they gather, over what the stage already holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use crate::layer::{Content, Entry, Kind, Node, NodeKind, Timestamp, View, join, parent, resolve};

use super::mode::Chmod;
use super::{CopyError, clean, shown};

/// Entries to be packed, over a view of the destination.
pub(super) struct Pending<'a> {
    base: Over<'a>,
    now: Timestamp,
    owner: Option<(u32, u32)>,
    chmod: Option<Chmod>,
}

/// The destination with the entries so far applied.
struct Over<'a> {
    below: &'a dyn View,
    entries: BTreeMap<Vec<u8>, Entry>,
}

impl<'a> Pending<'a> {
    pub(super) fn new(
        destination: &'a dyn View,
        now: Timestamp,
        owner: Option<(u32, u32)>,
        chmod: Option<Chmod>,
    ) -> Self {
        Pending { base: Over { below: destination, entries: BTreeMap::new() }, now, owner, chmod }
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

    /// Where a file named `name` goes: into the destination if that is a directory or is written
    /// as one, else to its very path.
    pub(super) fn file_target(&mut self, destination: &str, name: &[u8]) -> Result<Vec<u8>, CopyError> {
        let target = self.resolve(destination.as_bytes())?;
        if destination.ends_with('/') {
            self.make_directory(&target)?;
            return Ok(join(&target, name));
        }
        match self.node(&target)? {
            Some(Node { kind: NodeKind::Directory, .. }) => Ok(join(&target, name)),
            _ => {
                self.make_directory(parent(&target))?;
                Ok(target)
            }
        }
    }

    /// Creates a directory and its parents where they are missing: 0755 or the octal `--chmod`,
    /// owned by `--chown` or root.
    pub(super) fn make_directory(&mut self, path: &[u8]) -> Result<(), CopyError> {
        let mode = self.chmod.as_ref().map_or(0o755, Chmod::parent);
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        self.make_owned_directory(path, mode, uid, gid)
    }

    fn make_owned_directory(&mut self, path: &[u8], mode: u32, uid: u32, gid: u32) -> Result<(), CopyError> {
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
        self.make_owned_directory(parent(path), mode, uid, gid)?;
        self.insert(Entry {
            path: path.to_vec(),
            kind: Kind::Directory,
            mode,
            uid,
            gid,
            mtime: self.now,
            xattrs: Vec::new(),
            content: Content::None,
        })
    }

    /// Places an entry. A directory merges with a directory; anything else replaces what is no
    /// directory.
    pub(super) fn place(&mut self, entry: Entry) -> Result<(), CopyError> {
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
        self.insert(entry)
    }

    /// Inserts an entry after its parents, which layers repeat as they are.
    fn insert(&mut self, entry: Entry) -> Result<(), CopyError> {
        let mut above = parent(&entry.path);
        while !above.is_empty() && !self.base.entries.contains_key(above) {
            let node = self.node(above)?;
            let Some(node) = node.filter(|n| n.kind == NodeKind::Directory) else {
                let why = "its parent is no directory";
                return Err(CopyError::Clash { what: "files", to: shown(&entry.path), why });
            };
            self.base.entries.insert(above.to_vec(), directory_entry(above, &node));
            above = parent(above);
        }
        self.base.entries.insert(entry.path.clone(), entry);
        Ok(())
    }

    /// The entry placed at a path.
    pub(super) fn placed(&mut self, path: &[u8]) -> Option<&mut Entry> {
        self.base.entries.get_mut(path)
    }

    /// The entries, sorted by path bytes.
    pub(super) fn finish(self) -> Vec<Entry> {
        self.base.entries.into_values().collect()
    }
}

/// The entries of a `WORKDIR`: the directory and its missing parents, owned by the user in force;
/// nothing if it exists.
pub(in crate::build) fn workdir_entries(
    destination: &dyn View,
    path: &str,
    owner: (u32, u32),
    now: Timestamp,
) -> Result<Vec<Entry>, CopyError> {
    let mut pending = Pending::new(destination, now, None, None);
    let target = pending.resolve(path.as_bytes())?;
    pending.make_owned_directory(&target, 0o755, owner.0, owner.1)?;
    Ok(pending.finish())
}

fn directory_entry(path: &[u8], node: &Node) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: Kind::Directory,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        mtime: node.mtime,
        xattrs: Vec::new(),
        content: Content::None,
    }
}

impl View for Over<'_> {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        if let Some(entry) = self.entries.get(path) {
            let kind = match &entry.kind {
                Kind::Directory => NodeKind::Directory,
                Kind::File { .. } | Kind::HardLink(_) => NodeKind::File,
                Kind::Symlink(target) => NodeKind::Symlink(target.clone()),
                _ => NodeKind::Other,
            };
            let (mode, uid, gid, mtime) = (entry.mode, entry.uid, entry.gid, entry.mtime);
            return Ok(Some(Node { kind, mode, uid, gid, mtime }));
        }
        self.below.node(path)
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
