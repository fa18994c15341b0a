//! Where credentials of registries are looked for.

use std::path::PathBuf;

use super::{CloudConfig, CloudRegistry};

/// Where credentials of registries are looked for: each source in order, first match wins.
#[derive(Clone, Default)]
pub struct KeychainConfig {
    /// The sources.
    pub sources: Vec<CredentialSource>,
    /// What identities of clouds are found by.
    pub clouds: CloudConfig,
    /// Names of variables of our environment that helper programs do not get.
    pub withheld: Vec<String>,
}

impl std::fmt::Debug for KeychainConfig {
    /// Names of the sources only: an inline source holds secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|s| &s.name)).finish()
    }
}

/// One place with credentials.
#[derive(Clone)]
pub struct CredentialSource {
    /// What logs call it: a path or the name of a variable.
    pub name: String,
    /// The place.
    pub location: CredentialLocation,
}

/// What a [`CredentialSource`] is.
#[derive(Clone)]
pub enum CredentialLocation {
    /// A file in the format of docker's `config.json`; a missing one is skipped.
    File(PathBuf),
    /// The JSON text itself, such as `DOCKER_AUTH_CONFIG`.
    Inline(String),
    /// A user name and a password for registries whose names, or the ends of them after a dot, are
    /// this in upper case with `_` for everything else than letters and digits (kaniko's
    /// `KANIKO_<HOST>_USER` and `KANIKO_<HOST>_PASSWORD`).
    Named {
        /// Such as `REGISTRY_EXAMPLE_COM`, or `EXAMPLE_COM` for all hosts below it.
        host: String,
        /// User name.
        username: String,
        /// Password or token.
        password: String,
    },
    /// A cloud's identity, for that cloud's registries.
    Cloud(CloudRegistry),
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
