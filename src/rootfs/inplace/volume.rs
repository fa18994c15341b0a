//! Mounted volumes at paths that an image uses.
//!
//! A mount point cannot be renamed and what is on it cannot be renamed away, so the part of each
//! stage's tree that lies there is kept on the volume, in `.yadokari-<id>/stage-<n>`, and the
//! user's own files are set aside in `.yadokari-<id>/own`.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::directory::{dress, failed, look, look_at, look_of, make, names, open, remove, shown};
use super::ground::Ground;
use super::journal::StayKind;
use crate::config::MountConflict;
use crate::layer::{join, parent};
use crate::rootfs::RootfsError;
use crate::rootfs::change::CAPABILITY;
use crate::rootfs::index::Stat;

impl Ground {
    /// Sets the user's files on a mounted volume aside, once, so that stages can use its path.
    pub(super) fn use_volume(&mut self, volume: &[u8]) -> Result<(), RootfsError> {
        if self.stays(volume) == Some(StayKind::Volume) {
            return Ok(());
        }
        self.allow_volume(volume)?;
        let live = open(&self.root, volume).map_err(failed("open", volume))?;
        let own = look(&live).map_err(failed("look at", volume))?;
        self.stay(volume, StayKind::VolumeAside, own)?;
        self.flush_journal()?;
        let ours = self.on_volume(volume, "own");
        let aside = make(&self.root, &ours).map_err(failed("create", &ours))?;
        self.set_aside(&live, volume, &aside)?;
        self.stay(volume, StayKind::Volume, own)?;
        self.flush_journal()?;
        let path = shown(volume);
        self.events.info(format!(
            "{0} is a mounted volume and a path of the image: its own files are set aside in {0}/{1} until the end",
            path.display(),
            String::from_utf8_lossy(&self.on_volume(b"", ""))
        ));
        Ok(())
    }

    fn allow_volume(&self, volume: &[u8]) -> Result<(), RootfsError> {
        let path = shown(volume);
        if self.mount_at(volume).is_some_and(|mount| mount.read_only) {
            return Err(RootfsError::Refused {
                reason: format!(
                    "the image has files at {0}, where something is mounted read-only",
                    path.display()
                ),
                help: Some(format!("mount it elsewhere, or not at all, or writable: {}", path.display())),
            });
        }
        if self.conflict == MountConflict::Error {
            return Err(RootfsError::Refused {
                reason: format!("the image has files at {}, where a volume is mounted", path.display()),
                help: Some(
                    "mount it elsewhere, or allow setting its files aside with --mount-conflict=swap"
                        .to_owned(),
                ),
            });
        }
        Ok(())
    }

    fn flush_journal(&mut self) -> Result<(), RootfsError> {
        match &self.journal {
            Some(journal) => journal.flush().map_err(|source| self.journal_failed(source)),
            None => Ok(()),
        }
    }

    /// Moves the part of a stage's idle tree that lies at a volume's path onto the volume.
    pub(super) fn move_to_volume(&mut self, volume: &[u8], stage: usize) -> Result<(), RootfsError> {
        let tree = self.stage(stage)?;
        let above = open(&tree, parent(volume)).map_err(failed("open", volume))?;
        let name = volume.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let from = open(&above, name).map_err(failed("open", volume))?;
        let part = self.stage_on_volume(volume, stage);
        let to = make(&self.root, &part).map_err(failed("create", &part))?;
        copy_directory(&from, &to, volume, &mut HashMap::new())?;
        remove(&above, name).map_err(failed("remove", volume))
    }

    /// Where a path of the container's own is now, from the root.
    pub(super) fn located(&self, path: &[u8]) -> Vec<u8> {
        let mut ends: Vec<usize> = (0..path.len()).filter(|i| path[*i] == b'/').collect();
        ends.push(path.len());
        let mut aside = join(&self.home_path, b"own");
        if self.stays(b"").is_none() || path.is_empty() {
            return path.to_vec();
        }
        for end in ends {
            match self.stays(&path[..end]) {
                Some(StayKind::Directory) => {}
                Some(StayKind::Volume | StayKind::VolumeAside) => {
                    let rest = path[end..].strip_prefix(b"/").unwrap_or_default();
                    let own = self.on_volume(&path[..end], "own");
                    return if rest.is_empty() { own } else { join(&own, rest) };
                }
                Some(StayKind::Reserved | StayKind::Mount | StayKind::MountedFile) => return path.to_vec(),
                None => break,
            }
        }
        aside = join(&aside, path);
        aside
    }
}

/// Copies what is in a directory and what it looks like; `inodes` are those with several names
/// and where the first copy of each is.
pub(super) fn copy_directory(
    from: &OwnedFd,
    to: &OwnedFd,
    path: &[u8],
    inodes: &mut HashMap<u64, (OwnedFd, Vec<u8>)>,
) -> Result<(), RootfsError> {
    let own = look(from).map_err(failed("look at", path))?;
    for name in names(from).map_err(failed("read the directory", path))? {
        let child = join(path, &name);
        let Some(stat) = look_at(from, &name).map_err(failed("look at", &child))? else { continue };
        if stat.file_type() == FileType::Directory {
            let below = open(from, &name).map_err(failed("open", &child))?;
            let made = make(to, &name).map_err(failed("create", &child))?;
            copy_directory(&below, &made, &child, inodes)?;
            continue;
        }
        if let Some((directory, first)) = inodes.get(&stat.inode) {
            rustix::fs::linkat(directory, first.as_slice(), to, name.as_slice(), AtFlags::empty())
                .map_err(failed("link", &child))?;
            continue;
        }
        copy_file(from, to, &name, &child, &stat)?;
        if stat.links > 1 {
            let directory = open(to, b"").map_err(failed("open", path))?;
            inodes.insert(stat.inode, (directory, name));
        }
    }
    dress(to, &own).map_err(failed("set mode, owner and time of", path))
}

/// Copies what is no directory with all that belongs to it.
pub(super) fn copy_file(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &[u8],
    path: &[u8],
    stat: &Stat,
) -> Result<(), RootfsError> {
    let fail = |action| failed(action, path);
    let mode = Mode::from(stat.mode & 0o7777);
    match stat.file_type() {
        FileType::RegularFile => return copy_content(from, to, name, path, stat),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new()).map_err(fail("read the link"))?;
            rustix::fs::symlinkat(target, to, name).map_err(fail("create"))?;
        }
        kind => {
            let device = rustix::fs::makedev(stat.device.0, stat.device.1);
            rustix::fs::mknodat(to, name, kind, mode, device).map_err(fail("create"))?;
        }
    }
    let (uid, gid) = (Some(Uid::from_raw(stat.uid)), Some(Gid::from_raw(stat.gid)));
    rustix::fs::chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(fail("set the owner of"))?;
    if stat.file_type() != FileType::Symlink {
        rustix::fs::chmodat(to, name, mode, AtFlags::empty()).map_err(fail("set the mode of"))?;
    }
    let time = Timespec { tv_sec: stat.mtime.seconds, tv_nsec: i64::from(stat.mtime.nanoseconds) };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(fail("set the time of"))
}

fn copy_content(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &[u8],
    path: &[u8],
    stat: &Stat,
) -> Result<(), RootfsError> {
    let fail = |action| failed(action, path);
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut source = File::from(rustix::fs::openat(from, name, read, Mode::empty()).map_err(fail("open"))?);
    let mut target =
        File::from(rustix::fs::openat(to, name, write, Mode::from(0o600)).map_err(fail("create"))?);
    std::io::copy(&mut source, &mut target).map_err(|source| RootfsError::Io {
        action: "copy",
        path: shown(path),
        source,
    })?;
    let (source, target) = (OwnedFd::from(source), OwnedFd::from(target));
    dress(&target, &look_of(stat)).map_err(fail("set mode, owner and time of"))?;
    // After the owner: a change of owner takes capabilities away.
    copy_attributes(&source, &target).map_err(fail("copy extended attributes of"))
}

fn copy_attributes(source: &OwnedFd, target: &OwnedFd) -> rustix::io::Result<()> {
    // What the kernel allows for a list, and for a value: XATTR_LIST_MAX, XATTR_SIZE_MAX.
    let mut list = Vec::with_capacity(64 << 10);
    match rustix::fs::flistxattr(source, rustix::buffer::spare_capacity(&mut list)) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
        Ok(_) => {}
        Err(error) => return Err(error),
    }
    let mut value = Vec::with_capacity(64 << 10);
    for name in list.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        value.clear();
        match rustix::fs::fgetxattr(source, name, rustix::buffer::spare_capacity(&mut value)) {
            Ok(_) => {}
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error),
        }
        match rustix::fs::fsetxattr(target, name, &value, XattrFlags::empty()) {
            // Labels are set by the security module itself; not every volume keeps the others.
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) if name != CAPABILITY => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// What a path of the container's own is called now.
pub(super) fn located_path(ground: &Ground, path: &std::path::Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    match path.strip_prefix(&ground.site.root) {
        Ok(below) => {
            let now = ground.located(below.as_os_str().as_bytes());
            ground.site.root.join(std::ffi::OsStr::from_bytes(&now))
        }
        Err(_) => path.to_owned(),
    }
}
