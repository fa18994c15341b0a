//! Layers seen as overlayfs merges them, without mounting.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags};

use super::Features;
use super::layer::{Layer, is_whiteout};
use crate::layer::{Node, NodeKind, View, join, parent};
use crate::rootfs::index::{Stat, open_below};

/// Layers, topmost first.
#[derive(Debug)]
pub(super) struct Stack {
    layers: Vec<Arc<Layer>>,
    features: Features,
    /// The directory looked into last and the layers merged in it: the next path is often in it too.
    last: Mutex<Option<(Vec<u8>, Vec<usize>)>>,
}

/// What stands at a path, and where.
pub(super) struct Found {
    /// Number of the layer that has it, from the top.
    pub(super) layer: usize,
    /// What it is there.
    pub(super) stat: Stat,
    /// For a directory, the layers that are merged in it.
    pub(super) merged: Vec<usize>,
}

impl Stack {
    pub(super) fn new(layers: Vec<Arc<Layer>>, features: Features) -> Self {
        Stack { layers, features, last: Mutex::default() }
    }

    /// Puts a layer on top.
    pub(super) fn push(&mut self, layer: Arc<Layer>) {
        self.layers.insert(0, layer);
        self.changed();
    }

    /// The same layers, to go on from separately.
    pub(super) fn fork(&self) -> Self {
        Stack::new(self.layers.clone(), self.features)
    }

    /// To be called after writing to a layer.
    pub(super) fn changed(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// All layers: those that are merged in the root.
    pub(super) fn root(&self) -> Vec<usize> {
        (0..self.layers.len()).collect()
    }

    /// What stands at a path whose parent is merged of these layers.
    pub(super) fn child(&self, merged: &[usize], path: &[u8]) -> io::Result<Option<Found>> {
        let mut found: Option<Found> = None;
        for (n, layer) in merged.iter().enumerate() {
            let Some(stat) = self.layers[*layer].stat(path)? else {
                continue;
            };
            let is_directory = stat.file_type() == FileType::Directory;
            if is_whiteout(&stat) || (found.is_some() && !is_directory) {
                break;
            }
            let found = found.get_or_insert_with(|| Found { layer: *layer, stat, merged: Vec::new() });
            if !is_directory {
                break;
            }
            found.merged.push(*layer);
            let lowest = n + 1 == merged.len();
            if !lowest && self.layers[*layer].is_opaque(path, self.features)? {
                break;
            }
        }
        Ok(found)
    }

    /// What stands at a path. Links are not followed.
    pub(super) fn find(&self, path: &[u8]) -> io::Result<Option<Found>> {
        if path.is_empty() {
            let Some(top) = self.layers.first() else {
                return Ok(None);
            };
            return Ok(top.stat(b".")?.map(|stat| Found { layer: 0, stat, merged: self.root() }));
        }
        match self.merged_in(parent(path))? {
            Some(merged) => self.child(&merged, path),
            None => Ok(None),
        }
    }

    /// The layers that are merged in a directory; none if there is no directory at the path.
    fn merged_in(&self, directory: &[u8]) -> io::Result<Option<Vec<usize>>> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, merged)) = last().as_ref().filter(|(path, _)| path == directory) {
            return Ok(Some(merged.clone()));
        }
        let mut merged = self.root();
        let ends = directory.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        for end in ends.chain([directory.len()]).filter(|_| !directory.is_empty()) {
            match self.child(&merged, &directory[..end])? {
                Some(found) if !found.merged.is_empty() => merged = found.merged,
                _ => return Ok(None),
            }
        }
        *last() = Some((directory.to_vec(), merged.clone()));
        Ok(Some(merged))
    }

    /// The names in a directory that is merged of these layers, sorted by bytes.
    pub(super) fn merged_names(&self, merged: &[usize], path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let [only] = merged else {
            let mut all = Vec::new();
            for layer in merged {
                all.extend(self.layers[*layer].names(path)?);
            }
            all.sort_unstable();
            all.dedup();
            return self.present(merged, path, all);
        };
        let names = self.layers[*only].names(path)?;
        self.present(merged, path, names)
    }

    /// Leaves out the names that a whiteout hides.
    fn present(&self, merged: &[usize], path: &[u8], names: Vec<Vec<u8>>) -> io::Result<Vec<Vec<u8>>> {
        let mut present = Vec::with_capacity(names.len());
        for name in names {
            if self.child(merged, &join(path, &name))?.is_some() {
                present.push(name);
            }
        }
        Ok(present)
    }

    fn regular(&self, path: &[u8]) -> io::Result<File> {
        let found = self.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        if found.stat.file_type() != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(open_below(&self.layers[found.layer].root, path, OFlags::RDONLY)?.into())
    }
}

impl View for Stack {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        if path.is_empty() && self.layers.is_empty() {
            // The root of `FROM scratch`.
            return Ok(Some(Node {
                kind: NodeKind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime: Default::default(),
            }));
        }
        let Some(found) = self.find(path)? else {
            return Ok(None);
        };
        let stat = found.stat;
        let kind = match stat.file_type() {
            FileType::Directory => NodeKind::Directory,
            FileType::RegularFile => NodeKind::File,
            FileType::Symlink => NodeKind::Symlink(self.layers[found.layer].target(path)?),
            _ => NodeKind::Other,
        };
        Ok(Some(Node { kind, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: stat.mtime }))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        if path.is_empty() && self.layers.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        if found.stat.file_type() != FileType::Directory {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        self.merged_names(&found.merged, path)
    }

    fn open(&self, path: &[u8]) -> io::Result<File> {
        self.regular(path)
    }

    fn locate(&self, path: &[u8]) -> io::Result<Option<(Arc<OwnedFd>, PathBuf)>> {
        let found = self.find(path)?;
        Ok(found.map(|f| (Arc::clone(&self.layers[f.layer].root), super::as_path(path).to_path_buf())))
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.regular(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes")));
        }
        Ok(bytes)
    }
}
