//! Where a file system puts trees on its disk.

use std::os::fd::AsFd;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// Asks the file system to keep what is in the directories of this one apart: the trees of builds
/// have nothing to do with each other. Costs nothing where it is not understood.
///
/// ext4 puts a new directory near its parent otherwise, so that each build would look for inodes
/// where the one before has just freed thousands; without a journal it passes over freed inodes
/// for minutes, one by one, for every new file (`recently_deleted` in fs/ext4/ialloc.c).
pub(super) fn keep_apart(directory: impl AsFd) {
    let set = ioctl_getflags(&directory).and_then(|flags| match flags.contains(IFlags::TOPDIR) {
        true => Ok(()),
        false => ioctl_setflags(&directory, flags | IFlags::TOPDIR),
    });
    // Only a hint: most file systems have no such flag.
    let _ = set;
}
