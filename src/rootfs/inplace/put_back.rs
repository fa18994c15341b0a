//! Putting the container's own files back: the last movement of a build, and all there is to do
//! after one that was killed.

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

use super::directory::{dress, failed, look_at, make, names, open, remove, rename, shown};
use super::ground::Ground;
use super::journal::{Journal, Phase, StayKind};
use crate::layer::join;
use crate::rootfs::RootfsError;
use crate::rootfs::removal::remove_large;

/// What becomes of the stages' trees when the container's own files are back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trees {
    /// They are still to be removed.
    Stay,
    /// They are removed.
    Go,
}

impl Ground {
    /// Puts everything back as it was. A stage's file that cannot be taken
    /// out does not keep the container's own from coming back.
    pub(super) fn restore(&mut self, trees: Trees) -> Vec<RootfsError> {
        let mut errors = Vec::new();
        match self.state.phase {
            Phase::Untouched => {}
            Phase::Aside => errors.extend(self.put_back_all(true).err()),
            Phase::Entered(stage) => {
                errors.extend(self.take_out_all(stage).err());
                match self.phase(Phase::Back) {
                    Ok(()) => errors.extend(self.put_back_all(false).err()),
                    Err(error) => errors.push(error),
                }
            }
            Phase::Back => errors.extend(self.put_back_all(false).err()),
        }
        if errors.is_empty() {
            let done = if trees == Trees::Go { self.clear() } else { self.remove_large(b"own") };
            errors.extend(done.err());
        }
        errors
    }

    fn put_back_all(&mut self, is_still_own: bool) -> Result<(), RootfsError> {
        for volume in self.volumes() {
            let ours = self.on_volume(&volume, "own");
            let is_still_own = is_still_own || self.stays(&volume) == Some(StayKind::VolumeAside);
            let live = self.reopen(&volume)?;
            if let Ok(aside) = open(&self.root, &ours) {
                self.put_back(&live, &volume, &aside, is_still_own)?;
            }
            let name = self.on_volume(b"", "");
            remove(&live, &name).map_err(failed("remove", &self.on_volume(&volume, "")))?;
            self.dress_own(&live, &volume)?;
        }
        let root = self.reopen(b"")?;
        let own = join(&self.home_path, b"own");
        match open(&self.home, b"own") {
            Ok(aside) => self.put_back(&root, b"", &aside, is_still_own)?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(failed("open", &own)(error)),
        }
        self.dress_own(&root, b"")
    }

    /// Puts the children of a directory of the container back.
    /// `is_still_own` says that
    /// no stage ever came, so that what is there is the container's.
    fn put_back(
        &mut self,
        live: &OwnedFd,
        path: &[u8],
        aside: &OwnedFd,
        is_still_own: bool,
    ) -> Result<(), RootfsError> {
        for name in names(aside).map_err(failed("read the directory", path))? {
            let child = join(path, &name);
            let stayed = self.stays(&child) == Some(StayKind::Directory);
            if (stayed || is_still_own) && self.is_directory(live, &name, &child)? {
                let below = open(live, &name).map_err(failed("open", &child))?;
                let aside = open(aside, &name).map_err(failed("open", &child))?;
                self.put_back(&below, &child, &aside, is_still_own)?;
                self.dress_own(&below, &child)?;
                continue;
            }
            if is_still_own && look_at(live, &name).map_err(failed("look at", &child))?.is_some() {
                // A kill came between copying it and removing it.
                continue;
            }
            self.make_way(live, &name, &child)?;
            rename(aside, live, &name).map_err(failed("put back", &child))?;
            if stayed {
                // A step removed it, so what was set aside of it is all there is.
                let back = open(live, &name).map_err(failed("open", &child))?;
                self.dress_own(&back, &child)?;
            }
        }
        Ok(())
    }

    /// Moves away what somebody else put where a file of the container belongs.
    fn make_way(&self, live: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), RootfsError> {
        if look_at(live, name).map_err(failed("look at", path))?.is_none() {
            return Ok(());
        }
        let left = make(&self.home, b"left").map_err(failed("create", &join(&self.home_path, b"left")))?;
        remove(&left, name).map_err(failed("remove", path))?;
        rename(live, &left, name).map_err(failed("move away", path))?;
        self.events.warn(format!(
            "{} appeared while the container's own was set aside; it is in {} now",
            shown(path).display(),
            self.site.home.join("left").display()
        ));
        Ok(())
    }

    /// Whether any of the container's own files is still set aside.
    pub(super) fn has_own_aside(&self) -> bool {
        open(&self.home, b"own").and_then(|aside| names(&aside)).is_ok_and(|names| !names.is_empty())
    }

    fn dress_own(&self, directory: &OwnedFd, path: &[u8]) -> Result<(), RootfsError> {
        match self.state.stays.get(path) {
            Some(stay) => dress(directory, &stay.look).map_err(failed("set mode, owner and time of", path)),
            None => Ok(()),
        }
    }

    /// Removes a directory of ours.
    fn remove_large(&self, name: &[u8]) -> Result<(), RootfsError> {
        #[cfg(test)]
        super::directory::fuse::burn().map_err(failed("remove", name))?;
        remove_large(self.home.as_fd(), name).map_err(|source| RootfsError::Io {
            action: "remove",
            path: shown(&join(&self.home_path, name)),
            source,
        })
    }

    /// Removes trees and journal after everything is back.
    fn clear(&mut self) -> Result<(), RootfsError> {
        self.remove_large(b"own")?;
        self.remove_large(b"stage")?;
        self.clear_memory()?;
        Journal::remove(&self.home).map_err(|source| self.journal_failed(source))?;
        self.journal = None;
        self.forget();
        Ok(())
    }
}
