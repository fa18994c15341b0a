//! Where credentials of registries are looked for.

use std::path::PathBuf;

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
