//! Why a cloud gave no identity, or no object. No variant ever holds a secret.

use std::path::PathBuf;

/// Why a cloud gave no identity, or no object.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// CA roots or proxies cannot be used.
    #[error("cannot set up connections: {problem}")]
    Setup {
        /// What is wrong, and where.
        problem: String,
    },
    /// None of the places has an identity.
    #[error("there are no {cloud} credentials: {}", .tried.join("; "))]
    NoIdentity {
        /// The cloud.
        cloud: &'static str,
        /// The places, each with why it has none.
        tried: Vec<String>,
    },
    /// A place has something that cannot be used.
    #[error("{source_name} cannot be used: {problem}")]
    Place {
        /// The place.
        source_name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be read.
    #[error("{source_name} cannot be used: {}: {source}", path.display())]
    File {
        /// What it is for.
        source_name: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody answers.
    #[error("{source_name}: no answer from {host}: {reason}")]
    Silent {
        /// Who was to be asked for what.
        source_name: String,
        /// Who did not answer.
        host: String,
        /// Why not.
        reason: String,
    },
    /// Somebody said no.
    #[error("{source_name}: {host} answered {status}{message}")]
    Refused {
        /// Who was to be asked for what.
        source_name: String,
        /// Who answered.
        host: String,
        /// HTTP status.
        status: u16,
        /// Its own words with a colon before them, bounded.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("{source_name}: the answer of {host} makes no sense: {problem}")]
    Answer {
        /// Who was asked for what.
        source_name: String,
        /// Who answered.
        host: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An object cannot be read.
    #[error("cannot read {address}: {reason} (tried with {tried})")]
    Object {
        /// The object.
        address: String,
        /// Why not.
        reason: String,
        /// Name of the credentials' source.
        tried: String,
        /// One way out.
        help: Option<String>,
    },
    /// Somebody asked for the end.
    #[error("cannot read {address}: cancelled")]
    Cancelled {
        /// The object.
        address: String,
    },
}

impl CloudError {
    /// Whether this only says that there is no such cloud here.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, CloudError::NoIdentity { .. })
    }

    /// One way out.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            CloudError::Object { help, .. } => return help.clone(),
            CloudError::NoIdentity { cloud: "AWS", .. } => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, mount ~/.aws, or give the pod's service account a role"
            }
            CloudError::NoIdentity { cloud: "Google", .. } => {
                "mount a service account's key and name it in GOOGLE_APPLICATION_CREDENTIALS, or give the pod's service account an identity"
            }
            CloudError::NoIdentity { .. } => {
                "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or give the pod's service account an identity"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}
