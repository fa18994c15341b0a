//! What a tree looked like before a step, compactly: the in-place placement compares with it.
//!
//! An index holds, for every name, inode and change time, which tell whether anything can have
//! happened to it, and what the definition of a change compares then. It takes 64 bytes and the
//! name for each. Contents are known as XXH3-128 hashes, from unpacking and packing.

mod below;
mod item;
mod live;
mod reader;
mod stat;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::time::{ClockId, clock_gettime};
use xxhash_rust::xxh3::xxh3_64;

pub(crate) use below::open_below;
use item::{Item, nanoseconds};
pub(crate) use live::written_directories;
pub(crate) use stat::{Stat, stat};
use walk::{Purpose, Walked, walk};

use super::RootfsError;
use super::change::Candidate;
use crate::layer::{Timestamp, join, parent};

/// The names of one directory, sorted by bytes.
#[derive(Debug, Default)]
struct Directory {
    names: Vec<u8>,
    items: Vec<Item>,
}

impl Directory {
    fn name(&self, item: &Item) -> &[u8] {
        let start = item.name_at as usize;
        &self.names[start..start + usize::from(item.name_length)]
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.items.binary_search_by(|item| self.name(item).cmp(name)).ok()
    }
}

/// Content hashes of files by path, before there is an index. Later ones win.
#[derive(Debug, Default, Clone)]
pub(crate) struct Hashes {
    /// Hash of the path and of the content: a path each would cost a large base too much memory.
    known: Vec<(u64, [u64; 2])>,
}

impl Hashes {
    /// Remembers the hash of the file at a path.
    pub(crate) fn insert(&mut self, path: &[u8], hash: u128) {
        self.known.push((xxh3_64(path), [(hash >> 64) as u64, hash as u64]));
    }

    /// Makes [`Hashes::get`] possible.
    fn sort(&mut self) {
        // Stable: of two for a path the later stays behind.
        self.known.sort_by_key(|(path, _)| *path);
    }

    fn get(&self, path: &[u8]) -> Option<u128> {
        let path = xxh3_64(path);
        let after = self.known.partition_point(|(p, _)| *p <= path);
        let (found, [high, low]) = *self.known.get(after.checked_sub(1)?)?;
        (found == path).then_some(u128::from(high) << 64 | u128::from(low))
    }
}

/// What a walk reads and what it leaves out.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bounds {
    left_out: HashSet<Vec<u8>>,
    parents: HashSet<Vec<u8>>,
    mounts: HashSet<Vec<u8>>,
}

impl Bounds {
    /// Leaves out a path and all below it: it is no part of the tree.
    pub(crate) fn leave_out(&mut self, path: &[u8]) {
        self.parents.insert(parent(path).to_vec());
        self.left_out.insert(path.to_vec());
    }

    /// Reads the mount at this path as well; others are left out.
    pub(crate) fn include_mount(&mut self, path: &[u8]) {
        self.mounts.insert(path.to_vec());
    }

    fn watches(&self, directory: &[u8]) -> bool {
        self.parents.contains(directory)
    }

    fn leaves_out(&self, path: &[u8]) -> bool {
        self.left_out.contains(path)
    }

    fn includes_mount(&self, path: &[u8]) -> bool {
        self.mounts.contains(path)
    }
}

/// What may have changed, and what is needed to be sure.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// The candidates.
    pub(crate) candidates: Vec<Candidate>,
    /// Content hashes of candidates from before, where known.
    pub(crate) hashes: HashMap<Vec<u8>, u128>,
}

/// What a tree looked like.
#[derive(Debug)]
pub(crate) struct Index {
    /// By place; the root's is 0.
    directories: Vec<Directory>,
    /// `security.capability` by inode.
    capabilities: HashMap<u64, Box<[u8]>>,
    newest: i64,
    threads: usize,
}

impl Index {
    /// Reads the tree below `root`, with this many threads.
    ///
    /// # Errors
    /// A directory or file cannot be read.
    pub(crate) fn fill(
        root: &Arc<OwnedFd>,
        bounds: &Bounds,
        mut hashes: Hashes,
        threads: usize,
    ) -> Result<Index, RootfsError> {
        hashes.sort();
        let mut index =
            Index { directories: Vec::new(), capabilities: HashMap::new(), newest: i64::MIN, threads };
        let found = walk(root, &index, bounds, &Purpose::Fill(&hashes), threads)?;
        index.take(found);
        index.share_hashes();
        Ok(index)
    }

    /// Walks the tree and gives what may have changed since; the index is as the tree now, except
    /// that it does not know contents of candidates: see [`Index::set_hashes`].
    ///
    /// Whoever changed the tree did so after [`Index::wait_for_clock`]: a directory whose own change
    /// time is the same has the same names.
    ///
    /// # Errors
    /// A directory or file cannot be read.
    pub(crate) fn compare(&mut self, root: &Arc<OwnedFd>, bounds: &Bounds) -> Result<Compared, RootfsError> {
        self.compare_for(root, bounds, &Purpose::Compare { anew: false })
    }

    /// [`Index::compare`] where nobody waited for the clock: every directory is read.
    ///
    /// # Errors
    /// A directory or file cannot be read.
    pub(crate) fn compare_anew(
        &mut self,
        root: &Arc<OwnedFd>,
        bounds: &Bounds,
    ) -> Result<Compared, RootfsError> {
        self.compare_for(root, bounds, &Purpose::Compare { anew: true })
    }

    fn compare_for(
        &mut self,
        root: &Arc<OwnedFd>,
        bounds: &Bounds,
        purpose: &Purpose<'_>,
    ) -> Result<Compared, RootfsError> {
        let mut found = walk(root, self, bounds, purpose, self.threads)?;
        let mut compared = Compared::default();
        for difference in found.differences.drain(..) {
            let before = difference.before.map(|item| {
                if let (Some(hash), Some(_)) = (item.hash(), &difference.after) {
                    compared.hashes.insert(difference.path.clone(), hash);
                }
                let capable =
                    item.is_capable().then(|| self.capabilities.get(&item.inode).cloned()).flatten();
                item.attributes(capable)
            });
            compared.candidates.push(Candidate { path: difference.path, before, after: difference.after });
        }
        self.take(found);
        Ok(compared)
    }

    /// Takes over, as no change, what was written in these directories, new ones below included.
    ///
    /// # Errors
    /// A directory or file cannot be read.
    pub(crate) fn absorb(
        &mut self,
        root: &Arc<OwnedFd>,
        bounds: &Bounds,
        directories: &HashSet<Vec<u8>>,
    ) -> Result<(), RootfsError> {
        let found = walk(root, self, bounds, &Purpose::Absorb(directories), self.threads)?;
        self.take(found);
        Ok(())
    }

    fn take(&mut self, found: Walked) {
        for slot in found.gone {
            self.forget(slot);
        }
        self.directories.resize_with(found.slots as usize, Directory::default);
        for (slot, record) in found.records {
            self.directories[slot as usize] = record;
        }
        self.capabilities.extend(found.capabilities);
        self.newest = self.newest.max(found.newest);
    }

    fn forget(&mut self, slot: u32) {
        let mut slots = vec![slot];
        while let Some(slot) = slots.pop() {
            let gone = std::mem::take(&mut self.directories[slot as usize]);
            slots.extend(gone.items.iter().filter_map(Item::slot));
        }
    }

    /// Remembers contents of regular files by path; paths that are not there are skipped.
    pub(crate) fn set_hashes<'a>(&mut self, hashes: impl IntoIterator<Item = (&'a [u8], u128)>) {
        let mut linked = false;
        for (path, hash) in hashes {
            let Some((slot, at)) = self.find(path) else { continue };
            let item = &mut self.directories[slot].items[at];
            if !item.is_directory() {
                item.set_hash(hash);
                linked |= item.is_linked();
            }
        }
        if linked {
            self.share_hashes();
        }
    }

    /// Gives names of one inode the hash that one of them has; where two disagree, none.
    fn share_hashes(&mut self) {
        let mut by_inode: HashMap<u64, Option<u128>> = HashMap::new();
        let linked = |item: &&Item| item.is_linked() && item.file_type() == rustix::fs::FileType::RegularFile;
        for item in self.directories.iter().flat_map(|d| &d.items).filter(linked) {
            if let Some(hash) = item.hash() {
                let known = by_inode.entry(item.inode).or_insert(Some(hash));
                *known = known.filter(|other| *other == hash);
            }
        }
        for item in self.directories.iter_mut().flat_map(|d| &mut d.items) {
            if !item.is_linked() || item.file_type() != rustix::fs::FileType::RegularFile {
                continue;
            }
            match by_inode.get(&item.inode) {
                Some(Some(hash)) => item.set_hash(*hash),
                Some(None) => item.clear_hash(),
                None => {}
            }
        }
    }

    /// The directory and the position in it where a path is.
    fn find(&self, path: &[u8]) -> Option<(usize, usize)> {
        let mut slot = 0;
        let mut parts = path.split(|b| *b == b'/').peekable();
        loop {
            let directory = self.directories.get(slot)?;
            let at = directory.position(parts.next()?)?;
            if parts.peek().is_none() {
                return Some((slot, at));
            }
            slot = directory.items[at].slot()? as usize;
        }
    }

    /// The contents that are known.
    pub(crate) fn hashes(&self) -> Hashes {
        let mut all = Hashes::default();
        let mut directories = vec![(Vec::new(), 0)];
        while let Some((path, slot)) = directories.pop() {
            let Some(directory) = self.directories.get(slot as usize) else { continue };
            for item in &directory.items {
                let path = join(&path, directory.name(item));
                match (item.slot(), item.hash()) {
                    (Some(slot), _) => directories.push((path, slot)),
                    (None, Some(hash)) if item.file_type() == rustix::fs::FileType::RegularFile => {
                        all.insert(&path, hash);
                    }
                    _ => {}
                }
            }
        }
        all
    }

    /// Whether there is something at a path.
    pub(crate) fn contains(&self, path: &[u8]) -> bool {
        self.find(path).is_some()
    }

    /// Waits until a change made from now on gets a later time than every change seen so far.
    ///
    /// File systems stamp changes with a clock that ticks every few milliseconds: a file written
    /// again within the tick of its last change would look untouched.
    pub(crate) fn wait_for_clock(&self) {
        // A tick is 10 ms at most (CONFIG_HZ=100). Times in the future, after the clock was set
        // back, would make this wait for ever.
        for _ in 0..40 {
            let now = clock_gettime(ClockId::RealtimeCoarse);
            let now = Timestamp { seconds: now.tv_sec, nanoseconds: now.tv_nsec as u32 };
            if nanoseconds(now) > self.newest {
                return;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}
