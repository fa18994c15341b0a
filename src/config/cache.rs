//! What is remembered from build to build, and where.

use std::path::PathBuf;
use std::time::Duration;

use crate::image::Reference;

/// Where the results of steps are looked up and kept, and which.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// Where results are looked up, in order.
    pub from: Vec<CacheLocation>,
    /// Where results are kept.
    pub to: Vec<CacheExport>,
    /// Whether the image itself holds the records of its layers.
    pub inline: bool,
    /// Directory with base images; those that are pulled are kept there if it is to be written.
    pub bases: Option<BaseDirectory>,
    /// Results older than this are not used.
    pub ttl: Duration,
    /// Whether `COPY` and `ADD` take part.
    pub copy_layers: bool,
    /// Whether `RUN` and `WORKDIR` take part.
    pub run_layers: bool,
    /// Whether anything is looked up; what is made is kept either way.
    pub read: bool,
    /// Stages, by name or number, that look nothing up.
    pub no_cache_stages: Vec<String>,
    /// Separates those who must not share results; a part of every key.
    pub scope: String,
    /// Whether misses are explained with the whole comparison.
    pub explain: bool,
    /// Where the directories of `RUN --mount=type=cache` are saved.
    pub mounts: MountCacheConfig,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            from: Vec::new(),
            to: Vec::new(),
            inline: false,
            bases: None,
            // kaniko's --cache-ttl
            ttl: Duration::from_secs(14 * 24 * 3600),
            copy_layers: true,
            run_layers: true,
            read: true,
            no_cache_stages: Vec::new(),
            scope: String::new(),
            explain: false,
            mounts: MountCacheConfig::default(),
        }
    }
}

/// Where the directories of `RUN --mount=type=cache` are saved, for builds that find nothing of
/// earlier ones on their machine.
#[derive(Debug, Clone)]
pub struct MountCacheConfig {
    /// Where they are looked for, in order.
    pub from: Vec<CacheLocation>,
    /// Where they are saved.
    pub to: Vec<CacheLocation>,
    /// Bytes of files in one directory; a larger one is neither saved nor restored.
    pub limit: u64,
}

impl Default for MountCacheConfig {
    fn default() -> Self {
        // A hosted CI cache has room for a few of them (10 GiB a repository on GitHub).
        MountCacheConfig { from: Vec::new(), to: Vec::new(), limit: 4 << 30 }
    }
}

/// A directory with base images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseDirectory {
    /// The directory.
    pub path: PathBuf,
    /// Whether it is made, and images are kept there.
    pub write: bool,
}

/// Where results of steps are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheLocation {
    /// A repository; the tag counts for nothing.
    Registry(Reference),
    /// An image that holds the records of its layers; only read.
    Image(Reference),
    /// A directory, which is an OCI layout and a little more.
    Directory(PathBuf),
}

impl std::fmt::Display for CacheLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CacheLocation::Registry(r) => write!(f, "{}/{}", r.registry(), r.repository()),
            CacheLocation::Image(image) => write!(f, "of the image {image}"),
            CacheLocation::Directory(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Where results of steps are kept, and of which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheExport {
    /// The place.
    pub location: CacheLocation,
    /// Of which steps.
    pub mode: CacheMode,
}

/// The steps whose results are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMode {
    /// Those whose layers are in the image.
    Min,
    /// All.
    Max,
}
