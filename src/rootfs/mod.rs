//! A writable root filesystem for the steps of a stage, and what changed in it.
//!
//! Three *placements* provide one: `overlay` (an overlay in a mount namespace per step), `chroot` (a
//! plain tree in one) and `inplace` (the container's own root). What counts as a change is the same in
//! all.

pub mod change;
pub mod chroot;
mod dress;
mod index;
pub mod inplace;
pub mod overlay;
mod placing;
mod probe;
mod removal;
mod session;
mod showing;
mod stubs;

pub use probe::{Probe, open_placement, probe};
pub(crate) use removal::{clear, remove_tree};
pub use showing::Showing;
pub use stubs::hosts_file;

use std::path::{Path, PathBuf};

use crate::image::ChainId;
use crate::layer::{Entry, View};
use crate::run::{Mount, Root};

/// Why a root filesystem could not be provided or read.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// This machine cannot, or must not, do what is asked.
    #[error("{reason}")]
    Refused {
        /// Why, and what it is about.
        reason: String,
        /// One way out.
        help: Option<String>,
    },
    /// The base could not be unpacked.
    #[error(transparent)]
    Unpack(Box<dyn std::error::Error + Send + Sync>),
}

/// A kind of placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacementKind {
    /// An overlay in a mount namespace.
    Overlay,
    /// A plain tree in a mount namespace.
    Chroot,
    /// The container's own root.
    Inplace,
}

/// Fills an empty directory with the base's files. For every regular file written it calls
/// the observer with the path and the XXH3-128 hash of its content.
pub type Unpack<'a> = dyn Fn(&Path, &mut dyn FnMut(&[u8], u128)) -> Result<(), RootfsError> + Sync + 'a;

/// What a stage's tree starts as.
pub enum Base<'a> {
    /// Nothing (`FROM scratch`).
    Scratch,
    /// These layers.
    Layers {
        /// Their chain id; placements that share unpacked bases do it by this.
        key: ChainId,
        /// Unpacks them.
        unpack: &'a Unpack<'a>,
    },
}

/// Provides root filesystems one way. Shared by all stages of a build.
pub trait Placement: Send + Sync {
    /// Which way.
    fn kind(&self) -> PlacementKind;

    /// Whether steps of several stages may run at the same time.
    fn parallel(&self) -> bool;

    /// A new tree for a stage. May be called while a step of another stage runs.
    ///
    /// # Errors
    /// The tree cannot be made here.
    fn create(&self, stage: usize, base: Base<'_>) -> Result<Box<dyn Rootfs>, RootfsError>;

    /// Where a path of ours (the context, a secret) is now: building in place sets the children
    /// of a mounted volume aside while a stage uses its path.
    fn locate(&self, path: &Path) -> PathBuf;

    /// A directory for copies of files that only one step gets, best on the file system of its root.
    /// `workspace` is the build's own.
    fn copies(&self, workspace: &Path) -> PathBuf {
        workspace.join("mounts")
    }

    /// Puts the container's own files back, after the last step. Trees stay until
    /// [`finish`](Placement::finish).
    ///
    /// # Errors
    /// What could not be put back, by name.
    fn leave(&self) -> Result<(), RootfsError> {
        Ok(())
    }

    /// Says that trees stay after the end, for somebody to look at.
    fn keep(&self);

    /// Puts the container's own files back and removes what is left of all trees. Called
    /// once at the end, after failure and cancellation too; called again it does nothing.
    ///
    /// # Errors
    /// What could not be put back, by name.
    fn finish(&self) -> Result<(), RootfsError>;
}

/// The tree of one stage.
///
/// The order of calls is: any number of times either [`apply`](Rootfs::apply) alone, or
/// [`enter`](Rootfs::enter), a process, [`unmount`](Rootfs::unmount), [`changes`](Rootfs::changes).
pub trait Rootfs: Send + Sync {
    /// The tree as it is now.
    fn view(&self) -> &dyn View;

    /// Writes entries that a `COPY`, `ADD` or `WORKDIR` packs: in order, parents first, replacing
    /// what is there except that a directory merges with a directory. They are no changes of a
    /// later step.
    ///
    /// # Errors
    /// An entry cannot be written.
    fn apply(&mut self, entries: &[Entry]) -> Result<(), RootfsError>;

    /// Makes the tree ready for one process and says where it finds it. `mounts` are what the process
    /// finds besides, sorted by [`sort_mounts`](crate::run::sort_mounts).
    ///
    /// # Errors
    /// The tree cannot be entered, or something in it is in the way of a mount.
    fn enter(&mut self, mounts: &[Mount]) -> Result<Root, RootfsError>;

    /// Takes away what the process found besides, now that it has ended. Called once after each
    /// [`enter`](Rootfs::enter) that succeeded, before [`changes`](Rootfs::changes); placements that
    /// mount in the process's own namespace have nothing to do.
    ///
    /// # Errors
    /// It cannot be taken away.
    fn unmount(&mut self) -> Result<(), RootfsError> {
        Ok(())
    }

    /// What the process changed since `enter`, sorted by path bytes, each entry's existing parents
    /// included; `/` itself and `ignore` (paths without leading slash, and all below them) left out.
    /// Regular files carry [`crate::layer::Content`] to pack them from.
    ///
    /// # Errors
    /// The tree cannot be read.
    fn changes(&mut self, ignore: &[Vec<u8>]) -> Result<Vec<Entry>, RootfsError>;

    /// Ends what `enter` began where nobody wants to know what changed: the stage's layers are not
    /// part of any result. Placements that can, skip the comparison.
    ///
    /// # Errors
    /// The tree cannot be read.
    fn forget(&mut self) -> Result<(), RootfsError> {
        self.changes(&[]).map(drop)
    }

    /// Says, before the first [`enter`](Rootfs::enter), that nobody will ever call
    /// [`changes`](Rootfs::changes), only `forget`. Placements that can, remember less.
    fn forget_all(&mut self) {}

    /// Takes the XXH3-128 hashes of the regular files of the last `changes` or `apply`,
    /// by path, as computed while packing.
    fn packed(&mut self, hashes: &[(Vec<u8>, u128)]);

    /// Leaves the tree as the process left it when this goes; where it will be, if that is elsewhere
    /// than where the process found it.
    fn keep(&mut self) -> Option<PathBuf> {
        None
    }

    /// Leaves the tree in the place of the container's own files, after [`leave`](Placement::leave): from
    /// then on [`finish`](Placement::finish) puts nothing back. The trees of other stages are gone.
    ///
    /// # Errors
    /// Only in place is there such a place, or the tree cannot be put there.
    fn materialize(&mut self) -> Result<(), RootfsError> {
        let reason = "steps do not run in place, so that no files can be left in place".to_owned();
        Err(RootfsError::Refused { reason, help: None })
    }

    /// A directory or file of this tree, which nobody changes any more, for a command of another stage
    /// that is to change nothing in it; none where it has to be copied. `path` has no links, and
    /// `writable` says that something will be made in it.
    ///
    /// # Errors
    /// Directories that it takes cannot be made.
    fn show(&self, _path: &[u8], _writable: bool) -> Result<Option<Showing>, RootfsError> {
        Ok(None)
    }

    /// A new tree that starts as this one is now, where that costs less than unpacking its layers.
    ///
    /// # Errors
    /// The tree cannot be copied.
    fn fork(&self) -> Option<Result<Box<dyn Rootfs>, RootfsError>>;
}

/// Names what was tried when a file operation failed.
fn failed<E: Into<std::io::Error>>(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(E) -> RootfsError {
    let path = path.into();
    move |source| RootfsError::Io { action, path, source: source.into() }
}

/// A path from the root as people write it.
fn shown(path: &[u8]) -> PathBuf {
    Path::new("/").join(as_path(path))
}

fn as_path(path: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(path))
}
