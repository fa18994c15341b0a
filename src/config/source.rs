//! Where the files of a build come from.

use std::path::PathBuf;

use crate::image::{Digest, Reference};

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
    /// A tar archive in a bucket, by its address: `gs://`, `s3://`, or the URL of a blob of Azure,
    /// which may hold a signature.
    Bucket(String),
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
