//! How a step's root filesystem is provided.

use std::path::PathBuf;

/// How a step's root filesystem is provided.
#[derive(Debug, Clone)]
pub struct RootfsConfig {
    /// The placement to use.
    pub isolation: Isolation,
    /// What to do when a path of the image lies at or below a mounted volume.
    pub mount_conflict: MountConflict,
    /// Fail where credential files cannot be hidden from a step.
    pub require_hidden_credentials: bool,
    /// Build in place outside a container too (kaniko's `--force`).
    pub force: bool,
    /// Leave the image's files as the container's own after a build that succeeded (kaniko's
    /// `--materialize`): builds in place.
    pub materialize: bool,
    /// Holds overlay uppers, unpacked bases of overlay, and packed layers.
    pub work_dir: PathBuf,
    /// Root of the in-place machinery; `/yadokari`. In-place trees live below it.
    pub home_dir: PathBuf,
}

/// The wanted placement of root filesystems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The fastest that works here.
    Auto,
    /// The faster of overlay and chroot that works here: never the container's own root.
    Mounted,
    /// An overlay in a mount namespace.
    Overlay,
    /// A plain tree in a mount namespace.
    Chroot,
    /// The container's own root.
    Inplace,
}

/// What to do about an image path at or below a mounted volume when building in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountConflict {
    /// Swap the volume's own children aside while a stage is entered.
    Swap,
    /// Refuse to build.
    Error,
}
