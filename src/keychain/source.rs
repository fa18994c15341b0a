//! The sources of a keychain, as they are asked.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::config_file::ConfigFile;
use super::{HUB_HOSTS, KeychainError, host_of, is_hub};
use crate::cloud::Files;
use crate::config::{CloudRegistry, CredentialLocation, CredentialSource};
use crate::event::Events;

/// One source.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) content: Content,
}

/// What a source has.
pub(super) enum Content {
    Config(Config),
    Basic { registry: String, username: String, password: String },
    Named { host: String, username: String, password: String },
    Cloud(CloudRegistry),
}

/// What came of reading a source.
pub(super) struct Read {
    pub(super) source: Option<Source>,
    /// The file, if it is one and exists.
    pub(super) file: Option<PathBuf>,
}

impl Source {
    /// Reads a source.
    pub(super) fn read(
        source: &CredentialSource,
        files: &Files,
        events: &Events,
    ) -> Result<Read, KeychainError> {
        let name = source.name.clone();
        let mut file = None;
        let content = match &source.location {
            CredentialLocation::File(path) => {
                let bytes = match files.read(path) {
                    Ok(bytes) => bytes,
                    Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                        return Ok(Read { source: None, file });
                    }
                    Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                        events.warn(format!(
                            "credentials in {name} are not used: this user may not read the file"
                        ));
                        return Ok(Read { source: None, file: Some(path.clone()) });
                    }
                    Err(source) => return Err(KeychainError::Read { name, source }),
                };
                file = Some(path.clone());
                Content::Config(Config::of_file(&name, path.clone(), bytes)?)
            }
            CredentialLocation::Inline(text) => Content::Config(Config::of_text(&name, text)?),
            CredentialLocation::Basic { registry, username, password } => Content::Basic {
                registry: host_of(registry).to_owned(),
                username: username.clone(),
                password: password.clone(),
            },
            CredentialLocation::Named { host, username, password } => {
                Content::Named { host: host.clone(), username: username.clone(), password: password.clone() }
            }
            CredentialLocation::Cloud(cloud) => Content::Cloud(*cloud),
        };
        Ok(Read { source: Some(Source { name, content }), file })
    }
}

/// A `config.json`, read anew when its file changes.
pub(super) struct Config {
    path: Option<PathBuf>,
    last: Mutex<(Vec<u8>, Arc<ConfigFile>)>,
}

impl Config {
    fn of_file(name: &str, path: PathBuf, bytes: Vec<u8>) -> Result<Config, KeychainError> {
        let parsed = Arc::new(ConfigFile::parse(name, &bytes)?);
        Ok(Config { path: Some(path), last: Mutex::new((bytes, parsed)) })
    }

    fn of_text(name: &str, text: &str) -> Result<Config, KeychainError> {
        let parsed = Arc::new(ConfigFile::parse(name, text.as_bytes())?);
        Ok(Config { path: None, last: Mutex::new((Vec::new(), parsed)) })
    }

    /// Whether somebody may write it anew.
    pub(super) fn may_change(&self) -> bool {
        self.path.is_some()
    }

    /// What it says now. One that is half written says what it said before.
    pub(super) fn now(&self, name: &str, files: &Files, events: &Events) -> Arc<ConfigFile> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.path.as_ref().and_then(|path| files.read(path).ok());
        if let Some(bytes) = bytes.filter(|bytes| *bytes != last.0) {
            match ConfigFile::parse(name, &bytes) {
                Ok(parsed) => {
                    events.debug(format!("{name} has changed and is read again"));
                    *last = (bytes, Arc::new(parsed));
                }
                Err(error) => events.debug(format!("{name} has changed and is not used: {error}")),
            }
        }
        last.1.clone()
    }
}

/// Whether `KANIKO_<host>_USER` is about a registry: about its whole name, or about an end of it
/// that begins after a dot (kaniko's fork, `env_keychain.go`).
pub(super) fn is_named(host: &str, registry: &str) -> bool {
    // kaniko knows Docker Hub by its longest name, whose ends are its other names.
    let registry = if is_hub(registry) { HUB_HOSTS[1] } else { registry };
    let without_port = registry.rsplit_once(':').map_or(registry, |(name, _)| name);
    [registry, without_port].iter().any(|name| {
        let starts = name.match_indices('.').map(|(at, _)| at + 1);
        std::iter::once(0).chain(starts).any(|start| in_upper_case(&name[start..]) == host)
    })
}

fn in_upper_case(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_variables() {
        for (host, registry, right) in [
            ("REGISTRY_EXAMPLE_COM", "registry.example.com", true),
            ("EXAMPLE_COM", "registry.example.com", true),
            ("COM", "registry.example.com", true),
            ("STRY_EXAMPLE_COM", "registry.example.com", false),
            ("REGISTRY_EXAMPLE", "registry.example.com", false),
            ("MY_REGISTRY_IO", "my-registry.io", true),
            ("REGISTRY_IO", "my-registry.io", false),
            ("LOCALHOST_5000", "localhost:5000", true),
            ("LOCALHOST", "localhost:5000", true),
            ("INDEX_DOCKER_IO", "docker.io", true),
            ("DOCKER_IO", "docker.io", true),
            ("DOCKER_IO", "quay.io", false),
        ] {
            assert_eq!(is_named(host, registry), right, "{host} {registry}");
        }
    }
}
