//! What a step has mounted in its root, as it is asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::SecretBytes;

/// Something that a command finds at a path while it runs, and that is in no layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    /// Where: a path from the root without leading slash, without `.` and `..`. Links in it are
    /// followed inside the root.
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
    /// Whether the command may not write to it. In place nothing keeps root from writing; a
    /// source that must not change is a [`Fate::Lost`] copy there.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum MountSource {
    /// A directory of ours, by its absolute path.
    Directory(PathBuf, Fate),
    /// A file or socket of ours, by its absolute path.
    File(PathBuf, Fate),
    /// A directory or file of a tree in layers, none of which a command can change.
    Layered(Box<Layered>),
    /// An empty directory in memory.
    Tmpfs {
        /// Most bytes in it, where there is a limit.
        size: Option<u64>,
    },
    /// A file that is on no disk where that can be had.
    Secret(SecretFile),
}

impl MountSource {
    /// Whether a directory is mounted.
    pub fn is_directory(&self) -> bool {
        match self {
            MountSource::Directory(..) | MountSource::Tmpfs { .. } => true,
            MountSource::Layered(layered) => layered.is_directory,
            MountSource::File(..) | MountSource::Secret(_) => false,
        }
    }
}

/// Part of a tree in layers. Its paths are relative to the directory of the root it is mounted in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Layered {
    /// The layers, topmost first.
    pub lower: Vec<PathBuf>,
    /// The directory that takes what a command writes.
    pub upper: PathBuf,
    /// The work directory.
    pub work: PathBuf,
    /// The directory to mount on.
    pub mount_point: PathBuf,
    /// What of the tree: a path from its root without links.
    pub path: PathBuf,
    /// Whether that is a directory.
    pub is_directory: bool,
}

/// What becomes of a source when the command has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It stays, with what was written to it.
    Kept,
    /// Nobody needs it any more.
    Lost,
}

/// A secret as a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecretFile {
    /// Its bytes.
    pub content: SecretBytes,
    /// Permission bits.
    pub mode: u32,
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
}

/// Sorts mounts so that each comes after those it lies in, as BuildKit does; of two with one target
/// the later stays on top.
pub fn sort_mounts(mounts: &mut [Mount]) {
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
}
