//! The directory that a build keeps its trees in, outside the container's own root.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::placing::keep_apart;
use super::removal::{open_directory, remove_large, remove_tree};
use super::{RootfsError, failed, stubs};

/// Name of the lock file in a build's directory, held while the build runs.
const LOCK: &str = "lock";

/// A build's own directory, below `<work directory>/<placement>`.
#[derive(Debug)]
pub(super) struct Session {
    path: PathBuf,
    next: AtomicU64,
    /// Held until the directory is removed.
    lock: Mutex<Option<File>>,
}

impl Session {
    /// Makes the directory; removes others that no living build holds.
    pub(super) fn open(work_dir: &Path, placement: &str) -> Result<Self, RootfsError> {
        let all = work_dir.join(placement);
        fs::create_dir_all(&all).map_err(failed("create", &all))?;
        let all = fs::canonicalize(&all).map_err(failed("find", &all))?;
        // Held for a moment: no build may look for abandoned directories while another has made
        // its own and not yet locked it.
        let _making = lock(&all.join(LOCK), FlockOperation::LockExclusive)?;
        remove_abandoned(&all)?;
        if let Ok(directory) = File::open(&all) {
            keep_apart(directory);
        }
        // Only for us, 0700: other users of the machine have no business in an image's files, and
        // its setuid programs would be theirs to run.
        let path = tempfile::Builder::new()
            .prefix("build-")
            .tempdir_in(&all)
            .map_err(failed("make a directory in", &all))?
            .keep();
        let lock = lock(&path.join(LOCK), FlockOperation::NonBlockingLockExclusive)?;
        stubs::write_files(&path)?;
        Ok(Session { path, next: AtomicU64::new(0), lock: Mutex::new(lock) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory with these directories in it, all 0755; gives its name, which is short:
    /// the names of all layers must fit into a page of mount options.
    pub(super) fn new_directory(&self, kind: &str, inside: &[&str]) -> Result<PathBuf, RootfsError> {
        let prefix = &kind[..1];
        let name = PathBuf::from(format!("{prefix}{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let path = self.path.join(&name);
        fs::create_dir(&path).map_err(failed("create", &path))?;
        for part in inside {
            let path = path.join(part);
            fs::create_dir(&path).map_err(failed("create", &path))?;
            set_mode(&path, 0o755)?;
        }
        Ok(name)
    }

    /// Leaves the directory where it is.
    pub(super) fn keep(&self) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Removes the directory; nothing when it is removed already, or stays.
    pub(super) fn remove(&self) -> Result<(), RootfsError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_some() {
            let all = open_directory(self.path.parent().unwrap_or(Path::new("/")))
                .map_err(failed("open", &self.path))?;
            let name = self.path.file_name().unwrap_or_default();
            remove_large(all.as_fd(), name.as_bytes()).map_err(failed("remove", &self.path))?;
            *lock = None;
        }
        Ok(())
    }
}

/// The umask has no say.
fn set_mode(path: &Path, mode: u32) -> Result<(), RootfsError> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("set the mode of", path))
}

/// Locks a file that is made if missing; none if somebody else holds it and we do not wait.
fn lock(path: &Path, how: FlockOperation) -> Result<Option<File>, RootfsError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(failed("open", path))?;
    match rustix::fs::flock(file.as_fd(), how) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(failed("lock", path)(error)),
    }
}

fn remove_abandoned(all: &Path) -> Result<(), RootfsError> {
    for entry in fs::read_dir(all).map_err(failed("list", all))? {
        let path = entry.map_err(failed("list", all))?.path();
        if !path.is_dir() {
            continue;
        }
        if lock(&path.join(LOCK), FlockOperation::NonBlockingLockExclusive)?.is_some() {
            // Not a reason to fail this build; the next one tries again.
            let _ = remove_tree(&path);
        }
    }
    Ok(())
}
