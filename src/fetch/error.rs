//! Why a source could not be fetched, for people.

use std::io;

use crate::registry::{ConnectionKind, RegistryError};

/// Why a source could not be fetched. URLs are shown without credentials and queries.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// CA roots or proxies cannot be used.
    #[error(transparent)]
    Setup(Box<RegistryError>),
    /// No answer, or a broken one, after all attempts.
    #[error("cannot fetch {url}: no answer from {host}: {reason}")]
    Connection {
        /// The file.
        url: String,
        /// Who did not answer.
        host: String,
        /// Why not.
        reason: String,
        /// What it looks like, for the way out.
        kind: ConnectionKind,
    },
    /// The server said no.
    #[error("cannot fetch {url}: {host} answered {status}{message}")]
    Status {
        /// The file.
        url: String,
        /// Who answered.
        host: String,
        /// HTTP status.
        status: u16,
        /// Its own words with a colon before them, bounded.
        message: String,
    },
    /// A redirect that is not followed, or an answer that makes no sense.
    #[error("cannot fetch {url}: {problem}")]
    Answer {
        /// The file.
        url: String,
        /// What is wrong.
        problem: String,
        /// One way out.
        help: Option<&'static str>,
    },
    /// More bytes than are allowed.
    #[error("cannot fetch {url}: it has more than {limit} bytes")]
    TooLarge {
        /// The file.
        url: String,
        /// The bound.
        limit: u64,
    },
    /// Not the file that was named.
    #[error("{url} is not what --checksum says: it should be {expected}, and is {found}")]
    Checksum {
        /// The file.
        url: String,
        /// The checksum.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// What came could not be written.
    #[error("cannot write what came from {url}: {source}")]
    Write {
        /// The file or repository.
        url: String,
        /// Why not.
        source: io::Error,
    },
    /// Whoever took the bytes took no more.
    #[error("cannot fetch {url}: the reader stopped early")]
    Stopped {
        /// The file.
        url: String,
    },
    /// There is no program `git`.
    #[error("cannot fetch {url}: there is no program git on PATH")]
    NoGit {
        /// The repository.
        url: String,
    },
    /// The program failed.
    #[error("cannot fetch {url}: git {action}: {reason}")]
    Git {
        /// The repository.
        url: String,
        /// What it was to do.
        action: String,
        /// Its own words, bounded, without credentials.
        reason: String,
    },
    /// No such branch, tag or commit.
    #[error("{url} has no branch, tag or commit '{reference}'")]
    NoReference {
        /// The repository.
        url: String,
        /// The name.
        reference: String,
    },
    /// Another commit than the one named.
    #[error("{url} is not what the checksum says: the commit should begin with {expected}, and is {found}")]
    Commit {
        /// The repository.
        url: String,
        /// The checksum.
        expected: String,
        /// The commit.
        found: String,
    },
    /// Somebody asked for the end.
    #[error("cannot fetch {url}: cancelled")]
    Cancelled {
        /// The source.
        url: String,
    },
}

impl FetchError {
    /// One way out.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            FetchError::Setup(error) => return error.help(),
            FetchError::Connection { kind, .. } => match kind {
                ConnectionKind::Network => return None,
                ConnectionKind::Name => "check the host's name, and the name servers in /etc/resolv.conf",
                ConnectionKind::Certificate => "name the server's CA in SSL_CERT_FILE or SSL_CERT_DIR",
                ConnectionKind::ClientCertificate => {
                    "it wants a certificate, which only registries are shown"
                }
                ConnectionKind::NotTls => "write http:// if the server speaks no TLS",
            },
            FetchError::Status { status: 401 | 403, .. } => {
                "give a token: --secret id=HTTP_AUTH_TOKEN_<host>,src=FILE (HTTP_AUTH_HEADER_<host> for a whole header)"
            }
            FetchError::Status { status: 404, .. } => "check the URL",
            FetchError::Answer { help, .. } => return help.map(str::to_owned),
            FetchError::TooLarge { .. } => "raise the bound with --fetch-limit",
            FetchError::Checksum { .. } => {
                "somebody changed the file: look at it, and write its new checksum if it is right"
            }
            FetchError::NoGit { .. } => {
                "use an image that has git, or fetch the repository before the build and give its directory"
            }
            FetchError::Git { reason, .. } => return git_help(reason).map(str::to_owned),
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// A way out from git's own words.
fn git_help(reason: &str) -> Option<&'static str> {
    let said = |text: &str| reason.contains(text);
    if said("Host key verification failed") {
        return Some("add the host's key to ~/.ssh/known_hosts: ssh-keyscan HOST");
    }
    if said("could not read Username") || said("Authentication failed") || said("Permission denied") {
        return Some(
            "give credentials: --secret id=GIT_AUTH_TOKEN.<host>,src=FILE; for a context also GIT_TOKEN, or GIT_USERNAME and GIT_PASSWORD; for ssh an agent",
        );
    }
    if said("transport 'file' not allowed") || said("not allowed") {
        return Some("only http, https, ssh and git are allowed, for submodules too");
    }
    if said("cannot run ssh") || said("ssh: not found") {
        return Some("use an image that has ssh, or the repository's https URL");
    }
    None
}
