//! The directory of one build's blobs and overlay trees.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};

use super::Error;

/// A fresh directory below the work directory; removed at the end.
pub(super) struct Workspace {
    path: PathBuf,
    fd: Arc<OwnedFd>,
    /// Work directories we had to create, innermost first; removed again if they are empty.
    created: Vec<PathBuf>,
}

impl Workspace {
    /// Makes the directory below `wanted`, or, where that cannot be written (another uid, a
    /// read-only root), below the first place for temporary files that can.
    pub(super) fn create(wanted: &Path) -> Result<Workspace, Error> {
        let temporary = std::env::var_os("TMPDIR").map(PathBuf::from);
        let fallbacks = ["/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from);
        let mut refusals = Vec::new();
        for parent in std::iter::once(wanted.to_owned()).chain(temporary).chain(fallbacks) {
            match Self::below(&parent) {
                Ok(workspace) => return Ok(workspace),
                Err(error) => refusals.push(format!("{}: {error}", parent.display())),
            }
        }
        Err(Error::Other {
            message: format!("there is no directory to work in ({})", refusals.join("; ")),
            help: Some("mount a volume and name it with --work-dir".to_owned()),
        })
    }

    fn below(parent: &Path) -> io::Result<Workspace> {
        let mut created = Vec::new();
        for missing in parent.ancestors().take_while(|p| !p.exists()) {
            created.push(missing.to_owned());
        }
        std::fs::create_dir_all(parent)?;
        let directory = tempfile::Builder::new().prefix("build-").tempdir_in(parent)?;
        let path = directory.keep();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = Arc::new(rustix::fs::open(&path, flags, Mode::empty())?);
        std::fs::create_dir(path.join("blobs"))?;
        Ok(Workspace { path, fd, created })
    }

    /// The directory's path, valid while the container's own root is in place.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Directory of blobs, by a path that stays valid when the directories around it are renamed.
    pub(super) fn blobs(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/blobs", self.fd.as_raw_fd()))
    }

    /// Makes a directory for what is fetched; its path stays valid when the directories around it
    /// are renamed.
    pub(super) fn fetched(&self, name: &str) -> io::Result<PathBuf> {
        let path = PathBuf::from(format!("/proc/self/fd/{}/fetched/{name}", self.fd.as_raw_fd()));
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The same directory for other programs: an absolute path, valid while the container's own
    /// root is in place.
    pub(super) fn fetched_outside(&self, name: &str) -> PathBuf {
        let path = self.path.join("fetched").join(name);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Makes a directory for other programs; an absolute path, valid as
    /// [`fetched_outside`](Self::fetched_outside)'s.
    pub(super) fn directory_outside(&self, name: &str) -> Result<PathBuf, Error> {
        self.fetched(name)
            .map_err(|e| Error::other(format!("cannot make a directory in {}: {e}", self.path.display())))?;
        Ok(self.fetched_outside(name))
    }

    /// Writes a small blob of ours.
    pub(super) fn write_blob(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Error> {
        let path = self.blobs().join(name);
        std::fs::write(&path, bytes)
            .map_err(|e| Error::other(format!("cannot write {}: {e}", path.display())))?;
        Ok(path)
    }

    /// A nameless file to spool to.
    pub(super) fn spool(&self) -> io::Result<std::fs::File> {
        tempfile::tempfile_in(self.blobs())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // Failure leaves temporary files behind; there is nobody left to tell.
        let _ = std::fs::remove_dir_all(&self.path);
        for directory in &self.created {
            if std::fs::remove_dir(directory).is_err() {
                break;
            }
        }
    }
}
