//! Directories of ours that look like an image's.

use std::collections::HashSet;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, Timespec, Timestamps};

use super::{RootfsError, failed, shown};
use crate::layer::{Entry, Kind, Node, NodeKind, Timestamp, View, parent, set_owner};

/// Makes a directory, unless it is there, that looks like another.
pub(super) fn make_like(root: &OwnedFd, path: &[u8], node: &Node) -> Result<(), RootfsError> {
    match rustix::fs::mkdirat(root, path, Mode::from(0o700)) {
        Ok(()) => dress(root, path, node),
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(failed("create", shown(path))(error)),
    }
}

/// Gives a directory attributes; the owner first, for changing it takes away setgid.
pub(super) fn dress(root: &OwnedFd, path: &[u8], node: &Node) -> Result<(), RootfsError> {
    let at = if path.is_empty() { b".".as_slice() } else { path };
    set_owner(root.as_fd(), at, node.uid, node.gid).map_err(failed("set the owner of", shown(path)))?;
    rustix::fs::chmodat(root, at, Mode::from(node.mode), AtFlags::empty())
        .map_err(failed("set the mode of", shown(path)))?;
    set_time(root, path, node.mtime)
}

/// Gives a directory a time.
pub(super) fn set_time(root: &OwnedFd, path: &[u8], time: Timestamp) -> Result<(), RootfsError> {
    let at = if path.is_empty() { b".".as_slice() } else { path };
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(root, at, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the time of", shown(path)))
}

/// The entries, and before each the tree's directories above it, which look the same after writing
/// them.
pub(super) fn with_parents(tree: &dyn View, entries: &[Entry]) -> Result<Vec<Entry>, RootfsError> {
    let mut known: HashSet<Vec<u8>> = HashSet::new();
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut missing = Vec::new();
        let mut above = parent(&entry.path);
        while !above.is_empty() && !known.contains(above) {
            missing.push(above.to_vec());
            above = parent(above);
        }
        for path in missing.into_iter().rev() {
            let node = tree.node(&path).map_err(failed("look at", shown(&path)))?;
            if let Some(node) = node.filter(|n| n.kind == NodeKind::Directory) {
                all.push(Entry::directory(&path, &node));
            }
            known.insert(path);
        }
        if entry.kind == Kind::Directory {
            known.insert(entry.path.clone());
        }
        all.push(entry.clone());
    }
    Ok(all)
}
