//! Instructions to a graph of stages and steps: what is reachable, what each step does after
//! expansion, which trees are needed on disk.
//!
//! Expansion, configs and history depend on the Dockerfile and the base configs only, never on
//! what a step does. So everything but bytes is known here, before anything is unpacked.
//!
//! [`plan`] needs nothing but a parsed Dockerfile and somebody who knows base images
//! ([`Bases`]); [`PlannedStage::config`] of the target is BuildKit's config and history but for
//! the comments, and [`CopyStep`] and [`RunStep`] are its operations.

mod arguments;
mod checks;
mod chmod;
mod globals;
mod graph;
mod history;
mod inherit;
mod lower;
mod merge;
mod metadata;
mod mount;
mod names;
mod outline;
mod room;
mod scope;
mod step;
mod watch;

#[cfg(test)]
mod tests;

pub use arguments::{Arguments, PROXY_ARGUMENTS};
pub use checks::{BaseConfig, Ignore, Limits, Survey};
pub use chmod::Chmod;
pub use graph::{BaseImage, Bases, Inputs, PlanError, faults, plan};
pub use merge::merge;
pub use mount::{Access, CacheMount, FileOwner, RunMount, RunMountKind, RunNetwork, RunSecurity, Sharing};
pub use outline::{Outline, OutlineArg, OutlineMount, Target, outline, targets};
pub use step::{
    Action, CopyFrom, CopySource, CopyStep, FromImage, Ownership, Place, Plan, PlannedImage, PlannedStage,
    RunStep, Script, StageBase, Step, WorkdirStep,
};
