//! Copying a tree: a stage that starts from another's has one of its own.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, OFlags};

use crate::layer::{CAPABILITY, Content, Entry, Kind, file_capability, join, write_entries};
use crate::rootfs::index::{Stat, open_below, stat};
use crate::rootfs::removal::names;
use crate::rootfs::{RootfsError, failed, shown};

/// Entries that are written at once: a tree's would take too much memory.
const AT_ONCE: usize = 4096;

/// Copies everything below a directory into another, which is empty, its own attributes too. File
/// systems that can let both share the blocks of large files.
pub(super) fn copy(from: &Arc<OwnedFd>, to: &OwnedFd) -> Result<(), RootfsError> {
    let mut copy = Copy { from, to, waiting: Vec::new(), directories: Vec::new(), first: HashMap::new() };
    let root = stat(from, c"").map_err(failed("look at", "/"))?;
    copy.directories.push(entry(b"", Kind::Directory, &root));
    copy.below(b"")?;
    copy.write()?;
    // Their times, after everything was written in them.
    write(to, &copy.directories)
}

struct Copy<'a> {
    from: &'a Arc<OwnedFd>,
    to: &'a OwnedFd,
    waiting: Vec<Entry>,
    directories: Vec<Entry>,
    /// The first name of each file that has several, by inode.
    first: HashMap<u64, Vec<u8>>,
}

impl Copy<'_> {
    fn below(&mut self, path: &[u8]) -> Result<(), RootfsError> {
        let mut directories = vec![path.to_vec()];
        while let Some(path) = directories.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let directory = open_below(self.from, &path, flags).map_err(failed("open", shown(&path)))?;
            for name in names(directory.as_fd()).map_err(failed("list", shown(&path)))? {
                let path = join(&path, &name);
                let entry = self.entry(&directory, &name, &path).map_err(failed("look at", shown(&path)))?;
                let Some(entry) = entry else { continue };
                if entry.kind == Kind::Directory {
                    self.directories.push(entry.clone());
                    directories.push(path);
                }
                self.waiting.push(entry);
            }
            if self.waiting.len() >= AT_ONCE {
                self.write()?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, directory: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<Option<Entry>> {
        let found = stat(directory, &CString::new(name)?)?;
        let kind = found.file_type();
        if found.links > 1 && kind != FileType::Directory {
            if let Some(first) = self.first.get(&found.inode) {
                return Ok(Some(entry(path, Kind::HardLink(first.clone()), &found)));
            }
            self.first.insert(found.inode, path.to_vec());
        }
        let (major, minor) = found.device;
        let kind = match kind {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File { size: found.size },
            FileType::Symlink => {
                Kind::Symlink(rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes())
            }
            FileType::CharacterDevice => Kind::CharDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            FileType::Fifo => Kind::Fifo,
            // A socket's process is gone; layers have none either.
            FileType::Socket | FileType::Unknown => return Ok(None),
        };
        let is_file = matches!(kind, Kind::File { .. });
        let mut entry = entry(path, kind, &found);
        if is_file {
            entry.content = Content::Below(Arc::clone(self.from));
            let value = file_capability(directory.as_fd(), name)?;
            entry.xattrs.extend(value.map(|value| (CAPABILITY.into(), value)));
        }
        Ok(Some(entry))
    }

    fn write(&mut self) -> Result<(), RootfsError> {
        write(self.to, &self.waiting)?;
        self.waiting.clear();
        Ok(())
    }
}

fn write(to: &OwnedFd, entries: &[Entry]) -> Result<(), RootfsError> {
    write_entries(to.as_fd(), entries).map_err(|e| RootfsError::Unpack(Box::new(e)))
}

fn entry(path: &[u8], kind: Kind, found: &Stat) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: found.mode & 0o7777,
        uid: found.uid,
        gid: found.gid,
        mtime: found.mtime,
        xattrs: Vec::new(),
        content: Content::None,
    }
}
