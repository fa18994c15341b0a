//! The one extended attribute that layers keep.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, fgetxattr, lgetxattr, openat};
use rustix::io::Errno;

use super::tree_writer::proc_path;

/// The attribute with a file's capabilities, the only one that a layer keeps (as containerd).
pub const CAPABILITY: &str = "security.capability";

/// Room for a value; the kernel's largest, version 3, has 24 bytes.
const LONGEST: usize = 64;

/// The value of [`CAPABILITY`] of a regular file in an open directory.
///
/// # Errors
/// It cannot be read. A file system without attributes has none.
pub fn file_capability(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    let mut value = [0; LONGEST];
    let read = match lgetxattr(proc_path(directory, name), CAPABILITY, &mut value) {
        // Without /proc the file has to be opened, for which there may be no right.
        Err(Errno::NOENT) => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(directory, name, flags, Mode::empty())?;
            fgetxattr(&file, CAPABILITY, &mut value)
        }
        read => read,
    };
    known(read, &value)
}

/// The value of [`CAPABILITY`] of an open file, for less than [`file_capability`] costs.
///
/// # Errors
/// As those of [`file_capability`].
pub(super) fn open_capability(file: BorrowedFd<'_>) -> Result<Option<Vec<u8>>, Errno> {
    let mut value = [0; LONGEST];
    known(fgetxattr(file, CAPABILITY, &mut value), &value)
}

fn known(read: Result<usize, Errno>, value: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    match read {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}
