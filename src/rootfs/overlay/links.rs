//! Which names of a layer are one file.

use std::collections::HashMap;
use std::io;

use super::handle::Handle;
use super::layer::Layer;
use crate::layer::join;

/// The regular files of a layer that have several names.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_inode: HashMap<u64, Vec<Vec<u8>>>,
    by_handle: HashMap<Handle, u64>,
}

impl Links {
    /// Walks a layer.
    pub(super) fn read(layer: &Layer) -> io::Result<Self> {
        let mut links = Links::default();
        let mut directories = vec![Vec::new()];
        while let Some(directory) = directories.pop() {
            for name in layer.names(&directory)? {
                let path = join(&directory, &name);
                let Some(found) = layer.stat(&path)? else {
                    continue;
                };
                if found.file_type().is_dir() {
                    directories.push(path);
                } else if found.links > 1 && found.file_type().is_file() {
                    links.by_inode.entry(found.inode).or_default().push(path);
                }
            }
        }
        for (inode, paths) in &links.by_inode {
            if let Some(handle) = paths.first().map(|p| Handle::of(layer, p)).transpose()?.flatten() {
                links.by_handle.insert(handle, *inode);
            }
        }
        Ok(links)
    }

    /// The files with several names: inode and names.
    pub(super) fn groups(&self) -> impl Iterator<Item = (u64, &[Vec<u8>])> {
        self.by_inode.iter().map(|(inode, names)| (*inode, names.as_slice()))
    }

    /// All names of the file that a handle names.
    pub(super) fn of_handle(&self, handle: &Handle) -> Option<(u64, &[Vec<u8>])> {
        let inode = *self.by_handle.get(handle)?;
        Some((inode, self.by_inode.get(&inode)?))
    }
}
