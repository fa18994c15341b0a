//! What a command did to a tree that an index knows.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use xxhash_rust::xxh3::Xxh3Default;

use super::{Bounds, Index, open_below, stat};
use crate::layer::{Content, Entry, Kind, parent};
use crate::rootfs::change::{self, After, Attributes};
use crate::rootfs::{RootfsError, failed, shown};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

impl Index {
    /// The layer's entries for what changed since the index was brought up to date, `ignore` and all
    /// below it left out. The index then is as the tree.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub(crate) fn changes(
        &mut self,
        root: &Arc<OwnedFd>,
        bounds: &Bounds,
        ignore: &[Vec<u8>],
    ) -> Result<Vec<Entry>, RootfsError> {
        let mut compared = self.compare(root, bounds)?;
        compared.candidates.retain(|candidate| {
            let below = |ignored: &Vec<u8>| {
                let rest = candidate.path.strip_prefix(ignored.as_slice());
                rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
            };
            !ignore.iter().any(below)
        });
        let computed = Mutex::default();
        let live = Live { root, before: &compared.hashes, threads: self.threads, computed };
        let entries = change::entries(compared.candidates, &live)?;
        let computed = live.computed.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.set_hashes(computed.iter().map(|(path, hash)| (path.as_slice(), *hash)));
        Ok(entries)
    }
}

/// The directories that writing entries touches: those among them and those above them.
pub(crate) fn written_directories(entries: &[Entry]) -> HashSet<Vec<u8>> {
    let mut directories = HashSet::new();
    for entry in entries {
        let own = (entry.kind == Kind::Directory).then_some(entry.path.as_slice());
        let above = std::iter::successors(Some(parent(&entry.path)), |p| Some(parent(p)));
        for path in own.into_iter().chain(above.take_while(|p| !p.is_empty())) {
            directories.insert(path.to_vec());
        }
    }
    directories
}

/// The tree after a command.
struct Live<'a> {
    root: &'a Arc<OwnedFd>,
    before: &'a HashMap<Vec<u8>, u128>,
    threads: usize,
    /// Hashes computed to be sure, by path.
    computed: Mutex<Vec<(Vec<u8>, u128)>>,
}

impl After for Live<'_> {
    fn same_content(&self, paths: &[&[u8]]) -> Result<Vec<bool>, RootfsError> {
        let hashes = content_hashes(self.root, paths, self.threads)?;
        let mut computed = self.computed.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(path, hash): (&&[u8], &Option<u128>)| {
            computed.extend(hash.map(|hash| (path.to_vec(), hash)));
            hash.is_some() && self.before.get(*path) == hash.as_ref()
        };
        Ok(paths.iter().zip(&hashes).map(same).collect())
    }

    fn directory(&self, path: &[u8]) -> Result<Attributes, RootfsError> {
        let found = open_below(self.root, path, DIRECTORY).map_err(failed("open", shown(path)))?;
        let stat = stat(&found, c"").map_err(failed("look at", shown(path)))?;
        Ok(Attributes {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            device: (0, 0),
            size: 0,
            mtime: stat.mtime,
            target: 0,
            capability: None,
            group: None,
        })
    }

    fn target(&self, path: &[u8]) -> Result<Vec<u8>, RootfsError> {
        let above = parent(path);
        let directory = open_below(self.root, above, DIRECTORY).map_err(failed("open", shown(above)))?;
        let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let target = rustix::fs::readlinkat(directory, name, Vec::new())
            .map_err(failed("read the link", shown(path)))?;
        Ok(target.into_bytes())
    }

    fn content(&self, _: &[u8]) -> Content {
        Content::Below(Arc::clone(self.root))
    }
}

/// XXH3-128 of regular files below `root`, in order, on this many threads; nothing for a file
/// that is gone.
///
/// # Errors
/// A file cannot be read.
pub(super) fn content_hashes(
    root: &OwnedFd,
    paths: &[&[u8]],
    threads: usize,
) -> Result<Vec<Option<u128>>, RootfsError> {
    let next = AtomicUsize::new(0);
    let hashes: Mutex<Vec<Option<u128>>> = Mutex::new(vec![None; paths.len()]);
    let work = || -> Result<(), RootfsError> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(at) else { return Ok(()) };
            let hash = content_hash(root, path, &mut buffer)?;
            hashes.lock().unwrap_or_else(PoisonError::into_inner)[at] = hash;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, paths.len().max(1))).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(hashes.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn content_hash(root: &OwnedFd, path: &[u8], buffer: &mut [u8]) -> Result<Option<u128>, RootfsError> {
    // NONBLOCK: a pipe that took the file's place must not hang us.
    let mut file = match open_below(root, path, OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed("read", shown(path))(error)),
    };
    let mut hasher = Xxh3Default::new();
    loop {
        match file.read(buffer).map_err(failed("read", shown(path)))? {
            0 => return Ok(Some(hasher.digest128())),
            length => hasher.update(&buffer[..length]),
        }
    }
}
