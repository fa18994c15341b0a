//! Credentials of registries, from docker's `config.json` in all its places, from variables, and by
//! the identities of clouds.
//!
//! Helper programs are asked at most once for a registry: later the container's root may be an
//! image's, where the same names mean other programs. Files are read again when they may have
//! changed, as long as no step can have written them; passing identities are renewed.

mod cloud;
mod config_file;
mod credential;
mod error;
mod program;
mod source;
mod store;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use credential::{Credential, Secret};
pub use error::KeychainError;
pub use store::{erase, store};

use crate::cloud::{Clouds, Login};
use crate::config::{CloudRegistry, KeychainConfig};
use crate::event::Events;
use crate::image::Reference;
use config_file::Found;
use source::{Content, Source};

/// Host names that all mean Docker Hub.
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
/// The key under which `docker login` stores Docker Hub's credentials.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// How long an answer out of files counts before they are looked at again. Reading one costs less
/// than any request that its content is for.
const FILES_COUNT: Duration = Duration::from_secs(1);

/// Credentials of registries; cheap to clone.
#[derive(Clone)]
pub struct Keychain {
    inner: Arc<Inner>,
}

struct Inner {
    sources: Vec<Source>,
    files: Vec<PathBuf>,
    clouds: Clouds,
    withheld: Vec<String>,
    events: Events,
    answers: Mutex<HashMap<(String, String), Answer>>,
    helper_answers: Mutex<HashMap<(String, String), Option<Secret>>>,
    logins: Mutex<HashMap<(CloudRegistry, String), Option<Login>>>,
    sealed: AtomicBool,
}

/// What was found for a repository.
#[derive(Clone)]
struct Answer {
    credential: Option<Credential>,
    /// When to look again.
    until: Option<Instant>,
}

impl Answer {
    fn counts(&self) -> bool {
        self.until.is_none_or(|until| until > Instant::now())
    }
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
    pub fn new(config: &KeychainConfig, clouds: Clouds, events: Events) -> Result<Self, KeychainError> {
        let mut sources = Vec::new();
        let mut files = Vec::new();
        for source in &config.sources {
            let read = Source::read(source, clouds.files(), &events)?;
            files.extend(read.file);
            sources.extend(read.source);
        }
        files.extend(clouds.secret_files());
        Ok(Keychain {
            inner: Arc::new(Inner {
                sources,
                files,
                clouds,
                withheld: config.withheld.clone(),
                events,
                answers: Mutex::default(),
                helper_answers: Mutex::default(),
                logins: Mutex::default(),
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

    /// From now on no helper program runs, and no cloud is asked that was not asked before: the
    /// root may be an image's, and its programs and CA roots with it.
    pub fn seal(&self) {
        self.inner.sealed.store(true, Ordering::SeqCst);
    }

    /// From now on steps may write to files of the container: only those on read-only mounts are
    /// read again.
    pub fn freeze_files(&self) {
        self.inner.clouds.files().freeze();
    }

    /// The credential for a repository, from the first source that has one; none means anonymous.
    /// May run a helper program, for up to 30 seconds, or ask a cloud; asked again it answers from
    /// memory until that may be out of date.
    ///
    /// # Errors
    /// An entry that matches cannot be used, or a helper program fails or is missing.
    pub fn resolve(&self, registry: &str, repository: &str) -> Result<Option<Credential>, KeychainError> {
        let key = (registry.to_owned(), repository.to_owned());
        // Held throughout, so that two threads never start the same helper twice.
        let mut answers = self.inner.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = answers.get(&key);
        if let Some(known) = before.filter(|known| known.counts()) {
            return Ok(known.credential.clone());
        }
        let found = self.find(registry, repository)?;
        let news = before.is_none_or(|before| before.credential != found.credential);
        match &found.credential {
            _ if !news => {}
            Some(credential) => self
                .inner
                .events
                .info(format!("credentials for {registry}/{repository}: {}", credential.source)),
            None => self.inner.events.debug(format!("no credentials for {registry}/{repository}")),
        }
        answers.insert(key, found.clone());
        Ok(found.credential)
    }

    /// What [`resolve`](Keychain::resolve) answered before, if that still counts; none if it was
    /// not asked, or is busy. Never waits.
    pub fn known(&self, registry: &str, repository: &str) -> Option<Option<Credential>> {
        let key = (registry.to_owned(), repository.to_owned());
        let answers = self.inner.answers.try_lock().ok()?;
        answers.get(&key).filter(|known| known.counts()).map(|known| known.credential.clone())
    }

    fn find(&self, registry: &str, repository: &str) -> Result<Answer, KeychainError> {
        let mut until = None;
        let found = |source: &str, secret, until| {
            let credential = Some(Credential { source: source.to_owned(), secret });
            Ok(Answer { credential, until })
        };
        for source in &self.inner.sources {
            let secret = match &source.content {
                Content::Basic { registry: host, username, password } => same_host(host, registry)
                    .then(|| Secret::Basic { username: username.clone(), password: password.clone() }),
                Content::Named { host, username, password } => source::is_named(host, registry)
                    .then(|| Secret::Basic { username: username.clone(), password: password.clone() }),
                Content::Cloud(cloud) => match self.cloud(*cloud, registry) {
                    Some(login) => {
                        let soonest = until.map_or(login.until, |until: Instant| until.min(login.until));
                        return found(&login.source.clone(), login.into(), Some(soonest));
                    }
                    None => None,
                },
                Content::Config(file) => {
                    if file.may_change() {
                        until.get_or_insert_with(|| Instant::now() + FILES_COUNT);
                    }
                    let file = file.now(&source.name, self.inner.clouds.files(), &self.inner.events);
                    match file.find(&source.name, registry, repository)? {
                        Found::Secret(secret) => Some(secret),
                        Found::Helper { program, server, specific } => {
                            let asked = self.ask(&source.name, &program, &server, specific)?;
                            if let Some((name, secret, end)) = asked {
                                let end = [until, end].into_iter().flatten().min();
                                return found(&name, secret, end);
                            }
                            None
                        }
                        Found::Nothing => None,
                    }
                }
            };
            if let Some(secret) = secret {
                return found(&source.name, secret, until);
            }
        }
        Ok(Answer { credential: None, until })
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
