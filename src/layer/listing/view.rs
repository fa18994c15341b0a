//! Looking at a tree in memory.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::regular::read_whole;
use super::{Item, ItemKind, Listing};
use crate::layer::entry::{Content, Entry, Kind};
use crate::layer::view::{LinkId, Node, NodeKind, SourceEntry, View};

impl View for Listing {
    fn node(&self, path: &[u8]) -> io::Result<Option<Node>> {
        Ok(self.item(path).map(|item| Node {
            kind: match &item.kind {
                ItemKind::Directory(_) => NodeKind::Directory,
                ItemKind::File(_) => NodeKind::File,
                ItemKind::Symlink(target) => NodeKind::Symlink(target.to_vec()),
                ItemKind::Other(_) => NodeKind::Other,
            },
            mode: item.mode.into(),
            uid: item.uid,
            gid: item.gid,
            mtime: item.mtime,
        }))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        match self.item(path).map(|item| &item.kind) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(ItemKind::Directory(children)) => Ok(children.keys().map(|name| name.to_vec()).collect()),
            Some(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn open(&self, _: &[u8]) -> io::Result<File> {
        Err(no_contents())
    }

    fn entry(&self, path: &[u8]) -> io::Result<Option<SourceEntry>> {
        self.item(path).map(|item| item.entry(path)).transpose()
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        match self.item(path).map(|item| &item.kind) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(ItemKind::File(Some(file))) if file.size <= limit => {
                Ok(read_whole(&file.entry(path), file.size)?.to_vec())
            }
            Some(ItemKind::File(Some(_))) => {
                let what = format!("the file is larger than {limit} bytes");
                Err(io::Error::new(io::ErrorKind::FileTooLarge, what))
            }
            Some(ItemKind::File(None)) => Err(no_contents()),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }
}

impl Item {
    fn entry(&self, path: &[u8]) -> io::Result<SourceEntry> {
        let mut link = None;
        let bare = |kind| Entry {
            path: path.to_vec(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: self.mtime,
            xattrs: Vec::new(),
            content: Content::None,
        };
        let entry = match &self.kind {
            ItemKind::Directory(_) => bare(Kind::Directory),
            ItemKind::Symlink(target) => bare(Kind::Symlink(target.to_vec())),
            ItemKind::Other(kind) => bare((**kind).clone()),
            ItemKind::File(None) => return Err(no_contents()),
            ItemKind::File(Some(file)) => {
                // The file stays where it is as long as the view is there.
                link = Some(LinkId(u64::MAX, Arc::as_ptr(file).addr() as u64));
                file.entry(path)
            }
        };
        let (mode, uid, gid, mtime) = (self.mode.into(), self.uid, self.gid, self.mtime);
        Ok(SourceEntry { entry: Entry { mode, uid, gid, mtime, ..entry }, link })
    }
}

fn no_contents() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the contents of these files were not kept")
}
