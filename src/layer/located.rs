//! A file on disk as an entry.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use rustix::io::Errno;

use super::capability::{CAPABILITY, file_capability};
use super::entry::{Content, Entry, Kind, Timestamp};
use super::view::{LinkId, SourceEntry};

/// What is at `at` below a directory, as the entry of `path`; `None` if nothing is.
pub(super) fn entry(directory: Arc<OwnedFd>, at: PathBuf, path: &[u8]) -> io::Result<Option<SourceEntry>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW
        | if at.as_os_str().is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::empty() };
    let stat = match statx(&directory, &at, flags, StatxFlags::BASIC_STATS) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mode = u32::from(stat.stx_mode);
    let (major, minor) = (stat.stx_rdev_major, stat.stx_rdev_minor);
    let mut xattrs = Vec::new();
    let mut link = None;
    let (kind, content) = match FileType::from_raw_mode(mode) {
        FileType::Directory => (Kind::Directory, Content::None),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&directory, &at, Vec::new())?;
            (Kind::Symlink(target.into_bytes()), Content::None)
        }
        FileType::Fifo => (Kind::Fifo, Content::None),
        FileType::CharacterDevice => (Kind::CharDevice { major, minor }, Content::None),
        FileType::BlockDevice => (Kind::BlockDevice { major, minor }, Content::None),
        // A socket becomes an empty file, as in BuildKit's copy.
        FileType::Socket | FileType::Unknown => (Kind::File { size: 0 }, Content::Bytes(Arc::default())),
        FileType::RegularFile => {
            let capability = file_capability(directory.as_fd(), at.as_os_str().as_bytes())?;
            xattrs.extend(capability.map(|value| (CAPABILITY.into(), value)));
            if stat.stx_nlink > 1 {
                let device = u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor);
                link = Some(LinkId(device, stat.stx_ino));
            }
            (Kind::File { size: stat.stx_size }, Content::At(directory, at))
        }
    };
    let entry = Entry {
        path: path.to_vec(),
        kind,
        mode: mode & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        mtime: Timestamp { seconds: stat.stx_mtime.tv_sec, nanoseconds: stat.stx_mtime.tv_nsec },
        xattrs,
        content,
    };
    Ok(Some(SourceEntry { entry, link }))
}
