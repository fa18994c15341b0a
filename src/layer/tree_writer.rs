//! Writing entries into a tree on disk: each operation takes a name in the current directory of
//! [`Dirs`], so nothing is reached through a link.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::dirs::{DIRECTORY, Dirs, children};
use super::entry::Timestamp;
use super::owner::{self, set_open_owner, set_owner};
use super::view::join;

/// A file operation in a tree failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} /{path}: {source}{}", hint.map(|h| format!(" ({h})")).unwrap_or_default())]
pub struct TreeError {
    /// What was tried.
    pub action: String,
    /// The path in the tree.
    pub path: String,
    /// Why not.
    pub source: io::Error,
    /// What usually lies behind it.
    pub hint: Option<&'static str>,
}

/// Owner, permissions, time and extended attributes.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a> {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// Attributes the file system or our rights do not allow, by name, with the first path.
pub(super) type RefusedXattrs = BTreeMap<Vec<u8>, (Vec<u8>, Errno)>;

/// Writes into the tree below a root.
pub(super) struct TreeWriter<'a> {
    /// The directory that operations happen in.
    pub(super) dirs: Dirs<'a>,
    /// Times of directories, set when nothing is written below them any more.
    times: BTreeMap<Vec<u8>, Timestamp>,
    /// What could not be set.
    pub(super) refused_xattrs: RefusedXattrs,
}

impl<'a> TreeWriter<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        TreeWriter { dirs: Dirs::new(root), times: BTreeMap::new(), refused_xattrs: BTreeMap::new() }
    }

    /// What stands at a name.
    pub(super) fn kind(&self, name: &[u8]) -> Result<Option<FileType>, Errno> {
        match fs::statat(self.dirs.last(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a directory and enters it. What is no directory gives way.
    pub(super) fn directory(&mut self, path: &[u8], name: &[u8]) -> Result<(), TreeError> {
        for _ in 0..2 {
            match fs::mkdirat(self.dirs.last(), name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed("create the directory", path, error)),
            }
            match self.dirs.descend(name) {
                Ok(()) => return Ok(()),
                Err(Errno::NOTDIR | Errno::LOOP) => self.remove(path, name)?,
                Err(error) => return Err(failed("open the directory", path, error)),
            }
        }
        Err(failed("create the directory", path, Errno::EXIST))
    }

    /// Makes a directory that no entry describes, and enters it.
    pub(super) fn missing_directory(&mut self, path: &[u8], name: &[u8]) -> Result<(), TreeError> {
        self.directory(path, name)?;
        // Not in mkdirat: the umask would apply.
        fs::fchmod(self.dirs.last(), Mode::from_raw_mode(0o755))
            .map_err(|e| failed("set the mode of", path, e))
    }

    /// Creates an empty regular file in place of whatever is there.
    pub(super) fn file(&mut self, path: &[u8], name: &[u8]) -> Result<OwnedFd, TreeError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.replacing(path, name, "create", |directory| {
            fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))
        })
    }

    /// Creates a symbolic link in place of whatever is there.
    pub(super) fn symlink(&mut self, path: &[u8], name: &[u8], target: &[u8]) -> Result<(), TreeError> {
        self.replacing(path, name, "create the link", |directory| fs::symlinkat(target, directory, name))
    }

    /// Creates a device or a pipe in place of whatever is there.
    pub(super) fn node(
        &mut self,
        path: &[u8],
        name: &[u8],
        kind: FileType,
        (major, minor): (u32, u32),
    ) -> Result<(), TreeError> {
        let device = fs::makedev(major, minor);
        self.replacing(path, name, "create the device", |directory| {
            match fs::mknodat(directory, name, kind, Mode::from_raw_mode(0o600), device) {
                // No process in a user namespace may.
                Err(Errno::PERM) if kind != FileType::Fifo => {
                    owner::stand_in(directory, name, (kind, major, minor))
                }
                done => done,
            }
        })
    }

    /// Gives an existing file, `target` in `directory`, another name in place of whatever is there.
    pub(super) fn hard_link(
        &mut self,
        path: &[u8],
        name: &[u8],
        directory: BorrowedFd<'_>,
        target: &[u8],
    ) -> Result<(), TreeError> {
        self.replacing(path, name, "create the hard link", |here| {
            fs::linkat(directory, target, here, name, AtFlags::empty())
        })
    }

    /// Tries to create, and makes way and tries again if something is there.
    fn replacing<T>(
        &mut self,
        path: &[u8],
        name: &[u8],
        action: &str,
        create: impl Fn(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, TreeError> {
        match create(self.dirs.last()) {
            Err(Errno::EXIST) => {
                self.remove(path, name)?;
                create(self.dirs.last()).map_err(|e| failed(action, path, e))
            }
            done => done.map_err(|e| failed(action, path, e)),
        }
    }

    /// Removes whatever is at a name, a whole directory too.
    pub(super) fn remove(&mut self, path: &[u8], name: &[u8]) -> Result<(), TreeError> {
        self.dirs.forget(path);
        self.forget_times(path);
        remove_all(self.dirs.last(), name).map_err(|e| failed("remove", path, e))
    }

    /// Sets all of a regular file that is open. After its content, because writing takes
    /// capabilities away.
    pub(super) fn set_file(
        &mut self,
        path: &[u8],
        file: BorrowedFd<'_>,
        attributes: &Attributes<'_>,
    ) -> Result<(), TreeError> {
        set_open(&mut self.refused_xattrs, path, file, attributes)?;
        fs::futimens(file, &times(attributes.mtime)).map_err(|e| failed("set the time of", path, e))
    }

    /// Sets all of the directory just entered; its time is set by [`Self::finish`].
    pub(super) fn set_directory(
        &mut self,
        path: &[u8],
        attributes: &Attributes<'_>,
    ) -> Result<(), TreeError> {
        self.times.insert(path.to_vec(), attributes.mtime);
        set_open(&mut self.refused_xattrs, path, self.dirs.last(), attributes)
    }

    /// Sets all of what is neither regular file nor directory, by name.
    pub(super) fn set_other(
        &mut self,
        path: &[u8],
        name: &[u8],
        attributes: &Attributes<'_>,
        is_link: bool,
    ) -> Result<(), TreeError> {
        let here = self.dirs.last();
        let recorded = set_owner(here, name, attributes.uid, attributes.gid)
            .map_err(|e| not_owned(path, attributes, e))?;
        if !is_link {
            fs::chmodat(here, name, Mode::from_raw_mode(attributes.mode), AtFlags::empty())
                .map_err(|e| failed("set the mode of", path, e))?;
        }
        if !attributes.xattrs.is_empty() {
            // There is no call on a name in an open directory before Linux 6.13.
            let by_fd = proc_path(here, name);
            for (xattr, value) in attributes.xattrs.iter().filter(|(xattr, _)| xattr != owner::ATTRIBUTE) {
                let set = fs::lsetxattr(&by_fd, xattr.as_slice(), value, XattrFlags::empty());
                xattr_set(&mut self.refused_xattrs, path, xattr, set)?;
            }
        }
        fs::utimensat(self.dirs.last(), name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| failed("set the time of", path, e))?;
        recorded
            .map_or(Ok(()), |record| owner::keep(self.dirs.last(), name, record))
            .map_err(|e| failed("look at", path, e))
    }

    fn forget_times(&mut self, path: &[u8]) {
        if self.times.is_empty() {
            return;
        }
        self.times.remove(path);
        let below = join(path, b"");
        let gone: Vec<Vec<u8>> = self
            .times
            .range(below.clone()..)
            .map(|(p, _)| p)
            .take_while(|p| p.starts_with(&below))
            .cloned()
            .collect();
        for path in gone {
            self.times.remove(&path);
        }
    }

    /// Sets the times of directories.
    pub(super) fn finish(mut self) -> Result<(), TreeError> {
        for (path, mtime) in std::mem::take(&mut self.times) {
            self.dirs.enter(&path).map_err(|e| failed("open the directory", &path, e))?;
            fs::futimens(self.dirs.last(), &times(mtime)).map_err(|e| failed("set the time of", &path, e))?;
        }
        Ok(())
    }
}

/// Owner first, because a change of owner takes setuid bits and capabilities away.
fn set_open(
    refused: &mut RefusedXattrs,
    path: &[u8],
    fd: BorrowedFd<'_>,
    attributes: &Attributes<'_>,
) -> Result<(), TreeError> {
    set_open_owner(fd, attributes.uid, attributes.gid).map_err(|e| not_owned(path, attributes, e))?;
    fs::fchmod(fd, Mode::from_raw_mode(attributes.mode)).map_err(|e| failed("set the mode of", path, e))?;
    for (name, value) in attributes.xattrs.iter().filter(|(name, _)| name != owner::ATTRIBUTE) {
        let set = fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty());
        xattr_set(refused, path, name, set)?;
    }
    Ok(())
}

/// Capabilities must be there. Other attributes, such as a label of another system's security
/// module, cannot be set everywhere; the caller warns about them.
fn xattr_set(
    refused: &mut RefusedXattrs,
    path: &[u8],
    name: &[u8],
    set: Result<(), Errno>,
) -> Result<(), TreeError> {
    match set {
        Ok(()) => Ok(()),
        // Some file systems have room for little more than a name, and say that they are full.
        Err(
            error @ (Errno::OPNOTSUPP
            | Errno::PERM
            | Errno::INVAL
            | Errno::NOENT
            | Errno::NOSPC
            | Errno::TOOBIG
            | Errno::RANGE),
        ) if name != b"security.capability" => {
            refused.entry(name.to_vec()).or_insert_with(|| (path.to_vec(), error));
            Ok(())
        }
        Err(error) => {
            let what = format!("set the attribute {} of", String::from_utf8_lossy(name).escape_debug());
            Err(TreeError {
                hint: (name == b"security.capability")
                    .then_some("file capabilities need CAP_SETFCAP and a file system that keeps them"),
                ..failed(&what, path, error)
            })
        }
    }
}

/// An error about a path of the tree.
pub(super) fn failed(action: &str, path: &[u8], error: impl Into<io::Error>) -> TreeError {
    TreeError {
        action: action.to_owned(),
        path: String::from_utf8_lossy(path).into_owned(),
        source: error.into(),
        hint: None,
    }
}

fn not_owned(path: &[u8], attributes: &Attributes<'_>, error: Errno) -> TreeError {
    let action = format!("set the owner {}:{} of", attributes.uid, attributes.gid);
    let hint = match error {
        Errno::PERM => Some("other owners need root or CAP_CHOWN"),
        Errno::OPNOTSUPP => Some(
            "the id is not mapped into this user namespace, and the file system has no attributes to record it in",
        ),
        _ => None,
    };
    TreeError { hint, ..failed(&action, path, error) }
}

/// Access and modification time alike, so that a tree is the same whenever it is unpacked.
fn times(mtime: Timestamp) -> Timestamps {
    let time = rustix::time::Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// A path that names `name` in an open directory.
pub(super) fn proc_path(directory: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    path.push(std::ffi::OsStr::from_bytes(name));
    path
}

/// Removes a file, or a directory with all that is in it. Nothing there is no error.
pub(super) fn remove_all(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let inside = fs::openat(directory, name, DIRECTORY, Mode::empty())?;
    for child in children(inside.as_fd())? {
        remove_all(inside.as_fd(), &child)?;
    }
    fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
}
