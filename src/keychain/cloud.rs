//! Identities of clouds: for their own registries, and in the place of helper programs that are not
//! there.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Keychain, KeychainError, Secret, program};
use crate::cloud::Login;
use crate::config::CloudRegistry;

/// Helper programs whose part can be played without them.
const PLAYED: [(&str, CloudRegistry); 6] = [
    ("docker-credential-ecr-login", CloudRegistry::Ecr),
    ("docker-credential-ecr", CloudRegistry::Ecr),
    ("docker-credential-gcr", CloudRegistry::Google),
    ("docker-credential-gcloud", CloudRegistry::Google),
    ("docker-credential-acr-env", CloudRegistry::Acr),
    ("docker-credential-acr", CloudRegistry::Acr),
];

impl From<Login> for Secret {
    fn from(login: Login) -> Self {
        match login.username {
            Some(username) => Secret::Basic { username, password: login.secret },
            None => Secret::Identity(login.secret),
        }
    }
}

/// A source's name, its secret, and when to ask again.
type Asked = (String, Secret, Option<Instant>);

impl Keychain {
    /// What a cloud's registry is shown without anybody having named it. Where the cloud says no,
    /// the registry is tried without credentials: what is wanted of it may be public.
    pub(super) fn cloud(&self, cloud: CloudRegistry, registry: &str) -> Option<Login> {
        match self.login(cloud, registry, false) {
            Ok(login) => login,
            Err(error) => {
                let text = format!("no credentials for {registry} by its cloud: {error}");
                if error.is_absence() {
                    self.inner.events.debug(text)
                } else {
                    self.inner.events.warn(text)
                }
                None
            }
        }
    }

    /// Asks a helper program, once for a server; plays its part where it is missing and that can
    /// be done.
    pub(super) fn ask(
        &self,
        source: &str,
        program: &str,
        server: &str,
        specific: bool,
    ) -> Result<Option<Asked>, KeychainError> {
        let named = |secret: Secret| (format!("{program}, named in {source}"), secret, None);
        let key = (program.to_owned(), server.to_owned());
        let mut known = self.inner.helper_answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.get(&key) {
            return Ok(answer.clone().map(named));
        }
        let sealed = || KeychainError::Sealed { program: program.to_owned(), server: server.to_owned() };
        let played = PLAYED.iter().find(|(name, _)| *name == program).map(|(_, cloud)| *cloud);
        if self.inner.sealed.load(Ordering::SeqCst) {
            return match played.filter(|cloud| self.was_asked(*cloud, server)) {
                Some(cloud) => self.play(cloud, source, program, server, specific),
                None => Err(sealed()),
            };
        }
        match program::ask(source, program, server, &self.inner.withheld, program::TIME_LIMIT) {
            Ok(answer) => {
                known.insert(key, answer.clone());
                Ok(answer.map(named))
            }
            Err(missing @ KeychainError::HelperMissing { .. }) => match played {
                Some(cloud) => self.play(cloud, source, program, server, specific),
                None => Err(missing),
            },
            Err(error) => Err(error),
        }
    }

    fn play(
        &self,
        cloud: CloudRegistry,
        source: &str,
        program: &str,
        server: &str,
        specific: bool,
    ) -> Result<Option<Asked>, KeychainError> {
        let login = self.login(cloud, server, specific).map_err(|error| KeychainError::Cloud {
            name: source.to_owned(),
            program: program.to_owned(),
            server: server.to_owned(),
            source: Box::new(error),
        })?;
        Ok(login.map(|login| {
            let name = format!("{} ({program}, named in {source})", login.source);
            let until = login.until;
            (name, login.into(), Some(until))
        }))
    }

    fn was_asked(&self, cloud: CloudRegistry, registry: &str) -> bool {
        let logins = self.inner.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.contains_key(&(cloud, registry.to_owned()))
    }

    /// A cloud's answer, from memory while it is good. One that cannot be renewed is used to its
    /// end; a refusal stays.
    fn login(
        &self,
        cloud: CloudRegistry,
        registry: &str,
        certain: bool,
    ) -> Result<Option<Login>, crate::cloud::CloudError> {
        let mut logins = self.inner.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (cloud, registry.to_owned());
        let before = match logins.get(&key) {
            Some(Some(login)) if login.until > Instant::now() => return Ok(Some(login.clone())),
            Some(Some(login)) => Some(login.clone()),
            Some(None) => return Ok(None),
            None if self.inner.sealed.load(Ordering::SeqCst) => return Ok(None),
            None => None,
        };
        match self.inner.clouds.login(cloud, registry, certain) {
            None => Ok(None),
            Some(Ok(login)) => {
                logins.insert(key, Some(login.clone()));
                Ok(Some(login))
            }
            Some(Err(error)) => match before {
                Some(login) => {
                    self.inner.events.warn(format!("credentials for {registry} cannot be renewed: {error}"));
                    Ok(Some(login))
                }
                None => {
                    logins.insert(key, None);
                    Err(error)
                }
            },
        }
    }
}
