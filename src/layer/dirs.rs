//! Directories below a root, opened one name at a time without ever following a link: whatever
//! the tree holds, nothing outside the root is reached. The open directories from the root to the
//! last one asked for are kept, because neighbours in a layer share them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, Mode, OFlags, RawDir, ResolveFlags, SeekFrom};
use rustix::io::Errno;

/// How directories are opened: to be named in other calls, and never through a link.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The open directories along one path.
pub(super) struct Dirs<'a> {
    root: BorrowedFd<'a>,
    open: Vec<(Vec<u8>, OwnedFd)>,
}

impl<'a> Dirs<'a> {
    /// Nothing but the root.
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Dirs { root, open: Vec::new() }
    }

    /// The root itself.
    pub(super) fn root(&self) -> BorrowedFd<'a> {
        self.root
    }

    /// The directory that the kept ones end in.
    pub(super) fn last(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.root, |(_, fd)| fd.as_fd())
    }

    /// Keeps what `path` shares with the kept directories, and gives the rest of the path.
    pub(super) fn rewind<'p>(&mut self, path: &'p [u8]) -> &'p [u8] {
        let mut rest = path;
        let mut kept = 0;
        for (name, _) in &self.open {
            match rest.strip_prefix(name.as_slice()) {
                Some(after) if after.is_empty() => rest = after,
                Some(after) if after[0] == b'/' => rest = &after[1..],
                _ => break,
            }
            kept += 1;
            if rest.is_empty() {
                break;
            }
        }
        self.open.truncate(kept);
        rest
    }

    /// Opens a child of the last directory and keeps it.
    pub(super) fn descend(&mut self, name: &[u8]) -> Result<(), Errno> {
        let fd = fs::openat(self.last(), name, DIRECTORY, Mode::empty())?;
        self.open.push((name.to_vec(), fd));
        Ok(())
    }

    /// Opens a directory all of whose parts are real directories.
    ///
    /// # Errors
    /// `ELOOP` or `ENOTDIR` where a part is none.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Errno> {
        let rest = self.rewind(path);
        for name in rest.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
            self.descend(name)?;
        }
        Ok(self.last())
    }

    /// Forgets a directory, and all below it, that is about to go away.
    pub(super) fn forget(&mut self, path: &[u8]) {
        let mut length = 0;
        for (n, (name, _)) in self.open.iter().enumerate() {
            length += name.len() + usize::from(n > 0);
            if length == path.len() && self.path(n + 1) == path {
                self.open.truncate(n);
                return;
            }
        }
    }

    fn path(&self, parts: usize) -> Vec<u8> {
        let names: Vec<&[u8]> = self.open[..parts].iter().map(|(name, _)| name.as_slice()).collect();
        names.join(&b'/')
    }
}

/// Whether this system refuses `openat2`: it is older, or a seccomp profile denies it.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens a path below a directory without following any link, the last part included. A link
/// as the last part can be opened with [`OFlags::PATH`].
///
/// # Errors
/// `ENOENT`, `ENOTDIR` or `ELOOP` where a part is missing or no directory.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !WITHOUT_OPENAT2.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => WITHOUT_OPENAT2.store(true, Ordering::Relaxed),
            done => return Ok(done?),
        }
    }
    open_by_names(root, path, flags)
}

/// The same, one part at a time.
fn open_by_names(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    if path.split(|b| *b == b'/').any(|part| part == b"..") {
        return Err(Errno::XDEV.into());
    }
    match path.iter().rposition(|b| *b == b'/') {
        None => Ok(fs::openat(root, path, flags, Mode::empty())?),
        Some(at) => {
            let mut dirs = Dirs::new(root);
            let parent = dirs.enter(&path[..at])?;
            Ok(fs::openat(parent, &path[at + 1..], flags, Mode::empty())?)
        }
    }
}

/// The names in a directory, in no order.
pub(super) fn children(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    let mut names = Vec::new();
    // It may have been listed before.
    fs::seek(directory, SeekFrom::Start(0))?;
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_directories() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        std::fs::create_dir_all(dir.path().join("a/bb")).unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let mut dirs = Dirs::new(root.as_fd());
        dirs.enter(b"a/b/c").unwrap();
        assert_eq!(dirs.open.len(), 3);
        assert_eq!(dirs.rewind(b"a/bb"), b"bb");
        assert_eq!(dirs.open.len(), 1);
        dirs.enter(b"a/b").unwrap();
        dirs.forget(b"a/bb");
        assert_eq!(dirs.open.len(), 2);
        dirs.forget(b"a");
        assert_eq!(dirs.open.len(), 0);
        dirs.enter(b"").unwrap();
        assert_eq!(dirs.open.len(), 0);
    }

    #[test]
    fn both_ways_refuse_links_and_dots() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/f"), "x").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("b/f", dir.path().join("a/last")).unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let cases: [(&str, OFlags, bool); 8] = [
            ("a/b/f", OFlags::RDONLY, true),
            ("a/b", OFlags::RDONLY, true),
            (".", OFlags::RDONLY, true),
            ("link/b/f", OFlags::RDONLY, false),
            ("a/last", OFlags::RDONLY, false),
            ("a/last", OFlags::PATH, true),
            ("a/../../etc", OFlags::RDONLY, false),
            ("missing/f", OFlags::RDONLY, false),
        ];
        for (path, flags, good) in cases {
            let one = open_beneath(root.as_fd(), path.as_bytes(), flags).is_ok();
            let all = OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
            let two = open_by_names(root.as_fd(), path.as_bytes(), all).is_ok();
            assert_eq!((one, two), (good, good), "{path}");
        }
    }
}
