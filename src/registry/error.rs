//! Why a registry did not do what was asked, for people: which request, which registry, its own
//! words, with whose credentials, and one way out.

use std::path::PathBuf;

use crate::image::{Digest, Reference};
use crate::keychain::KeychainError;
pub use crate::transport::ConnectionKind;
use crate::transport::SetupError;
pub(crate) use crate::transport::plain;

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The settings, CA roots or proxies cannot be used.
    #[error("cannot set up connections to registries: {problem}")]
    Setup {
        /// What is wrong, and where.
        problem: String,
    },
    /// No answer: no connection, or a broken one, after all attempts.
    #[error("cannot {what}: no answer from {host}: {reason}")]
    Connection {
        /// What was to be done.
        what: String,
        /// Who did not answer.
        host: String,
        /// Why not.
        reason: String,
        /// What it looks like, for the way out.
        kind: ConnectionKind,
    },
    /// The registry, or what stands before it, said no.
    #[error("cannot {what}: {host} answered {status} to {request}{message} (tried with {tried})")]
    Status {
        /// What was to be done.
        what: String,
        /// Who answered.
        host: String,
        /// HTTP status.
        status: u16,
        /// Method and path, without the query, which may hold tokens.
        request: String,
        /// Its own words with a colon before them, bounded, without control characters.
        message: String,
        /// Name of the credentials' source.
        tried: String,
    },
    /// The token server gave no token.
    #[error("cannot {what}: no token for {registry} from {host}: {reason} (tried with {tried})")]
    Token {
        /// What was to be done.
        what: String,
        /// The registry that wants the token.
        registry: String,
        /// The token server.
        host: String,
        /// Why there is none.
        reason: String,
        /// Name of the credentials' source.
        tried: String,
    },
    /// An answer that breaks the distribution specification.
    #[error("cannot {what}: {host} broke the protocol: {problem}")]
    Protocol {
        /// What was to be done.
        what: String,
        /// Who answered.
        host: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The bytes are not those that were named.
    #[error("cannot {what}: the digest should be {expected}, and is {found}")]
    Digest {
        /// What was to be done.
        what: String,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came, or the one the registry claims.
        found: String,
    },
    /// Not the size that was named.
    #[error("cannot {what}: it should have {expected} bytes, and has {found}")]
    Size {
        /// What was to be done.
        what: String,
        /// The size asked for.
        expected: u64,
        /// The size found, or at least this.
        found: u64,
    },
    /// Larger than anything of its kind may be.
    #[error("cannot {what}: it is larger than {limit} bytes")]
    TooLarge {
        /// What was to be done.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// A reference whose digest we cannot check.
    #[error("cannot {what}: only sha256 digests can be checked, and '{digest}' is none")]
    Algorithm {
        /// What was to be done.
        what: String,
        /// The digest.
        digest: String,
    },
    /// A file to be pushed could not be read.
    #[error("cannot {what}: cannot read {}: {source}", path.display())]
    File {
        /// What was to be done.
        what: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A mirror sent something else than was asked for, when some of it had been handed on. Asked
    /// again, another place answers.
    #[error("cannot {what}: {mirror} sent something else: {}", source.reason())]
    Mirror {
        /// What was to be done.
        what: String,
        /// The repository that is wrong.
        mirror: String,
        /// What is wrong.
        source: Box<RegistryError>,
    },
    /// No place that may have an image gave it.
    #[error("cannot {what} from any place: {}", each(failures))]
    Nowhere {
        /// What was to be done.
        what: String,
        /// The places that were asked, with what each failed of.
        failures: Vec<(String, RegistryError)>,
    },
    /// Whoever took the bytes took no more.
    #[error("cannot {what}: the reader stopped early")]
    Stopped {
        /// What was to be done.
        what: String,
    },
    /// Credentials could not be had.
    #[error("cannot {what}: {source}")]
    Keychain {
        /// What was to be done.
        what: String,
        /// Why not.
        source: KeychainError,
    },
}

impl From<SetupError> for RegistryError {
    fn from(error: SetupError) -> Self {
        RegistryError::Setup { problem: error.problem }
    }
}

impl RegistryError {
    /// Whether nobody answered who knows: no connection, or a registry that is out of order.
    pub fn is_silence(&self) -> bool {
        match self {
            RegistryError::Connection { .. } | RegistryError::Token { .. } => true,
            RegistryError::Nowhere { failures, .. } => failures.iter().all(|(_, e)| e.is_silence()),
            RegistryError::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }

    /// Whether somebody sent other bytes than were asked for.
    pub(super) fn is_wrong_content(&self) -> bool {
        matches!(self, RegistryError::Digest { .. } | RegistryError::Size { .. })
    }

    /// The text without its beginning, which says what was to be done.
    pub(super) fn reason(&self) -> String {
        let text = self.to_string();
        let reason = text.strip_prefix("cannot ").and_then(|rest| rest.split_once(": "));
        reason.map_or_else(|| text.clone(), |(_, reason)| reason.to_owned())
    }

    /// One way out.
    pub fn help(&self) -> Option<String> {
        match self {
            RegistryError::Connection { kind, host, .. } => match kind {
                ConnectionKind::Network => None,
                ConnectionKind::Name => {
                    Some("check the registry's name, and the name servers in /etc/resolv.conf".to_owned())
                }
                ConnectionKind::Certificate => Some(format!(
                    "name the file of the registry's CA with --registry-certificate={host}=FILE or in \
                     SSL_CERT_FILE, or skip the check with --skip-tls-verify-registry={host}"
                )),
                ConnectionKind::ClientCertificate => Some(format!(
                    "name a certificate that {host} accepts, and its key, with \
                     --registry-client-cert={host}=CERTIFICATE,KEY"
                )),
                ConnectionKind::NotTls => Some(format!("allow plain HTTP with --insecure-registry={host}")),
            },
            RegistryError::Status { status, host, tried, .. } => status_help(*status, host, tried),
            RegistryError::Token { registry, tried, .. } => status_help(401, registry, tried),
            RegistryError::Keychain { source, .. } => source.help(),
            RegistryError::Nowhere { failures, .. } => failures.last().and_then(|(_, e)| e.help()),
            _ => None,
        }
    }
}

fn status_help(status: u16, host: &str, tried: &str) -> Option<String> {
    match status {
        401 | 403 if tried == NO_CREDENTIALS => Some(format!(
            "give credentials for {host}: `docker login {host}`, then mount its config.json and name its \
             directory in DOCKER_CONFIG, or put its text into DOCKER_AUTH_CONFIG"
        )),
        401 | 403 => Some(format!("check that the {tried} are right and allow this")),
        404 => Some("check the names, and that the repository exists".to_owned()),
        413 => Some(format!("raise the limit for request bodies of {host} or of the proxy before it")),
        429 => Some(format!("{host} limits requests: use credentials with a higher limit, or wait")),
        _ => None,
    }
}

/// What each place failed of.
fn each(failures: &[(String, RegistryError)]) -> String {
    let one = |(place, error): &(String, RegistryError)| format!("{place}: {}", error.reason());
    failures.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// How errors call it that there were none.
pub(super) const NO_CREDENTIALS: &str = "no credentials";

/// The registry's own words from the body of an answer that said no (distribution spec, "Error
/// Codes"), with a colon before them; empty if there are none.
pub(crate) fn own_words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => words_of(&json),
        Err(_) if text.trim_start().starts_with('<') => {
            Some("an HTML page, perhaps of a proxy before the registry".to_owned())
        }
        Err(_) => Some(plain(&text)),
    };
    words.filter(|w| !w.is_empty()).map(|w| format!(": {w}")).unwrap_or_default()
}

fn words_of(json: &serde_json::Value) -> Option<String> {
    let text = |value: &serde_json::Value, name: &str| value[name].as_str().map(plain);
    if let Some(errors) = json["errors"].as_array() {
        let each =
            errors.iter().take(3).filter_map(|error| match (text(error, "code"), text(error, "message")) {
                (Some(code), Some(message)) if !message.is_empty() => Some(format!("{code}: {message}")),
                (code, message) => message.filter(|m| !m.is_empty()).or(code),
            });
        return Some(each.collect::<Vec<_>>().join("; "));
    }
    // Token servers: OAuth2's error_description, or docker's details.
    ["error_description", "details", "message", "error"].iter().find_map(|name| text(json, name))
}

/// A reference as errors write it: with its tag or digest.
pub(super) fn name(reference: &Reference) -> String {
    plain(&reference.whole())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_words_of_registries() {
        for (body, words) in [
            ("", ""),
            (r#"{"errors":[{"code":"DENIED","message":"no\u001b[31m way\n"}]}"#, ": DENIED: no [31m way"),
            (r#"{"errors":[{"code":"DENIED","message":""},{"message":"x"}]}"#, ": DENIED; x"),
            (r#"{"errors":[{"code":"A"},{"code":"B"},{"code":"C"},{"code":"D"}]}"#, ": A; B; C"),
            (r#"{"details":"incorrect username or password"}"#, ": incorrect username or password"),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, ": expired"),
            ("404 page not found\r\n", ": 404 page not found"),
            ("<html><b>Bad</b>", ": an HTML page, perhaps of a proxy before the registry"),
            ("{}", ""),
        ] {
            assert_eq!(own_words(body.as_bytes()), words, "{body}");
        }
        assert!(own_words("long ".repeat(10_000).as_bytes()).len() < 600);
        assert!(own_words(&[0xff; 3000]).chars().count() < 510);
    }
}
