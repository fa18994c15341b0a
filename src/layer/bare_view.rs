//! A tree on disk whose files are going to be read.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::located;
use super::view::{Node, SourceEntry, View};

/// The same tree, except that entries come without the capabilities of files: looking them up by
/// name costs as much as everything else, and [`super::read_files`] has each file open anyway.
pub struct BareView<'a>(pub &'a dyn View);

impl View for BareView<'_> {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        self.0.node(path)
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.0.names(path)
    }

    fn open(&self, path: &[u8]) -> io::Result<File> {
        self.0.open(path)
    }

    fn locate(&self, path: &[u8]) -> io::Result<Option<(Arc<OwnedFd>, PathBuf)>> {
        self.0.locate(path)
    }

    fn entry(&self, path: &[u8]) -> io::Result<Option<SourceEntry>> {
        match self.locate(path)? {
            Some((directory, at)) => located::bare_entry(directory, at, path),
            None => Ok(None),
        }
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        self.0.read(path, limit)
    }
}
