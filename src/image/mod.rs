//! The OCI image model: digests, descriptors, platforms, configs, manifests, indexes.
//!
//! Types follow the OCI image specification 1.1 and keep unknown fields, so that what a base
//! image says survives. Foreign manifests are kept as the bytes received; only what we write
//! is serialised, always with the same bytes for the same value.

mod archive;
mod blob;
mod config;
mod descriptor;
mod digest;
mod history;
mod layout;
mod manifest;
mod media_type;
mod platform;
mod reference;
mod saved;

pub use archive::{ArchiveError, write_docker_archive, write_oci_archive};
pub(crate) use blob::Checked;
pub use blob::{BlobSource, ImageBlob, StreamBlob};
pub use config::{ContainerConfig, EmptyObject, Healthcheck, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::{ChainId, ContentId, DiffId, Digest, ParseDigestError};
pub use history::History;
pub use layout::{FoundImage, LayoutError, LayoutImage, LayoutIndex, LayoutName, OciLayout};
pub use manifest::{Index, Manifest, ManifestError, ManifestOrIndex};
pub use media_type::{Compression, ImageFormat, MediaType};
pub use platform::{ParsePlatformError, Platform};
pub use reference::{ParseReferenceError, Reference, is_same_registry, registry_and_prefix};
pub use saved::{NotChosen, SavedImage, SavedImages};
