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

/// How often a cache that somebody else uses is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The directories of one machine or volume.
pub(in crate::build) struct Caches {
    root: PathBuf,
}

/// The use of one directory; it ends when this goes.
pub(super) struct Lease {
    path: PathBuf,
    _lock: File,
}

impl Lease {
    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Caches {
    /// Directories below `root`, which is made when the first is asked for.
    pub(in crate::build) fn new(root: PathBuf) -> Caches {
        Caches { root }
    }

    /// The use of the cache of this key. Where there is none, `make` makes its directory, which is
    /// missing. `go_on` is asked now and then while waiting.
    ///
    /// # Errors
    /// It cannot be made or locked, or `go_on` says no.
    pub(super) fn lease(
        &self,
        key: &str,
        sharing: Sharing,
        make: &dyn Fn(&Path) -> Result<(), Error>,
        go_on: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Lease, Error> {
        let directory = self.root.join(Digest::of(key.as_bytes()).hex());
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
                if !path.is_dir() {
                    begin(&one, make)?;
                }
                return Ok(Lease { path, _lock: lock });
            }
            drop(looking);
            go_on()?;
            std::thread::sleep(LOOK);
        }
    }
}

/// Makes a new directory whole or not at all.
fn begin(one: &Path, make: &dyn Fn(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let new = one.join("new");
    let failed = |e: io::Error| Error::other(format!("cannot make the cache {}: {e}", one.display()));
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    make(&new)?;
    fs::rename(&new, one.join("data")).map_err(failed)
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

    fn plain(directory: &Path) -> Result<(), Error> {
        fs::create_dir(directory).map_err(|e| Error::other(e.to_string()))
    }

    #[test]
    fn sharing_decides_who_gets_which() {
        let root = tempfile::tempdir().unwrap();
        let caches = Caches::new(root.path().join("new"));
        let busy = || Err(Error::other("busy"));
        let lease = |sharing| caches.lease("k", sharing, &plain, &busy);
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
        let other = caches.lease("other", Sharing::Shared, &plain, &busy).unwrap();
        assert_ne!(other.path(), alone.path());
    }

    #[test]
    fn content_stays_and_starts_only_once() {
        let root = tempfile::tempdir().unwrap();
        let caches = Caches::new(root.path().to_owned());
        let lease = |make: &dyn Fn(&Path) -> Result<(), Error>| {
            caches.lease("k", Sharing::Shared, make, &|| Ok(())).map(|l| l.path().to_owned())
        };
        assert!(lease(&|_| Err(Error::other("cannot start"))).is_err());
        let path = lease(&plain).unwrap();
        fs::write(path.join("x"), "1").unwrap();
        assert_eq!(lease(&|_| Err(Error::other("started again"))).unwrap(), path);
        assert!(path.join("x").exists());
    }
}
