//! A file on disk as an entry.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;

use super::capability::{CAPABILITY, file_capability};
use super::entry::{Content, Entry, Kind, Timestamp};
use super::owner::record_of;
use super::view::{LinkId, SourceEntry};

/// What is at `at` below a directory, as the entry of `path`; `None` if nothing is.
pub(super) fn entry(directory: Arc<OwnedFd>, at: PathBuf, path: &[u8]) -> io::Result<Option<SourceEntry>> {
    let Some(mut found) = bare_entry(directory, at, path)? else { return Ok(None) };
    if let Content::At(directory, at) = &found.entry.content {
        let capability = file_capability(directory.as_fd(), at.as_os_str().as_bytes())?;
        found.entry.xattrs.extend(capability.map(|value| (CAPABILITY.into(), value)));
    }
    Ok(Some(found))
}

/// The same without the capabilities of a regular file, which cost as much as the rest.
pub(super) fn bare_entry(
    directory: Arc<OwnedFd>,
    at: PathBuf,
    path: &[u8],
) -> io::Result<Option<SourceEntry>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW
        | if at.as_os_str().is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::empty() };
    // Not statx: some seccomp profiles refuse it, and nothing here needs it.
    let stat = match statat(&directory, &at, flags) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mtime = Timestamp {
        seconds: stat.st_mtime,
        nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
    };
    let mut owner = (stat.st_uid, stat.st_gid);
    let mut file_type = FileType::from_raw_mode(stat.st_mode);
    let (mut major, mut minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let name = at.as_os_str().as_bytes();
    if let Some(record) = record_of(directory.as_fd(), name, file_type, stat.st_ino, mtime) {
        owner = (record.uid, record.gid);
        if let Some(device) = record.device {
            (file_type, major, minor) = device;
        }
    }
    let mut link = None;
    let (kind, content) = match file_type {
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
            if stat.st_nlink > 1 {
                link = Some(LinkId(stat.st_dev, stat.st_ino));
            }
            (Kind::File { size: stat.st_size.unsigned_abs() }, Content::At(Arc::clone(&directory), at))
        }
    };
    let entry = Entry {
        path: path.to_vec(),
        kind,
        mode: stat.st_mode & 0o7777,
        uid: owner.0,
        gid: owner.1,
        mtime,
        xattrs: Vec::new(),
        content,
    };
    Ok(Some(SourceEntry { entry, link }))
}
