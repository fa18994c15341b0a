//! Files of one stage shown to a command of another.

use crate::run::MountSource;

/// Part of a stage's tree as another stage's command finds it; as long as this lives it is there.
pub struct Showing {
    /// What is mounted.
    pub source: MountSource,
    /// What it is made of.
    pub(super) _held: Box<dyn std::any::Any + Send>,
}
