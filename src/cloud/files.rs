//! Files of credentials: whoever made them may write them anew, and a step may not.
//!
//! A file is held by its directory, so that it is found when the directories around it are set
//! aside. Its last content stays known: while a step runs the file itself may be hidden.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags, StatVfsMountFlags, fstatvfs, open, openat, openat2};

/// More than any file of credentials.
const LIMIT: u64 = 4 << 20;

/// The files read so far.
#[derive(Default)]
pub(crate) struct Files {
    held: Mutex<HashMap<PathBuf, Held>>,
    /// Whether steps may have written to files of the container.
    frozen: AtomicBool,
}

struct Held {
    directory: OwnedFd,
    name: OsString,
    last: Vec<u8>,
}

impl Files {
    /// The content of a file now, or what it was when it could last be read.
    ///
    /// # Errors
    /// It could never be read; `InvalidData` for one that is too large.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held.get_mut(path) {
            if let Ok(content) = known.read(self.frozen.load(Ordering::SeqCst)) {
                known.last = content;
            }
            return Ok(known.last.clone());
        }
        if self.frozen.load(Ordering::SeqCst) {
            // The path may lead into an image now.
            return Err(io::Error::new(io::ErrorKind::NotFound, "it was not read before the first step"));
        }
        let last = content(File::open(path)?)?;
        let absolute = std::path::absolute(path)?;
        if let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = open(parent, flags, Mode::empty());
            // A directory that may be passed but not read cannot be held: the first content stays.
            if let Ok(directory) = directory {
                let name = name.to_owned();
                held.insert(path.to_owned(), Held { directory, name, last: last.clone() });
            }
        }
        Ok(last)
    }

    /// A text, without white space around it.
    ///
    /// # Errors
    /// As [`read`](Self::read), or no UTF-8.
    pub(super) fn text(&self, path: &Path) -> io::Result<String> {
        let bytes = self.read(path)?;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8"))?;
        Ok(text.trim().to_owned())
    }

    /// From now on steps may write to files of the container: only what lies on read-only mounts
    /// is read again.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }
}

impl Held {
    fn read(&self, frozen: bool) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if !frozen {
            return content(openat(&self.directory, &self.name, flags, Mode::empty())?.into());
        }
        let read_only = fstatvfs(&self.directory)?.f_flag.contains(StatVfsMountFlags::RDONLY);
        if !read_only {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        // Kubernetes' links stay in the directory; others may lead into an image now.
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        content(openat2(&self.directory, &self.name, flags, Mode::empty(), inside)?.into())
    }
}

fn content(file: File) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {LIMIT} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_anew_until_steps_may_write_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        std::fs::write(&path, " one\n").expect("written");
        let files = Files::default();
        assert_eq!(files.text(&path).expect("there"), "one");
        std::fs::write(&path, "two").expect("written");
        assert_eq!(files.text(&path).expect("there"), "two");
        let moved = directory.path().with_extension("aside");
        std::fs::rename(directory.path(), &moved).expect("set aside");
        std::fs::write(moved.join("token"), "three").expect("written");
        assert_eq!(files.text(&path).expect("held"), "three");
        std::fs::remove_file(moved.join("token")).expect("hidden");
        assert_eq!(files.text(&path).expect("known"), "three");
        files.freeze();
        std::fs::write(moved.join("token"), "a step's").expect("written");
        assert_eq!(files.text(&path).expect("known"), "three");
        assert!(files.text(&moved.join("token")).is_err(), "nothing new");
        std::fs::rename(&moved, directory.path()).expect("back");
    }
}
