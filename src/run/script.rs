//! The file that a `RUN` heredoc with a `#!` line becomes.

use std::fs::File;
use std::io::{self, Write};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::{Failure, Step};

/// Directory of such files, below `/dev` (BuildKit, `dockerfile2llb/convert.go`).
const DIRECTORY: &str = "pipes";

/// An executable file that a command finds at `/dev/pipes/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Its name: one part of a path.
    pub name: String,
    /// Its bytes.
    pub content: String,
}

/// A script while its command may run it. Dropped, it is gone again: in place, `/dev` stays when
/// the step is over.
#[derive(Debug)]
pub(super) struct Written {
    dev: OwnedFd,
    directory: OwnedFd,
    name: String,
    made_directory: bool,
}

impl Script {
    /// Writes the script below the `/dev` of this process's root, owned by root.
    pub(super) fn write(&self) -> Result<Written, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dev = rustix::fs::openat(CWD, "/dev", flags, Mode::empty())
            .map_err(|e| self.failed("find /dev to write", e.into()))?;
        self.write_below(dev)
    }

    fn write_below(&self, dev: OwnedFd) -> Result<Written, Failure> {
        if matches!(self.name.as_str(), "" | "." | "..") || self.name.contains('/') {
            let error = io::Error::from_raw_os_error(libc::EINVAL);
            return Err(self.failed("name a file after the heredoc of", error));
        }
        let made_directory = match rustix::fs::mkdirat(&dev, DIRECTORY, Mode::from(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(self.failed("make the directory of", error.into())),
        };
        // An earlier command may have left a link here.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(&dev, DIRECTORY, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(error) => return Err(self.failed("open the directory of", error.into())),
        };
        let written = Written { dev, directory, name: self.name.clone(), made_directory };
        self.fill(&written, made_directory).map_err(|e| self.failed("write", e))?;
        let mount = rustix::fs::fstatvfs(&written.directory).map_err(|e| self.failed("look at", e.into()))?;
        if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            let error = io::Error::from_raw_os_error(libc::EACCES);
            return Err(self.failed("execute (this container's /dev is mounted noexec)", error));
        }
        Ok(written)
    }

    fn fill(&self, written: &Written, made_directory: bool) -> io::Result<()> {
        if made_directory {
            // Whatever the umask is.
            rustix::fs::fchmod(&written.directory, Mode::from(0o755))?;
        }
        written.unlink()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&written.directory, &self.name, flags, Mode::from(0o700))?;
        let mut file = File::from(file);
        file.write_all(self.content.as_bytes())?;
        Ok(rustix::fs::fchmod(file.as_fd(), Mode::from(0o755))?)
    }

    fn failed(&self, action: &str, error: io::Error) -> Failure {
        Failure::new(Step::Mounts, format!("{action} the script /dev/{DIRECTORY}/{}", self.name), error)
    }
}

impl Written {
    fn unlink(&self) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // What cannot be removed is in no layer: /dev is none of an image's directories.
        let _ = self.unlink();
        if self.made_directory {
            let _ = rustix::fs::unlinkat(&self.dev, DIRECTORY, AtFlags::REMOVEDIR);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn open(path: &std::path::Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
    }

    fn script(name: &str) -> Script {
        Script { name: name.to_owned(), content: "#!/bin/sh\n".to_owned() }
    }

    #[test]
    fn a_script_is_there_while_it_is_needed() {
        let dev = tempfile::tempdir().unwrap();
        let path = dev.path().join("pipes/EOF");
        let written = script("EOF").write_below(open(dev.path())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"#!/bin/sh\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
        drop(written);
        assert!(fs::read_dir(dev.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_directory_that_was_there_stays_and_its_links_are_not_written_through() {
        let dev = tempfile::tempdir().unwrap();
        let victim = dev.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        fs::create_dir(dev.path().join("pipes")).unwrap();
        symlink(&victim, dev.path().join("pipes/EOF")).unwrap();
        drop(script("EOF").write_below(open(dev.path())).unwrap());
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert!(dev.path().join("pipes").is_dir() && !dev.path().join("pipes/EOF").exists());
    }

    #[test]
    fn what_is_no_place_for_a_script_is_refused() {
        let dev = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", "a/b"] {
            assert_eq!(script(name).write_below(open(dev.path())).unwrap_err().errno, libc::EINVAL, "{name}");
        }
        symlink("/tmp", dev.path().join("pipes")).unwrap();
        let error = script("EOF").write_below(open(dev.path())).unwrap_err();
        assert_eq!(error.action, "open the directory of the script /dev/pipes/EOF");
    }
}
