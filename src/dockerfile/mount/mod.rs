//! The options of `RUN --mount=`.

mod read;
mod size;

pub(super) use read::check;

/// A `--mount` that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MountError {
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// One way out.
    pub help: String,
}

impl MountError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        MountError { message: message.into(), help: help.into() }
    }
}

/// What kind of mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountType {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory kept from build to build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret as a file or variable.
    Secret,
    /// A socket of an SSH agent.
    Ssh,
}

impl MountType {
    const ALL: [(&'static str, MountType); 5] = [
        ("bind", MountType::Bind),
        ("cache", MountType::Cache),
        ("tmpfs", MountType::Tmpfs),
        ("secret", MountType::Secret),
        ("ssh", MountType::Ssh),
    ];

    /// As written after `type=`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Who may use a cache at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// Everybody gets their own.
    Private,
    /// One after the other.
    Locked,
}

/// The options of one `--mount`, expanded. What is not written is `None` or empty; the defaults
/// that depend on the step (`target` of a secret, `id` of a cache) are the executor's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// `type=`
    pub kind: MountType,
    /// `from=`: a stage, a named context or an image.
    pub from: String,
    /// `source=`
    pub source: String,
    /// `target=`
    pub target: String,
    /// `ro`, `rw`, or what the type has by default: caches and tmpfs can be written.
    pub read_only: bool,
    /// Whether `ro` or `rw` was written.
    pub access_given: bool,
    /// `size=` of a tmpfs in bytes, 0 if not given.
    pub size: i64,
    /// `id=`
    pub id: String,
    /// `sharing=`
    pub sharing: Option<Sharing>,
    /// `required`
    pub required: bool,
    /// `env=` of a secret; empty is the default name.
    pub env: Option<String>,
    /// `mode=`, permission bits.
    pub mode: Option<u32>,
    /// `uid=`
    pub uid: Option<u32>,
    /// `gid=`
    pub gid: Option<u32>,
}
