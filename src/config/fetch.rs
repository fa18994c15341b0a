//! How files and repositories are fetched.

use std::time::Duration;

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
