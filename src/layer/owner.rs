//! Owners and devices that the file system does not take from us.
//!
//! A process in a user namespace can give files only ids that are mapped there, and makes no devices.
//! What cannot be set is recorded with the file instead, in an attribute that goes with it wherever it
//! is moved or copied, and read back where files are looked at: layers have the true owner. Links and
//! pipes take no such attribute; theirs are kept in memory. Where everything can be set nothing is
//! ever recorded or looked for.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::entry::Timestamp;
use super::tree_writer::proc_path;

/// The attribute that holds a record: `uid:gid`, and for a device ` c major:minor` or ` b …`. An image
/// cannot set it.
pub(super) const ATTRIBUTE: &[u8] = b"user.yadokari.owner";

/// Looks for records from now on, which another process may have left.
pub fn expect_records() {
    ANY.store(true, Ordering::Relaxed);
}

/// What a file should be and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// For a device, which stands as an empty file: its type, major and minor number.
    pub device: Option<(FileType, u32, u32)>,
}

/// Set once there is a record.
static ANY: AtomicBool = AtomicBool::new(false);

/// Records of links and pipes by inode, each good while the file has this time: a new file of a freed
/// inode has another.
static UNMARKED: Mutex<Option<HashMap<u64, (Timestamp, Record)>>> = Mutex::new(None);

impl Record {
    fn text(&self) -> String {
        let owner = format!("{}:{}", self.uid, self.gid);
        match self.device {
            Some((kind, major, minor)) => {
                let letter = if kind == FileType::BlockDevice { 'b' } else { 'c' };
                format!("{owner} {letter} {major}:{minor}")
            }
            None => owner,
        }
    }

    fn parse(text: &[u8]) -> Option<Record> {
        let pair = |text: &str| {
            let (one, other) = text.split_once(':')?;
            Some((one.parse().ok()?, other.parse().ok()?))
        };
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let (uid, gid) = pair(words.next()?)?;
        let kind = match words.next() {
            None => return Some(Record { uid, gid, device: None }),
            Some("c") => FileType::CharacterDevice,
            Some("b") => FileType::BlockDevice,
            Some(_) => return None,
        };
        let (major, minor) = pair(words.next()?)?;
        Some(Record { uid, gid, device: Some((kind, major, minor)) })
    }
}

/// The record of what was just looked at, if there is one. `name` in `directory` is it; an empty name
/// is the directory itself.
pub fn record_of(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    inode: u64,
    mtime: Timestamp,
) -> Option<Record> {
    if !ANY.load(Ordering::Relaxed) {
        return None;
    }
    match kind {
        FileType::RegularFile | FileType::Directory => read(path_of(directory, name)),
        FileType::Symlink | FileType::Fifo => {
            let known = UNMARKED.lock().unwrap_or_else(PoisonError::into_inner);
            let (time, record) = known.as_ref()?.get(&inode)?;
            (*time == mtime).then_some(*record)
        }
        _ => None,
    }
}

fn path_of(directory: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    match name {
        b"" | b"." => PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())),
        name => proc_path(directory, name),
    }
}

/// Gives an open regular file or directory an owner, or records it where the id cannot be set.
///
/// # Errors
/// Those of `fchown(2)`, and of setting an attribute.
pub fn set_open_owner(file: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<(), Errno> {
    let is_set = match fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
        Err(Errno::INVAL) => false,
        done => done.map(|()| true)?,
    };
    settle(file, uid, gid, is_set)
}

/// Brings the record of a regular file or directory up to date with its new owner.
fn settle(file: BorrowedFd<'_>, uid: u32, gid: u32, is_set: bool) -> Result<(), Errno> {
    if is_set && !ANY.load(Ordering::Relaxed) {
        return Ok(());
    }
    let device = read(path_of(file, b"")).and_then(|record| record.device);
    if !is_set || device.is_some() {
        return mark(file, &Record { uid, gid, device });
    }
    // What it is now, it is in truth.
    match fs::removexattr(path_of(file, b""), ATTRIBUTE) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

fn read(path: PathBuf) -> Option<Record> {
    let mut value = [0; 64];
    let length = fs::getxattr(path, ATTRIBUTE, &mut value).ok()?;
    Record::parse(&value[..length])
}

fn mark(file: BorrowedFd<'_>, record: &Record) -> Result<(), Errno> {
    ANY.store(true, Ordering::Relaxed);
    fs::setxattr(path_of(file, b""), ATTRIBUTE, record.text().as_bytes(), XattrFlags::empty())
}

/// Gives a name in a directory an owner, a link itself. Gives what [`keep`] needs where it is a link or
/// pipe and the id cannot be set.
///
/// # Errors
/// Those of `fchownat(2)`, and of setting an attribute.
pub fn set_owner(
    directory: BorrowedFd<'_>,
    name: &[u8],
    uid: u32,
    gid: u32,
) -> Result<Option<Record>, Errno> {
    let ids = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let is_set = match fs::chownat(directory, name, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::INVAL) => false,
        done => done.map(|()| true)?,
    };
    if is_set && !ANY.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink | FileType::Fifo => Ok((!is_set).then_some(Record { uid, gid, device: None })),
        FileType::RegularFile | FileType::Directory => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = fs::openat(directory, name, flags, Mode::empty())?;
            settle(file.as_fd(), uid, gid, is_set).map(|()| None)
        }
        _ if is_set => Ok(None),
        _ => Err(Errno::INVAL),
    }
}

/// Remembers the owner of a link or pipe, once it has its time.
pub fn keep(directory: BorrowedFd<'_>, name: &[u8], record: Record) -> Result<(), Errno> {
    let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let time = Timestamp {
        seconds: stat.st_mtime,
        nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
    };
    ANY.store(true, Ordering::Relaxed);
    let mut known = UNMARKED.lock().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().insert(stat.st_ino, (time, record));
    Ok(())
}

/// Makes an empty file that stands for a device.
pub(super) fn stand_in(
    directory: BorrowedFd<'_>,
    name: &[u8],
    device: (FileType, u32, u32),
) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
    mark(file.as_fd(), &Record { uid: 0, gid: 0, device: Some(device) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let device = |kind| Some((kind, 7, 12));
        for (record, text) in [
            (Record { uid: 1, gid: u32::MAX - 1, device: None }, "1:4294967294"),
            (Record { uid: 0, gid: 6, device: device(FileType::BlockDevice) }, "0:6 b 7:12"),
            (Record { uid: 5, gid: 0, device: device(FileType::CharacterDevice) }, "5:0 c 7:12"),
        ] {
            assert_eq!(record.text(), text);
            assert_eq!(Record::parse(text.as_bytes()), Some(record));
        }
        for text in ["", "1", "1:", "a:b", "1:2 x 3:4", "1:2 c", "1:2 c 3"] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text}");
        }
    }
}
