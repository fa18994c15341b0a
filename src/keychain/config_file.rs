//! Docker's `config.json`: what it says about one repository.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::{HUB_KEY, KeychainError, Secret, is_hub, same_host};

/// What a file says about a repository.
pub(super) enum Found {
    Secret(Secret),
    Helper {
        program: String,
        server: String,
        /// Whether it is for this registry, and not for all.
        specific: bool,
    },
    Nothing,
}

/// The parts of docker's `config.json` that are about credentials.
#[derive(Default, Deserialize)]
pub(super) struct ConfigFile {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(default, rename = "credsStore")]
    creds_store: Option<String>,
    #[serde(default, rename = "credHelpers")]
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl ConfigFile {
    /// Reads the JSON. An empty text counts as an empty config, as it does for docker.
    pub(super) fn parse(name: &str, text: &[u8]) -> Result<Self, KeychainError> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(ConfigFile::default());
        }
        serde_json::from_slice(text).map_err(|e| KeychainError::Json {
            name: name.to_owned(),
            problem: match e.classify() {
                serde_json::error::Category::Data => "a value has the wrong type",
                serde_json::error::Category::Eof => "the text ends too early",
                _ => "wrong JSON",
            },
            line: e.line(),
            column: e.column(),
        })
    }

    /// The most specific entry decides: the longest path of the repository that has one, the
    /// host last. At each, a helper for it comes before an entry with content; the store that
    /// serves every registry comes last.
    pub(super) fn find(&self, name: &str, registry: &str, repository: &str) -> Result<Found, KeychainError> {
        for scope in scopes(registry, repository) {
            if let Some(helper) = self.helper(&scope) {
                let server = if is_hub(&scope) { HUB_KEY.to_owned() } else { scope };
                return Ok(Found::Helper { program: program(name, helper)?, server, specific: true });
            }
            for (key, entry) in self.auths.iter().flatten().filter(|(key, _)| key_covers(key, &scope)) {
                if let Some(secret) = entry.as_ref().map_or(Ok(None), |e| e.secret(name, key))? {
                    return Ok(Found::Secret(secret));
                }
            }
        }
        match self.creds_store.as_deref() {
            None | Some("") => Ok(Found::Nothing),
            Some(store) => {
                let server = if is_hub(registry) { HUB_KEY } else { registry };
                let (program, server) = (program(name, store)?, server.to_owned());
                Ok(Found::Helper { program, server, specific: false })
            }
        }
    }

    /// The program that keeps the credentials of a host, if there is one.
    pub(super) fn helper_of(&self, name: &str, host: &str) -> Result<Found, KeychainError> {
        let only = ConfigFile {
            auths: None,
            creds_store: self.creds_store.clone(),
            cred_helpers: self.cred_helpers.clone(),
        };
        only.find(name, host, "")
    }

    fn helper(&self, scope: &str) -> Option<&str> {
        let helpers = self.cred_helpers.as_ref()?;
        let (_, helper) = helpers.iter().find(|(key, _)| key_covers(key, scope))?;
        Some(helper.as_str()).filter(|h| !h.is_empty())
    }
}

impl Entry {
    /// The secret, if there is one: `{}` and `"auth": ""` are what `docker login` leaves
    /// behind when it gave the secret to a store.
    fn secret(&self, name: &str, key: &str) -> Result<Option<Secret>, KeychainError> {
        let some = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
        if let Some(token) = some(&self.registrytoken) {
            return Ok(Some(Secret::Registry(token)));
        }
        if let Some(token) = some(&self.identitytoken) {
            return Ok(Some(Secret::Identity(token)));
        }
        if let Some(auth) = some(&self.auth) {
            return decode(name, key, &auth).map(Some);
        }
        match (some(&self.username), some(&self.password)) {
            (Some(username), Some(password)) => Ok(Some(Secret::Basic { username, password })),
            _ => Ok(None),
        }
    }
}

/// Reads base64 of `user:password`.
fn decode(name: &str, key: &str, auth: &str) -> Result<Secret, KeychainError> {
    let wrong = |problem| KeychainError::Entry { name: name.to_owned(), key: key.to_owned(), problem };
    let indifferent = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, indifferent);
    let bytes = engine.decode(auth.trim()).map_err(|_| wrong("'auth' is not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("'auth' is not base64 of UTF-8"))?;
    let (username, password) =
        text.split_once(':').ok_or_else(|| wrong("'auth' is not base64 of user:password"))?;
    // Docker's own encoder pads passwords with NUL bytes, and its decoder strips them.
    let password = password.trim_matches('\0');
    Ok(Secret::Basic { username: username.to_owned(), password: password.to_owned() })
}

/// `host/a/b`, `host/a`, `host` for repository `a/b` (containers-auth.json(5)).
fn scopes(registry: &str, repository: &str) -> Vec<String> {
    let mut scope = format!("{registry}/{repository}");
    let mut all = vec![scope.clone()];
    while let Some(slash) = scope.rfind('/') {
        scope.truncate(slash);
        all.push(scope.clone());
    }
    all
}

/// Whether a key of `auths` or `credHelpers` names this scope. Keys with a scheme name a host
/// whatever follows it, as in docker; `v1` and `v2` are API versions and no repositories.
pub(super) fn key_covers(key: &str, scope: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let key = match bare {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => {
            let key = key.trim_end_matches('/');
            key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
        }
    };
    let split = |text: &str| -> (String, String) {
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        (host.to_owned(), path.to_owned())
    };
    let ((key_host, key_path), (host, path)) = (split(key), split(scope));
    key_path == path && same_host(&key_host, &host)
}

/// The program's name: `docker-credential-` and the helper's.
fn program(name: &str, helper: &str) -> Result<String, KeychainError> {
    let program = format!("docker-credential-{helper}");
    if helper.contains(['/', '\0']) {
        return Err(KeychainError::HelperName { name: name.to_owned(), program });
    }
    Ok(program)
}
