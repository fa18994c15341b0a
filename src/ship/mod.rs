//! Whole images between registries, OCI layouts and archives; stands beside `build`.
//!
//! A [`Source`] is an image wherever it is: what it says and where its blobs are. A `Tree` is all its
//! manifests, with children before their index. [`Carrier`] brings a tree to registries, layouts and
//! archives. Manifests move as the bytes they are: no digest changes on the way.

mod archive;
mod artifact;
mod carrier;
mod docker_archive;
mod error;
mod index;
mod made;
mod referrers;
mod save;
mod send;
mod source;
mod stop;
mod tree;

pub use artifact::ArtifactFile;
pub use carrier::{Carrier, Shipped};
pub use error::ShipError;
pub use index::IndexConfig;
pub(crate) use made::Made;
pub use source::{ArchiveKind, Place, Source};
