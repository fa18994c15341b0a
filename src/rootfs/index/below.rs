//! Opening paths below a directory whose parents are real directories.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Set once openat2 turned out to be refused: by a seccomp profile older than the call.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens a path below `root`, following no link at all; the empty path is `root` itself.
///
/// # Errors
/// Those of `open(2)`; `ELOOP` or `ENOTDIR` where a part is a link.
pub(crate) fn open_below(root: impl AsFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.is_empty() { b"." } else { path };
    if !NO_OPENAT2.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => NO_OPENAT2.store(true, Ordering::Relaxed),
            // A rename elsewhere made the kernel unsure.
            Err(Errno::AGAIN) => {}
            outcome => return outcome,
        }
    }
    walk_below(root, path, flags)
}

/// The same, one part at a time.
fn walk_below(root: impl AsFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut parts = path.split(|b| *b == b'/').peekable();
    let mut here: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        if part == b".." {
            return Err(Errno::XDEV);
        }
        let flags = if parts.peek().is_some() { step } else { flags };
        let from = here.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        here = Some(rustix::fs::openat(from, part, flags, Mode::empty())?);
    }
    here.ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_parents_are_refused_both_ways() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(directory.path().join("a/b")).expect("directories");
        std::fs::write(directory.path().join("a/b/f"), "x").expect("a file");
        std::os::unix::fs::symlink("a", directory.path().join("link")).expect("a link");
        let root = std::fs::File::open(directory.path()).expect("the directory");
        for open in [
            |root: &std::fs::File, path: &[u8]| open_below(root, path, OFlags::RDONLY),
            |root: &std::fs::File, path: &[u8]| walk_below(root, path, OFlags::RDONLY | OFlags::NOFOLLOW),
        ] {
            open(&root, b"a/b/f").expect("a plain path");
            open(&root, b".").expect("the root");
            for path in [&b"link/b/f"[..], b"link", b"a/../../etc", b"a/missing"] {
                open(&root, path).expect_err("a link, a way out, or nothing");
            }
        }
    }
}
