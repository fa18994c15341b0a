//! Builds container images from Dockerfiles without a daemon and without privileges.
//!
//! The core library: it knows Dockerfiles, files, images and registries, but no terminal and
//! no CI platform. [`build::build`] is the main path.

pub mod build;
pub mod bundle;
pub mod cache;
pub mod cloud;
pub mod config;
pub mod context;
pub mod dockerfile;
pub mod event;
pub mod fetch;
pub mod image;
pub mod keychain;
pub mod layer;
pub mod plan;
pub mod registry;
pub mod rootfs;
pub mod run;
pub mod ship;
mod transport;

#[cfg(test)]
mod tests;
