//! Mounting what a step asks for, in the order of its targets.
//!
//! Mount points are opened inside the root and mounted on through their descriptors: links of the
//! image lead nowhere else.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::error::{Failure, Step};
use super::inside::open_inside;
use super::mount::{MountSource, SecretFile};
use super::populate::{INERT, bind, descriptor_path, file_system, read_only};
use super::root::Mounted;
use super::tree::mount_layered;

/// Mounts everything in a root, from the namespace that still has the old one.
pub(super) fn all(root: &OwnedFd, mounted: &Mounted) -> Result<(), Failure> {
    let mounts = &mounted.mounts;
    let mut secrets = None;
    for mount in mounts {
        let path = mount.target.to_string_lossy();
        let target = mount_point(root, &mount.target, mount.source.is_directory())?;
        match &mount.source {
            MountSource::Directory(source, _) | MountSource::File(source, _) => bind(source, &target, &path)?,
            MountSource::Layered(layered) => {
                mount_layered(layered, mounted.user_namespace)?;
                bind(&layered.mount_point.join(&layered.path), &target, &path)?;
            }
            MountSource::Tmpfs { size } => {
                let size = size.map(|size| CString::new(format!("size={size}"))).transpose();
                let size = size.map_err(|e| failed("mount a tmpfs on", &mount.target)(e.into()))?;
                let flags = MountFlags::NOSUID | MountFlags::NODEV;
                file_system("tmpfs", &target, flags, size.as_deref(), &path)?;
            }
            MountSource::Secret(secret) => {
                let (directory, count) = match secrets.take() {
                    Some(known) => known,
                    None => (memory(&mounted.scratch)?, 0),
                };
                let name = count.to_string();
                write_secret(&directory, &name, secret).map_err(failed("write", &mount.target))?;
                bind(&descriptor_path(&directory).join(&name), &target, &path)?;
                secrets = Some((directory, count + 1));
            }
        }
    }
    // Not before: what lies in another mount may need a mount point there.
    for mount in mounts.iter().filter(|mount| mount.read_only) {
        read_only(root, &mount.target.to_string_lossy())?;
    }
    Ok(())
}

fn failed(action: &str, target: &Path) -> impl FnOnce(io::Error) -> Failure {
    let action = format!("{action} /{}", target.display());
    move |error| Failure::new(Step::Mounts, action, error)
}

/// A directory in memory that only this namespace has.
fn memory(scratch: &Path) -> Result<OwnedFd, Failure> {
    let open = || rustix::fs::openat(CWD, scratch, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let failed = |e: Errno| Failure::new(Step::Mounts, format!("open {}", scratch.display()), e);
    file_system("tmpfs", &open().map_err(failed)?, INERT, Some(c"mode=0700"), "a directory for secrets")?;
    open().map_err(failed)
}

fn write_secret(directory: &OwnedFd, name: &str, secret: &SecretFile) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, name, flags, Mode::from(0o600))?);
    file.write_all(&secret.content.0)?;
    rustix::fs::fchown(file.as_fd(), Some(Uid::from_raw(secret.uid)), Some(Gid::from_raw(secret.gid)))?;
    Ok(rustix::fs::fchmod(file.as_fd(), Mode::from(secret.mode))?)
}

/// Opens a mount point, made where an earlier mount covers the one that was made for it.
fn mount_point(root: &OwnedFd, path: &Path, directory: bool) -> Result<OwnedFd, Failure> {
    let open = |path: &Path| match path.to_str() {
        Some("") => open_inside(root, "."),
        Some(path) => open_inside(root, path),
        None => Err(Errno::ILSEQ),
    };
    let failed = |action: &str| {
        let action = format!("{action} the mount point /{}", path.display());
        move |e: Errno| Failure::new(Step::Mounts, action, e)
    };
    match open(path) {
        Err(Errno::NOENT) => {}
        outcome => return outcome.map_err(failed("find")),
    }
    let mut here = PathBuf::new();
    let parts: Vec<_> = path.iter().collect();
    for (at, part) in parts.iter().enumerate() {
        let above = open(&here).map_err(failed("find"))?;
        here.push(part);
        if open(&here).is_ok() {
            continue;
        }
        let made = if at + 1 < parts.len() || directory {
            rustix::fs::mkdirat(&above, *part, Mode::from(0o755))
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&above, *part, flags, Mode::from(0o644)).map(drop)
        };
        made.map_err(failed("make"))?;
    }
    open(path).map_err(failed("find"))
}
