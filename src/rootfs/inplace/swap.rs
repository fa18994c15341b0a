//! Moving trees in and out of the container's root.
//!
//! Four movements, each safe to repeat after it was cut short: *set aside* the container's own
//! files, *place* a stage's tree, *take* it *out*, and *put back* the container's own. Whole
//! directories are renamed; in one that refuses (something is mounted on it, or an overlay shows
//! it from an image layer) the children are, and it lends itself to the stage.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::directory::{
    dress, failed, kind_name, look, look_at, look_of, make, names, open, remove, rename, shown,
};
use super::ground::Ground;
use super::journal::{Journal, Look, Phase, Stay, StayKind};
use crate::layer::{join, parent};
use crate::rootfs::RootfsError;
use crate::run::mountinfo::Mount;

impl Ground {
    /// Puts a stage's tree in place.
    pub(super) fn enter(&mut self, stage: usize) -> Result<(), RootfsError> {
        match self.state.phase {
            Phase::Entered(entered) if entered == stage => return Ok(()),
            Phase::Entered(entered) => self.take_out_all(entered)?,
            Phase::Untouched => self.set_all_aside()?,
            Phase::Aside | Phase::Back => return Err(unfinished()),
        }
        self.generation += 1;
        self.phase(Phase::Entered(stage))?;
        let tree = self.stage(stage)?;
        let root = self.reopen(b"")?;
        self.place(&root, b"", &tree, stage)?;
        for volume in self.volumes() {
            self.place_on_volume(&volume, stage)?;
        }
        Ok(())
    }

    pub(super) fn phase(&mut self, phase: Phase) -> Result<(), RootfsError> {
        if self.journal.is_none() {
            let made = Journal::create(&self.home, &self.state.id);
            self.journal = Some(made.map_err(|source| self.journal_failed(source))?);
        }
        if let Some(journal) = &mut self.journal {
            let outcome = journal.phase(phase);
            outcome.map_err(|source| self.journal_failed(source))?;
        }
        self.state.phase = phase;
        Ok(())
    }

    pub(super) fn journal_failed(&self, source: std::io::Error) -> RootfsError {
        RootfsError::Io { action: "write", path: self.site.home.join("journal"), source }
    }

    /// Notes, in the journal too, that something stays in place.
    pub(super) fn stay(&mut self, path: &[u8], kind: StayKind, look: Look) -> Result<(), RootfsError> {
        let stay = Stay { kind, look };
        if let Some(journal) = &mut self.journal {
            let outcome = journal.stay(path, &stay);
            outcome.map_err(|source| self.journal_failed(source))?;
        }
        self.state.stays.insert(path.to_vec(), stay);
        Ok(())
    }

    fn stay_no_longer(&mut self, path: &[u8]) -> Result<(), RootfsError> {
        if let Some(journal) = &mut self.journal {
            let outcome = journal.gone(path);
            outcome.map_err(|source| self.journal_failed(source))?;
        }
        self.state.stays.remove(path);
        Ok(())
    }

    pub(super) fn reopen(&self, path: &[u8]) -> Result<OwnedFd, RootfsError> {
        open(&self.root, path).map_err(failed("open", path))
    }

    /// Sets all of the container's own files aside, once.
    fn set_all_aside(&mut self) -> Result<(), RootfsError> {
        self.phase(Phase::Aside)?;
        let root = self.reopen(b"")?;
        let own = look(&root).map_err(failed("look at", b""))?;
        self.stay(b"", StayKind::Directory, own)?;
        let aside = make(&self.home, b"own").map_err(failed("create", &join(&self.home_path, b"own")))?;
        self.set_aside(&root, b"", &aside)?;
        if !self.materializes {
            self.warn_of_mounts();
        }
        Ok(())
    }

    /// Sets the children of a directory of the container aside.
    pub(super) fn set_aside(
        &mut self,
        live: &OwnedFd,
        path: &[u8],
        aside: &OwnedFd,
    ) -> Result<(), RootfsError> {
        for name in names(live).map_err(failed("read the directory", path))? {
            let child = join(path, &name);
            if self.stays(&child).is_some() || self.is_ours(path, &name) {
                continue;
            }
            let must_stay = self.mount_at(&child).is_some() || self.site.unmovable.contains(&child);
            let outcome = if must_stay { Err(Errno::BUSY) } else { rename(live, aside, &name) };
            match outcome {
                Ok(()) | Err(Errno::NOENT) => continue,
                // There is a copy already, complete if it is no directory.
                Err(Errno::EXIST) if !self.is_directory(live, &name, &child)? => {
                    rustix::fs::unlinkat(live, &*name, AtFlags::empty())
                        .map_err(failed("set aside", &child))?;
                    continue;
                }
                Err(Errno::BUSY | Errno::XDEV | Errno::EXIST) => {}
                Err(error) => return Err(failed("set aside", &child)(error)),
            }
            let Some(stat) = look_at(live, &name).map_err(failed("look at", &child))? else { continue };
            let is_directory = stat.file_type() == FileType::Directory;
            let is_mount = self.mount_at(&child).is_some() || stat.mount_root;
            match (is_directory, is_mount) {
                (true, true) => self.stay(&child, StayKind::Mount, look_of(&stat))?,
                (false, true) => self.stay(&child, StayKind::MountedFile, look_of(&stat))?,
                (true, false) => self.set_children_aside(live, &name, &child, aside, look_of(&stat))?,
                (false, false) => return Err(failed("set aside", &child)(Errno::BUSY)),
            }
        }
        Ok(())
    }

    /// Sets aside what is in a directory that cannot be renamed. Empty then, it can be removed:
    /// what was set aside of it is a directory of the same look that can be renamed.
    fn set_children_aside(
        &mut self,
        live: &OwnedFd,
        name: &[u8],
        path: &[u8],
        aside: &OwnedFd,
        look: Look,
    ) -> Result<(), RootfsError> {
        self.stay(path, StayKind::Directory, look)?;
        let below = open(live, name).map_err(failed("open", path))?;
        let aside = make(aside, name).map_err(failed("set aside", path))?;
        if parent(path).is_empty() {
            self.copy_aside(&below, path, &aside)?;
        }
        self.set_aside(&below, path, &aside)?;
        dress(&aside, &look).map_err(failed("set mode, owner and time of", path))?;
        match rustix::fs::unlinkat(live, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.stay_no_longer(path),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => Ok(()),
            Err(error) => Err(failed("set aside", path)(error)),
        }
    }

    /// Says once which writable mounts are in place and in no layer.
    fn warn_of_mounts(&self) {
        let left = |mount: &&Mount| self.stays(&mount.path) == Some(StayKind::Mount) && !mount.read_only;
        let names: Vec<String> =
            self.site.mounts.iter().filter(left).map(|m| shown(&m.path).display().to_string()).collect();
        if !names.is_empty() {
            self.events.warn(format!(
                "mounted in this container, so what steps change there is in no layer unless the image has files there: {}",
                names.join(", ")
            ));
        }
    }

    /// Puts the children of a stage's directory in place.
    pub(super) fn place(
        &mut self,
        live: &OwnedFd,
        path: &[u8],
        tree: &OwnedFd,
        stage: usize,
    ) -> Result<(), RootfsError> {
        let look = look(tree).map_err(failed("look at", path))?;
        for name in names(tree).map_err(failed("read the directory", path))? {
            let child = join(path, &name);
            match self.stays(&child) {
                Some(StayKind::Reserved | StayKind::MountedFile) => {}
                Some(StayKind::Mount) if self.materializes => self.warn_of_unplaced(&child),
                Some(StayKind::Mount | StayKind::Volume | StayKind::VolumeAside) => {
                    self.need_directory(tree, &name, &child)?;
                    self.use_volume(&child)?;
                    self.move_to_volume(&child, stage)?;
                }
                Some(StayKind::Directory) if self.is_directory(live, &name, &child)? => {
                    self.need_directory(tree, &name, &child)?;
                    let below = open(live, &name).map_err(failed("open", &child))?;
                    let tree = open(tree, &name).map_err(failed("open", &child))?;
                    self.place(&below, &child, &tree, stage)?;
                }
                _ => rename(tree, live, &name).map_err(failed("put in place", &child))?,
            }
        }
        dress(live, &look).map_err(failed("set mode, owner and time of", path))
    }

    fn place_on_volume(&mut self, volume: &[u8], stage: usize) -> Result<(), RootfsError> {
        let part = self.stage_on_volume(volume, stage);
        let tree = match open(&self.root, &part) {
            Ok(tree) => tree,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(failed("open", &part)(error)),
        };
        let live = self.reopen(volume)?;
        self.place(&live, volume, &tree, stage)
    }

    pub(super) fn is_directory(&self, live: &OwnedFd, name: &[u8], path: &[u8]) -> Result<bool, RootfsError> {
        let found = look_at(live, name).map_err(failed("look at", path))?;
        Ok(found.is_some_and(|stat| stat.file_type() == FileType::Directory))
    }

    /// Refuses an image that has something else where the container's directory must stay.
    fn need_directory(&self, tree: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), RootfsError> {
        match look_at(tree, name).map_err(failed("look at", path))? {
            Some(stat) if stat.file_type() != FileType::Directory => Err(RootfsError::Refused {
                reason: format!(
                    "the image has {} at {}, where this container has a directory that cannot be moved",
                    kind_name(stat.mode),
                    shown(path).display()
                ),
                help: Some(
                    "build in a container whose image has nothing at this path and nothing mounted there"
                        .to_owned(),
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Takes a stage's tree out, from volumes as well.
    pub(super) fn take_out_all(&mut self, stage: usize) -> Result<(), RootfsError> {
        for volume in self.volumes() {
            // Where setting aside was cut short no stage has come yet.
            if self.stays(&volume) == Some(StayKind::Volume) && !self.is_hollow(&volume, stage)? {
                let live = self.reopen(&volume)?;
                let part = self.stage_on_volume(&volume, stage);
                let tree = make(&self.root, &part).map_err(failed("create", &part))?;
                self.take_out(&live, &volume, &tree)?;
            }
        }
        let tree = self.stage(stage)?;
        let root = self.reopen(b"")?;
        self.take_out(&root, b"", &tree)
    }

    /// Takes a stage's children out of a directory.
    fn take_out(&mut self, live: &OwnedFd, path: &[u8], tree: &OwnedFd) -> Result<(), RootfsError> {
        let look = look(live).map_err(failed("look at", path))?;
        for name in names(live).map_err(failed("read the directory", path))? {
            let child = join(path, &name);
            let stays = self.stays(&child);
            if self.is_ours(path, &name) {
                continue;
            }
            match stays {
                Some(StayKind::Directory) if self.is_directory(live, &name, &child)? => {
                    self.take_out_below(live, &name, &child, tree)?;
                }
                None | Some(StayKind::Directory) => {
                    // Only a directory that stayed leaves one behind for its children.
                    remove(tree, &name).map_err(failed("remove", &child))?;
                    rename(live, tree, &name).map_err(failed("take out", &child))?;
                }
                Some(_) => {}
            }
        }
        dress(tree, &look).map_err(failed("set mode, owner and time of", path))
    }

    fn take_out_below(
        &mut self,
        live: &OwnedFd,
        name: &[u8],
        path: &[u8],
        tree: &OwnedFd,
    ) -> Result<(), RootfsError> {
        let below = open(live, name).map_err(failed("open", path))?;
        let there = look_at(tree, name).map_err(failed("look at", path))?;
        if there.is_some_and(|stat| stat.file_type() != FileType::Directory) {
            // Refused when it was to be put in place, so nothing of the stage is here.
            return Ok(());
        }
        let is_new = there.is_none();
        let kept = make(tree, name).map_err(failed("create", path))?;
        self.take_out(&below, path, &kept)?;
        // The image has no such directory and the stage put nothing into the container's.
        if is_new && names(&kept).map_err(failed("read the directory", path))?.is_empty() {
            remove(tree, name).map_err(failed("remove", path))?;
        }
        Ok(())
    }
}

fn unfinished() -> RootfsError {
    RootfsError::Refused {
        reason: "the container's own files were not put back after an earlier failure".to_owned(),
        help: Some("run `yadokari restore`".to_owned()),
    }
}
