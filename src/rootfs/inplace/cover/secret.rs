//! Secrets of a step: in memory, where there is such a place, and gone after it.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use super::super::directory::{dress, failed, make, remove};
use super::super::ground::Ground;
use super::super::journal::Look;
use crate::rootfs::RootfsError;
use crate::run::SecretFile;

/// Where secrets are on no disk.
const MEMORY: &str = "/dev/shm";

impl Ground {
    /// Writes a secret: in memory with a link to it, or, where there is no memory to be had, as a file.
    pub(super) fn put_secret(
        &self,
        above: &OwnedFd,
        name: &[u8],
        path: &[u8],
        secret: &SecretFile,
    ) -> Result<(), RootfsError> {
        let Some(memory) = self.memory() else {
            return write_secret(above, name, secret).map_err(failed("write", path));
        };
        let stored = format!("{}", self.covers.len());
        let directory = Path::new(MEMORY).join(self.memory_name());
        write_secret(&memory, stored.as_bytes(), secret).map_err(failed("write", path))?;
        rustix::fs::symlinkat(directory.join(&stored), above, name).map_err(failed("create", path))
    }

    fn memory_name(&self) -> String {
        format!(".yadokari-{}", self.state.id)
    }

    /// Our directory in memory, if this container has such a place for steps.
    fn memory(&self) -> Option<OwnedFd> {
        let shm = File::open(self.site.root.join(MEMORY.trim_start_matches('/'))).ok()?;
        let found = rustix::fs::fstatfs(&shm).ok()?;
        let flags = rustix::fs::fstatvfs(&shm).ok()?.f_flag;
        // TMPFS_MAGIC
        if found.f_type as u64 != 0x0102_1994 || flags.contains(StatVfsMountFlags::RDONLY) {
            return None;
        }
        let ours = make(OwnedFd::from(shm), self.memory_name().as_bytes()).ok()?;
        // Commands of any user go through it to what is theirs; nobody lists it.
        rustix::fs::fchmod(&ours, Mode::from(0o711)).ok()?;
        Some(ours)
    }

    /// Removes our directory in memory, that of a build that was killed too.
    pub(in super::super) fn clear_memory(&self) -> Result<(), RootfsError> {
        match File::open(self.site.root.join(MEMORY.trim_start_matches('/'))) {
            Ok(shm) => {
                let name = self.memory_name();
                remove(&shm.into(), name.as_bytes()).map_err(failed("remove", name.as_bytes()))
            }
            Err(_) => Ok(()),
        }
    }
}

fn write_secret(directory: &OwnedFd, name: &[u8], secret: &SecretFile) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(directory, name, flags, Mode::from(0o600))?);
    file.write_all(&secret.content.0).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    let look = Look { mode: secret.mode, uid: secret.uid, gid: secret.gid, ..Look::default() };
    dress(&OwnedFd::from(file), &look)
}
