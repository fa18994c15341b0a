//! Reading a tree on all cores and comparing it with the index while reading.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::item::Item;
use super::reader::Reader;
use super::stat::{Stat, capability, stat};
use super::{Bounds, Directory, Hashes, Index};
use crate::layer::join;
use crate::rootfs::RootfsError;
use crate::rootfs::change::{Attributes, target_hash};

/// A path where walk and index differ, or may.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) path: Vec<u8>,
    pub(super) before: Option<Item>,
    pub(super) after: Option<Attributes>,
}

/// What a walk found.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) differences: Vec<Difference>,
    /// Directories whose record changes, by place in the index.
    pub(super) records: Vec<(u32, Directory)>,
    /// Places of directories that are gone; those below them are gone as well.
    pub(super) gone: Vec<u32>,
    /// Capabilities by inode.
    pub(super) capabilities: Vec<(u64, Box<[u8]>)>,
    /// Latest change time seen, in nanoseconds since 1970.
    pub(super) newest: i64,
    /// Places in the index that are taken, given ones included.
    pub(super) slots: u32,
}

/// What a walk is for.
pub(super) enum Purpose<'a> {
    /// Fill an empty index; contents are known to have these hashes.
    Fill(&'a Hashes),
    /// Find what changed; `anew` reads the names of every directory.
    Compare { anew: bool },
    /// Take over what we wrote ourselves in these directories and in new ones.
    Absorb(&'a HashSet<Vec<u8>>),
}

/// A directory still to be read.
struct Task {
    parent: Arc<OwnedFd>,
    name: CString,
    path: Vec<u8>,
    slot: u32,
    is_known: bool,
    /// Its names cannot have changed since.
    is_same: bool,
}

struct Queue {
    // Last in, first out: few directories are open at a time.
    tasks: Vec<Task>,
    working: usize,
    failed: Option<RootfsError>,
}

struct Walk<'a> {
    index: &'a Index,
    bounds: &'a Bounds,
    purpose: &'a Purpose<'a>,
    queue: Mutex<Queue>,
    wake: Condvar,
    waiting: AtomicUsize,
    next_slot: AtomicU32,
}

/// Walks the tree below `root` with this many threads.
pub(super) fn walk(
    root: &Arc<OwnedFd>,
    index: &Index,
    bounds: &Bounds,
    purpose: &Purpose<'_>,
    threads: usize,
) -> Result<Walked, RootfsError> {
    let first = Task {
        parent: Arc::clone(root),
        name: c".".to_owned(),
        path: Vec::new(),
        slot: 0,
        is_known: !matches!(purpose, Purpose::Fill(_)),
        is_same: false,
    };
    let walk = Walk {
        index,
        bounds,
        purpose,
        queue: Mutex::new(Queue { tasks: vec![first], working: 0, failed: None }),
        wake: Condvar::new(),
        waiting: AtomicUsize::new(0),
        next_slot: AtomicU32::new(u32::try_from(index.directories.len()).unwrap_or(u32::MAX).max(1)),
    };
    let mut all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(|| walk.work())).collect();
        workers.into_iter().fold(Walked::default(), |all, worker| match worker.join() {
            Ok(part) => all.with(part),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    });
    all.slots = walk.next_slot.load(Ordering::Relaxed);
    match walk.queue.into_inner().unwrap_or_else(PoisonError::into_inner).failed {
        Some(error) => Err(error),
        None => Ok(all),
    }
}

impl Walked {
    fn with(mut self, mut part: Walked) -> Walked {
        self.differences.append(&mut part.differences);
        self.records.append(&mut part.records);
        self.gone.append(&mut part.gone);
        self.capabilities.append(&mut part.capabilities);
        self.newest = self.newest.max(part.newest);
        self
    }
}

impl Walk<'_> {
    fn work(&self) -> Walked {
        let mut found = Walked::default();
        let mut reader = Reader::new();
        // Its own first: a lock for each directory would cost more than reading most.
        let mut own = Vec::new();
        while let Some(first) = self.take() {
            own.push(first);
            let mut failed = None;
            while let (Some(task), None) = (own.pop(), &failed) {
                match self.read(&task, &mut reader, &mut found) {
                    Ok(below) => own.extend(below),
                    Err(error) => failed = Some(error),
                }
                if own.len() > 1 && self.waiting.load(Ordering::Relaxed) > 0 {
                    let half = own.len() / 2;
                    let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    queue.tasks.extend(own.drain(..half));
                    self.wake.notify_all();
                }
            }
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.working -= 1;
            queue.failed = queue.failed.take().or(failed);
            self.wake.notify_all();
        }
        found
    }

    fn take(&self) -> Option<Task> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.failed.is_some() {
                return None;
            }
            if let Some(task) = queue.tasks.pop() {
                queue.working += 1;
                return Some(task);
            }
            if queue.working == 0 {
                return None;
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Reads one directory and gives the directories in it that are to be read.
    fn read(&self, task: &Task, reader: &mut Reader, found: &mut Walked) -> Result<Vec<Task>, RootfsError> {
        let fail = |action, source: Errno| RootfsError::Io {
            action,
            path: shown(&task.path),
            source: source.into(),
        };
        let old = if task.is_known { self.index.directories.get(task.slot as usize) } else { None };
        let kept = old.filter(|_| task.is_same && !self.bounds.watches(&task.path));
        let access = if kept.is_some() { OFlags::PATH } else { OFlags::RDONLY };
        let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(&task.parent, &*task.name, flags, Mode::empty()) {
            Ok(directory) => Arc::new(directory),
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(fail("open", error)),
        };
        match kept {
            Some(old) => reader.keep(old),
            None => reader.list(&directory).map_err(|error| fail("read the directory", error))?,
        }
        let mut step = Step { walk: self, task, directory: &directory, found, below: Vec::new(), same: true };
        let record = step.record(reader, old)?;
        let (below, same) = (step.below, step.same);
        if !same || old.is_none() {
            found.records.push((task.slot, record));
        }
        Ok(below)
    }
}

/// Reading one directory.
struct Step<'a, 'w> {
    walk: &'a Walk<'w>,
    task: &'a Task,
    directory: &'a Arc<OwnedFd>,
    found: &'a mut Walked,
    below: Vec<Task>,
    /// Nothing in this directory differs from its record.
    same: bool,
}

impl Step<'_, '_> {
    fn record(&mut self, reader: &Reader, old: Option<&Directory>) -> Result<Directory, RootfsError> {
        let watched = self.walk.bounds.watches(&self.task.path);
        let mut record = Directory::default();
        let mut before = old.map_or(&[][..], |d| &d.items).iter().peekable();
        let old_name = |item: &Item| old.map_or(&[][..], |d| d.name(item));
        for name in reader.names() {
            let bytes = name.to_bytes();
            if watched && self.walk.bounds.leaves_out(&join(&self.task.path, bytes)) {
                continue;
            }
            let stat = match stat(self.directory, name) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(self.failed("look at", bytes, error)),
            };
            if stat.mount_root && !self.walk.bounds.includes_mount(&join(&self.task.path, bytes)) {
                continue;
            }
            while let Some(gone) = before.next_if(|item| old_name(item) < bytes) {
                self.gone(old_name(gone), gone);
            }
            let known = before.next_if(|item| old_name(item) == bytes);
            let item = self.item(name, &stat, known, &mut record)?;
            record.items.push(item);
        }
        for gone in before {
            self.gone(old_name(gone), gone);
        }
        record.items.shrink_to_fit();
        record.names.shrink_to_fit();
        Ok(record)
    }

    fn item(
        &mut self,
        name: &CStr,
        stat: &Stat,
        known: Option<&Item>,
        record: &mut Directory,
    ) -> Result<Item, RootfsError> {
        let bytes = name.to_bytes();
        let at = u32::try_from(record.names.len()).unwrap_or(u32::MAX);
        record.names.extend_from_slice(bytes);
        let mut item = Item::new(stat, at, bytes.len() as u8);
        self.found.newest = self.found.newest.max(item.ctime);
        let untouched = known.filter(|known| known.untouched(&item));
        if let Some(known) = untouched {
            item = *known;
            item.name_at = at;
        } else {
            self.same = false;
            self.differs(name, &mut item, known)?;
        }
        if item.is_directory() {
            self.descend(name, &mut item, known);
        } else if let Some(slot) = known.and_then(Item::slot) {
            self.found.gone.push(slot);
        }
        Ok(item)
    }

    /// Learns the rest about a name that is new or was touched.
    fn differs(&mut self, name: &CStr, item: &mut Item, known: Option<&Item>) -> Result<(), RootfsError> {
        let bytes = name.to_bytes();
        let mut value = None;
        match item.file_type() {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(self.directory, name, Vec::new())
                    .map_err(|error| self.failed("read the link", bytes, error))?;
                item.set_hash(target_hash(target.to_bytes()));
            }
            FileType::RegularFile => {
                value = capability(self.directory, name)
                    .map_err(|error| self.failed("read attributes of", bytes, error))?;
            }
            _ => {}
        }
        if let Some(value) = &value {
            item.set_capable();
            self.found.capabilities.push((item.inode, value.clone()));
        }
        match self.walk.purpose {
            Purpose::Fill(hashes) if item.file_type() == FileType::RegularFile => {
                if let Some(hash) = hashes.get(&join(&self.task.path, bytes)) {
                    item.set_hash(hash);
                }
            }
            Purpose::Compare { .. } => self.found.differences.push(Difference {
                path: join(&self.task.path, bytes),
                before: known.copied(),
                after: Some(item.attributes(value)),
            }),
            _ => {}
        }
        Ok(())
    }

    fn descend(&mut self, name: &CStr, item: &mut Item, known: Option<&Item>) {
        let path = join(&self.task.path, name.to_bytes());
        let slot = known.and_then(Item::slot);
        let (wanted, is_same) = match self.walk.purpose {
            // Nobody waited for the clock before writing there.
            Purpose::Absorb(directories) => (slot.is_none() || directories.contains(&path), false),
            Purpose::Compare { anew } => (true, !anew && known.is_some_and(|known| known.untouched(item))),
            Purpose::Fill(_) => (true, false),
        };
        let place = slot.unwrap_or_else(|| self.walk.next_slot.fetch_add(1, Ordering::Relaxed));
        item.set_slot(place);
        if let (false, Some(known)) = (wanted, known) {
            // Its names are as of then.
            item.ctime = known.ctime;
        }
        if wanted {
            let parent = Arc::clone(self.directory);
            self.below.push(Task {
                parent,
                name: name.to_owned(),
                path,
                slot: place,
                is_known: slot.is_some(),
                is_same,
            });
        }
    }

    fn gone(&mut self, name: &[u8], item: &Item) {
        self.same = false;
        self.found.gone.extend(item.slot());
        if matches!(self.walk.purpose, Purpose::Compare { .. }) {
            let path = join(&self.task.path, name);
            self.found.differences.push(Difference { path, before: Some(*item), after: None });
        }
    }

    fn failed(&self, action: &'static str, name: &[u8], source: Errno) -> RootfsError {
        RootfsError::Io { action, path: shown(&join(&self.task.path, name)), source: source.into() }
    }
}

/// A path as people know it.
fn shown(path: &[u8]) -> PathBuf {
    Path::new("/").join(std::ffi::OsStr::from_bytes(path))
}
