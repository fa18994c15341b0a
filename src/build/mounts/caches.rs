//! Directories that are kept from build to build, and who uses them.
//!
//! `<root>/<sha256 of the key>/<number>/data` is one. Whoever uses it holds a lock on `lock` beside it,
//! shared or alone; builds in other processes respect it. Where a cache is in use and must not be
//! shared, the next number is another one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::image::Digest;
use crate::plan::Sharing;

use super::super::Error;

/// Name of a directory while it is made.
pub(super) const NEW: &str = "new";

/// How often a cache that somebody else uses is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The directories of one machine or volume.
pub(in crate::build) struct Caches {
    root: PathBuf,
}

/// The use of one directory; it ends when this goes.
pub(super) struct Lease {
    path: PathBuf,
    number: usize,
    _lock: File,
}

impl Lease {
    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Which of the directories of its key it is.
    pub(super) fn number(&self) -> usize {
        self.number
    }
}

/// How directories begin.
pub(super) struct Start<'a> {
    /// Whether one that is there shall begin anew; asked while nobody else uses it, with the directory
    /// that it is in.
    pub(super) is_outdated: &'a dyn Fn(&Path) -> bool,
    /// Makes [`NEW`], which is missing, in this directory.
    pub(super) make: &'a dyn Fn(&Path) -> Result<(), Error>,
}

impl Caches {
    /// Directories below `root`, which is made when the first is asked for.
    pub(in crate::build) fn new(root: PathBuf) -> Caches {
        Caches { root }
    }

    /// Where the directories of a key are.
    fn directory(&self, key: &str) -> PathBuf {
        self.root.join(Digest::of(key.as_bytes()).hex())
    }

    /// The use of one directory to read it; none if somebody uses it alone, or it is gone.
    pub(super) fn look(&self, key: &str, number: usize) -> Option<Lease> {
        let one = self.directory(key).join(number.to_string());
        let lock = lock(&one.join("lock"), FlockOperation::NonBlockingLockShared).ok()??;
        let path = one.join("data");
        path.is_dir().then_some(Lease { path, number, _lock: lock })
    }

    /// The use of the cache of this key. `go_on` is asked now and then while waiting.
    ///
    /// # Errors
    /// It cannot be made or locked, or `go_on` says no.
    pub(super) fn lease(
        &self,
        key: &str,
        sharing: Sharing,
        start: &Start<'_>,
        go_on: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Lease, Error> {
        let directory = self.directory(key);
        let failed = |e: io::Error| Error::Other {
            message: format!("cannot use the cache directory {}: {e}", directory.display()),
            help: Some("name a directory that can be written with --cache-dir or --work-dir".to_owned()),
        };
        fs::create_dir_all(&directory).map_err(failed)?;
        // For people who wonder what it is.
        fs::write(directory.join("id"), key).map_err(failed)?;
        loop {
            // Held while looking: nobody else makes or takes one meanwhile.
            let looking = lock(&directory.join("lock"), FlockOperation::LockExclusive).map_err(failed)?;
            for number in 0.. {
                let one = directory.join(number.to_string());
                let exists = one.is_dir();
                if !exists && number > 0 && sharing == Sharing::Locked {
                    break;
                }
                fs::create_dir_all(&one).map_err(failed)?;
                let how = match sharing {
                    Sharing::Shared => FlockOperation::NonBlockingLockShared,
                    Sharing::Private | Sharing::Locked => FlockOperation::NonBlockingLockExclusive,
                };
                let Some(lock) = lock(&one.join("lock"), how).map_err(failed)? else { continue };
                let path = one.join("data");
                if !path.is_dir() || (is_alone(&lock, how) && (start.is_outdated)(&one)) {
                    begin(&one, start.make)?;
                }
                return Ok(Lease { path, number, _lock: lock });
            }
            drop(looking);
            go_on()?;
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether nobody else has a lock that we have; afterwards we have it as before.
fn is_alone(lock: &File, how: FlockOperation) -> bool {
    let alone = rustix::fs::flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok();
    // A lock that cannot be changed is lost (flock(2)); whoever might take it now only shares it.
    rustix::fs::flock(lock.as_fd(), how).is_ok() && alone
}

/// Makes a new directory whole or not at all.
fn begin(one: &Path, make: &dyn Fn(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let (new, data, old) = (one.join(NEW), one.join("data"), one.join("old"));
    let failed = |e: io::Error| Error::other(format!("cannot make the cache {}: {e}", one.display()));
    let remove = |path: &Path| match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    };
    remove(&new)?;
    remove(&old)?;
    make(one)?;
    if data.is_dir() {
        fs::rename(&data, &old).map_err(failed)?;
    }
    fs::rename(&new, &data).map_err(failed)?;
    remove(&old)
}

/// A lock on a file; nothing if somebody else has it and we do not wait.
fn lock(path: &Path, how: FlockOperation) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match rustix::fs::flock(file.as_fd(), how) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(one: &Path) -> Result<(), Error> {
        fs::create_dir(one.join(NEW)).map_err(|e| Error::other(e.to_string()))
    }

    const PLAIN: Start<'static> = Start { is_outdated: &|_| false, make: &plain };

    #[test]
    fn sharing_decides_who_gets_which() {
        let root = tempfile::tempdir().unwrap();
        let caches = Caches::new(root.path().join("new"));
        let busy = || Err(Error::other("busy"));
        let lease = |sharing| caches.lease("k", sharing, &PLAIN, &busy);
        let first = lease(Sharing::Shared).unwrap();
        let number = |l: &Lease| l.path().parent().unwrap().file_name().unwrap().to_owned();
        assert_eq!(number(&first), "0");
        assert_eq!(number(&lease(Sharing::Shared).unwrap()), "0", "shared with the first");
        assert_eq!(lease(Sharing::Locked).err().unwrap().to_string(), "busy", "somebody uses it");
        let own = lease(Sharing::Private).unwrap();
        assert_eq!(number(&own), "1", "another one of its own");
        drop(first);
        let alone = lease(Sharing::Locked).unwrap();
        assert_eq!(number(&alone), "0");
        assert_eq!(number(&lease(Sharing::Shared).unwrap()), "2", "the others are not shared");
        let other = caches.lease("other", Sharing::Shared, &PLAIN, &busy).unwrap();
        assert_ne!(other.path(), alone.path());
    }

    #[test]
    fn content_stays_and_starts_only_once() {
        let root = tempfile::tempdir().unwrap();
        let caches = Caches::new(root.path().to_owned());
        let lease = |make: &dyn Fn(&Path) -> Result<(), Error>| {
            let start = Start { is_outdated: &|_| false, make };
            caches.lease("k", Sharing::Shared, &start, &|| Ok(())).map(|l| l.path().to_owned())
        };
        assert!(lease(&|_| Err(Error::other("cannot start"))).is_err());
        let path = lease(&plain).unwrap();
        fs::write(path.join("x"), "1").unwrap();
        assert_eq!(lease(&|_| Err(Error::other("started again"))).unwrap(), path);
        assert!(path.join("x").exists());
    }

    #[test]
    fn only_what_nobody_else_uses_begins_anew() {
        let root = tempfile::tempdir().unwrap();
        let caches = Caches::new(root.path().to_owned());
        let lease = |is_outdated: &dyn Fn(&Path) -> bool| {
            let start = Start { is_outdated, make: &plain };
            caches.lease("k", Sharing::Shared, &start, &|| Ok(())).unwrap()
        };
        let first = lease(&|_| true);
        fs::write(first.path().join("x"), "1").unwrap();
        assert!(lease(&|_| true).path().join("x").exists(), "the first uses it");
        assert!(caches.look("k", 0).is_some() && caches.look("k", 1).is_none());
        drop(first);
        assert!(lease(&|_| false).path().join("x").exists());
        let anew = lease(&|_| true);
        assert!(!anew.path().join("x").exists());
    }
}
