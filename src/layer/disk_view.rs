//! A directory on disk as a [`View`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, fstat};

use super::dirs::{children, open_beneath};
use super::entry::Timestamp;
use super::owner::record_of;
use super::view::{Node, NodeKind, View};

/// A file tree on disk, looked at through its root's descriptor.
#[derive(Debug)]
pub struct DirView {
    root: Arc<OwnedFd>,
}

impl DirView {
    /// The tree below this directory.
    pub fn new(root: OwnedFd) -> Self {
        DirView { root: Arc::new(root) }
    }

    /// The tree below the directory at a path.
    ///
    /// # Errors
    /// It cannot be opened, or is no directory.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::new(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

/// Nothing stands below what is no directory.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
}

impl View for DirView {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        let fd = match open_beneath(self.root.as_fd(), path, OFlags::PATH) {
            Ok(fd) => fd,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = fstat(&fd)?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let kind = match file_type {
            FileType::Directory => NodeKind::Directory,
            FileType::RegularFile => NodeKind::File,
            FileType::Symlink => NodeKind::Symlink(rustix::fs::readlinkat(&fd, "", Vec::new())?.into_bytes()),
            _ => NodeKind::Other,
        };
        let mtime = Timestamp {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        };
        let mut node = Node { kind, mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid, mtime };
        if let Some(record) = record_of(fd.as_fd(), b"", file_type, stat.st_ino, mtime) {
            (node.uid, node.gid) = (record.uid, record.gid);
            if record.device.is_some() {
                node.kind = NodeKind::Other;
            }
        }
        Ok(Some(node))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let fd = open_beneath(self.root.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = children(fd.as_fd())?;
        names.sort_unstable();
        Ok(names)
    }

    fn locate(&self, path: &[u8]) -> io::Result<Option<(Arc<OwnedFd>, PathBuf)>> {
        Ok(Some((self.root.clone(), PathBuf::from(OsStr::from_bytes(path)))))
    }

    fn open(&self, path: &[u8]) -> io::Result<File> {
        // A pipe must not make us wait for a writer.
        let fd = open_beneath(self.root.as_fd(), path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(File::from(fd))
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let what = format!("the file is larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(bytes)
    }
}
