//! The directory of one build's blobs and overlay trees.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::Error;

/// What the names of such directories begin with.
const PREFIX: &str = "build-";
/// Marks one that somebody wants to look at.
const KEPT: &str = "kept";

/// A fresh directory below the work directory; removed at the end.
pub(super) struct Workspace {
    path: PathBuf,
    fd: Arc<OwnedFd>,
    /// Whether it stays.
    kept: AtomicBool,
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
        remove_abandoned(parent);
        let directory = tempfile::Builder::new().prefix("new-").tempdir_in(parent)?;
        let new = directory.keep();
        let fd = Arc::new(open(&new)?);
        // Before it has the name that others look for: whoever finds it finds it locked.
        let _ = rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive);
        let name = new.file_name().and_then(|n| n.to_str()).unwrap_or_default().replacen("new-", PREFIX, 1);
        let path = parent.join(name);
        std::fs::rename(&new, &path)?;
        std::fs::create_dir(path.join("blobs"))?;
        Ok(Workspace { path, fd, created, kept: AtomicBool::new(false) })
    }

    /// Leaves the directory where it is when the build ends, and when others clear up.
    ///
    /// # Errors
    /// It cannot be marked.
    pub(super) fn keep(&self) -> io::Result<()> {
        std::fs::write(self.path.join(KEPT), "")?;
        self.kept.store(true, Ordering::SeqCst);
        Ok(())
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
        if self.kept.load(Ordering::SeqCst) {
            return;
        }
        // Failure leaves temporary files behind; there is nobody left to tell.
        let _ = std::fs::remove_dir_all(&self.path);
        for directory in &self.created {
            if std::fs::remove_dir(directory).is_err() {
                break;
            }
        }
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Removes what builds that were killed left behind, beside whatever comes next. What cannot be removed
/// waits for the next build.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    let ours = |e: &std::fs::DirEntry| e.file_name().to_str().is_some_and(|n| n.starts_with(PREFIX));
    let abandoned: Vec<(PathBuf, OwnedFd)> = entries
        .flatten()
        .filter(ours)
        .filter_map(|entry| {
            let path = entry.path();
            let fd = open(&path).ok()?;
            rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).ok()?;
            // It was locked before it had its name: its build has ended.
            let is_one = path.join("blobs").is_dir() && !path.join(KEPT).exists();
            is_one.then_some((path, fd))
        })
        .collect();
    if !abandoned.is_empty() {
        std::thread::spawn(move || {
            for (path, _lock) in abandoned {
                let _ = crate::rootfs::remove_tree(&path);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_is_abandoned_goes() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        for name in ["build-dead", "build-kept", "other"] {
            std::fs::create_dir_all(at(name).join("blobs")).unwrap();
        }
        std::fs::write(at("build-kept").join(KEPT), "").unwrap();
        let alive = Workspace::create(parent.path()).unwrap();
        std::fs::create_dir(at("build-no-one")).unwrap();
        drop(Workspace::create(parent.path()).unwrap());
        let gone = || !at("build-dead").exists();
        assert!((0..100).any(|_| gone() || {
            std::thread::sleep(Duration::from_millis(50));
            gone()
        }));
        assert!(alive.path().exists() && at("build-kept").exists());
        assert!(at("build-no-one").exists() && at("other").exists());
    }
}
