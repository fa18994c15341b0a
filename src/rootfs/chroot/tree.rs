//! The tree of one stage: a directory.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};

use super::{Features, Session, fork};
use crate::layer::{DirView, Entry, NodeKind, View, write_entries};
use crate::rootfs::dress::with_parents;
use crate::rootfs::index::{Bounds, Hashes, Index, written_directories};
use crate::rootfs::removal::open_directory;
use crate::rootfs::stubs::{self, Stubs};
use crate::rootfs::{Rootfs, RootfsError, Showing, as_path, failed, shown};
use crate::run::{Fate, Mount, MountSource, Mounted, MountedTree, Root};

/// Name, beside a tree, of a directory for mounting on.
const SCRATCH: &str = "s";

/// A stage's tree.
pub(super) struct Tree {
    session: Arc<Session>,
    features: Features,
    threads: usize,
    /// Relative to the session's directory.
    name: PathBuf,
    root: Arc<OwnedFd>,
    view: DirView,
    /// What the tree was like before the step, from the first `enter` on.
    index: Option<Index>,
    /// Contents known before there is an index.
    known: Hashes,
    /// What was made for the step that runs.
    stubs: Option<Stubs>,
    /// Nobody will ask what changes.
    unwatched: bool,
}

/// Makes an empty directory for a tree; its name, relative to the session's, and itself.
pub(super) fn new_root(session: &Session) -> Result<(PathBuf, Arc<OwnedFd>), RootfsError> {
    let name = session.new_directory("tree", &["root", SCRATCH])?.join("root");
    let path = session.path().join(&name);
    let root = open_directory(&path).map_err(failed("open", path))?;
    Ok((name, Arc::new(root)))
}

impl Tree {
    pub(super) fn new(
        (session, features, threads): (Arc<Session>, Features, usize),
        name: PathBuf,
        root: Arc<OwnedFd>,
        known: Hashes,
    ) -> io::Result<Tree> {
        let view = DirView::new(root.try_clone()?);
        let (index, stubs, unwatched) = (None, None, false);
        Ok(Tree { session, features, threads, name, root, view, index, known, stubs, unwatched })
    }

    /// A copy of this tree, of its own.
    fn copy(&self) -> Result<Box<dyn Rootfs>, RootfsError> {
        let (name, root) = new_root(&self.session)?;
        fork::copy(&self.root, &root)?;
        let known = self.index.as_ref().map_or_else(|| self.known.clone(), Index::hashes);
        let shared = (Arc::clone(&self.session), self.features, self.threads);
        let tree = Tree::new(shared, name, root, known);
        Ok(Box::new(tree.map_err(failed("open the root of", self.session.path()))?))
    }

    /// The step is over.
    fn leave(&mut self) -> Result<(), RootfsError> {
        self.stubs.take().map_or(Ok(()), |stubs| stubs.remove(&self.root))
    }
}

impl Rootfs for Tree {
    fn view(&self) -> &dyn View {
        &self.view
    }

    fn apply(&mut self, entries: &[Entry]) -> Result<(), RootfsError> {
        let entries = with_parents(&self.view, entries)?;
        write_entries(self.root.as_fd(), &entries).map_err(|e| RootfsError::Unpack(Box::new(e)))?;
        match &mut self.index {
            Some(index) => index.absorb(&self.root, &Bounds::default(), &written_directories(&entries)),
            None => Ok(()),
        }
    }

    fn enter(&mut self, mounts: &[Mount]) -> Result<Root, RootfsError> {
        if self.index.is_none() && !self.unwatched {
            let known = std::mem::take(&mut self.known);
            self.index = Some(Index::fill(&self.root, &Bounds::default(), known, self.threads)?);
        }
        let stubs = stubs::make(&self.view, &self.root, mounts)?;
        let mounted = Mounted {
            directory: self.session.path().to_path_buf(),
            tree: MountedTree::Plain,
            mount_point: self.name.clone(),
            user_namespace: self.features.user_namespace,
            pid_namespace: self.features.pid_namespace,
            files: stubs.files.clone(),
            mounts: stubs.mounts.clone(),
            scratch: self.name.with_file_name(SCRATCH),
        };
        self.stubs = Some(stubs);
        if let Some(index) = &self.index {
            index.wait_for_clock();
        }
        Ok(Root::Mounted(Box::new(mounted)))
    }

    fn changes(&mut self, ignore: &[Vec<u8>]) -> Result<Vec<Entry>, RootfsError> {
        self.leave()?;
        match &mut self.index {
            Some(index) => index.changes(&self.root, &Bounds::default(), ignore),
            None => Ok(Vec::new()),
        }
    }

    fn forget(&mut self) -> Result<(), RootfsError> {
        if self.unwatched { self.leave() } else { self.changes(&[]).map(drop) }
    }

    fn forget_all(&mut self) {
        self.unwatched = true;
        self.known = Hashes::default();
    }

    fn packed(&mut self, hashes: &[(Vec<u8>, u128)]) {
        match &mut self.index {
            Some(index) => index.set_hashes(hashes.iter().map(|(path, hash)| (path.as_slice(), *hash))),
            None => hashes.iter().for_each(|(path, hash)| self.known.insert(path, *hash)),
        }
    }

    fn show(&self, path: &[u8], writable: bool) -> Result<Option<Showing>, RootfsError> {
        if writable {
            return Ok(None);
        }
        let Some(node) = self.view.node(path).map_err(failed("look at", shown(path)))? else {
            return Ok(None);
        };
        let place = self.session.path().join(&self.name).join(as_path(path));
        let source = match node.kind {
            NodeKind::Directory => MountSource::Directory(place, Fate::Kept),
            _ => MountSource::File(place, Fate::Kept),
        };
        Ok(Some(Showing { source, _held: Box::new(Arc::clone(&self.root)) }))
    }

    fn fork(&self) -> Option<Result<Box<dyn Rootfs>, RootfsError>> {
        Some(self.copy())
    }
}
