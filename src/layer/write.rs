//! Writing the entries of a `COPY` to a tree on disk.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, copy_file_range};
use rustix::io::Errno;

use super::content::{ContentError, Contents};
use super::dirs::open_beneath;
use super::entry::{Content, Entry, Kind};
use super::layer_path::split_last;
use super::tree_writer::{Attributes, TreeError, TreeWriter, failed};
use super::unpack::{node_type, write_all};

/// Files above this size are copied by the kernel, which may share their blocks; below it one read
/// and one write cost less.
const COPY_IN_KERNEL: u64 = 256 << 10;

/// Writes entries into the tree below `root`, in order. What is at an entry's path gives way,
/// except that a directory keeps what is in it. Parents that no entry describes are made 0755 0:0.
/// Times of directories are set when all else is done.
///
/// # Errors
/// [`TreeError`], with the path in the tree: among others where a parent is no directory, a source
/// file is not what its entry says, or owners and devices need rights we lack.
pub fn write_entries(root: BorrowedFd<'_>, entries: &[Entry]) -> Result<(), TreeError> {
    let mut tree = TreeWriter::new(root);
    let mut contents = Contents::default();
    let mut buffer = vec![0; 64 << 10];
    for entry in entries {
        let path = entry.path.as_slice();
        let (parent, name) = split_last(path);
        enter(&mut tree, parent)?;
        let Entry { mode, uid, gid, mtime, xattrs, .. } = entry;
        let attributes = Attributes { mode: *mode, uid: *uid, gid: *gid, mtime: *mtime, xattrs };
        match &entry.kind {
            Kind::Directory => {
                if !path.is_empty() {
                    tree.directory(path, name)?;
                }
                tree.set_directory(path, &attributes)?;
            }
            Kind::File { size } => {
                let file = tree.file(path, name)?;
                copy(&mut contents, &mut buffer, entry, *size, &file)?;
                tree.set_file(path, file.as_fd(), &attributes)?;
            }
            Kind::Symlink(target) => {
                tree.symlink(path, name, target)?;
                tree.set_other(path, name, &attributes, true)?;
            }
            Kind::HardLink(target) => {
                let (directory, target) = split_last(target);
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let directory = open_beneath(root, directory, flags)
                    .map_err(|e| failed("open the directory of", target, e))?;
                tree.hard_link(path, name, directory.as_fd(), target)?;
            }
            Kind::Whiteout => tree.remove(path, name)?,
            kind => {
                if let Some((file_type, device)) = node_type(kind) {
                    tree.node(path, name, file_type, device)?;
                    tree.set_other(path, name, &attributes, false)?;
                }
            }
        }
    }
    if let Some((name, (path, error))) = tree.refused_xattrs.pop_first() {
        let what = format!("set the attribute {} of", String::from_utf8_lossy(&name).escape_debug());
        return Err(failed(&what, &path, error));
    }
    tree.finish()
}

/// Enters a directory, making what is missing.
fn enter(tree: &mut TreeWriter<'_>, path: &[u8]) -> Result<(), TreeError> {
    let rest = tree.dirs.rewind(path);
    let mut at = path.len() - rest.len();
    for name in rest.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
        let end = at + name.len();
        match tree.dirs.descend(name) {
            Err(Errno::NOENT) => tree.missing_directory(&path[..end], name)?,
            entered => entered.map_err(|e| failed("enter the directory", &path[..end], e))?,
        }
        at = end + 1;
    }
    Ok(())
}

fn copy(
    contents: &mut Contents,
    buffer: &mut [u8],
    entry: &Entry,
    size: u64,
    to: &OwnedFd,
) -> Result<(), TreeError> {
    let path = &entry.path;
    if let Content::Bytes(bytes) = &entry.content {
        return write_all(to, bytes).map_err(|e| failed("write", path, e));
    }
    let from = contents.open(entry, size).map_err(|error| match error {
        ContentError::Read(error) => failed("read the source of", path, error),
        ContentError::Changed(how) => failed("copy the source of", path, std::io::Error::other(how)),
    })?;
    let mut left = size;
    let mut in_kernel = size > COPY_IN_KERNEL;
    while left > 0 {
        if in_kernel {
            let want = usize::try_from(left.min(1 << 30)).unwrap_or(1 << 30);
            match copy_file_range(&from, None, to, None, want) {
                Ok(0) => return Err(cut_off(path, size, left)),
                Ok(n) => left -= n as u64,
                Err(Errno::INTR) => {}
                // Two file systems, or one that cannot, or a seccomp profile.
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                    in_kernel = false;
                }
                Err(error) => return Err(failed("copy the source of", path, error)),
            }
            continue;
        }
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match rustix::io::read(&from, &mut buffer[..want]) {
            Ok(0) => return Err(cut_off(path, size, left)),
            Ok(n) => {
                write_all(to, &buffer[..n]).map_err(|e| failed("write", path, e))?;
                left -= n as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed("read the source of", path, error)),
        }
    }
    Ok(())
}

fn cut_off(path: &[u8], size: u64, left: u64) -> TreeError {
    let how = format!("it ended after {} of {size} bytes", size - left);
    failed("copy the source of", path, std::io::Error::other(how))
}

#[cfg(test)]
mod tests;
