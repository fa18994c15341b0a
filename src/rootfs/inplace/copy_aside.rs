//! Setting aside files that an overlay shows from an image layer, by copying them.
//!
//! Such a file can be renamed, but the overlay then copies it first and waits for the disk, which
//! for the thousands of files of a common image takes many seconds. A copy of our own does not
//! wait; the file itself is unlinked when its copy is complete. Large files are renamed all the
//! same: they may be the container's own, and then nothing is copied.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType};

use super::directory::{failed, look_at, make, names, open};
use super::ground::Ground;
use super::volume::copy_file;
use crate::layer::{join, parent};
use crate::rootfs::RootfsError;
use crate::rootfs::index::Stat;

/// Above this many bytes renaming is no slower.
const LARGE: u64 = 1 << 20;

/// A file to be copied: its path below the directory, and what it is.
type File = (Vec<u8>, Stat);

impl Ground {
    /// Copies the small regular files and the links below `live`, the container's directory at `path`, and the
    /// directories that hold them, to `aside`. Nothing is removed.
    pub(super) fn copy_aside(&self, live: &OwnedFd, path: &[u8], aside: &OwnedFd) -> Result<(), RootfsError> {
        let mut files = Vec::new();
        self.collect(live, path, b"", aside, &mut files)?;
        let (linked, single): (Vec<File>, Vec<File>) =
            files.into_iter().partition(|(_, stat)| stat.links > 1);
        let single = Mutex::new(single);
        let take = || single.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let copy = || -> Result<(), RootfsError> {
            while let Some((file, stat)) = take() {
                copy_one(live, aside, path, &file, &stat)?;
            }
            Ok(())
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(copy)).collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        let mut first_names: HashMap<u64, Vec<u8>> = HashMap::new();
        for (file, stat) in linked {
            match first_names.get(&stat.inode) {
                Some(first) => {
                    rustix::fs::linkat(aside, first.as_slice(), aside, file.as_slice(), AtFlags::empty())
                        .map_err(failed("set aside", &join(path, &file)))?;
                }
                None => {
                    copy_one(live, aside, path, &file, &stat)?;
                    first_names.insert(stat.inode, file);
                }
            }
        }
        Ok(())
    }

    /// Lists small regular files and links below a directory, and makes the directories; mounts left out.
    fn collect(
        &self,
        live: &OwnedFd,
        path: &[u8],
        prefix: &[u8],
        aside: &OwnedFd,
        files: &mut Vec<File>,
    ) -> Result<(), RootfsError> {
        for name in names(live).map_err(failed("read the directory", path))? {
            let child = join(path, &name);
            let Some(stat) = look_at(live, &name).map_err(failed("look at", &child))? else { continue };
            if stat.mount_root || self.mount_at(&child).is_some() || self.stays(&child).is_some() {
                continue;
            }
            let below = join(prefix, &name);
            match stat.file_type() {
                // An overlay breaks the names of one inode apart where it copies.
                FileType::RegularFile if stat.size <= LARGE || stat.links > 1 => files.push((below, stat)),
                FileType::Symlink if stat.links == 1 => files.push((below, stat)),
                FileType::Directory => {
                    let live = open(live, &name).map_err(failed("open", &child))?;
                    let aside = make(aside, &name).map_err(failed("set aside", &child))?;
                    self.collect(&live, &child, &below, &aside, files)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn copy_one(
    live: &OwnedFd,
    aside: &OwnedFd,
    path: &[u8],
    file: &[u8],
    stat: &Stat,
) -> Result<(), RootfsError> {
    let shown = join(path, file);
    let from = open(live, parent(file)).map_err(failed("open", parent(&shown)))?;
    let to = open(aside, parent(file)).map_err(failed("open", parent(&shown)))?;
    let name = file.rsplit(|b| *b == b'/').next().unwrap_or_default();
    copy_file(&from, &to, name, &shown, stat)
}
