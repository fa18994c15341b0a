//! Why a cache did not do what was asked; it never fails a build.

use crate::registry::RegistryError;

/// Why a cache did not do what was asked, as a sentence.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The registry did not.
    #[error("{0}")]
    Registry(Box<RegistryError>),
    /// It took longer than a cache may.
    #[error("no answer within {0} s")]
    Slow(u64),
    /// What came makes no sense.
    #[error("{0}")]
    Garbage(String),
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl From<RegistryError> for CacheError {
    fn from(error: RegistryError) -> Self {
        CacheError::Registry(Box::new(error))
    }
}

impl CacheError {
    /// Names what was tried when a file operation failed.
    pub(super) fn file(
        action: &'static str,
        path: impl Into<std::path::PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> CacheError {
        let path = path.into();
        move |source| CacheError::File { action, path, source }
    }
}
