//! The files of a tree in a fixed order, as a layer would have them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FileType;
use xxhash_rust::xxh3::Xxh3;

use crate::layer::{DirView, Entry, Kind, LinkId, View, join};
use crate::rootfs::change::{Attributes, target_hash};

/// One file: what a layer would have, and what shares its inode.
pub(super) struct Item {
    pub(super) entry: Entry,
    pub(super) group: Option<u64>,
    /// The owner on disk of what can have no record beside it.
    pub(super) on_disk: Option<(u32, u32)>,
}

/// Walks a tree: parents before children, names of a directory by their bytes.
pub(super) struct Walk<'a> {
    view: &'a DirView,
    root: &'a Path,
    stack: Vec<Vec<u8>>,
    groups: BTreeMap<LinkId, u64>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(view: &'a DirView, root: &'a Path) -> Self {
        Walk { view, root, stack: vec![Vec::new()], groups: BTreeMap::new() }
    }

    /// The next file; the root, whose path is empty, is the first.
    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            let Some(path) = self.stack.pop() else { return Ok(None) };
            // What is gone again was nobody's that matters.
            let Some(found) = self.view.entry(&path)? else { continue };
            if found.entry.kind == Kind::Directory {
                let names = self.view.names(&path)?;
                self.stack.extend(names.iter().rev().map(|name| join(&path, name)));
            }
            let count = self.groups.len() as u64;
            let group = found.link.map(|link| *self.groups.entry(link).or_insert(count));
            let on_disk = match found.entry.kind {
                Kind::Symlink(_) | Kind::Fifo => {
                    let meta = std::fs::symlink_metadata(self.root.join(as_path(&path)))?;
                    Some((meta.uid(), meta.gid()))
                }
                _ => None,
            };
            return Ok(Some(Item { entry: found.entry, group, on_disk }));
        }
    }
}

fn as_path(path: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(path))
}

/// The order of a walk.
pub(super) fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.split(|b| *b == b'/').cmp(b.split(|b| *b == b'/'))
}

/// What the definition of a change looks at.
pub(super) fn attributes(entry: &Entry, group: Option<u64>) -> Attributes {
    let (mut device, mut size, mut target) = ((0, 0), 0, 0);
    let kind = match &entry.kind {
        Kind::Directory => FileType::Directory,
        Kind::File { size: bytes } => {
            size = *bytes;
            FileType::RegularFile
        }
        Kind::Symlink(to) => {
            target = target_hash(to);
            FileType::Symlink
        }
        Kind::CharDevice { major, minor } => {
            device = (*major, *minor);
            FileType::CharacterDevice
        }
        Kind::BlockDevice { major, minor } => {
            device = (*major, *minor);
            FileType::BlockDevice
        }
        Kind::Fifo => FileType::Fifo,
        Kind::HardLink(_) | Kind::Whiteout => FileType::Unknown,
    };
    let capability = entry.xattrs.iter().find(|(name, _)| name == crate::layer::CAPABILITY.as_bytes());
    Attributes {
        mode: kind.as_raw_mode() | entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        device,
        size,
        mtime: entry.mtime,
        target,
        capability: capability.map(|(_, value)| value.clone().into_boxed_slice()),
        group,
    }
}

/// The hash of a file's content.
pub(super) fn content_hash(view: &DirView, path: &[u8]) -> io::Result<u128> {
    let mut file = view.open(path)?;
    let mut hash = Box::new(Xxh3::new());
    let mut block = vec![0; 256 << 10];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hash.digest128()),
            read => hash.update(&block[..read]),
        }
    }
}
