//! What a step asks for besides files, where nothing can be mounted: put in place of the stage's own
//! files while the step runs, and taken out again after it.
//!
//! Directories are renamed where that is possible and copied where it is not. What is covered waits in
//! a directory of ours on the same file system; everything of it lies within the stage's tree, so that
//! after a kill it goes with that. A cache that was renamed is in the journal.

mod secret;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::directory::{
    dress, failed, kind_name, look, look_at, look_of, make, names, open, remove, rename, shown,
};
use super::ground::Ground;
use super::journal::{Look, StayKind};
use super::volume::{copy_directory, copy_file, located_path};
use crate::layer::{Timestamp, View, join, parent, resolve};
use crate::rootfs::RootfsError;
use crate::run::{Fate, Mount, MountSource};

/// Name of the directory, beside the stages' trees, for what is covered.
const COVERED: &str = "covered";

/// Something that stands in place of a stage's own.
pub(super) struct Cover {
    path: Vec<u8>,
    /// Directories that were made to reach it, outermost first.
    made: Vec<Vec<u8>>,
    aside: Option<Aside>,
    /// Where it came from and goes back to; else nobody needs it.
    origin: Option<Origin>,
}

/// A directory of ours where what is covered waits.
type Aside = (OwnedFd, Waiting);

/// What waits there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The file or directory itself.
    Whole,
    /// The children of a directory that cannot be renamed, which looked like this.
    Children(Look),
}

/// A directory of ours that is lent to a step.
struct Origin {
    directory: OwnedFd,
    name: Vec<u8>,
    /// What is in place is a copy of it.
    copied: bool,
}

impl Ground {
    /// Puts a mount in place, at a path without links.
    pub(super) fn cover(&mut self, stage: usize, path: &[u8], mount: &Mount) -> Result<(), RootfsError> {
        self.check_coverable(path)?;
        self.open_volumes(stage, path)?;
        let made = self.make_parents(path)?;
        let above = self.reopen(parent(path))?;
        let time = look(&above).map_err(failed("look at", parent(path)))?.mtime;
        let name = last(path);
        match self.set_covered_aside(&above, name, path, mount) {
            Ok(aside) => self.covers.push(Cover { path: path.to_vec(), made, aside, origin: None }),
            Err(error) => {
                self.remove_made(&made)?;
                return Err(error);
            }
        }
        self.put(&above, name, path, mount)?;
        set_time(&above, time).map_err(failed("set the time of", parent(path)))
    }

    /// Refuses places that are the container's own.
    fn check_coverable(&self, path: &[u8]) -> Result<(), RootfsError> {
        let above = std::iter::successors(Some(path), |p| Some(parent(p))).take_while(|p| !p.is_empty());
        for above in above {
            if matches!(self.stays(above), Some(StayKind::Reserved | StayKind::MountedFile)) {
                return Err(RootfsError::Refused {
                    reason: format!(
                        "building in place nothing can be mounted on {}: {} is the container's own",
                        shown(path).display(),
                        shown(above).display()
                    ),
                    help: Some("mount it elsewhere, or build where namespaces can be made".to_owned()),
                });
            }
        }
        Ok(())
    }

    /// Sets the user's files aside on volumes at or above a path.
    fn open_volumes(&mut self, stage: usize, path: &[u8]) -> Result<(), RootfsError> {
        let above = std::iter::successors(Some(path), |p| Some(parent(p))).take_while(|p| !p.is_empty());
        let mut above: Vec<&[u8]> = above.collect();
        above.reverse();
        for above in above {
            if matches!(self.stays(above), Some(StayKind::Mount | StayKind::VolumeAside)) {
                self.use_volume(above)?;
                let part = self.stage_on_volume(above, stage);
                make(&self.root, &part).map_err(failed("create", &part))?;
            }
        }
        Ok(())
    }

    /// Makes what is missing above a path; the directories it is made in keep their times.
    fn make_parents(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, RootfsError> {
        let above = std::iter::successors(Some(parent(path)), |p| Some(parent(p)));
        let mut above: Vec<&[u8]> = above.take_while(|p| !p.is_empty()).collect();
        above.reverse();
        let mut made = Vec::new();
        for at in above {
            let directory = self.reopen(parent(at))?;
            match look_at(&directory, last(at)).map_err(failed("look at", at))? {
                Some(stat) if stat.file_type() == FileType::Directory => continue,
                Some(stat) => return Err(in_the_way(at, stat.mode)),
                None => {}
            }
            let time = look(&directory).map_err(failed("look at", parent(at)))?.mtime;
            let new = make(&directory, last(at)).map_err(failed("create", at))?;
            let look = Look { mode: 0o755, ..Look::default() };
            dress(&new, &look).map_err(failed("set mode, owner and time of", at))?;
            set_time(&directory, time).map_err(failed("set the time of", parent(at)))?;
            made.push(at.to_vec());
        }
        Ok(made)
    }

    /// Moves what is at a path out of the way.
    fn set_covered_aside(
        &self,
        above: &OwnedFd,
        name: &[u8],
        path: &[u8],
        mount: &Mount,
    ) -> Result<Option<Aside>, RootfsError> {
        let Some(stat) = look_at(above, name).map_err(failed("look at", path))? else { return Ok(None) };
        let is_directory = stat.file_type() == FileType::Directory;
        if is_directory != mount.source.is_directory() {
            return Err(in_the_way(path, stat.mode));
        }
        let aside = self.covered_directory(path)?;
        let stays = self.stays(path).is_some() || stat.mount_root;
        let outcome = if stays { Err(Errno::BUSY) } else { rename(above, &aside, name) };
        let waiting = match outcome {
            Ok(()) => Waiting::Whole,
            Err(Errno::BUSY | Errno::XDEV) if is_directory => {
                if let MountSource::Directory(_, Fate::Kept) = mount.source {
                    return Err(RootfsError::Refused {
                        reason: format!(
                            "a cache cannot be mounted on {}: the directory must stay in place in this container",
                            shown(path).display()
                        ),
                        help: Some("mount it on a directory below, or elsewhere".to_owned()),
                    });
                }
                let live = open(above, name).map_err(failed("open", path))?;
                self.move_children(&live, path, &aside)?;
                Waiting::Children(look_of(&stat))
            }
            Err(error) => return Err(failed("set aside", path)(error)),
        };
        Ok(Some((aside, waiting)))
    }

    /// An empty directory of ours on the file system of a path.
    fn covered_directory(&self, path: &[u8]) -> Result<OwnedFd, RootfsError> {
        let volume = std::iter::successors(Some(path), |p| Some(parent(p)))
            .take_while(|p| !p.is_empty())
            .find(|p| self.stays(p) == Some(StayKind::Volume));
        let base = match volume {
            Some(volume) => self.on_volume(volume, COVERED),
            None => join(&self.home_path, format!("stage/{}/{COVERED}", self.state.id).as_bytes()),
        };
        let directory = join(&base, self.covers.len().to_string().as_bytes());
        make(&self.root, &directory).map_err(failed("create", &directory))
    }

    /// Moves the children of a directory that stays, except those that stay themselves.
    fn move_children(&self, live: &OwnedFd, path: &[u8], aside: &OwnedFd) -> Result<(), RootfsError> {
        for name in names(live).map_err(failed("read the directory", path))? {
            let child = join(path, &name);
            if self.stays(&child).is_none() && !self.is_ours(path, &name) {
                rename(live, aside, &name).map_err(failed("set aside", &child))?;
            }
        }
        Ok(())
    }

    /// Puts a mount's files at a path where nothing is, or into a directory that stays.
    fn put(&mut self, above: &OwnedFd, name: &[u8], path: &[u8], mount: &Mount) -> Result<(), RootfsError> {
        match &mount.source {
            MountSource::Directory(source, fate) => {
                let source = located_path(self, source);
                self.put_directory(above, name, path, &source, *fate)
            }
            MountSource::File(source, _) => put_file(above, name, path, &located_path(self, source)),
            MountSource::Tmpfs { .. } => {
                let made = make(above, name).map_err(failed("create", path))?;
                let look = Look { mode: 0o1777, ..Look::default() };
                dress(&made, &look).map_err(failed("set mode, owner and time of", path))
            }
            MountSource::Secret(secret) => self.put_secret(above, name, path, secret),
            // Only trees of the overlay placement are in layers.
            MountSource::Layered(_) => Err(failed("mount layers on", path)(Errno::OPNOTSUPP)),
        }
    }

    fn put_directory(
        &mut self,
        above: &OwnedFd,
        name: &[u8],
        path: &[u8],
        source: &Path,
        fate: Fate,
    ) -> Result<(), RootfsError> {
        let (directory, source_name) =
            parts(source).map_err(failed("open", source.as_os_str().as_bytes()))?;
        let into_children = look_at(above, name).map_err(failed("look at", path))?.is_some();
        let renamed = if into_children {
            Err(Errno::XDEV)
        } else {
            if fate == Fate::Kept {
                self.lend(Some((path, source)))?;
            }
            rustix::fs::renameat_with(&directory, &*source_name, above, name, RenameFlags::NOREPLACE)
        };
        let copied = match renamed {
            Ok(()) => false,
            Err(Errno::XDEV | Errno::BUSY) => {
                let from = open(&directory, &source_name).map_err(failed("open", path))?;
                let to = make(above, name).map_err(failed("create", path))?;
                copy_directory(&from, &to, path, &mut HashMap::new())?;
                true
            }
            Err(error) => return Err(failed("put in place", path)(error)),
        };
        if let (Fate::Kept, Some(cover)) = (fate, self.covers.last_mut()) {
            cover.origin = Some(Origin { directory, name: source_name, copied });
        }
        Ok(())
    }

    /// Takes out what was put in place, the last first. An error does not keep the rest from it.
    pub(super) fn uncover(&mut self) -> Result<(), RootfsError> {
        let mut first = Ok(());
        if self.covers.is_empty() {
            return first;
        }
        while let Some(cover) = self.covers.pop() {
            let outcome = self.uncover_one(&cover);
            first = first.and(outcome);
        }
        first = first.and(self.lend(None));
        first.and(self.clear_memory())
    }

    fn uncover_one(&self, cover: &Cover) -> Result<(), RootfsError> {
        let path = cover.path.as_slice();
        let (above, name) = match open(&self.root, parent(path)) {
            Ok(above) => (above, last(path)),
            // The step removed it with all that was in it.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(failed("open", parent(path))(error)),
        };
        let time = look(&above).map_err(failed("look at", parent(path)))?.mtime;
        let waiting = cover.aside.as_ref().map(|(_, waiting)| *waiting);
        if let Some(origin) = &cover.origin {
            self.give_back(&above, name, path, origin)?;
        }
        match (&cover.aside, waiting) {
            (Some((aside, _)), Some(Waiting::Children(own))) => {
                let live = open(&above, name).map_err(failed("open", path))?;
                for name in names(&live).map_err(failed("read the directory", path))? {
                    let child = join(path, &name);
                    if self.stays(&child).is_none() && !self.is_ours(path, &name) {
                        remove(&live, &name).map_err(failed("remove", &child))?;
                    }
                }
                for name in names(aside).map_err(failed("read the directory", path))? {
                    rename(aside, &live, &name).map_err(failed("put back", &join(path, &name)))?;
                }
                dress(&live, &own).map_err(failed("set mode, owner and time of", path))?;
            }
            (Some((aside, _)), _) => {
                remove(&above, name).map_err(failed("remove", path))?;
                rename(aside, &above, name).map_err(failed("put back", path))?;
            }
            (None, _) => remove(&above, name).map_err(failed("remove", path))?,
        }
        set_time(&above, time).map_err(failed("set the time of", parent(path)))?;
        self.remove_made(&cover.made)
    }

    /// Removes directories that were made to reach a path, unless the step put something there.
    fn remove_made(&self, made: &[Vec<u8>]) -> Result<(), RootfsError> {
        for path in made.iter().rev() {
            let above = self.reopen(parent(path))?;
            let time = look(&above).map_err(failed("look at", parent(path)))?.mtime;
            match rustix::fs::unlinkat(&above, last(path), AtFlags::REMOVEDIR) {
                Ok(()) => set_time(&above, time).map_err(failed("set the time of", parent(path)))?,
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => break,
                Err(error) => return Err(failed("remove", path)(error)),
            }
        }
        Ok(())
    }

    /// Brings a directory that was lent back to where it came from.
    fn give_back(
        &self,
        above: &OwnedFd,
        name: &[u8],
        path: &[u8],
        origin: &Origin,
    ) -> Result<(), RootfsError> {
        let live = match open(above, name) {
            Ok(live) => live,
            // The step removed it, or put something else there.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(failed("open", path)(error)),
        };
        let back = |action| failed(action, path);
        if !origin.copied {
            return rustix::fs::renameat_with(
                above,
                name,
                &origin.directory,
                &*origin.name,
                RenameFlags::NOREPLACE,
            )
            .map_err(back("bring back"));
        }
        let new = b"returned";
        remove(&origin.directory, new).map_err(back("bring back"))?;
        let to = make(&origin.directory, new).map_err(back("bring back"))?;
        copy_directory(&live, &to, path, &mut HashMap::new())?;
        remove(&origin.directory, &origin.name).map_err(back("bring back"))?;
        rustix::fs::renameat(&origin.directory, &new[..], &origin.directory, &*origin.name)
            .map_err(back("bring back"))
    }

    /// Notes in the journal what is lent, or that nothing is.
    fn lend(&mut self, what: Option<(&[u8], &Path)>) -> Result<(), RootfsError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let outcome = journal.lent(what.map(|(path, source)| (path, source.as_os_str().as_bytes())));
        outcome.map_err(|source| self.journal_failed(source))
    }

    /// Brings back what was lent when a build was killed.
    pub(super) fn bring_back_lent(&mut self) {
        for (path, source) in std::mem::take(&mut self.state.lent) {
            let (Ok((directory, name)), Ok(above)) =
                (parts(Path::new(OsStr::from_bytes(&source))), open(&self.root, parent(&path)))
            else {
                continue;
            };
            // Where it is back already, or nobody finds it, the cache begins anew.
            let flags = RenameFlags::NOREPLACE;
            let _ = rustix::fs::renameat_with(&above, last(&path), &directory, &*name, flags);
        }
    }
}

/// The place in the live tree that a target means, links followed.
pub(super) fn place(view: &dyn View, target: &Path) -> Result<Vec<u8>, RootfsError> {
    let io = |source| RootfsError::Io { action: "look at", path: Path::new("/").join(target), source };
    resolve(view, target.as_os_str().as_bytes(), true).map_err(io)
}

fn put_file(above: &OwnedFd, name: &[u8], path: &[u8], source: &Path) -> Result<(), RootfsError> {
    let (directory, source_name) = parts(source).map_err(failed("open", source.as_os_str().as_bytes()))?;
    match rustix::fs::renameat_with(&directory, &*source_name, above, name, RenameFlags::NOREPLACE) {
        Err(Errno::XDEV) => {
            let stat = look_at(&directory, &source_name).map_err(failed("look at", path))?;
            let stat = stat.ok_or(Errno::NOENT).map_err(failed("look at", path))?;
            // A copy of a socket leads nowhere, so that it is lent its own name.
            if stat.file_type() == FileType::Socket {
                return rustix::fs::symlinkat(source, above, name).map_err(failed("create", path));
            }
            copy_file(&directory, above, &source_name, path, &stat)?;
            rustix::fs::renameat(above, &*source_name, above, name).map_err(failed("put in place", path))
        }
        outcome => outcome.map_err(failed("put in place", path)),
    }
}

fn in_the_way(path: &[u8], mode: u32) -> RootfsError {
    RootfsError::Refused {
        reason: format!(
            "{} of the image is in the way of a mount: it is {}",
            shown(path).display(),
            kind_name(mode)
        ),
        help: Some("mount directories on directories, and files on files".to_owned()),
    }
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

/// The directory of a path of ours, opened, and its last part.
fn parts(path: &Path) -> rustix::io::Result<(OwnedFd, Vec<u8>)> {
    let name = path.file_name().ok_or(Errno::INVAL)?.as_bytes().to_vec();
    let above: PathBuf = path.parent().ok_or(Errno::INVAL)?.to_owned();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((rustix::fs::open(above, flags, Mode::empty())?, name))
}

fn set_time(directory: &OwnedFd, time: Timestamp) -> rustix::io::Result<()> {
    let now = look(directory)?;
    dress(directory, &Look { mtime: time, ..now })
}
