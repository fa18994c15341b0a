//! Looking at a file tree that may be on disk, in a stack of directories, or only in the tar
//! headers of layers nobody unpacked.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fd::OwnedFd;

use super::{Entry, Timestamp, located};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits: 07777.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Timestamp,
}

/// The kinds that matter when a path is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link with this target.
    Symlink(Vec<u8>),
    /// A device, pipe or socket.
    Other,
}

/// Says which paths of one view are names of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub(super) u64, pub(super) u64);

/// What stands at a path, complete enough to be packed.
#[derive(Debug, Clone)]
pub struct SourceEntry {
    /// The entry of the path in the view. A socket is an empty file.
    pub entry: Entry,
    /// For a regular file that may have other names: the same for all of them.
    pub link: Option<LinkId>,
}

/// A file tree seen from its root. Paths are relative to it, without leading slash, without
/// `.` and `..`; the empty path is the root. Links are not followed: where a parent of the
/// path is no directory, there is nothing at the path.
pub trait View: Send + Sync {
    /// What stands at a path.
    ///
    /// # Errors
    /// Failure to look, other than absence.
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>>;

    /// The names in a directory, sorted by bytes.
    ///
    /// # Errors
    /// Failure to look; the path is no directory.
    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>>;

    /// Opens a regular file to read.
    ///
    /// # Errors
    /// Failure to open; [`io::ErrorKind::Unsupported`] where the tree has no contents.
    fn open(&self, path: &[u8]) -> io::Result<File>;

    /// Where the entry at a path is on disk: a directory and a path below it whose parents are real
    /// directories.
    ///
    /// # Errors
    /// Failure to look; [`io::ErrorKind::Unsupported`] where the tree is not on disk.
    fn locate(&self, path: &[u8]) -> io::Result<Option<(Arc<OwnedFd>, PathBuf)>> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What stands at a path, its content too; `None` if nothing does.
    ///
    /// # Errors
    /// Failure to look; [`io::ErrorKind::Unsupported`] where the tree has no contents.
    fn entry(&self, path: &[u8]) -> io::Result<Option<SourceEntry>> {
        match self.locate(path)? {
            Some((directory, at)) => located::entry(directory, at, path),
            None => Ok(None),
        }
    }

    /// The whole of a small regular file, such as `etc/passwd`.
    ///
    /// # Errors
    /// Failure to read, or more bytes than `limit`.
    fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>>;
}

/// Most links a lookup follows, as the kernel does (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Follows links inside the tree and gives the true path; absolute targets and `..` stay inside
/// the root, as BuildKit's and the kernel's `RESOLVE_IN_ROOT`. Parts that do not exist are kept
/// as they are: they are what `COPY` creates. `path` may hold `.`, `..` and repeated slashes.
///
/// # Errors
/// Failure to look; more than 40 links; a part below something that is neither link nor directory
/// is no error here.
pub fn resolve(view: &dyn View, path: &[u8], follow_last: bool) -> io::Result<Vec<u8>> {
    let mut links = 0;
    let mut done: Vec<u8> = Vec::new();
    let mut rest: Vec<Vec<u8>> = split(path);
    rest.reverse();
    while let Some(part) = rest.pop() {
        if part == b".." {
            let parent = done.iter().rposition(|b| *b == b'/').unwrap_or(0);
            done.truncate(parent);
            continue;
        }
        let here = join(&done, &part);
        let follow = follow_last || !rest.is_empty();
        match view.node(&here)? {
            Some(Node { kind: NodeKind::Symlink(target), .. }) if follow => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                if target.first() == Some(&b'/') {
                    done.clear();
                }
                rest.extend(split(&target).into_iter().rev());
            }
            _ => done = here,
        }
    }
    Ok(done)
}

/// The parts of a path without empty ones and `.`; `..` stays.
fn split(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").map(<[u8]>::to_vec).collect()
}

/// `directory/name`, or `name` at the root.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}

/// The path of the directory that holds a path; the root's is the root.
pub fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|b| *b == b'/').map_or(b"", |at| &path[..at])
}
