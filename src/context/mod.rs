//! Where source files come from: a directory, seen through its ignore rules; what comes as an
//! archive or a repository is put into one first.

mod git;
mod open;
mod text;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cloud::CloudError;
use crate::dockerfile::IgnoreMatcher;
use crate::fetch::FetchError;
use crate::layer::DirView;

pub use open::{Ground, Stop};
pub use text::read_dockerfile;

/// Why the context, or a text in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// No such directory, or no rights to it.
    #[error("cannot open the build context {}: {source}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No Dockerfile where one was looked for.
    #[error("there is no Dockerfile at {}", looked.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" nor at "))]
    NoDockerfile {
        /// The places.
        looked: Vec<PathBuf>,
    },
    /// A text that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An archive that cannot be unpacked.
    #[error("cannot unpack the build context {name}: {reason}")]
    Unpack {
        /// The archive.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A repository that cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An object of a bucket that cannot be had.
    #[error("cannot read the build context: {0}")]
    Bucket(#[from] CloudError),
    /// A URL that names nothing.
    #[error("the build context {text} cannot be used: {reason}")]
    Address {
        /// What was given, without credentials.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody sits where an archive should come from.
    #[error("standard input is a terminal, and the build context should come from it")]
    Terminal,
    /// A wrong pattern.
    #[error("{}: {message}", path.display())]
    Ignore {
        /// The ignore file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
}

impl ContextError {
    /// One way out.
    pub fn help(&self) -> Option<String> {
        match self {
            ContextError::Fetch(error) => error.help(),
            ContextError::Bucket(error) => error.help(),
            ContextError::Terminal => Some("pipe a tar archive into the program: tar -c . | …".to_owned()),
            ContextError::Unpack { .. } => {
                Some("give a tar archive: plain, or compressed with gzip, bzip2, xz or zstd".to_owned())
            }
            _ => None,
        }
    }
}

/// A directory of source files. Held by a descriptor, so that it stays readable when the
/// directories around it are renamed.
pub struct Context {
    path: PathBuf,
    view: DirView,
    ignore: Option<Arc<IgnoreRules>>,
    /// Whether others made its files: no link leads out of it.
    confined: bool,
    /// When what it holds was committed, in seconds since 1970.
    time: Option<i64>,
}

/// The rules of an ignore file, and which file.
pub struct IgnoreRules {
    /// The file.
    pub path: PathBuf,
    /// Its patterns.
    pub matcher: IgnoreMatcher,
}

impl Context {
    /// Opens a named context's directory, with its own `.dockerignore`.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn named(path: &Path) -> Result<Context, ContextError> {
        let mut context = Self::directory(path)?;
        context.ignore = text::read_ignore(&path.join(".dockerignore"))?;
        Ok(context)
    }

    fn directory(path: &Path) -> Result<Context, ContextError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let view =
            DirView::at(&absolute).map_err(|source| ContextError::Open { path: absolute.clone(), source })?;
        Ok(Context { path: absolute, view, ignore: None, confined: false, time: None })
    }

    /// The same context where it is now: what was at its path may have been set aside.
    ///
    /// # Errors
    /// [`ContextError::Open`].
    pub fn relocated(&self, now: &Path) -> Result<Context, ContextError> {
        let now = Self::directory(now)?;
        Ok(Context { ignore: self.ignore.clone(), confined: self.confined, time: self.time, ..now })
    }

    /// The directory's absolute path when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files.
    pub fn view(&self) -> &DirView {
        &self.view
    }

    /// When what it holds was committed, in seconds since 1970: of a repository only.
    pub fn time(&self) -> Option<i64> {
        self.time
    }

    /// Its ignore rules.
    pub fn ignore(&self) -> Option<&IgnoreRules> {
        self.ignore.as_deref()
    }
}
