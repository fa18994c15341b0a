//! Why a registry did not do what was asked, for people: which request, which registry, its own
//! words, with whose credentials, and one way out.

use std::path::PathBuf;

use crate::image::{Digest, Reference};
use crate::keychain::KeychainError;
pub use crate::transport::ConnectionKind;
use crate::transport::SetupError;
pub(crate) use crate::transport::plain;

/// How registries say that a tag stays what it is: Google's and Amazon's words, which kaniko
/// knows (pkg/executor/push.go), Amazon's of today, and Harbor's.
const IMMUTABLE: [&str; 4] = [
    "has enabled tag immutability",
    "cannot be overwritten because the repository is immutable",
    "cannot be overwritten because the tag is immutable",
    "configured as immutable",
];

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

    /// Whether it is the server that fails, whatever it is asked.
    pub(super) fn is_down(&self) -> bool {
        !matches!(self, RegistryError::Token { .. }) && self.is_silence()
    }

    /// Whether a tag exists that the registry does not move.
    pub(super) fn is_immutable_tag(&self) -> bool {
        match self {
            RegistryError::Status { message, .. } => IMMUTABLE.iter().any(|words| message.contains(words)),
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
}

/// What each place failed of.
fn each(failures: &[(String, RegistryError)]) -> String {
    let one = |(place, error): &(String, RegistryError)| format!("{place}: {}", error.reason());
    failures.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// How errors call it that there were none.
pub(super) const NO_CREDENTIALS: &str = "no credentials";

/// A reference as errors write it: with its tag or digest.
pub(super) fn name(reference: &Reference) -> String {
    plain(&reference.whole())
}
