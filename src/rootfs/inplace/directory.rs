//! Directories as descriptors: listing, opening, moving and dressing them.

use std::ffi::{CString, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::journal::Look;
use crate::layer::Timestamp;
use crate::rootfs::RootfsError;
use crate::rootfs::index::{Stat, open_below, stat};

/// A path from the root as people know it.
pub(super) fn shown(path: &[u8]) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(path))
}

/// Makes an error of a failed call.
pub(super) fn failed(action: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> RootfsError {
    let path = shown(path);
    move |error| RootfsError::Io { action, path, source: error.into() }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Opens a directory below another, following no link.
pub(super) fn open(base: impl AsFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    open_below(base, path, DIRECTORY)
}

/// Opens a directory below another, making it and its parents where missing, for root only.
pub(super) fn make(base: impl AsFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    #[cfg(test)]
    fuse::burn()?;
    let mut here = open(base, b"")?;
    for part in path.split(|b| *b == b'/').filter(|p| !p.is_empty()) {
        match rustix::fs::mkdirat(&here, part, Mode::from(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        here = open(&here, part)?;
    }
    Ok(here)
}

/// The names in a directory, in no order.
pub(super) fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// What is at a name; nothing where there is nothing.
pub(super) fn look_at(directory: impl AsFd, name: &[u8]) -> rustix::io::Result<Option<Stat>> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    match stat(directory, &name) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves a name between directories, never onto another.
pub(super) fn rename(from: &OwnedFd, to: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    #[cfg(test)]
    fuse::burn()?;
    match rustix::fs::renameat_with(from, name, to, name, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag, and not every seccomp profile the call.
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
            if look_at(to, name)?.is_some() {
                return Err(Errno::EXIST);
            }
            rustix::fs::renameat(from, name, to, name)
        }
        outcome => outcome,
    }
}

/// Mode, owner and time of an open directory.
pub(super) fn look(directory: &OwnedFd) -> rustix::io::Result<Look> {
    Ok(look_of(&stat(directory, c"")?))
}

/// Mode, owner and time out of all.
pub(super) fn look_of(stat: &Stat) -> Look {
    Look { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: stat.mtime }
}

/// Gives an open file or directory mode, owner and time.
pub(super) fn dress(file: &OwnedFd, look: &Look) -> rustix::io::Result<()> {
    #[cfg(test)]
    fuse::burn()?;
    rustix::fs::fchown(file, Some(Uid::from_raw(look.uid)), Some(Gid::from_raw(look.gid)))?;
    rustix::fs::fchmod(file, Mode::from(look.mode))?;
    let Timestamp { seconds, nanoseconds } = look.mtime;
    let time = Timespec { tv_sec: seconds, tv_nsec: i64::from(nanoseconds) };
    rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })
}

/// Removes a name and all below it, following no link.
pub(super) fn remove(directory: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    #[cfg(test)]
    fuse::burn()?;
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        outcome => return outcome,
    }
    let below = open(directory, name)?;
    for name in names(&below)? {
        remove(&below, &name)?;
    }
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
}

/// What kind of file a mode says, for people.
pub(super) fn kind_name(mode: u32) -> &'static str {
    match FileType::from_raw_mode(mode) {
        FileType::Directory => "a directory",
        FileType::RegularFile => "a file",
        FileType::Symlink => "a symbolic link",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "a pipe or socket",
    }
}

/// Lets tests stop a build at any movement, as a kill would.
#[cfg(test)]
pub(super) mod fuse {
    use std::cell::Cell;

    use rustix::io::Errno;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// After this many movements every one fails.
    pub(in super::super) fn set(movements: usize) {
        LEFT.set(Some(movements));
    }

    /// Lets everything work again, and says whether something failed.
    pub(in super::super) fn clear() -> bool {
        LEFT.replace(None) == Some(0) && BURNT.replace(false)
    }

    thread_local! {
        static BURNT: Cell<bool> = const { Cell::new(false) };
    }

    pub(in super::super) fn burn() -> Result<(), Errno> {
        match LEFT.get() {
            Some(0) => {
                BURNT.set(true);
                Err(Errno::IO)
            }
            left => {
                LEFT.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }
}
