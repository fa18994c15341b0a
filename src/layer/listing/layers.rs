//! Reading layers into a tree in memory, by the rules of unpacking.

use std::io::BufRead;
use std::sync::{Arc, PoisonError};

use super::regular::Regular;
use super::{Children, Item, ItemKind, Listing, MAX_ACCOUNTS, capability, is_accounts, place};
use crate::layer::decompress::{StreamError, TarStream};
use crate::layer::entry::{Content, Kind};
use crate::layer::layer_path::{LayerPath, classify, clean, follow, split_last};
use crate::layer::limits::Limits;
use crate::layer::tar_reader::{Piece, TarEntry, TarReader};
use crate::layer::tree_writer::failed;
use crate::layer::unpack::{ApplyError, refused};
use crate::layer::view::{join, resolve};

/// Files of such a name elsewhere, which links may lead to, up to this size.
const MAX_ELSEWHERE: u64 = 1 << 20;

/// Bytes of all contents kept.
const MAX_CONTENTS: u64 = 32 << 20;

/// Most links a parent is resolved through, as the kernel does (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// What layers may still ask for.
pub(super) struct Allowed<'a> {
    pub(super) limits: &'a Limits,
    pub(super) entries: u64,
}

impl Allowed<'_> {
    fn count(&mut self) -> Result<(), ApplyError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ApplyError::TooMany { limit: self.limits.entries });
        }
        Ok(())
    }
}

impl Listing {
    pub(super) fn read_layer(
        &mut self,
        stream: &mut TarStream,
        allowed: &mut Allowed<'_>,
    ) -> Result<(), StreamError<ApplyError>> {
        self.layer += 1;
        let mut tar = TarReader::new(stream, *allowed.limits);
        while let Some(entry) = tar.next_entry()? {
            allowed.count().map_err(StreamError::Entry)?;
            match classify(&entry.path, self.depth).map_err(|e| refused(&entry, e))? {
                LayerPath::Entry(path) => self.entry(&mut tar, &entry, &path)?,
                LayerPath::Whiteout(path) => self.whiteout(&path).map_err(StreamError::Entry)?,
                LayerPath::Opaque(path) => self.opaque(&path).map_err(StreamError::Entry)?,
                LayerPath::Ignored => {}
            }
        }
        match &self.spool {
            None => Ok(()),
            Some(spool) => {
                let finished = spool.lock().unwrap_or_else(PoisonError::into_inner).finish();
                finished.map_err(|e| StreamError::Entry(failed("keep the contents of", b"", e).into()))
            }
        }
    }

    fn entry<R: BufRead>(
        &mut self,
        tar: &mut TarReader<R>,
        entry: &TarEntry,
        path: &[u8],
    ) -> Result<(), StreamError<ApplyError>> {
        // The same entries are dropped as in unpacking.
        if entry.kind == (Kind::CharDevice { major: 0, minor: 0 }) {
            return Ok(());
        }
        let refuse = |reason: &str| StreamError::Entry(refuse(&entry.path, reason));
        let (parent, name) = split_last(path);
        if name.is_empty() {
            if entry.kind != Kind::Directory {
                return Err(refuse("the image's root is a directory"));
            }
            self.root.set(entry.mode, entry.uid, entry.gid, entry.mtime);
            return Ok(());
        }
        let parent = self.parent(parent).map_err(StreamError::Entry)?;
        let kind = match &entry.kind {
            Kind::Directory => ItemKind::Directory(Children::new()),
            Kind::File { size } => ItemKind::File(self.content(tar, entry, &join(&parent, name), *size)?),
            Kind::Symlink(target) if target.is_empty() => return Err(refuse("the link has no target")),
            Kind::Symlink(target) => {
                self.follow_wanted(&join(&parent, name), target);
                ItemKind::Symlink(target.as_slice().into())
            }
            Kind::HardLink(target) => {
                let target = clean(target, self.depth)
                    .map_err(|_| refuse("the hard link's target leads out of the image's root"))?;
                if target.is_empty() {
                    return Err(refuse("a hard link to the image's root"));
                }
                let target = resolve(self, &target, false).map_err(|e| refuse(&e.to_string()))?;
                match self.item(&target).map(|item| &item.kind) {
                    None => return Err(refuse("the hard link's target is not there")),
                    Some(ItemKind::Directory(_)) => {
                        return Err(refuse("the hard link's target is a directory"));
                    }
                    Some(kind) => kind.clone(),
                }
            }
            kind => ItemKind::Other(Box::new(kind.clone())),
        };
        let mut item = Item { kind, ..Item::directory(self.layer) };
        item.set(entry.mode, entry.uid, entry.gid, entry.mtime);
        if let Some(children) = self.real_directory(&parent) {
            place(children, name, item);
        }
        Ok(())
    }

    /// The content of a file, if it is wanted or may name users.
    fn content<R: BufRead>(
        &mut self,
        tar: &mut TarReader<R>,
        entry: &TarEntry,
        path: &[u8],
        size: u64,
    ) -> Result<Option<Arc<Regular>>, StreamError<ApplyError>> {
        let regular =
            |content| Some(Arc::new(Regular { size, capability: capability(&entry.xattrs), content }));
        if let Some(spool) = &self.spool {
            if !self.wanted.covers(path) {
                return Ok(None);
            }
            let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(regular(spool.keep(tar, entry)?));
        }
        let limit = match path {
            b"etc/passwd" | b"etc/group" | b"usr/lib/passwd" | b"usr/lib/group" => MAX_ACCOUNTS,
            _ => MAX_ELSEWHERE,
        };
        if !is_accounts(path) || size > limit || self.contents + size > MAX_CONTENTS {
            return Ok(None);
        }
        self.contents += size;
        let mut bytes = Vec::new();
        tar.read_content::<StreamError<ApplyError>>(entry, |piece| {
            match piece {
                Piece::Data(data) => bytes.extend_from_slice(data),
                // No longer than the file, whose size was looked at.
                Piece::Hole(length) => bytes.resize(bytes.len() + length as usize, 0),
            }
            Ok(())
        })?;
        Ok(regular(Content::Bytes(bytes.into())))
    }

    /// The true path of an entry's directory, by the rules of unpacking: a link of this layer is
    /// followed, what is no directory in a lower layer becomes one.
    fn parent(&mut self, path: &[u8]) -> Result<Vec<u8>, ApplyError> {
        let mut path = path.to_vec();
        for _ in 0..=MAX_LINKS {
            match self.step(&path)? {
                None => return Ok(path),
                Some(next) if next.split(|b| *b == b'/').count() > self.depth => break,
                Some(next) => path = next,
            }
        }
        Err(refuse(&path, "too many links along the path"))
    }

    /// Walks a path until a link must be followed, and gives the path that it leads to.
    fn step(&mut self, path: &[u8]) -> Result<Option<Vec<u8>>, ApplyError> {
        let layer = self.layer;
        let mut item = &mut self.root;
        let mut at = 0;
        for name in path.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
            let end = at + name.len();
            let ItemKind::Directory(children) = &mut item.kind else {
                return Err(refuse(path, "it is below a file"));
            };
            item = children.entry(name.into()).or_insert_with(|| Item::directory(layer));
            match &item.kind {
                ItemKind::Directory(_) => item.layer = layer,
                _ if item.layer != layer => *item = Item::directory(layer),
                ItemKind::Symlink(target) => {
                    let after = path.get(end + 1..).unwrap_or_default();
                    return Ok(Some(follow(split_last(&path[..end]).0, target, after)));
                }
                _ => {
                    return Err(refuse(&path[..end], "it is no directory, but the layer has files below it"));
                }
            }
            at = end + 1;
        }
        Ok(None)
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        let (parent, name) = split_last(path);
        let parent = self.parent(parent)?;
        let layer = self.layer;
        if let Some(children) = self.real_directory(&parent)
            && let Some(item) = children.get_mut(name)
            && !item.keep(layer)
        {
            children.remove(name);
        }
        Ok(())
    }

    fn opaque(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        let path = self.parent(path)?;
        let layer = self.layer;
        if let Some(children) = self.real_directory(&path) {
            children.retain(|_, item| item.keep(layer));
        }
        Ok(())
    }
}

fn refuse(path: &[u8], reason: &str) -> ApplyError {
    ApplyError::Refused { path: String::from_utf8_lossy(path).into_owned(), reason: reason.to_owned() }
}
