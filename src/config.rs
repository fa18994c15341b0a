//! What is wanted ([`BuildConfig`]) and what came out ([`BuildOutcome`]): the border between
//! the core and whoever faces a user or a CI platform.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::image::{Descriptor, Digest, MediaType, Platform, Reference};

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
    /// Values of `ARG`s, in the order given; the last of a name wins.
    pub build_args: Vec<(String, String)>,
    /// Stage to build, by name or number; the last one if absent.
    pub target: Option<String>,
    /// Target platform; the host's if absent. No emulation: it selects base manifests and
    /// stamps the config.
    pub platform: Option<Platform>,
    /// Labels added to the final image; they win over the Dockerfile's, as BuildKit's do.
    pub labels: Vec<(String, String)>,
    /// Annotations of the image manifest.
    pub annotations: Vec<(String, String)>,
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

/// How much of the modes of context files counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContextModes {
    /// All of it, as it is on disk.
    #[default]
    Disk,
    /// What git keeps: 0755 for directories and executable files, 0644 for others. Checkouts with
    /// different umasks are then the same, in layers and in keys.
    Git,
}

/// Where the results of steps are looked up and kept, and which.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// Where results are looked up, in order.
    pub from: Vec<CacheLocation>,
    /// Where results are kept.
    pub to: Vec<CacheExport>,
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
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            from: Vec::new(),
            to: Vec::new(),
            bases: None,
            // kaniko's --cache-ttl
            ttl: Duration::from_secs(14 * 24 * 3600),
            copy_layers: true,
            run_layers: true,
            read: true,
            no_cache_stages: Vec::new(),
            scope: String::new(),
            explain: false,
        }
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
    /// A directory, which is an OCI layout and a little more.
    Directory(PathBuf),
}

impl std::fmt::Display for CacheLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CacheLocation::Registry(r) => write!(f, "{}/{}", r.registry(), r.repository()),
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

/// Where a build context comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextSource {
    /// A directory, also written `dir://`; a tar archive if a file is there.
    Directory(PathBuf),
    /// A tar archive on disk, compressed or not: `tar://`.
    Archive(PathBuf),
    /// A tar archive on standard input: `tar://stdin`, `-`.
    Stdin,
    /// A tar archive of a web server.
    Url(String),
    /// A git repository.
    Git(GitContext),
    /// No context: the Dockerfile copies nothing from it.
    Empty,
}

/// A git repository as a build context.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GitContext {
    /// The repository as `git` takes it, and after it what is wanted of it: BuildKit's
    /// `#ref:subdir` and `?query`, or kaniko's `#ref#commit`.
    pub url: String,
    /// Whether it is kaniko's `git://`: history and `.git` come along, submodules do not.
    pub clone: bool,
    /// A branch or tag; wins over the one in the URL.
    pub branch: Option<String>,
    /// With `clone`, only that branch's history.
    pub single_branch: bool,
    /// With `clone`, at most this many commits.
    pub depth: Option<u32>,
    /// Whether submodules come along, if anybody said.
    pub submodules: Option<bool>,
    /// Whether `.git` comes along, if anybody said.
    pub keep_git_dir: Option<bool>,
    /// Check no certificate.
    pub skip_tls_verify: bool,
}

/// What a `--build-context name=…` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory of files.
    Directory(PathBuf),
    /// An image in an OCI layout on disk: `oci-layout://path[:tag][@digest]`.
    OciLayout {
        /// The layout's directory.
        path: PathBuf,
        /// `org.opencontainers.image.ref.name` of the wanted manifest.
        tag: Option<String>,
        /// Digest of the wanted manifest.
        digest: Option<Digest>,
    },
    /// Another image of a registry: `docker-image://ref`.
    Image(Reference),
    /// An image in an archive of `docker save`: `docker-archive:path[:name]`.
    DockerArchive {
        /// The archive.
        path: PathBuf,
        /// The image's name in it; the only one if absent.
        name: Option<String>,
    },
    /// An image in an archive of an OCI layout: `oci-archive:path[:tag]`.
    OciArchive {
        /// The archive.
        path: PathBuf,
        /// `org.opencontainers.image.ref.name` of the wanted manifest.
        tag: Option<String>,
    },
    /// Files elsewhere: a git repository, or an archive of a web server.
    Remote(String),
}

/// Family of media types of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// `application/vnd.oci.image.*`
    Oci,
    /// `application/vnd.docker.*` schema 2
    Docker,
}

/// Compression of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Gzip, one member for each MiB of tar.
    Gzip,
    /// Zstandard; OCI media types only.
    Zstd,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressionConfig {
    /// The format.
    pub algorithm: Compression,
    /// The format's level; its fastest sensible one if absent.
    pub level: Option<u32>,
    /// One gzip member a layer, for readers that stop after the first.
    pub single_member: bool,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        CompressionConfig { algorithm: Compression::Gzip, level: None, single_member: false }
    }
}

/// How a step's root filesystem is provided.
#[derive(Debug, Clone)]
pub struct RootfsConfig {
    /// The placement to use.
    pub isolation: Isolation,
    /// What to do when a path of the image lies at or below a mounted volume.
    pub mount_conflict: MountConflict,
    /// Fail where credential files cannot be hidden from a step.
    pub require_hidden_credentials: bool,
    /// Build in place outside a container too (kaniko's `--force`).
    pub force: bool,
    /// Holds overlay uppers, unpacked bases of overlay, and packed layers.
    pub work_dir: PathBuf,
    /// Root of the in-place machinery; `/yadokari`. In-place trees live below it.
    pub home_dir: PathBuf,
}

/// What commands are given besides the image's files.
#[derive(Debug, Clone, Default)]
pub struct StepsConfig {
    /// Secrets by name; of two the later counts.
    pub secrets: Vec<StepSecret>,
    /// SSH agents by name; of two the later counts.
    pub agents: Vec<StepAgent>,
    /// Network of commands that name none.
    pub network: StepNetwork,
    /// Host name of commands; one of ours if absent.
    pub hostname: Option<String>,
    /// Lines of their `/etc/hosts`: an address and a name each.
    pub hosts: Vec<(String, String)>,
    /// Directory of what `RUN --mount=type=cache` keeps; `caches` below the work directory if absent.
    pub caches: Option<PathBuf>,
}

/// Network of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepNetwork {
    /// The builder's.
    #[default]
    Builder,
    /// None but a loopback device.
    None,
}

/// A secret for `RUN --mount=type=secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSecret {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub source: SecretSource,
}

/// Where a [`StepSecret`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, read when the build starts.
    File(PathBuf),
    /// Here.
    Value(SecretBytes),
}

/// Bytes that no log shows.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SecretBytes(pub Vec<u8>);

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("****")
    }
}

/// An SSH agent for `RUN --mount=type=ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepAgent {
    /// Its name.
    pub id: String,
    /// Its socket.
    pub socket: PathBuf,
}

/// The wanted placement of root filesystems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The fastest that works here.
    Auto,
    /// An overlay in a mount namespace.
    Overlay,
    /// A plain tree in a mount namespace.
    Chroot,
    /// The container's own root.
    Inplace,
}

/// What to do about an image path at or below a mounted volume when building in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountConflict {
    /// Swap the volume's own children aside while a stage is entered.
    Swap,
    /// Refuse to build.
    Error,
}

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Plain HTTP for pushes to every registry.
    pub insecure: bool,
    /// Plain HTTP for pulls from every registry.
    pub insecure_pull: bool,
    /// Registries (`host[:port]`) spoken to in plain HTTP.
    pub insecure_registries: Vec<String>,
    /// No certificate checks when pushing.
    pub skip_tls_verify: bool,
    /// No certificate checks when pulling.
    pub skip_tls_verify_pull: bool,
    /// Registries (`host[:port]`) whose certificates are not checked.
    pub skip_tls_verify_registries: Vec<String>,
    /// Additional PEM files, or directories of them, with CA roots.
    pub ca_paths: Vec<PathBuf>,
    /// Additional attempts for each push request beyond the client's own.
    pub push_retry: u32,
    /// Additional attempts for each download beyond the client's own.
    pub download_retry: u32,
    /// Skip the check of push rights before the build.
    pub skip_push_permission_check: bool,
    /// `User-Agent` header.
    pub user_agent: String,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        RegistryConfig {
            insecure: false,
            insecure_pull: false,
            insecure_registries: Vec::new(),
            skip_tls_verify: false,
            skip_tls_verify_pull: false,
            skip_tls_verify_registries: Vec::new(),
            ca_paths: Vec::new(),
            push_retry: 0,
            download_retry: 0,
            skip_push_permission_check: false,
            user_agent: concat!("yadokari/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Where credentials of registries are looked for: each source in order, first match wins.
#[derive(Clone, Default)]
pub struct KeychainConfig {
    /// The sources.
    pub sources: Vec<CredentialSource>,
}

impl std::fmt::Debug for KeychainConfig {
    /// Names of the sources only: an inline source holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|s| &s.name)).finish()
    }
}

/// One place with credentials in the format of docker's `config.json`.
#[derive(Clone)]
pub struct CredentialSource {
    /// What logs call it: a path or the name of a variable.
    pub name: String,
    /// The place.
    pub location: CredentialLocation,
}

/// Where the `config.json` of a [`CredentialSource`] is.
#[derive(Clone)]
pub enum CredentialLocation {
    /// A file; a missing one is skipped.
    File(PathBuf),
    /// The JSON text itself, such as `DOCKER_AUTH_CONFIG`.
    Inline(String),
    /// A user name and a password for one registry host.
    Basic {
        /// `host[:port]`
        registry: String,
        /// User name.
        username: String,
        /// Password or token.
        password: String,
    },
}

/// How files of web servers and git repositories are fetched.
#[derive(Clone)]
pub struct FetchConfig {
    /// Most bytes of one file.
    pub max_size: u64,
    /// Longest time one repository may take.
    pub git_time_limit: Duration,
    /// `Authorization` headers for hosts of files.
    pub http_authorizations: Vec<HttpAuthorization>,
    /// Credentials for hosts of repositories.
    pub git_credentials: Vec<GitCredential>,
    /// The environment that `git` runs in: `PATH`, proxies, an ssh agent; nothing secret.
    pub git_environment: Vec<(String, String)>,
}

impl Default for FetchConfig {
    fn default() -> Self {
        FetchConfig {
            max_size: 16 << 30,
            git_time_limit: Duration::from_secs(30 * 60),
            http_authorizations: Vec::new(),
            git_credentials: Vec::new(),
            git_environment: Vec::new(),
        }
    }
}

impl std::fmt::Debug for FetchConfig {
    /// Without secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchConfig").field("max_size", &self.max_size).finish_non_exhaustive()
    }
}

/// The `Authorization` header for a host.
#[derive(Clone)]
pub struct HttpAuthorization {
    /// The host, without a port.
    pub host: String,
    /// The header's value.
    pub value: String,
}

/// How a git server is told who we are.
#[derive(Clone)]
pub struct GitCredential {
    /// `host[:port]`; absent for every host.
    pub host: Option<String>,
    /// What it is shown.
    pub secret: GitSecret,
}

/// What a git server is shown.
#[derive(Clone)]
pub enum GitSecret {
    /// A user name and a password or token.
    Basic {
        /// User name.
        username: String,
        /// Password or token.
        password: String,
    },
    /// A whole `Authorization` header.
    Header(String),
}

/// What a build made.
#[derive(Debug, Clone)]
pub struct BuildOutcome {
    /// Digest of the image manifest.
    pub digest: Digest,
    /// Media type of the image manifest.
    pub media_type: MediaType,
    /// Size of the manifest in bytes.
    pub manifest_size: u64,
    /// Digest of the image config, docker's image id.
    pub config_digest: Digest,
    /// The image's platform.
    pub platform: Platform,
    /// The destinations pushed to, in order; empty when nothing was pushed.
    pub pushed: Vec<Reference>,
    /// The layers from the bottom, the base's first.
    pub layers: Vec<LayerOutcome>,
    /// The steps of the target and of what it needs, in the order of the Dockerfile.
    pub steps: Vec<StepOutcome>,
    /// What the cache did; absent where there is none.
    pub cache: Option<CacheOutcome>,
    /// Wall time of the build.
    pub duration: Duration,
}

/// What the cache did for a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheOutcome {
    /// Steps that were not carried out, because their results were known or nobody needed them.
    pub hits: usize,
    /// Steps that were carried out.
    pub misses: usize,
    /// Compressed bytes of layers that were not made again.
    pub bytes_saved: u64,
    /// How long the steps took when they were carried out.
    pub time_saved: Duration,
}

impl BuildOutcome {
    /// Compressed size of all layers in bytes.
    pub fn compressed_size(&self) -> u64 {
        self.layers.iter().map(|l| l.descriptor.size).sum()
    }
}

/// One layer of the result.
#[derive(Debug, Clone)]
pub struct LayerOutcome {
    /// Digest, compressed size and media type.
    pub descriptor: Descriptor,
    /// The history entry's `created_by`.
    pub created_by: String,
    /// Whether it comes from the base image.
    pub from_base: bool,
}

/// One step that was carried out.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// The stage's name, or its number.
    pub stage: String,
    /// The instruction as written.
    pub instruction: String,
    /// Wall time, waiting for other stages left out.
    pub duration: Duration,
    /// Whether its result was known.
    pub cached: bool,
}
