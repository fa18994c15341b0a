//! Removing trees that images or commands made: of any depth, with any names.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use super::index::{open_below, stat};
use crate::layer::join;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a directory and all below it, or nothing if it is not there. Walks with one descriptor
/// whatever the depth, up again by `..`: nobody else moves directories in there.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    remove_at(CWD, path.as_os_str().as_bytes())
}

/// Removes everything in a directory.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    let directory = open_directory(path)?;
    for name in names(directory.as_fd())? {
        match rustix::fs::unlinkat(&directory, &name[..], AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // EPERM is what POSIX has for a directory.
            Err(Errno::ISDIR | Errno::PERM) => remove_at(directory.as_fd(), &name)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How many files are removed at the same time. Not for the cores: some disks are told of freed
/// blocks one file at a time (ext4 mounted with `discard`), and whoever removes the file waits.
const AT_ONCE: usize = 16;
/// Directories this far down, and nearer, are shared out.
const SHARED: usize = 7;

/// Removes a directory like [`remove_tree`], many files at once.
pub(super) fn remove_large(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let top = match open_below(parent, name, DIRECTORY) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let mut jobs = vec![(Vec::new(), 0)];
    let mut at = 0;
    while let Some((path, depth)) = jobs.get(at).cloned() {
        if depth < SHARED {
            let below = subdirectories(&open_below(&top, &path, DIRECTORY)?)?;
            jobs.extend(below.into_iter().map(|name| (join(&path, &name), depth + 1)));
        }
        at += 1;
    }
    let jobs = Mutex::new(jobs);
    // The deepest first: they are last.
    let take = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> io::Result<()> {
        while let Some((path, depth)) = take() {
            if depth == SHARED {
                remove_at(top.as_fd(), &path)?;
            } else {
                remove_own_files(&open_below(&top, &path, DIRECTORY)?)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    remove_at(parent, name)
}

/// The names of the directories in a directory.
fn subdirectories(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_directory = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => stat(directory, name)?.file_type() == FileType::Directory,
            _ => false,
        };
        if is_directory && name != c"." && name != c".." {
            found.push(name.to_bytes().to_vec());
        }
    }
    Ok(found)
}

/// Removes what is no directory in a directory.
fn remove_own_files(directory: &OwnedFd) -> io::Result<()> {
    for name in names(directory.as_fd())? {
        match rustix::fs::unlinkat(directory, name.as_slice(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn remove_at(parent: BorrowedFd<'_>, path: &[u8]) -> io::Result<()> {
    let mut here = match rustix::fs::openat(parent, path, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let mut names: Vec<Vec<u8>> = Vec::new();
    loop {
        if let Some(child) = remove_files(here.as_fd())? {
            here = rustix::fs::openat(&here, child.as_slice(), DIRECTORY, Mode::empty())?;
            names.push(child);
            continue;
        }
        let Some(name) = names.pop() else {
            drop(here);
            return Ok(rustix::fs::unlinkat(parent, path, AtFlags::REMOVEDIR)?);
        };
        here = rustix::fs::openat(&here, "..", DIRECTORY, Mode::empty())?;
        rustix::fs::unlinkat(&here, name.as_slice(), AtFlags::REMOVEDIR)?;
    }
}

/// Removes what is no directory, and empty directories, until there is a directory with something
/// in it: its name.
fn remove_files(directory: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    rustix::fs::seek(directory, SeekFrom::Start(0))?;
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Ok(()) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(Some(name.to_bytes().to_vec())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Opens a directory to be named in other calls.
pub(super) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())?)
}

/// The names in a directory, sorted by bytes.
pub(super) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut buffer = [MaybeUninit::uninit(); 32 << 10];
    let mut all = Vec::new();
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            all.push(name.to_vec());
        }
    }
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_and_deep_tree_goes_away() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let fd = open_directory(parent.path())?;
        for number in 0..50 {
            let chain: String = (0..number % 12).map(|n| format!("/d{n}")).collect();
            let directory = parent.path().join(format!("tree/t{number}{chain}"));
            std::fs::create_dir_all(&directory)?;
            std::fs::write(directory.join("file"), "x")?;
            std::os::unix::fs::symlink(parent.path(), directory.join("link"))?;
        }
        std::fs::write(parent.path().join("kept"), "x")?;
        remove_large(fd.as_fd(), b"tree")?;
        assert_eq!(names(fd.as_fd())?, [b"kept"]);
        remove_large(fd.as_fd(), b"tree")?;
        std::fs::create_dir_all(parent.path().join("a/b"))?;
        clear(parent.path())?;
        assert!(names(fd.as_fd())?.is_empty());
        Ok(())
    }

    #[test]
    fn a_chain_deeper_than_any_path_goes_away() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let top = parent.path().join("tree");
        std::fs::create_dir(&top)?;
        std::fs::write(top.join("file"), "x")?;
        std::os::unix::fs::symlink("/", top.join("link"))?;
        let mut here = open_directory(&top)?;
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, "d", Mode::from(0o700))?;
            rustix::fs::mkdirat(&here, "empty", Mode::from(0o700))?;
            here = rustix::fs::openat(&here, "d", DIRECTORY, Mode::empty())?;
        }
        drop(here);
        remove_tree(&top)?;
        assert!(!top.exists());
        remove_tree(&top)
    }
}
