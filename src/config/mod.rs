//! What is wanted ([`BuildConfig`]) and what came out ([`BuildOutcome`]): the border between
//! the core and whoever faces a user or a CI platform.

mod annotation;
mod cache;
mod cloud;
mod compression;
mod device;
mod fetch;
mod keychain;
mod outcome;
mod registry;
mod rootfs;
mod source;
mod steps;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::image::{ImageFormat, Platform, Reference};

pub use annotation::{Annotation, AnnotationLevel};
pub use cache::{BaseDirectory, CacheConfig, CacheExport, CacheLocation, CacheMode, MountCacheConfig};
pub use cloud::{CloudConfig, CloudRegistry};
pub use compression::CompressionConfig;
pub use device::{DeviceFile, DevicesConfig, StepDevice};
pub use fetch::{FetchConfig, GitCredential, GitSecret, HttpAuthorization};
pub use keychain::{CredentialLocation, CredentialSource, KeychainConfig};
pub use outcome::{BuildOutcome, CacheOutcome, ImageOutcome, LayerOutcome, StepOutcome};
pub use registry::{ClientCertificate, Mirror, RegistryConfig};
pub use rootfs::{Isolation, MountConflict, RootfsConfig};
pub use source::{ContextModes, ContextSource, GitContext, NamedContext};
pub use steps::{OnFailure, SecretBytes, SecretSource, StepAgent, StepNetwork, StepSecret, StepsConfig};

/// Everything a build needs to know, with every default already applied.
///
/// Adapters fill it; nothing below them reads flags or the environment again.
#[derive(Debug, Clone)]
pub struct BuildConfig {
    /// Where the source files are.
    pub context: ContextSource,
    /// Sub-directory of the context that becomes its root (kaniko's `--context-sub-path`).
    pub context_sub_path: Option<PathBuf>,
    /// The Dockerfile: looked for relative to the working directory first, then to the context.
    pub dockerfile: PathBuf,
    /// Where the image is pushed, in order. Empty when nothing is pushed.
    pub destinations: Vec<Reference>,
    /// Whether to push to the destinations at all.
    pub push: bool,
    /// Whether the destinations, which have no tags then, get the image by its digest alone.
    pub push_by_digest: bool,
    /// Values of `ARG`s, in the order given; the last of a name wins.
    pub build_args: Vec<(String, String)>,
    /// Stage to build, by name or number; the last one if absent.
    pub target: Option<String>,
    /// Platforms an image each is made for, joined in an index where there are several; none is
    /// the host's. They select base manifests and stamp the configs; commands of another than the
    /// host's need an emulator that the kernel knows.
    pub platforms: Vec<Platform>,
    /// Labels added to the final image; they win over the Dockerfile's, as BuildKit's do.
    pub labels: Vec<(String, String)>,
    /// Annotations of manifests, of the index, and of what names them; the last of a name wins.
    pub annotations: Vec<Annotation>,
    /// Named contexts (`--build-context name=…`), which replace base images and `--from` names.
    pub build_contexts: BTreeMap<String, NamedContext>,
    /// Media types of manifest, config and layers; the base's if absent.
    pub image_format: Option<ImageFormat>,
    /// How layers are compressed.
    pub compression: CompressionConfig,
    /// Zero every time in new layers and in the config (kaniko's `--reproducible`).
    pub reproducible: bool,
    /// Do as BuildKit where that silently gives a wrong image and a build otherwise fails.
    pub compat: bool,
    /// One layer at the end of a stage in place of one for each instruction.
    pub single_snapshot: bool,
    /// Seconds since 1970 that clamp every time in layers and config (`SOURCE_DATE_EPOCH`).
    pub source_date_epoch: Option<i64>,
    /// Absolute paths in the image whose changes are in no layer (kaniko's `--ignore-path`).
    pub ignore_paths: Vec<PathBuf>,
    /// Write the image as a `docker save` archive to this file.
    pub tar_path: Option<PathBuf>,
    /// Write the image as an OCI layout to this directory.
    pub oci_layout_path: Option<PathBuf>,
    /// Write the image as an archive of an OCI layout to this file.
    pub oci_archive_path: Option<PathBuf>,
    /// How a step's root filesystem is provided.
    pub rootfs: RootfsConfig,
    /// What commands are given besides the image's files.
    pub steps: StepsConfig,
    /// How registries are spoken to.
    pub registry: RegistryConfig,
    /// Where credentials of registries are looked for.
    pub keychain: KeychainConfig,
    /// How files and repositories are fetched.
    pub fetch: FetchConfig,
    /// Bytes that one layer of a base may have after decompression; a default that stops
    /// decompression bombs if absent.
    pub max_layer_size: Option<u64>,
    /// Entries that all layers of a base may have together; a default that bounds memory if absent.
    pub max_image_entries: Option<u64>,
    /// Threads used for compressing, packing and unpacking, and commands of stages that run at the same
    /// time; all cores if absent.
    pub jobs: Option<usize>,
    /// Where the results of steps are looked up and kept.
    pub cache: CacheConfig,
    /// How much of the modes of context files counts.
    pub context_modes: ContextModes,
}

impl BuildConfig {
    /// The first platform that is built for.
    pub fn platform(&self) -> Platform {
        self.platforms.first().cloned().unwrap_or_else(Platform::host)
    }
}
