//! Credentials of registries, from docker's `config.json` in all its places.
//!
//! Files are read once, when the keychain is made, and helper programs are asked at most once
//! for a registry: later the container's root may be an image's, where the same paths mean
//! other files and the same names other programs.

mod config_file;
mod credential;
mod error;
mod program;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use credential::{Credential, Secret};
pub use error::KeychainError;

use crate::config::{CredentialLocation, KeychainConfig};
use crate::event::Events;
use crate::image::Reference;
use config_file::{ConfigFile, Found};

/// Host names that all mean Docker Hub.
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
/// The key under which `docker login` stores Docker Hub's credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Credentials of registries; cheap to clone.
#[derive(Clone)]
pub struct Keychain {
    inner: Arc<Inner>,
}

struct Inner {
    sources: Vec<Source>,
    files: Vec<PathBuf>,
    events: Events,
    answers: Mutex<HashMap<(String, String), Option<Credential>>>,
    helper_answers: Mutex<HashMap<(String, String), Option<Secret>>>,
    sealed: AtomicBool,
}

struct Source {
    name: String,
    content: Content,
}

enum Content {
    Config(ConfigFile),
    Basic { registry: String, username: String, password: String },
}

impl std::fmt::Debug for Keychain {
    /// Names of the sources only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.inner.sources.iter().map(|s| &s.name)).finish()
    }
}

impl Keychain {
    /// Reads every source. A file that does not exist is skipped; one that this user may not
    /// read is skipped with a warning.
    ///
    /// # Errors
    /// A source cannot be read or is not what it should be.
    pub fn new(config: &KeychainConfig, events: Events) -> Result<Self, KeychainError> {
        let mut sources = Vec::new();
        let mut files = Vec::new();
        for source in &config.sources {
            let content = match &source.location {
                CredentialLocation::File(path) => match config_file::read(&source.name, path)? {
                    config_file::Read::Text(text) => {
                        files.push(path.clone());
                        Content::Config(ConfigFile::parse(&source.name, &text)?)
                    }
                    config_file::Read::Missing => continue,
                    config_file::Read::Forbidden => {
                        files.push(path.clone());
                        events.warn(format!(
                            "credentials in {} are not used: this user may not read the file",
                            source.name
                        ));
                        continue;
                    }
                },
                CredentialLocation::Inline(text) => {
                    Content::Config(ConfigFile::parse(&source.name, text.as_bytes())?)
                }
                CredentialLocation::Basic { registry, username, password } => Content::Basic {
                    registry: host_of(registry).to_owned(),
                    username: username.clone(),
                    password: password.clone(),
                },
            };
            sources.push(Source { name: source.name.clone(), content });
        }
        Ok(Keychain {
            inner: Arc::new(Inner {
                sources,
                files,
                events,
                answers: Mutex::default(),
                helper_answers: Mutex::default(),
                sealed: AtomicBool::new(false),
            }),
        })
    }

    /// The credential files that exist, in the order of their sources.
    pub fn files(&self) -> Vec<PathBuf> {
        self.inner.files.clone()
    }

    /// Resolves the credentials of these references now, so that [`seal`](Keychain::seal) can
    /// follow.
    ///
    /// # Errors
    /// As [`resolve`](Keychain::resolve).
    pub fn prefetch<'a>(
        &self,
        references: impl IntoIterator<Item = &'a Reference>,
    ) -> Result<(), KeychainError> {
        for reference in references {
            self.resolve(reference.registry(), reference.repository())?;
        }
        Ok(())
    }

    /// From now on no helper program runs: the root may be an image's, and its programs with it.
    pub fn seal(&self) {
        self.inner.sealed.store(true, Ordering::SeqCst);
    }

    /// The credential for a repository, from the first source that has one; none means anonymous.
    /// May run a helper program, for up to 30 seconds; asked again it answers from memory.
    ///
    /// # Errors
    /// An entry that matches cannot be used, or a helper program fails or is missing.
    pub fn resolve(&self, registry: &str, repository: &str) -> Result<Option<Credential>, KeychainError> {
        let key = (registry.to_owned(), repository.to_owned());
        // Held throughout, so that two threads never start the same helper twice.
        let mut answers = self.inner.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers.get(&key) {
            return Ok(known.clone());
        }
        let found = self.find(registry, repository)?;
        match &found {
            Some(credential) => self
                .inner
                .events
                .info(format!("credentials for {registry}/{repository}: {}", credential.source)),
            None => self.inner.events.debug(format!("no credentials for {registry}/{repository}")),
        }
        answers.insert(key, found.clone());
        Ok(found)
    }

    /// What [`resolve`](Keychain::resolve) answered before; none if it was not asked, or is busy.
    /// Never waits.
    pub fn known(&self, registry: &str, repository: &str) -> Option<Option<Credential>> {
        let key = (registry.to_owned(), repository.to_owned());
        self.inner.answers.try_lock().ok()?.get(&key).cloned()
    }

    fn find(&self, registry: &str, repository: &str) -> Result<Option<Credential>, KeychainError> {
        for source in &self.inner.sources {
            let secret = match &source.content {
                Content::Basic { registry: host, username, password } => same_host(host, registry)
                    .then(|| Secret::Basic { username: username.clone(), password: password.clone() }),
                Content::Config(file) => match file.find(&source.name, registry, repository)? {
                    Found::Secret(secret) => Some(secret),
                    Found::Helper { program, server } => {
                        if let Some(secret) = self.ask(&source.name, &program, &server)? {
                            let source = format!("{program}, named in {}", source.name);
                            return Ok(Some(Credential { source, secret }));
                        }
                        None
                    }
                    Found::Nothing => None,
                },
            };
            if let Some(secret) = secret {
                return Ok(Some(Credential { source: source.name.clone(), secret }));
            }
        }
        Ok(None)
    }

    /// Asks a helper program, once for a server.
    fn ask(&self, source: &str, program: &str, server: &str) -> Result<Option<Secret>, KeychainError> {
        let key = (program.to_owned(), server.to_owned());
        let mut known = self.inner.helper_answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.get(&key) {
            return Ok(answer.clone());
        }
        if self.inner.sealed.load(Ordering::SeqCst) {
            return Err(KeychainError::Sealed { program: program.to_owned(), server: server.to_owned() });
        }
        let answer = program::ask(source, program, server, program::TIME_LIMIT)?;
        known.insert(key, answer.clone());
        Ok(answer)
    }
}

/// Whether two names mean the same registry.
fn same_host(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (is_hub(a) && is_hub(b))
}

fn is_hub(host: &str) -> bool {
    HUB_HOSTS.iter().any(|hub| hub.eq_ignore_ascii_case(host))
}

/// The host, with its port, of a registry that may be written as a URL.
fn host_of(text: &str) -> &str {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    rest.split('/').next().unwrap_or(rest)
}
