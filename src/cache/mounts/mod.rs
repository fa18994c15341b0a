//! The directories of `RUN --mount=type=cache`, saved so that builds on other machines begin with
//! them (`docs/cache-format.md`, "Saved cache mounts").
//!
//! `set` is the document that names what was saved, `state` what a directory held when it was
//! saved or restored, `place` a repository or directory with sets, and `saved` all of that for one
//! build.

mod place;
mod saved;
mod set;
mod state;

pub(super) use place::MOUNT_TAG;
pub use saved::{Found, SavedMounts, Updated};
pub use set::MountSet;
pub use state::{Difference, State};
