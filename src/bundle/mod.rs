//! Runtime bundles: an image unpacked for people and runtimes, and what was changed in it packed as one
//! more layer; what `umoci unpack` and `umoci repack` do.
//!
//! A bundle is a directory with `rootfs`, the `config.json` a runtime reads, `yadokari.json` with what
//! it was made from, and `rootfs.mtree`, the record of every file as it was unpacked. Owners that
//! cannot be set are recorded as in builds ([`crate::layer`]).

mod mtree;
mod repack;
mod runtime;
mod seed;
mod unpack;
mod walk;

pub use repack::{RepackConfig, Repacked, repack};
pub use unpack::unpack;

/// The files.
const ROOTFS: &str = "rootfs";
/// The record of the files.
const RECORD: &str = "rootfs.mtree";
/// What the bundle was made from.
const SEED: &str = "yadokari.json";
/// What runtimes read.
const RUNTIME: &str = "config.json";
