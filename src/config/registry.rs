//! How registries are spoken to.

use std::path::PathBuf;

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
    /// Registries (`host[:port]`) with a PEM file of CA roots that are trusted there too.
    pub certificates: Vec<(String, PathBuf)>,
    /// What is shown to registries that ask who connects.
    pub client_certificates: Vec<ClientCertificate>,
    /// Additional attempts for each push request beyond the client's own.
    pub push_retry: u32,
    /// Additional attempts for each download beyond the client's own.
    pub download_retry: u32,
    /// Additional attempts to unpack the layers of a base image.
    pub extract_retry: u32,
    /// Skip the check of push rights before the build.
    pub skip_push_permission_check: bool,
    /// Count a tag that exists and cannot be moved as pushed.
    pub ignore_immutable_tags: bool,
    /// Where images are pulled from before their own registry is asked, in this order.
    pub mirrors: Vec<Mirror>,
    /// Do not ask the image's own registry where it has a mirror.
    pub mirrors_only: bool,
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
            certificates: Vec::new(),
            client_certificates: Vec::new(),
            push_retry: 0,
            download_retry: 0,
            extract_retry: 0,
            skip_push_permission_check: false,
            ignore_immutable_tags: false,
            mirrors: Vec::new(),
            mirrors_only: false,
            user_agent: concat!("yadokari/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A certificate that a registry checks (mutual TLS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The registry, `host[:port]`.
    pub registry: String,
    /// PEM file with the certificate, and those between it and its CA.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
}

/// Another place that has the images of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The registry, `host[:port]`; each of Docker Hub's names means all of them.
    pub of: String,
    /// The mirror, `host[:port]`.
    pub host: String,
    /// What stands before the repository there, with a slash at its end; often empty.
    pub prefix: String,
}
