#![allow(unsafe_code)] // file handles have no safe wrapper
//! The placement in which each command gets an overlay of its own in a mount namespace.
//!
//! A base is unpacked once and shared as lower directory. Each step writes into an upper directory of
//! its own, which is a lower directory for the steps after it; what a step changed is what is in its
//! upper directory, judged by the one definition of a change.

mod changes;
mod handle;
mod indexed;
mod layer;
mod links;
mod prelink;
mod stack;
mod tree;
mod xattr;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::session::Session;
use super::{Base, Placement, PlacementKind, Rootfs, RootfsError, as_path, failed, shown, stubs};
use crate::image::ChainId;
use layer::Layer;
use stack::Stack;
use tree::Tree;

/// How overlays are mounted here, as found by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// In a user namespace, because this process may not mount.
    pub user_namespace: bool,
    /// A fresh `/proc` can be mounted, so that commands get a PID namespace.
    pub pid_namespace: bool,
    /// Hard links stay together when one of their names is written to.
    pub index: bool,
}

/// The placement: a directory with bases and upper directories, and how to mount them.
#[derive(Debug)]
pub struct Overlay {
    session: Arc<Session>,
    features: Features,
    /// Unpacked bases. Each has its own lock, so that two stages that need one base unpack it once and
    /// two stages that need different ones do not wait for each other.
    bases: Mutex<HashMap<ChainId, Slot>>,
}

type Slot = Arc<Mutex<Option<Arc<Layer>>>>;

impl Overlay {
    /// Makes a directory of this build's own below `work_dir`, and removes those of builds that were
    /// killed.
    ///
    /// # Errors
    /// The work directory cannot be written to.
    pub fn open(work_dir: &Path, features: Features) -> Result<Self, RootfsError> {
        let session = Arc::new(Session::open(work_dir, "overlay")?);
        Ok(Overlay { session, features, bases: Mutex::default() })
    }

    fn base(&self, key: ChainId, unpack: &super::Unpack<'_>) -> Result<Arc<Layer>, RootfsError> {
        let slot = {
            let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(bases.entry(key).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = &*slot {
            return Ok(Arc::clone(layer));
        }
        let name = self.session.new_directory("base", &["tree"])?.join("tree");
        // Nobody asks an upper directory for hashes: contents are compared with the lower file's.
        unpack(&self.session.path().join(&name), &mut |_, _| {})?;
        let layer = Arc::new(Layer::open(&self.session, name)?);
        *slot = Some(Arc::clone(&layer));
        Ok(layer)
    }
}

impl Placement for Overlay {
    fn kind(&self) -> PlacementKind {
        PlacementKind::Overlay
    }

    fn parallel(&self) -> bool {
        true
    }

    fn create(&self, _stage: usize, base: Base<'_>) -> Result<Box<dyn Rootfs>, RootfsError> {
        let layers = match base {
            Base::Scratch => Vec::new(),
            Base::Layers { key, unpack } => vec![self.base(key, unpack)?],
        };
        let stack = Stack::new(layers, self.features);
        Ok(Box::new(Tree::new(Arc::clone(&self.session), self.features, stack)))
    }

    fn locate(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }

    fn keep(&self) {
        self.session.keep();
    }

    fn finish(&self) -> Result<(), RootfsError> {
        self.bases.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.session.remove()
    }
}

/// Whether a directory of an upper directory hides the lower ones of its name.
pub(in crate::rootfs) fn is_opaque(directory: &Path, features: Features) -> std::io::Result<bool> {
    let mut value = [0; 8];
    match rustix::fs::lgetxattr(directory, xattr::opaque(features), &mut value) {
        Ok(length) => Ok(value[..length] == *b"y"),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::RANGE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
