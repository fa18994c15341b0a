//! The tree that layers make, in memory. Their tar headers are enough to find out where a `COPY`
//! ends up; where somebody copies from the tree, contents are kept in one nameless file.

mod layers;
mod regular;
mod view;
mod wanted;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::capability::CAPABILITY;
use super::decompress::{LayerSource, each_layer};
use super::entry::{Content, Entry, Kind, Timestamp};
use super::layer_path::split_last;
use super::limits::Limits;
use super::unpack::UnpackError;
use layers::Allowed;
use regular::{Regular, Spool, read_whole};
use wanted::Wanted;

/// Files that name users and groups are read up to this size, as BuildKit does.
const MAX_ACCOUNTS: u64 = 10 << 20;

/// The tree of a stack of layers. Contents other than those of `passwd` and `group` files are in it
/// only if it was made to keep them.
#[derive(Debug, Clone)]
pub struct Listing {
    root: Item,
    /// Number of the layer being read, from 1.
    layer: u32,
    contents: u64,
    depth: usize,
    /// Where contents are kept; shared with the trees that go on from this one.
    spool: Option<Arc<Mutex<Spool>>>,
    /// Whose contents of layers are kept there.
    wanted: Wanted,
}

type Children = BTreeMap<Box<[u8]>, Item>;

#[derive(Debug, Clone)]
struct Item {
    kind: ItemKind,
    mode: u16,
    /// The last layer that has it, or has something below it.
    layer: u32,
    uid: u32,
    gid: u32,
    mtime: Timestamp,
}

#[derive(Debug, Clone)]
enum ItemKind {
    Directory(Children),
    /// A regular file, with its content if that was kept.
    File(Option<Arc<Regular>>),
    Symlink(Box<[u8]>),
    /// A device or pipe.
    Other(Box<Kind>),
}

impl Default for Listing {
    fn default() -> Self {
        Self::new()
    }
}

impl Listing {
    /// The empty tree of `FROM scratch`.
    pub fn new() -> Self {
        let depth = Limits::default().depth;
        Listing {
            root: Item::directory(0),
            layer: 0,
            contents: 0,
            depth,
            spool: None,
            wanted: Wanted::default(),
        }
    }

    /// An empty tree that keeps the contents of the files of layers in `spool`, an empty file.
    ///
    /// # Errors
    /// The file cannot be shared.
    pub fn with_contents(spool: File) -> io::Result<Self> {
        Ok(Listing { spool: Some(Arc::new(Mutex::new(Spool::new(spool)?))), ..Self::new() })
    }

    /// Keeps of layers only the contents at and below these paths, and where links lead from there
    /// as far as they are known when the contents come by: see [`Listing::has_contents`].
    #[must_use]
    pub fn only(self, paths: &[Vec<u8>]) -> Self {
        Listing { wanted: Wanted::only(paths), ..self }
    }

    /// Whether the contents of all regular files at and below a path were kept.
    pub fn has_contents(&self, path: &[u8]) -> bool {
        self.item(path).is_none_or(Item::has_contents)
    }

    /// Reads layers from the bottom, each in one stream.
    ///
    /// # Errors
    /// [`UnpackError`], for the same layers that [`super::unpack`] refuses.
    pub fn read_layers(mut self, layers: Vec<LayerSource>, limits: &Limits) -> Result<Self, UnpackError> {
        self.depth = limits.depth;
        let mut allowed = Allowed { limits, entries: 0 };
        each_layer(layers, limits, |stream| self.read_layer(stream, &mut allowed))?;
        Ok(self)
    }

    /// The entry with its content kept by the tree, so that the file it comes from may go; as it is
    /// where the tree keeps no contents.
    ///
    /// # Errors
    /// The content cannot be read or kept.
    pub fn keep(&self, entry: &Entry) -> io::Result<Entry> {
        let content = match (&self.spool, &entry.kind, &entry.content) {
            (Some(spool), Kind::File { size }, Content::At(..) | Content::Below(_)) => {
                spool.lock().unwrap_or_else(PoisonError::into_inner).copy(entry, *size)?
            }
            (_, _, content) => content.clone(),
        };
        Ok(Entry { content, ..entry.clone() })
    }

    /// Adds an entry that a `COPY` packs: it replaces what is at its path, except that a directory
    /// keeps what is in it. In a tree that keeps contents, the entry's stays where it is.
    ///
    /// # Errors
    /// Its parent is no directory, or a `passwd` or `group` file cannot be read.
    pub fn insert(&mut self, entry: &Entry) -> io::Result<()> {
        let (parent, name) = split_last(&entry.path);
        if name.is_empty() {
            self.root.set(entry.mode, entry.uid, entry.gid, entry.mtime);
            return Ok(());
        }
        let linked = match &entry.kind {
            Kind::HardLink(target) => {
                let Some(item) = self.item(target) else { return Err(io::ErrorKind::NotFound.into()) };
                Some(item.kind.clone())
            }
            _ => None,
        };
        let kind = match &entry.kind {
            Kind::Directory => ItemKind::Directory(Children::new()),
            Kind::File { size } => ItemKind::File(self.inserted(entry, *size)?),
            Kind::Symlink(target) => ItemKind::Symlink(target.as_slice().into()),
            kind => linked.unwrap_or_else(|| ItemKind::Other(Box::new(kind.clone()))),
        };
        let layer = self.layer;
        let children = self.real_directory(parent).ok_or(io::ErrorKind::NotADirectory)?;
        if entry.kind == Kind::Whiteout {
            children.remove(name);
            return Ok(());
        }
        let mut item = Item { kind, ..Item::directory(layer) };
        item.set(entry.mode, entry.uid, entry.gid, entry.mtime);
        place(children, name, item);
        Ok(())
    }

    /// What is known of a file that a `COPY` adds.
    fn inserted(&self, entry: &Entry, size: u64) -> io::Result<Option<Arc<Regular>>> {
        let content = match &entry.content {
            content if self.spool.is_some() => match content {
                Content::Below(tree) => {
                    let path = PathBuf::from(OsString::from_vec(entry.path.clone()));
                    Content::At(Arc::clone(tree), path)
                }
                content => content.clone(),
            },
            _ if is_accounts(&entry.path) && size <= MAX_ACCOUNTS => Content::Bytes(read_whole(entry, size)?),
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Regular { size, capability: capability(&entry.xattrs), content })))
    }

    /// A directory and those above it, made where missing; `None` where a part is something else.
    fn real_directory(&mut self, path: &[u8]) -> Option<&mut Children> {
        let layer = self.layer;
        let mut children = self.root.children_mut()?;
        for name in path.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
            children =
                children.entry(name.into()).or_insert_with(|| Item::directory(layer)).children_mut()?;
        }
        Some(children)
    }

    fn item(&self, path: &[u8]) -> Option<&Item> {
        path.split(|b| *b == b'/').filter(|n| !n.is_empty()).try_fold(&self.root, |item, name| {
            match &item.kind {
                ItemKind::Directory(children) => children.get(name),
                _ => None,
            }
        })
    }
}

impl Item {
    fn directory(layer: u32) -> Self {
        let kind = ItemKind::Directory(Children::new());
        Item { kind, mode: 0o755, layer, uid: 0, gid: 0, mtime: Timestamp::default() }
    }

    fn set(&mut self, mode: u32, uid: u32, gid: u32, mtime: Timestamp) {
        self.mode = (mode & 0o7777) as u16;
        (self.uid, self.gid, self.mtime) = (uid, gid, mtime);
    }

    fn has_contents(&self) -> bool {
        match &self.kind {
            ItemKind::Directory(children) => children.values().all(Item::has_contents),
            ItemKind::File(file) => file.is_some(),
            _ => true,
        }
    }

    fn children_mut(&mut self) -> Option<&mut Children> {
        match &mut self.kind {
            ItemKind::Directory(children) => Some(children),
            _ => None,
        }
    }

    /// Whether a whiteout of this layer leaves the item; what lower layers have in it goes.
    fn keep(&mut self, layer: u32) -> bool {
        if self.layer != layer {
            return false;
        }
        if let ItemKind::Directory(children) = &mut self.kind {
            children.retain(|_, item| item.keep(layer));
        }
        true
    }
}

/// Puts an item at a name; a directory keeps what is in it.
fn place(children: &mut Children, name: &[u8], mut item: Item) {
    if let (ItemKind::Directory(new), Some(ItemKind::Directory(old))) =
        (&mut item.kind, children.get_mut(name).map(|i| &mut i.kind))
    {
        *new = std::mem::take(old);
    }
    children.insert(name.into(), item);
}

fn capability(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<u8>> {
    xattrs.iter().find(|(name, _)| name == CAPABILITY.as_bytes()).map(|(_, value)| value.clone())
}

fn is_accounts(path: &[u8]) -> bool {
    matches!(split_last(path).1, b"passwd" | b"group")
}
