//! The tree of one stage: a stack of layers that grows with each step.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Gid, Mode, Timestamps, Uid};

use super::layer::Layer;
use super::session::Session;
use super::stack::Stack;
use super::{RootfsError, changes, failed, prelink, shown, stubs};
use crate::layer::{Content, Entry, Kind, Node, NodeKind, View, parent, write_entries};
use crate::rootfs::removal::remove_tree;
use crate::rootfs::{OverlayMount, Root, Rootfs};

/// Names within a step's directory, short for the mount options.
const UPPER: &str = "u";
const WORK: &str = "w";
const MOUNT_POINT: &str = "m";
pub(super) const STUBS: &str = "s";

/// What the kernel takes: 500 lower directories, and a page of options of which we leave some for
/// the rest.
const MOST_LAYERS: usize = 490;
const LONGEST_LIST: usize = 3800;

/// A stage's tree.
pub(super) struct Tree {
    session: Arc<Session>,
    stack: Stack,
    /// The top layer holds entries that were applied, and may get more of them.
    growing: bool,
    /// The step that runs.
    entered: Option<Entered>,
}

struct Entered {
    /// The step's directory, relative to the session's.
    step: PathBuf,
    upper: Arc<Layer>,
}

impl Tree {
    pub(super) fn new(session: Arc<Session>, stack: Stack) -> Self {
        Tree { session, stack, growing: false, entered: None }
    }

    /// Makes an empty directory whose own attributes are the root's: the topmost root's are what
    /// the merged tree shows.
    fn layer(&self, name: PathBuf) -> Result<Layer, RootfsError> {
        let root = self.stack.node(b"").map_err(failed("look at", "/"))?;
        let layer = Layer::open(&self.session, name)?;
        if let Some(root) = root {
            dress(&layer, b"", &root)?;
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

    /// The entries, and before each the directories above it that only lower layers have: in the
    /// upper one they must look the same.
    fn with_parents(&self, entries: &[Entry]) -> Result<Vec<Entry>, RootfsError> {
        let mut known: HashSet<Vec<u8>> = HashSet::new();
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            let mut missing = Vec::new();
            let mut above = parent(&entry.path);
            while !above.is_empty() && !known.contains(above) {
                missing.push(above.to_vec());
                above = parent(above);
            }
            for path in missing.into_iter().rev() {
                let node = self.stack.node(&path).map_err(failed("look at", shown(&path)))?;
                if let Some(node) = node.filter(|n| n.kind == NodeKind::Directory) {
                    all.push(directory(&path, &node));
                }
                known.insert(path);
            }
            if entry.kind == Kind::Directory {
                known.insert(entry.path.clone());
            }
            all.push(entry.clone());
        }
        Ok(all)
    }

    fn lower(&self, step: &Path) -> Result<Vec<PathBuf>, RootfsError> {
        let mut lower = vec![step.join(STUBS)];
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

    /// The step is over: what it wrote is a lower directory from now on.
    fn leave(&mut self, Entered { step, upper }: Entered) -> Result<(), RootfsError> {
        if self.session.features().index {
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
        let entries = self.with_parents(entries)?;
        let layer = self.growing_layer()?;
        let written = write_entries(layer.root.as_fd(), &entries);
        self.stack.changed();
        written.map_err(|e| RootfsError::Unpack(Box::new(e)))
    }

    fn enter(&mut self) -> Result<Root, RootfsError> {
        let step = self.session.new_directory("step", &[UPPER, WORK, MOUNT_POINT, STUBS])?;
        let upper = Arc::new(self.layer(step.join(UPPER))?);
        let stub_layer = self.layer(step.join(STUBS))?;
        let files = stubs::make(&self.stack, &stub_layer)?;
        let features = self.session.features();
        if !features.index {
            prelink::copy(&self.stack, &upper)?;
        }
        let mount = OverlayMount {
            directory: self.session.path().to_path_buf(),
            lower: self.lower(&step)?,
            upper: step.join(UPPER),
            work: step.join(WORK),
            mount_point: step.join(MOUNT_POINT),
            user_namespace: features.user_namespace,
            index: features.index,
            pid_namespace: features.pid_namespace,
            files,
        };
        self.entered = Some(Entered { step, upper });
        Ok(Root::Overlay(mount))
    }

    fn changes(&mut self, ignore: &[Vec<u8>]) -> Result<Vec<Entry>, RootfsError> {
        let Some(entered) = self.entered.take() else {
            return Ok(Vec::new());
        };
        let entries = changes::read(&self.stack, &entered.upper, self.session.features(), ignore)?;
        self.leave(entered)?;
        Ok(entries)
    }

    fn forget(&mut self) -> Result<(), RootfsError> {
        let Some(entered) = self.entered.take() else {
            return Ok(());
        };
        changes::complete(&self.stack, &entered.upper, self.session.features())?;
        self.leave(entered)
    }

    fn packed(&mut self, _: &[(Vec<u8>, u128)]) {}

    fn fork(&self, _stage: usize) -> Option<Box<dyn Rootfs>> {
        Some(Box::new(Tree::new(Arc::clone(&self.session), self.stack.fork())))
    }
}

/// An entry for a directory that stays as it is.
fn directory(path: &[u8], node: &Node) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: Kind::Directory,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        mtime: node.mtime,
        xattrs: Vec::new(),
        content: Content::None,
    }
}

/// Makes a missing directory of a layer that looks like another.
pub(super) fn make_like(layer: &Layer, path: &[u8], node: &Node) -> Result<(), RootfsError> {
    match rustix::fs::mkdirat(&*layer.root, path, Mode::from(0o700)) {
        Ok(()) => dress(layer, path, node),
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(failed("create", shown(path))(error)),
    }
}

/// Gives a directory of a layer attributes; the owner first, for changing it takes away setgid.
pub(super) fn dress(layer: &Layer, path: &[u8], node: &Node) -> Result<(), RootfsError> {
    let at = if path.is_empty() { b".".as_slice() } else { path };
    let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
    rustix::fs::chownat(&*layer.root, at, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the owner of", shown(path)))?;
    rustix::fs::chmodat(&*layer.root, at, Mode::from(node.mode), AtFlags::empty())
        .map_err(failed("set the mode of", shown(path)))?;
    let time = rustix::time::Timespec { tv_sec: node.mtime.seconds, tv_nsec: node.mtime.nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(&*layer.root, at, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(failed("set the time of", shown(path)))
}

impl Drop for Tree {
    /// A step that failed is not looked at again; its files need not wait for the end of the build.
    fn drop(&mut self) {
        if let Some(Entered { step, .. }) = self.entered.take() {
            let _ = fs::metadata(self.session.path()).map(|_| remove_tree(&self.session.path().join(step)));
        }
    }
}
