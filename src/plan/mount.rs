//! What a `RUN` finds besides its root's files, expanded and with every default applied.

use super::step::CopyFrom;
pub use crate::dockerfile::Sharing;

/// One `--mount`, as plain data. Everything in it but a secret's and an agent's content decides
/// what the step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    /// Where the step finds it: an absolute path without `.` and `..`, never `/`. None for a
    /// secret that is a variable only.
    pub target: Option<String>,
    /// What it is.
    pub kind: RunMountKind,
}

/// What a [`RunMount`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunMountKind {
    /// Files that are there already; what the step writes to them is lost.
    Bind {
        /// Whose files.
        from: CopyFrom,
        /// Absolute path in them; a directory or a file.
        source: String,
        /// Whether the step may write.
        access: Access,
    },
    /// A directory that is kept from build to build.
    Cache(CacheMount),
    /// An empty directory in memory.
    Tmpfs {
        /// Most bytes in it, where there is a limit.
        size: Option<u64>,
        /// Whether the step may write.
        access: Access,
    },
    /// A secret of the caller's.
    Secret {
        /// Its name.
        id: String,
        /// The variable that holds it.
        env: Option<String>,
        /// Whether a build without it fails.
        required: bool,
        /// Mode and owner of its file.
        owner: FileOwner,
    },
    /// A socket that leads to the caller's SSH agent.
    Ssh {
        /// The agent's name.
        id: String,
        /// Whether a build without it fails.
        required: bool,
        /// Mode and owner of the socket.
        owner: FileOwner,
    },
}

/// A directory that is kept from build to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    /// What it is called: `BUILDKIT_CACHE_MOUNT_NS`, a slash, and `id`.
    pub id: String,
    /// Who may use it at once.
    pub sharing: Sharing,
    /// What a new one starts with: whose files, and an absolute path in them. Nothing by default.
    pub seed: Option<(CopyFrom, String)>,
    /// The directory in it that the step sees, an absolute path; `/` is all of it.
    pub part: String,
    /// Mode and owner of a new one that starts with nothing, where any of them is given.
    pub owner: Option<FileOwner>,
    /// Whether the step may write.
    pub access: Access,
}

/// Mode and owner of something made for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOwner {
    /// Permission bits.
    pub mode: u32,
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
}

/// Whether a step may write to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may not, by default: nobody wrote `ro`.
    ReadOnly,
    /// It may not, as written.
    WrittenReadOnly,
    /// It may.
    Writable,
}

impl Access {
    /// Whether the step may not write.
    pub fn is_read_only(self) -> bool {
        self != Access::Writable
    }
}

/// The network of a `RUN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunNetwork {
    /// The builder's.
    #[default]
    Default,
    /// None: a loopback device of its own.
    None,
    /// The machine's, which is the builder's.
    Host,
}

/// The rights of a `RUN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunSecurity {
    /// Those of a container.
    #[default]
    Sandbox,
    /// All that the builder has.
    Insecure,
}
