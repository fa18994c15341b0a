//! Looking at one name in an open directory.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::layer::{Timestamp, record_of};
use crate::rootfs::change::CAPABILITY;

/// What the kernel says about a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) inode: u64,
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) device: (u32, u32),
    pub(crate) mtime: Timestamp,
    pub(crate) ctime: Timestamp,
    /// Something is mounted here; false where the kernel (before 5.8) does not say.
    pub(crate) mount_root: bool,
}

impl Stat {
    pub(crate) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// With the owner and the device that could not be set.
    fn as_recorded(mut self, directory: BorrowedFd<'_>, name: &CStr) -> Stat {
        let record = record_of(directory, name.to_bytes(), self.file_type(), self.inode, self.mtime);
        if let Some(record) = record {
            (self.uid, self.gid) = (record.uid, record.gid);
            if let Some((kind, major, minor)) = record.device {
                self.mode = kind.as_raw_mode() | self.mode & 0o7777;
                self.device = (major, minor);
                self.size = 0;
            }
        }
        self
    }
}

/// Set once statx turned out to be refused: by a seccomp profile older than the call.
static NO_STATX: AtomicBool = AtomicBool::new(false);

/// Looks at `name` in `directory` without following it; an empty name is the directory itself.
///
/// # Errors
/// Those of `statx(2)`.
pub(crate) fn stat(directory: impl AsFd, name: &CStr) -> rustix::io::Result<Stat> {
    let mut flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    flags.set(AtFlags::EMPTY_PATH, name.is_empty());
    if !NO_STATX.load(Ordering::Relaxed) {
        match rustix::fs::statx(&directory, name, flags, StatxFlags::BASIC_STATS) {
            Ok(found) => return Ok(from_statx(&found).as_recorded(directory.as_fd(), name)),
            // Never the answer of a file system: the call itself is refused.
            Err(Errno::NOSYS | Errno::PERM) => NO_STATX.store(true, Ordering::Relaxed),
            Err(error) => return Err(error),
        }
    }
    let found = rustix::fs::statat(&directory, name, flags)?;
    let time = |seconds, nanoseconds: u64| Timestamp { seconds, nanoseconds: nanoseconds as u32 };
    let found = Stat {
        inode: found.st_ino,
        mode: found.st_mode,
        links: u32::try_from(found.st_nlink).unwrap_or(u32::MAX),
        uid: found.st_uid,
        gid: found.st_gid,
        size: found.st_size.unsigned_abs(),
        device: (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev)),
        mtime: time(found.st_mtime, found.st_mtime_nsec),
        ctime: time(found.st_ctime, found.st_ctime_nsec),
        mount_root: false,
    };
    Ok(found.as_recorded(directory.as_fd(), name))
}

fn from_statx(found: &Statx) -> Stat {
    let time = |t: rustix::fs::StatxTimestamp| Timestamp { seconds: t.tv_sec, nanoseconds: t.tv_nsec };
    Stat {
        inode: found.stx_ino,
        mode: u32::from(found.stx_mode),
        links: found.stx_nlink,
        uid: found.stx_uid,
        gid: found.stx_gid,
        size: found.stx_size,
        device: (found.stx_rdev_major, found.stx_rdev_minor),
        mtime: time(found.stx_mtime),
        ctime: time(found.stx_ctime),
        mount_root: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
    }
}

/// The `security.capability` attribute of a regular file.
///
/// # Errors
/// Those of `getxattr(2)`; file systems without attributes have none.
pub(crate) fn capability(directory: impl AsFd, name: &CStr) -> rustix::io::Result<Option<Box<[u8]>>> {
    use std::os::fd::AsRawFd;
    // There is no getxattrat before Linux 6.13, and opening each file would cost three calls.
    let prefix = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd());
    let path = [prefix.as_bytes(), name.to_bytes()].concat();
    // Twenty-four bytes at most: vfs_ns_cap_data in linux/capability.h.
    let mut value = [0; 64];
    match rustix::fs::lgetxattr(path, CAPABILITY, &mut value) {
        Ok(length) => Ok(Some(value[..length].into())),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}
