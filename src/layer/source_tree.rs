//! A directory on disk as entries of a layer, for tests of packing.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags, Stat, major, minor, readlinkat, statat};
use rustix::io::Errno;

use super::capability::{CAPABILITY, file_capability};
use super::dirs::{children, open_beneath};
use super::entry::{Content, Entry, Kind, Timestamp};
use super::layer_path::split_last;
use super::tree_writer::{TreeError, failed};
use super::view::join;

/// What a filter says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is an entry, and what is below it is asked about.
    Yes,
    /// Neither it nor anything below it.
    No,
}

/// Reads what is below a directory, sorted by path bytes. Paths are relative to the directory, which
/// is no entry itself; contents are read from where they are, below `tree`. Files that are one
/// inode become hard links of the first of them. Links are kept as they are. A socket becomes
/// an empty file, as in BuildKit.
///
/// `filter` is asked for each path, relative to the directory, and whether it is a directory.
///
/// # Errors
/// What could not be read, by its path below `tree`.
pub(super) fn read_tree(
    tree: &Arc<OwnedFd>,
    directory: &[u8],
    filter: &mut dyn FnMut(&[u8], bool) -> Keep,
) -> Result<Vec<Entry>, TreeError> {
    let start = open_beneath(tree.as_fd(), directory, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|e| failed("open the directory", directory, e))?;
    let mut walk = Walk { tree, base: directory, filter, entries: Vec::new(), inodes: Vec::new() };
    walk.directory(start.as_fd(), b"")?;
    let Walk { entries, inodes, .. } = walk;
    Ok(linked(entries, inodes))
}

/// Reads one file, link or device; `None` if there is nothing at the path. Its entry's path is the
/// path below `tree`.
///
/// # Errors
/// It could not be read.
pub(super) fn read_entry(tree: &Arc<OwnedFd>, path: &[u8]) -> Result<Option<Entry>, TreeError> {
    let (directory, name) = split_last(path);
    let opened = open_beneath(tree.as_fd(), directory, OFlags::RDONLY | OFlags::DIRECTORY);
    let parent = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|e| failed("open the directory of", path, e))?,
    };
    let name = if name.is_empty() { b"." } else { name };
    match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed("read", path, error)),
        Ok(stat) => entry(tree, parent.as_fd(), name, path, path.to_vec(), &stat).map(Some),
    }
}

struct Walk<'a> {
    tree: &'a Arc<OwnedFd>,
    base: &'a [u8],
    filter: &'a mut dyn FnMut(&[u8], bool) -> Keep,
    entries: Vec<Entry>,
    /// Device and inode of the entries that have more than one name.
    inodes: Vec<Option<(u64, u64)>>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: BorrowedFd<'_>, path: &[u8]) -> Result<(), TreeError> {
        for name in children(directory).map_err(|e| failed("list", &join(self.base, path), e))? {
            let relative = join(path, &name);
            let on_disk = join(self.base, &relative);
            let stat = statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| failed("read", &on_disk, e))?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let keep = (self.filter)(&relative, is_directory);
            if keep == Keep::Yes {
                let made = entry(self.tree, directory, &name, &on_disk, relative.clone(), &stat)?;
                let shared = stat.st_nlink > 1 && !is_directory;
                self.inodes.push(shared.then_some((stat.st_dev, stat.st_ino)));
                self.entries.push(made);
            }
            if is_directory && keep != Keep::No {
                let child = open_beneath(directory, &name, OFlags::RDONLY | OFlags::DIRECTORY)
                    .map_err(|e| failed("open the directory", &on_disk, e))?;
                self.directory(child.as_fd(), &relative)?;
            }
        }
        Ok(())
    }
}

/// Sorts, and makes later names of an inode hard links of its first.
fn linked(entries: Vec<Entry>, inodes: Vec<Option<(u64, u64)>>) -> Vec<Entry> {
    let mut both: Vec<(Entry, Option<(u64, u64)>)> = entries.into_iter().zip(inodes).collect();
    both.sort_unstable_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let mut first: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    both.into_iter()
        .map(|(mut entry, inode)| {
            if let Some(inode) = inode {
                if let Some(path) = first.get(&inode) {
                    entry.kind = Kind::HardLink(path.clone());
                    entry.content = Content::None;
                } else {
                    first.insert(inode, entry.path.clone());
                }
            }
            entry
        })
        .collect()
}

fn entry(
    tree: &Arc<OwnedFd>,
    directory: BorrowedFd<'_>,
    name: &[u8],
    on_disk: &[u8],
    path: Vec<u8>,
    stat: &Stat,
) -> Result<Entry, TreeError> {
    let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
    let mut content = Content::None;
    let mut xattrs = Vec::new();
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => {
            content = Content::At(Arc::clone(tree), PathBuf::from(OsString::from_vec(on_disk.to_vec())));
            let value = file_capability(directory, name)
                .map_err(|e| failed("read the capabilities of", on_disk, e))?;
            xattrs.extend(value.map(|value| (CAPABILITY.into(), value)));
            Kind::File { size: stat.st_size.unsigned_abs() }
        }
        FileType::Symlink => {
            let target = readlinkat(directory, name, Vec::new());
            Kind::Symlink(target.map_err(|e| failed("read the link", on_disk, e))?.into_bytes())
        }
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        FileType::Socket | FileType::Unknown => {
            content = Content::Bytes(Arc::default());
            Kind::File { size: 0 }
        }
    };
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Ok(Entry {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Timestamp { seconds: stat.st_mtime, nanoseconds },
        xattrs,
        content,
    })
}
