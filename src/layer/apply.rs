//! The entries of one layer over the tree of those below it.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, OFlags};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

use super::dirs::{children, open_beneath};
use super::disk_view::DirView;
use super::entry::Kind;
use super::layer_path::{clean, follow, split_last};
use super::tar_reader::TarEntry;
use super::tree_writer::{Attributes, TreeError, TreeWriter, failed};
use super::unpack::{ApplyError, node_type};
use super::view::{join, resolve};

/// Most links a parent is resolved through, as the kernel does (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// Warnings of one kind that are worth reading.
const MAX_WARNINGS: usize = 20;

/// Where an entry goes: its true path, whose directory has been entered.
pub(super) struct Place {
    pub(super) path: Vec<u8>,
    pub(super) name: Vec<u8>,
}

/// Applies entries to a tree, layer by layer.
pub(super) struct Applier<'a> {
    tree: TreeWriter<'a>,
    /// Hashes of the paths that this layer has, and of the directories above them: whiteouts of
    /// the layer leave them alone (OCI image spec, layer.md, "Whiteouts").
    seen: HashSet<u64>,
    /// Links of lower layers that had to give way to a directory.
    replaced: BTreeSet<Vec<u8>>,
    /// Most directories above an entry.
    depth: usize,
}

impl<'a> Applier<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, depth: usize) -> Self {
        Applier { tree: TreeWriter::new(root), seen: HashSet::new(), replaced: BTreeSet::new(), depth }
    }

    /// What came so far is a lower layer now.
    pub(super) fn begin_layer(&mut self) {
        self.seen.clear();
        // Entering a directory again marks it as this layer's.
        self.tree.dirs.rewind(b"");
    }

    /// Sets the times of directories, and says what a user should know.
    pub(super) fn finish(self) -> Result<Vec<String>, TreeError> {
        let mut warnings: Vec<String> = self
            .replaced
            .iter()
            .take(MAX_WARNINGS)
            .map(|path| {
                format!(
                    "/{} of a lower layer is no directory, but a layer above has files below it: \
                     it became a directory, as in Docker",
                    String::from_utf8_lossy(path)
                )
            })
            .collect();
        if self.replaced.len() > MAX_WARNINGS {
            warnings.push(format!("… and {} more like it", self.replaced.len() - MAX_WARNINGS));
        }
        for (name, (path, error)) in self.tree.refused_xattrs.iter().take(MAX_WARNINGS) {
            warnings.push(format!(
                "the attribute {} of /{} cannot be set here ({error}); it is left out wherever it occurs",
                String::from_utf8_lossy(name).escape_debug(),
                String::from_utf8_lossy(path)
            ));
        }
        self.tree.finish()?;
        Ok(warnings)
    }

    /// Enters the directory of an entry; `None` if the entry is one that images must not have.
    pub(super) fn place(&mut self, path: &[u8], entry: &TarEntry) -> Result<Option<Place>, ApplyError> {
        // Overlay's own mark for a deleted file must not hide anything.
        if entry.kind == (Kind::CharDevice { major: 0, minor: 0 }) {
            return Ok(None);
        }
        if path.is_empty() {
            if entry.kind != Kind::Directory {
                return Err(refuse(&entry.path, "the image's root is a directory"));
            }
            self.tree.dirs.rewind(b"");
            return Ok(Some(Place { path: Vec::new(), name: Vec::new() }));
        }
        let (parent, name) = split_last(path);
        let parent = self.enter_parent(parent)?;
        let path = join(&parent, name);
        self.seen.insert(xxh3_64(&path));
        Ok(Some(Place { path, name: name.to_vec() }))
    }

    /// Creates the file of a place.
    pub(super) fn create(&mut self, place: &Place) -> Result<OwnedFd, ApplyError> {
        Ok(self.tree.file(&place.path, &place.name)?)
    }

    /// Gives a written file its attributes.
    pub(super) fn close(
        &mut self,
        place: &Place,
        entry: &TarEntry,
        file: &OwnedFd,
    ) -> Result<(), ApplyError> {
        let xattrs = kept_xattrs(entry);
        Ok(self.tree.set_file(&place.path, file.as_fd(), &attributes(entry, &xattrs))?)
    }

    /// Makes what is no regular file.
    pub(super) fn other(&mut self, place: &Place, entry: &TarEntry) -> Result<(), ApplyError> {
        let xattrs = kept_xattrs(entry);
        let attributes = attributes(entry, &xattrs);
        let Place { path, name } = place;
        match &entry.kind {
            Kind::Directory => {
                if !path.is_empty() {
                    self.tree.directory(path, name)?;
                }
                self.tree.set_directory(path, &attributes)?;
            }
            Kind::Symlink(target) => {
                if target.is_empty() {
                    return Err(refuse(&entry.path, "the link has no target"));
                }
                self.tree.symlink(path, name, target)?;
                self.tree.set_other(path, name, &attributes, true)?;
            }
            Kind::HardLink(target) => self.hard_link(place, entry, target, &attributes)?,
            kind => {
                if let Some((file_type, device)) = node_type(kind) {
                    self.tree.node(path, name, file_type, device)?;
                    self.tree.set_other(path, name, &attributes, false)?;
                }
            }
        }
        Ok(())
    }

    fn hard_link(
        &mut self,
        place: &Place,
        entry: &TarEntry,
        target: &[u8],
        attributes: &Attributes<'_>,
    ) -> Result<(), ApplyError> {
        let target = clean(target, self.depth)
            .map_err(|_| refuse(&entry.path, "the hard link's target leads out of the image's root"))?;
        if target.is_empty() {
            return Err(refuse(&entry.path, "a hard link to the image's root"));
        }
        let (directory, target) = self.find(&target)?;
        let stat = match fs::statat(&directory, target.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(refuse(&entry.path, "the hard link's target is not there")),
            Err(error) => return Err(failed("read", &place.path, error).into()),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return Err(refuse(&entry.path, "the hard link's target is a directory"));
        }
        let here = fs::statat(self.tree.dirs.last(), place.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
        // Linking a name to itself must not remove the file first.
        if !here.is_ok_and(|here| (here.st_dev, here.st_ino) == (stat.st_dev, stat.st_ino)) {
            self.tree.hard_link(&place.path, &place.name, directory.as_fd(), &target)?;
        }
        let same = (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)
            == (attributes.uid, attributes.gid, attributes.mode);
        // Changing an owner to what it is would cost the file its capabilities.
        if !same {
            let is_link = kind == FileType::Symlink;
            self.tree.set_other(&place.path, &place.name, attributes, is_link)?;
        }
        Ok(())
    }

    /// Opens the directory of an existing path; links in it are followed inside the root.
    fn find(&self, path: &[u8]) -> Result<(OwnedFd, Vec<u8>), ApplyError> {
        let root = self.tree.dirs.root();
        let (parent, name) = split_last(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = open_beneath(root, parent, flags).or_else(|_| {
            let view = DirView::new(root.try_clone_to_owned()?);
            open_beneath(root, &resolve(&view, parent, true)?, flags)
        });
        Ok((open.map_err(|e| failed("open the directory of", path, e))?, name.to_vec()))
    }

    /// A path of lower layers is gone.
    pub(super) fn whiteout(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        let (parent, name) = split_last(path);
        let parent = self.enter_parent(parent)?;
        self.remove_lower(&join(&parent, name), name)
    }

    /// All that lower layers have in a directory is gone.
    pub(super) fn opaque(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        let path = self.enter_parent(path)?;
        self.remove_lower_children(&path)
    }

    /// Removes what lower layers have at a name of the current directory.
    fn remove_lower(&mut self, path: &[u8], name: &[u8]) -> Result<(), ApplyError> {
        if !self.seen.contains(&xxh3_64(path)) {
            return Ok(self.tree.remove(path, name)?);
        }
        let kind = self.tree.kind(name).map_err(|e| failed("read", path, e))?;
        if kind != Some(FileType::Directory) {
            return Ok(());
        }
        self.tree.dirs.descend(name).map_err(|e| failed("open the directory", path, e))?;
        self.remove_lower_children(path)?;
        self.tree.dirs.rewind(split_last(path).0);
        Ok(())
    }

    /// Removes what lower layers have in the current directory.
    fn remove_lower_children(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        for name in children(self.tree.dirs.last()).map_err(|e| failed("list", path, e))? {
            self.remove_lower(&join(path, &name), &name)?;
        }
        Ok(())
    }

    /// Enters a directory, making what is missing, and gives its true path. A link of this layer
    /// is followed inside the root; what is no directory in a lower layer becomes one.
    fn enter_parent(&mut self, path: &[u8]) -> Result<Vec<u8>, ApplyError> {
        if self.tree.dirs.rewind(path).is_empty() {
            return Ok(path.to_vec());
        }
        let mut links = 0;
        let mut path = path.to_vec();
        'again: loop {
            let rest = self.tree.dirs.rewind(&path).to_vec();
            let mut at = path.len() - rest.len();
            for name in rest.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
                let end = at + name.len();
                let here = path[..end].to_vec();
                if let Some(target) = self.enter_or_make(&here, name)? {
                    links += 1;
                    let after = path.get(end + 1..).unwrap_or_default();
                    path = follow(split_last(&here).0, &target, after);
                    if links > MAX_LINKS || path.split(|b| *b == b'/').count() > self.depth {
                        return Err(refuse(&path, "too many links along the path"));
                    }
                    continue 'again;
                }
                self.seen.insert(xxh3_64(&here));
                at = end + 1;
            }
            return Ok(path);
        }
    }

    /// Enters a directory of the current one; gives the target where a link must be followed.
    fn enter_or_make(&mut self, path: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>, ApplyError> {
        match self.tree.dirs.descend(name) {
            Ok(()) => return Ok(None),
            Err(Errno::NOENT) => {
                self.tree.missing_directory(path, name)?;
                return Ok(None);
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(failed("open the directory", path, error).into()),
        }
        if !self.seen.contains(&xxh3_64(path)) {
            self.replaced.insert(path.to_vec());
            self.tree.missing_directory(path, name)?;
            return Ok(None);
        }
        match fs::readlinkat(self.tree.dirs.last(), name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::INVAL) => Err(refuse(path, "it is no directory, but the layer has files below it")),
            Err(error) => Err(failed("read the link", path, error).into()),
        }
    }
}

/// The attributes without those that would change what overlay shows.
fn kept_xattrs(entry: &TarEntry) -> Vec<(Vec<u8>, Vec<u8>)> {
    let overlay = |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    entry.xattrs.iter().filter(|(name, _)| !overlay(name)).cloned().collect()
}

fn attributes<'e>(entry: &TarEntry, xattrs: &'e [(Vec<u8>, Vec<u8>)]) -> Attributes<'e> {
    let TarEntry { mode, uid, gid, mtime, .. } = *entry;
    Attributes { mode, uid, gid, mtime, xattrs }
}

fn refuse(path: &[u8], reason: &str) -> ApplyError {
    ApplyError::Refused { path: String::from_utf8_lossy(path).into_owned(), reason: reason.to_owned() }
}
