//! Credential files, out of sight while a step runs.
//!
//! A step in place is root in our own file system: it can read every file there is. So files are
//! read into memory and unlinked before a step starts, and written again after it. After a kill
//! their content is lost with the process; the journal knows their names.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::directory::{dress, look_at, look_of};
use super::ground::Ground;
use super::journal::Look;
use crate::rootfs::RootfsError;
use crate::rootfs::index::open_below;

/// More than any docker config; a larger file is none.
const LIMIT: u64 = 4 << 20;

/// A credential file that can be hidden.
struct Secret {
    /// Where the user put it.
    path: PathBuf,
    /// Stays valid when the directory is set aside.
    directory: OwnedFd,
    name: Vec<u8>,
    /// What it held and looked like, while it is hidden.
    taken: Option<(Vec<u8>, Look)>,
}

/// All credential files.
#[derive(Default)]
pub(super) struct Secrets {
    files: Vec<Secret>,
}

impl Drop for Secrets {
    fn drop(&mut self) {
        // Whatever happened, nothing of the user's gets lost.
        for secret in &mut self.files {
            let _ = secret.show();
        }
    }
}

impl Secrets {
    /// Opens the directories of credential files, before anything is set aside, and gives those
    /// that cannot be hidden with the reason. Missing files need no hiding.
    pub(super) fn find(paths: &[PathBuf], ground: &Ground) -> (Secrets, Vec<(PathBuf, String)>) {
        let (mut secrets, mut visible) = (Secrets::default(), Vec::new());
        for path in paths {
            match Secret::find(path, ground) {
                Ok(None) => {}
                Ok(Some(secret)) => secrets.files.push(secret),
                Err(reason) => visible.push((path.clone(), reason)),
            }
        }
        (secrets, visible)
    }
}

impl Secret {
    fn find(path: &Path, ground: &Ground) -> Result<Option<Secret>, String> {
        // Kubernetes mounts files as links into a directory with a version.
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let below = real.strip_prefix(&ground.site.root).unwrap_or(&real);
        let below = below.as_os_str().as_bytes();
        if ground.mount_at(below).is_some() {
            return Err("it is mounted itself".to_owned());
        }
        let mounts = ground.site.mounts.iter().filter(|mount| {
            below.strip_prefix(mount.path.as_slice()).is_some_and(|rest| rest.first() == Some(&b'/'))
        });
        if mounts.max_by_key(|mount| mount.path.len()).is_some_and(|mount| mount.read_only) {
            return Err("it is mounted read-only".to_owned());
        }
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err("it is no file".to_owned());
        };
        let directory = File::open(parent).map_err(|error| error.to_string())?.into();
        let name = name.as_bytes().to_vec();
        match look_at(&directory, &name) {
            Ok(Some(stat)) if stat.file_type() == FileType::RegularFile && stat.size <= LIMIT => {}
            Ok(_) => return Err("it is no file of a sensible size".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
        rustix::fs::accessat(&directory, ".", rustix::fs::Access::WRITE_OK, AtFlags::empty())
            .map_err(|_| "its directory is not writable".to_owned())?;
        Ok(Some(Secret { path: path.to_owned(), directory, name, taken: None }))
    }

    fn hide(&mut self) -> rustix::io::Result<()> {
        if self.taken.is_some() {
            return Ok(());
        }
        let file = match open_below(&self.directory, &self.name, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(stat) = look_at(&file, b"")? else { return Ok(()) };
        let mut content = Vec::new();
        let read = File::from(file).take(LIMIT + 1).read_to_end(&mut content);
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if content.len() as u64 > LIMIT {
            return Err(Errno::FBIG);
        }
        rustix::fs::unlinkat(&self.directory, self.name.as_slice(), AtFlags::empty())?;
        self.taken = Some((content, look_of(&stat)));
        Ok(())
    }

    fn show(&mut self) -> rustix::io::Result<()> {
        let Some((content, look)) = &self.taken else { return Ok(()) };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = self.name.as_slice();
        super::directory::remove(&self.directory, name)?;
        let mut file = File::from(rustix::fs::openat(&self.directory, name, flags, Mode::from(0o600))?);
        file.write_all(content).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        dress(&OwnedFd::from(file), look)?;
        self.taken = None;
        Ok(())
    }
}

impl Ground {
    /// Takes credential files out of sight.
    pub(super) fn hide(&mut self) -> Result<(), RootfsError> {
        for at in 0..self.secrets.files.len() {
            let path = self.secrets.files[at].path.clone();
            if let Some(journal) = &mut self.journal {
                let outcome = journal.hidden(Some(path.as_os_str().as_bytes()));
                outcome.map_err(|source| self.journal_failed(source))?;
            }
            self.secrets.files[at].hide().map_err(|error| RootfsError::Io {
                action: "hide",
                path,
                source: error.into(),
            })?;
        }
        Ok(())
    }

    /// Puts credential files back.
    pub(super) fn show(&mut self) -> Result<(), RootfsError> {
        for secret in &mut self.secrets.files {
            let path = secret.path.clone();
            secret.show().map_err(|error| RootfsError::Io {
                action: "write back",
                path,
                source: error.into(),
            })?;
        }
        if let (Some(journal), false) = (&mut self.journal, self.secrets.files.is_empty()) {
            let outcome = journal.hidden(None);
            outcome.map_err(|source| self.journal_failed(source))?;
        }
        Ok(())
    }
}
