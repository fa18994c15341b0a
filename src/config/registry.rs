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
