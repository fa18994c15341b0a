//! The command line: flags as typed, what they mean, and how a build is shown.

pub(crate) mod annotations;
mod caching;
pub(crate) mod call;
pub(crate) mod check;
mod choices;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod credentials;
pub(crate) mod describe;
mod devices;
pub(crate) mod diagnostic;
pub(crate) mod fetch;
pub(crate) mod files;
pub(crate) mod flags;
pub(crate) mod handover;
pub(crate) mod images;
pub(crate) mod job;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod missing;
pub(crate) mod places;
pub(crate) mod progress;
pub(crate) mod registries;
pub(crate) mod results;
pub(crate) mod secrets;
mod steps;
pub(crate) mod upkeep;
