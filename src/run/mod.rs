#![allow(unsafe_code)] // system calls that have no safe wrapper, each with its reason
//! One process in a root filesystem: user, environment, signals, supervision.
//!
//! [`run()`] starts a *supervisor*, our own program executed again ([`supervisor_entry`]). The
//! supervisor enters the root, starts the command, and when the command has ended ends and reaps
//! everything it left behind. Files are named after what happens in that order: `run` and
//! `control` on our side, then `supervisor`, `enter`, `tree`, `populate`, `command`, `reap` on the other.

mod attach;
mod cancel;
mod capability;
mod command;
mod control;
mod descriptors;
mod enter;
mod error;
mod foreign;
mod identity;
mod inside;
mod lines;
mod loopback;
mod mount;
pub(crate) mod mountinfo;
mod populate;
pub(crate) mod program;
mod reap;
mod root;
#[allow(clippy::module_inception)] // the verb is the module's purpose
mod run;
mod script;
mod seccomp;
pub mod signals;
mod spawn;
mod supervisor;
mod terminal;
mod tree;
pub mod trial;
mod uid_map;
pub mod user;

pub use cancel::Cancel;
pub(crate) use cancel::name as signal_name;
pub use capability::{Hiding, hiding};
pub use error::{RunError, Step};
pub use foreign::{Foreign, try_platform};
pub use identity::{Identity, identity, take_identity};
pub use mount::{Fate, Layered, Mount, MountSource, SecretFile, sort_mounts};
pub use root::{Mounted, MountedTree, Root};
pub use run::{Ended, Process, probe, run, run_on_terminal};
pub use script::Script;
pub(crate) use spawn::{spawn, spawn_with};
pub use supervisor::supervisor_entry;
pub use user::User;

/// Name that a step sees as its host name, the same everywhere so that images do not differ.
pub const HOSTNAME: &str = "yadokari";
