//! Opening places inside a root that is not ours yet.

use std::ffi::CString;
use std::os::fd::AsFd;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Most links along a path, as the kernel follows (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Opens a path to be named in other calls (`O_PATH`); links on the way, and the last one, lead to
/// where they would if `root` were the root.
///
/// # Errors
/// Those of `openat2(2)`.
pub(super) fn open_inside(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
        // A kernel before 5.6, or a seccomp profile that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => walk(root, path),
        done => done,
    }
}

/// The same, name by name. No command runs yet that could move directories meanwhile.
fn walk(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    let open = |directory: &OwnedFd, name: &[u8]| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, Mode::empty())
    };
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").map(<[u8]>::to_vec).rev().collect()
    };
    // The directories from the root on: `..` goes back to the one before, and not beyond the root.
    let mut above = vec![open(root, b".")?];
    let mut rest = parts(path.as_bytes());
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == b".." {
            above.truncate(above.len().saturating_sub(1).max(1));
            continue;
        }
        let here = above.last().ok_or(Errno::NOENT)?;
        let found = open(here, &name)?;
        let stat = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            above.push(found);
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        let target: CString = rustix::fs::readlinkat(found.as_fd(), "", Vec::new())?;
        if target.as_bytes().starts_with(b"/") {
            above.truncate(1);
        }
        rest.extend(parts(target.as_bytes()));
    }
    above.pop().ok_or(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_ways_stay_inside() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("a/b")).expect("directories");
        fs::write(at("a/b/file"), "inside").expect("a file");
        for (target, link) in [
            ("/a/b", "absolute"),
            ("../../../../a", "a/b/up"),
            ("absolute/../b/file", "chain"),
            ("loop", "loop"),
            ("/etc/passwd", "out"),
        ] {
            symlink(target, at(link)).expect("a link");
        }
        let root = OwnedFd::from(fs::File::open(directory.path()).expect("the directory"));
        let text = |fd: OwnedFd| {
            use std::os::fd::AsRawFd;
            fs::read_to_string(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()
        };
        for (path, expected) in [
            ("a/b/file", Ok(Some("inside"))),
            ("absolute/file", Ok(Some("inside"))),
            ("a/b/up/b/file", Ok(Some("inside"))),
            ("chain", Ok(Some("inside"))),
            ("../../a/./b//file", Ok(Some("inside"))),
            ("a/b", Ok(None)),
            ("missing", Err(Errno::NOENT)),
            ("out", Err(Errno::NOENT)),
            ("loop", Err(Errno::LOOP)),
            ("a/b/file/x", Err(Errno::NOTDIR)),
        ] {
            let expected = expected.map(|text| text.map(str::to_owned));
            assert_eq!(open_inside(&root, path).map(text), expected, "{path}");
            assert_eq!(walk(&root, path).map(text), expected, "{path}, name by name");
        }
    }
}
