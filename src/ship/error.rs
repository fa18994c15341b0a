//! Why an image did not get from one place to another.

use crate::image::{ArchiveError, LayoutError};
use crate::keychain::KeychainError;
use crate::registry::RegistryError;
use crate::run::Cancel;

/// Why an image did not get from one place to another: what failed, where and why, and one way out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ShipError {
    /// What failed, where and why.
    pub message: String,
    /// One way out.
    pub help: Option<String>,
    /// The status a registry answered with, where that is why.
    pub status: Option<u16>,
}

impl ShipError {
    /// An error that says all by its text.
    pub fn new(message: impl Into<String>) -> Self {
        ShipError { message: message.into(), help: None, status: None }
    }

    /// The error of what a signal ended.
    pub(super) fn cancelled(cancel: &Cancel) -> Self {
        Self::new(format!("cancelled by {}", cancel.signal_name()))
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether a registry said that there is no such thing.
    pub fn is_absence(&self) -> bool {
        self.status == Some(404)
    }
}

impl From<RegistryError> for ShipError {
    fn from(error: RegistryError) -> Self {
        let status = match &error {
            RegistryError::Status { status, .. } => Some(*status),
            _ => None,
        };
        ShipError { help: error.help(), message: error.to_string(), status }
    }
}

impl From<KeychainError> for ShipError {
    fn from(error: KeychainError) -> Self {
        ShipError { help: error.help(), message: error.to_string(), status: None }
    }
}

impl From<LayoutError> for ShipError {
    fn from(error: LayoutError) -> Self {
        ShipError::new(error.to_string())
    }
}

impl From<ArchiveError> for ShipError {
    fn from(error: ArchiveError) -> Self {
        ShipError::new(error.to_string())
    }
}
