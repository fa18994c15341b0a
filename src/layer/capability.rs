//! The one extended attribute that layers keep.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, fgetxattr, lgetxattr, openat};
use rustix::io::Errno;

use super::tree_writer::proc_path;

/// The attribute with a file's capabilities, the only one that a layer keeps (as containerd).
pub const CAPABILITY: &str = "security.capability";

/// The value of [`CAPABILITY`] of a regular file in an open directory.
///
/// # Errors
/// It cannot be read. A file system without attributes has none.
pub fn file_capability(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    // The kernel's largest, version 3, has 24 bytes.
    let mut value = [0; 64];
    let read = match lgetxattr(proc_path(directory, name), CAPABILITY, &mut value) {
        // Without /proc the file has to be opened, for which there may be no right.
        Err(Errno::NOENT) => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(directory, name, flags, Mode::empty())?;
            fgetxattr(&file, CAPABILITY, &mut value)
        }
        read => read,
    };
    match read {
        Ok(length) => Ok(Some(value[..length].to_vec())),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}
