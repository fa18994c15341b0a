//! The tree of one stage: a stack of layers that grows with each step.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fd::AsFd;

use super::layer::Layer;
use super::stack::Stack;
use super::{Features, RootfsError, Session, changes, failed, indexed, prelink, stubs};
use crate::layer::{Entry, NodeKind, View, write_entries};
use crate::rootfs::dress::{dress, with_parents};
use crate::rootfs::removal::remove_tree;
use crate::rootfs::{Rootfs, Showing, as_path, shown};
use crate::run::{Layered, Mount, MountSource, Mounted, MountedTree, Root};

/// Names within a step's directory, short for the mount options.
const UPPER: &str = "u";
const WORK: &str = "w";
const MOUNT_POINT: &str = "m";
pub(super) const STUBS: &str = "s";
const SCRATCH: &str = "t";

/// What the kernel takes: 500 lower directories, and a page of options of which we leave some for
/// the rest.
const MOST_LAYERS: usize = 490;
const LONGEST_LIST: usize = 3800;

/// A stage's tree.
pub(super) struct Tree {
    session: Arc<Session>,
    features: Features,
    stack: Stack,
    /// The top layer holds entries that were applied, and may get more of them.
    growing: bool,
    /// The step that runs.
    entered: Option<Entered>,
}

/// Part of a tree while a command of another stage has it: its layers do not grow meanwhile.
struct Part {
    session: Arc<Session>,
    name: PathBuf,
    _stack: Stack,
}

impl Drop for Part {
    fn drop(&mut self) {
        let path = self.session.path().join(&self.name);
        // What stays goes with the session.
        let _ = fs::metadata(&path).map(|_| remove_tree(&path));
    }
}

struct Entered {
    /// The step's directory, relative to the session's.
    step: PathBuf,
    upper: Arc<Layer>,
}

impl Tree {
    pub(super) fn new(session: Arc<Session>, features: Features, stack: Stack) -> Self {
        Tree { session, features, stack, growing: false, entered: None }
    }

    /// Makes an empty directory whose own attributes are the root's: the topmost root's are what
    /// the merged tree shows.
    fn layer(&self, name: PathBuf) -> Result<Layer, RootfsError> {
        let root = self.stack.node(b"").map_err(failed("look at", "/"))?;
        let layer = Layer::open(&self.session, name)?;
        if let Some(root) = root {
            dress(&layer.root, b"", &root)?;
        }
        Ok(layer)
    }

    /// The layer that entries are applied to: the top one if nothing else uses it.
    fn growing_layer(&mut self) -> Result<Arc<Layer>, RootfsError> {
        if self.growing
            && let Some(top) = self.stack.layers().first()
            // A fork of this tree has it too.
            && Arc::strong_count(top) == 1
            && top.may_grow()
        {
            return Ok(Arc::clone(top));
        }
        let name = self.session.new_directory("apply", &[UPPER])?.join(UPPER);
        let layer = Arc::new(self.layer(name)?);
        self.stack.push(Arc::clone(&layer));
        self.growing = true;
        Ok(layer)
    }

    /// The lower directories, `top` above all of them.
    fn lower(&self, top: Option<PathBuf>) -> Result<Vec<PathBuf>, RootfsError> {
        let mut lower = Vec::from_iter(top);
        lower.extend(self.stack.layers().iter().map(|l| l.name.clone()));
        let length: usize = lower.iter().map(|l| l.as_os_str().len() + 1).sum();
        if lower.len() > MOST_LAYERS || length > LONGEST_LIST {
            return Err(RootfsError::Refused {
                reason: format!(
                    "{} steps of one stage are more than the kernel stacks in an overlay",
                    lower.len()
                ),
                help: Some("join RUN instructions, or build with --isolation=inplace".to_owned()),
            });
        }
        Ok(lower)
    }

    /// Brings names into the upper directory that the kernel keeps in its index only.
    fn adopt(&self, entered: &Entered) -> Result<(), RootfsError> {
        let index = entered.step.join(WORK).join("index");
        if !self.features.index || !self.session.path().join(&index).exists() {
            return Ok(());
        }
        let index = Layer::open(&self.session, index)?;
        indexed::adopt(&self.stack, &entered.upper, &index, self.features)
    }

    /// The step is over: what it wrote is a lower directory from now on.
    fn leave(&mut self, Entered { step, upper }: Entered) -> Result<(), RootfsError> {
        if self.features.index {
            // It holds further names of the upper directory's files; as a lower directory that must
            // have none but its own.
            let work = self.session.path().join(step).join(WORK);
            remove_tree(&work).map_err(failed("remove", &work))?;
        }
        self.growing = false;
        self.stack.push(upper);
        Ok(())
    }
}

impl Rootfs for Tree {
    fn view(&self) -> &dyn View {
        &self.stack
    }

    fn apply(&mut self, entries: &[Entry]) -> Result<(), RootfsError> {
        let entries = with_parents(&self.stack, entries)?;
        let layer = self.growing_layer()?;
        let written = write_entries(layer.root.as_fd(), &entries);
        self.stack.changed();
        written.map_err(|e| RootfsError::Unpack(Box::new(e)))
    }

    fn enter(&mut self, mounts: &[Mount]) -> Result<Root, RootfsError> {
        let step = self.session.new_directory("step", &[UPPER, WORK, MOUNT_POINT, STUBS, SCRATCH])?;
        let upper = Arc::new(self.layer(step.join(UPPER))?);
        let stub_layer = self.layer(step.join(STUBS))?;
        let stubs = stubs::make(&self.stack, &stub_layer.root, mounts)?;
        let features = self.features;
        if !features.index {
            prelink::copy(&self.stack, &upper)?;
        }
        let mounted = Mounted {
            directory: self.session.path().to_path_buf(),
            tree: MountedTree::Overlay {
                lower: self.lower(Some(step.join(STUBS)))?,
                upper: step.join(UPPER),
                work: step.join(WORK),
                index: features.index,
            },
            mount_point: step.join(MOUNT_POINT),
            user_namespace: features.user_namespace,
            pid_namespace: features.pid_namespace,
            files: stubs.files,
            mounts: stubs.mounts,
            scratch: step.join(SCRATCH),
        };
        self.entered = Some(Entered { step, upper });
        Ok(Root::Mounted(Box::new(mounted)))
    }

    fn changes(&mut self, ignore: &[Vec<u8>]) -> Result<Vec<Entry>, RootfsError> {
        let Some(entered) = self.entered.take() else {
            return Ok(Vec::new());
        };
        self.adopt(&entered)?;
        let entries = changes::read(&self.stack, &entered.upper, self.features, ignore)?;
        self.leave(entered)?;
        Ok(entries)
    }

    fn forget(&mut self) -> Result<(), RootfsError> {
        let Some(entered) = self.entered.take() else {
            return Ok(());
        };
        self.adopt(&entered)?;
        changes::complete(&self.stack, &entered.upper, self.features)?;
        self.leave(entered)
    }

    fn packed(&mut self, _: &[(Vec<u8>, u128)]) {}

    fn keep(&mut self) -> Option<PathBuf> {
        self.entered = None;
        None
    }

    fn show(&self, path: &[u8], _writable: bool) -> Result<Option<Showing>, RootfsError> {
        let Some(node) = self.stack.node(path).map_err(failed("look at", shown(path)))? else {
            return Ok(None);
        };
        let name = self.session.new_directory("files", &[UPPER, WORK, MOUNT_POINT])?;
        let part = Part { session: Arc::clone(&self.session), name, _stack: self.stack.fork() };
        // What has the looks of the root, where that is what is shown.
        self.layer(part.name.join(UPPER))?;
        let layered = Layered {
            lower: self.lower(None)?,
            upper: part.name.join(UPPER),
            work: part.name.join(WORK),
            mount_point: part.name.join(MOUNT_POINT),
            path: as_path(path).to_path_buf(),
            is_directory: node.kind == NodeKind::Directory,
        };
        Ok(Some(Showing { source: MountSource::Layered(Box::new(layered)), _held: Box::new(part) }))
    }

    fn fork(&self) -> Option<Result<Box<dyn Rootfs>, RootfsError>> {
        Some(Ok(Box::new(Tree::new(Arc::clone(&self.session), self.features, self.stack.fork()))))
    }
}

impl Drop for Tree {
    /// A step that failed is not looked at again; its files need not wait for the end of the build.
    fn drop(&mut self) {
        if let Some(Entered { step, .. }) = self.entered.take() {
            let _ = fs::metadata(self.session.path()).map(|_| remove_tree(&self.session.path().join(step)));
        }
    }
}
