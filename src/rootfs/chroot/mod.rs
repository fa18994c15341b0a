//! The placement in which each command gets a plain tree as its root, in a mount namespace.
//!
//! It is for where namespaces can be made and an overlay cannot: the work directory is on an overlay
//! itself, or the kernel has none. Each stage has a tree of its own, which is bound on itself and
//! becomes the root by `pivot_root(2)`, the old one detached: chroot(2) alone is left in five lines of
//! code. What a command changed is found by comparing with an index.

mod fork;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::index::Hashes;
use super::session::Session;
use super::{Base, Placement, PlacementKind, Rootfs, RootfsError, failed};
use tree::Tree;

/// How trees are mounted here, as found by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// In a user namespace, because this process may not mount.
    pub user_namespace: bool,
    /// A fresh `/proc` can be mounted, so that commands get a PID namespace.
    pub pid_namespace: bool,
}

/// The placement: a directory with a tree for each stage, and how to mount them.
#[derive(Debug)]
pub struct Chroot {
    session: Arc<Session>,
    features: Features,
    threads: usize,
}

impl Chroot {
    /// Makes a directory of this build's own below `work_dir`, and removes those of builds that were
    /// killed. Trees are read with this many threads.
    ///
    /// # Errors
    /// The work directory cannot be written to.
    pub fn open(work_dir: &Path, features: Features, threads: usize) -> Result<Self, RootfsError> {
        let session = Arc::new(Session::open(work_dir, "chroot")?);
        Ok(Chroot { session, features, threads })
    }
}

impl Placement for Chroot {
    fn kind(&self) -> PlacementKind {
        PlacementKind::Chroot
    }

    fn parallel(&self) -> bool {
        true
    }

    fn create(&self, _stage: usize, base: Base<'_>) -> Result<Box<dyn Rootfs>, RootfsError> {
        let (name, root) = tree::new_root(&self.session)?;
        let mut hashes = Hashes::default();
        if let Base::Layers { unpack, .. } = base {
            let path = self.session.path().join(&name);
            unpack(&path, &mut |path, hash| hashes.insert(path, hash))?;
        }
        let shared = (Arc::clone(&self.session), self.features, self.threads);
        let tree = Tree::new(shared, name, root, hashes);
        Ok(Box::new(tree.map_err(failed("open the root of", self.session.path()))?))
    }

    fn locate(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }

    fn keep(&self) {
        self.session.keep();
    }

    fn finish(&self) -> Result<(), RootfsError> {
        self.session.remove()
    }
}
