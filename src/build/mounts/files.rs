//! Files of the context, a stage or an image as a directory or file that can be mounted.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use crate::layer::{DirView, Kind, Listing, Node, NodeKind, Timestamp, View, join, resolve, write_entries};
use crate::plan::{CopyFrom, CopyStep, FileOwner};
use crate::rootfs::{Rootfs, Showing};
use crate::run::{Fate, MountSource};

use super::super::Error;
use super::super::copy::{CopyJob, SourceTree, copy_entries};
use super::super::executor::{Executor, Files};
use super::super::sources::with_tree;

/// What was made for all steps that are shown it, by its source.
#[derive(Default)]
pub(in crate::build) struct Shown {
    copies: Mutex<BTreeMap<String, Slot<(tempfile::TempDir, MountSource)>>>,
    /// Trees of images.
    trees: Mutex<BTreeMap<String, Slot<Box<dyn Rootfs>>>>,
}

/// Each has its own lock, so that who needs one waits for nobody who makes another.
type Slot<T> = Arc<Mutex<Option<T>>>;

/// The slot of a name.
fn slot<T>(slots: &Mutex<BTreeMap<String, Slot<T>>>, name: String) -> Slot<T> {
    Arc::clone(slots.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default())
}

/// Name of a copied file.
const NAME: &str = "f";

/// Files of a stage or image as they are, where its tree is on disk and a step can have a part of it
/// mounted; none where they must be copied.
pub(super) fn show(
    executor: &Executor<'_>,
    at: usize,
    from: &CopyFrom,
    source: &str,
    writable: bool,
) -> Result<Option<Showing>, Error> {
    if !executor.can_mount() {
        return Ok(None);
    }
    match from {
        CopyFrom::Context | CopyFrom::Directory(..) => Ok(None),
        CopyFrom::Stage(from) => {
            let done = executor.wait_for(*from)?;
            let files = done.files.read().unwrap_or_else(PoisonError::into_inner);
            match &*files {
                Some(Files::Disk(tree)) => part(tree.as_ref(), source, writable),
                _ => Ok(None),
            }
        }
        CopyFrom::Image(image) => {
            let resolved = executor.images.get(image, &executor.plan.stages[at].source_platform)?;
            let slot = slot(&executor.shown.trees, resolved.manifest.config.digest.hex());
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let tree = match &mut *slot {
                Some(known) => known,
                empty => empty.insert(super::super::extract::unpacked(executor, at, &resolved.layers)?),
            };
            part(tree.as_ref(), source, writable)
        }
    }
}

/// Part of a tree; none where nothing is at the path: the copy says what is near.
fn part(tree: &dyn Rootfs, source: &str, writable: bool) -> Result<Option<Showing>, Error> {
    match resolve(tree.view(), source.as_bytes(), true) {
        Ok(real) => Ok(tree.show(&real, writable)?),
        Err(_) => Ok(None),
    }
}

/// Files that several steps may be shown; copied when the first asks.
pub(super) fn shared(
    executor: &Executor<'_>,
    at: usize,
    from: &CopyFrom,
    source: &str,
) -> Result<MountSource, Error> {
    let key = format!("{from:?} {} {source}", executor.plan.stages[at].source_platform);
    let slot = slot(&executor.shown.copies, key);
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = &*slot {
        return Ok(known.clone());
    }
    let directory = executor.private_directory()?;
    let made = match copy(executor, at, from, source, directory.path())? {
        MountSource::Directory(path, _) => MountSource::Directory(path, Fate::Kept),
        MountSource::File(path, _) => MountSource::File(path, Fate::Kept),
        other => other,
    };
    *slot = Some((directory, made.clone()));
    Ok(made)
}

/// Copies files into an empty directory of ours. Those of a context belong to root, as `COPY` has it.
pub(super) fn copy(
    executor: &Executor<'_>,
    at: usize,
    from: &CopyFrom,
    source: &str,
    directory: &Path,
) -> Result<MountSource, Error> {
    with_tree(executor, at, from, |tree| {
        let tree = tree.ok_or_else(|| Error::Other {
            message: "there is no build context to mount files of".to_owned(),
            help: Some("give one with --context, or name a stage or image with `from`".to_owned()),
        })?;
        let unreadable = |e: io::Error| Error::other(format!("cannot read {source} of {}: {e}", tree.name));
        let real = resolve(tree.view, source.as_bytes(), true).map_err(unreadable)?;
        let node = tree.view.node(&real).map_err(unreadable)?;
        let keep_owner = tree.keep_owner;
        // A missing one gets its error from the copy, with what is near.
        let is_file = node.as_ref().is_some_and(|n| n.kind != NodeKind::Directory);
        let root = node.filter(|n| n.kind == NodeKind::Directory && !real.is_empty() || real.is_empty());
        write(executor, tree, source, is_file, directory)?;
        if is_file {
            return Ok(MountSource::File(directory.join(NAME), Fate::Lost));
        }
        dress(directory, root.as_ref(), keep_owner)
            .map_err(|e| Error::other(format!("cannot set up {}: {e}", directory.display())))?;
        Ok(MountSource::Directory(directory.to_owned(), Fate::Lost))
    })
}

fn write(
    executor: &Executor<'_>,
    tree: SourceTree<'_>,
    source: &str,
    is_file: bool,
    directory: &Path,
) -> Result<(), Error> {
    let destination = if is_file { format!("/{NAME}") } else { "/".to_owned() };
    let step = CopyStep::plain(CopyFrom::Context, literal(source), &destination);
    let (nothing, name) = (Listing::new(), tree.name.clone());
    let spool = || executor.workspace.spool();
    let job = CopyJob {
        step: &step,
        source: Some(tree),
        fetched: &[None],
        limits: super::super::limits(executor.config),
        compat: false,
        warn: &|_| {},
        destination: &nothing,
        now: executor.now,
        spool: &spool,
    };
    let entries = copy_entries(&job).map_err(Error::from_display)?;
    if entries.is_empty() && source != "/" && is_file {
        return Err(Error::other(format!("{source} is not in {name}")));
    }
    let target =
        open(directory).map_err(|e| Error::other(format!("cannot open {}: {e}", directory.display())))?;
    write_entries(target.as_fd(), &entries).map_err(Error::from_display)
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(directory, flags, Mode::empty())?)
}

/// A path as a pattern that matches it alone.
pub(in crate::build) fn literal(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for char in path.chars() {
        match char {
            '*' | '?' | '[' => pattern.extend(['[', char, ']']),
            '\\' => pattern.push_str("\\\\"),
            char => pattern.push(char),
        }
    }
    pattern
}

/// Gives a directory the looks of the one it was copied from; root's and 0755 where nothing says.
fn dress(directory: &Path, like: Option<&Node>, keep_owner: bool) -> io::Result<()> {
    let (uid, gid) = like.filter(|_| keep_owner).map_or((0, 0), |n| (n.uid, n.gid));
    let (uid, gid) = super::ids(uid, gid);
    chown(directory, Some(uid), Some(gid))?;
    fs::set_permissions(directory, fs::Permissions::from_mode(like.map_or(0o755, |n| n.mode)))?;
    match like.map(|n| n.mtime) {
        Some(time) => File::open(directory)?.set_times(FileTimes::new().set_modified(system_time(time))),
        None => Ok(()),
    }
}

fn system_time(time: Timestamp) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole =
        if time.seconds < 0 { SystemTime::UNIX_EPOCH - seconds } else { SystemTime::UNIX_EPOCH + seconds };
    whole + Duration::from_nanos(time.nanoseconds.into())
}

/// Makes the directory of a new cache: a copy of `seed`, or empty.
pub(super) fn start(directory: &Path, seed: Option<&Path>, owner: FileOwner) -> Result<(), Error> {
    let failed = |e: io::Error| Error::other(format!("cannot make the cache {}: {e}", directory.display()));
    fs::create_dir(directory).map_err(failed)?;
    let Some(seed) = seed else {
        let (uid, gid) = super::ids(owner.uid, owner.gid);
        chown(directory, Some(uid), Some(gid)).map_err(failed)?;
        return fs::set_permissions(directory, fs::Permissions::from_mode(owner.mode)).map_err(failed);
    };
    let view = DirView::at(seed).map_err(failed)?;
    let mut entries = Vec::new();
    walk(&view, b"", &mut |entry| {
        entries.push(entry.entry);
        Ok(())
    })
    .map_err(failed)?;
    let target = open(directory).map_err(failed)?;
    write_entries(target.as_fd(), &entries).map_err(Error::from_display)?;
    let root = view.node(b"").map_err(failed)?;
    dress(directory, root.as_ref(), true).map_err(failed)
}

/// Makes the directory of a cache whose content is had from elsewhere: it looks as `seed` does, or as
/// `owner` says.
pub(super) fn start_empty(directory: &Path, seed: Option<&Path>, owner: FileOwner) -> Result<(), Error> {
    let Some(seed) = seed else { return start(directory, None, owner) };
    let failed = |e: io::Error| Error::other(format!("cannot make the cache {}: {e}", directory.display()));
    fs::create_dir(directory).map_err(failed)?;
    let root = DirView::at(seed).and_then(|view| view.node(b"")).map_err(failed)?;
    dress(directory, root.as_ref(), true).map_err(failed)
}

/// A directory in a cache, links followed inside the cache.
///
/// # Errors
/// It is not there, or is no directory.
pub(super) fn part_of_cache(cache: &Path, part: &str) -> Result<PathBuf, Error> {
    let failed = |e: io::Error| Error::other(format!("cannot read {part} of a cache: {e}"));
    let view = DirView::at(cache).map_err(failed)?;
    let real = resolve(&view, part.as_bytes(), true).map_err(failed)?;
    if real.is_empty() {
        return Ok(cache.to_owned());
    }
    match view.node(&real).map_err(failed)? {
        Some(node) if node.kind == NodeKind::Directory => Ok(cache.join(OsStr::from_bytes(&real))),
        Some(_) => Err(Error::other(format!("{part} of a cache is no directory"))),
        None => Err(Error::Other {
            message: format!("there is no {part} in the cache yet"),
            help: Some("leave out `source`, or make the directory in a step before this one".to_owned()),
        }),
    }
}

fn walk(
    view: &DirView,
    directory: &[u8],
    found: &mut dyn FnMut(crate::layer::SourceEntry) -> io::Result<()>,
) -> io::Result<()> {
    for name in view.names(directory)? {
        let path = join(directory, &name);
        let Some(entry) = view.entry(&path)? else { continue };
        let is_directory = entry.entry.kind == Kind::Directory;
        found(entry)?;
        if is_directory {
            walk(view, &path, found)?;
        }
    }
    Ok(())
}

/// A digest of a directory: paths, types, modes, owners, contents; no times.
pub(super) fn identity(directory: &Path) -> Result<String, Error> {
    let failed = |e: io::Error| Error::other(format!("cannot read {}: {e}", directory.display()));
    let view = DirView::at(directory).map_err(failed)?;
    let mut whole = Sha256::new();
    walk(&view, b"", &mut |found| {
        let entry = &found.entry;
        whole.update((entry.path.len() as u64).to_le_bytes());
        whole.update(&entry.path);
        let kind = format!("{:?} {:o} {} {};", entry.kind, entry.mode, entry.uid, entry.gid);
        whole.update(kind.as_bytes());
        if matches!(entry.kind, Kind::File { .. }) {
            let mut content = Sha256::new();
            io::copy(&mut view.open(&entry.path)?, &mut Hashing(&mut content))?;
            whole.update(content.finalize());
        }
        Ok(())
    })
    .map_err(failed)?;
    Ok(whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Bytes written are hashed.
struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where private copies are best made, as a directory that goes with its value.
pub(in crate::build) fn private_directory(parent: &Path) -> Result<tempfile::TempDir, Error> {
    let failed = |e: io::Error| Error::other(format!("cannot make a directory in {}: {e}", parent.display()));
    fs::create_dir_all(parent).map_err(failed)?;
    tempfile::Builder::new().prefix("m").tempdir_in(parent).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_caches_stay_inside() {
        let cache = tempfile::tempdir().unwrap();
        let root = cache.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("f"), "").unwrap();
        for (link, target) in [("up", "../../a"), ("out", "/a/b"), ("host", "/proc")] {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        for (part, expected) in [
            ("/", Ok("")),
            ("/a/b", Ok("a/b")),
            ("/up/b", Ok("a/b")),
            ("/out", Ok("a/b")),
            ("/f", Err("no directory")),
            ("/c", Err("there is no /c")),
            ("/host", Err("there is no /host")),
        ] {
            match (part_of_cache(root, part), expected) {
                (Ok(found), Ok(below)) => assert_eq!(found, root.join(below), "{part}"),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{part}: {error}"),
                (found, _) => panic!("{part}: {found:?}"),
            }
        }
    }
}
