//! Why a build failed, with what an adapter needs to tell people and to exit.

use crate::context::ContextError;
use crate::dockerfile::Diagnostic;
use crate::keychain::KeychainError;
use crate::plan::Place;
use crate::registry::RegistryError;
use crate::rootfs::RootfsError;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile is wrong; all errors at once.
    #[error("{}", summary(.0))]
    Dockerfile(Vec<Diagnostic>),
    /// Checks found something, and the Dockerfile or the build makes that an error.
    #[error("checks found {} thing(s), and `error=true` makes them errors", .0.len())]
    Checks(Vec<Diagnostic>),
    /// A `RUN` command failed.
    #[error("{}", .place.message)]
    Command {
        /// The instruction, with the message.
        place: Box<Diagnostic>,
        /// The command's exit code; 255 when a signal ended it, as kaniko does.
        code: u8,
    },
    /// A step failed for another reason.
    #[error("{source}")]
    Step {
        /// The instruction.
        place: Box<Diagnostic>,
        /// Why.
        source: Box<Error>,
    },
    /// A root filesystem could not be provided.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// Somebody asked for the end.
    #[error("cancelled by {signal}")]
    Cancelled {
        /// `SIGTERM` or `SIGINT`.
        signal: &'static str,
    },
    /// Anything else, said in full by its text.
    #[error("{message}")]
    Other {
        /// What failed, where and why.
        message: String,
        /// One way out.
        help: Option<String>,
    },
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        Error::Other { help: error.help(), message: error.to_string() }
    }
}

impl From<KeychainError> for Error {
    fn from(error: KeychainError) -> Self {
        Error::Other { help: error.help(), message: error.to_string() }
    }
}

impl From<ContextError> for Error {
    fn from(error: ContextError) -> Self {
        Error::Other { help: error.help(), message: error.to_string() }
    }
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    match diagnostics {
        [one] => one.to_string(),
        many => format!("{} errors in the Dockerfile", many.len()),
    }
}

impl Error {
    /// An error that says all by its text.
    pub fn other(message: impl Into<String>) -> Self {
        Error::Other { message: message.into(), help: None }
    }

    /// The same words once more, for another who waits for what failed.
    pub(super) fn again(&self) -> Self {
        let help = match self {
            Error::Other { help, .. } => help.clone(),
            _ => None,
        };
        Error::Other { message: self.to_string(), help }
    }

    /// An error of a lower module that says all by its text.
    pub(super) fn from_display(error: impl std::fmt::Display) -> Self {
        Error::other(error.to_string())
    }

    /// The error of a build that a signal ended.
    pub(super) fn cancelled(signal: i32) -> Self {
        Error::Cancelled { signal: crate::run::signal_name(signal) }
    }

    /// The same error, at an instruction, unless it has a place already.
    pub(super) fn at(self, place: &Place) -> Self {
        match self {
            Error::Dockerfile(_)
            | Error::Checks(_)
            | Error::Command { .. }
            | Error::Step { .. }
            | Error::Cancelled { .. } => self,
            other => {
                Error::Step { place: Box::new(place.diagnostic(other.to_string())), source: Box::new(other) }
            }
        }
    }

    /// The error without the place it happened at.
    pub(super) fn root(&self) -> &Error {
        match self {
            Error::Step { source, .. } => source.root(),
            other => other,
        }
    }

    /// The process's exit code: the failing command's own, 1 for everything else, as kaniko.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Command { code, .. } => *code,
            _ => 1,
        }
    }

    /// The places to show, with what is wrong there.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        match self {
            Error::Dockerfile(all) | Error::Checks(all) => all.clone(),
            Error::Command { place, .. } => vec![(**place).clone()],
            Error::Step { place, source } => {
                let mut shown = (**place).clone();
                shown.message = source.to_string();
                shown.help = source.help();
                vec![shown]
            }
            _ => Vec::new(),
        }
    }

    /// One way out, where the error itself has one.
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Other { help, .. } | Error::Rootfs(RootfsError::Refused { help, .. }) => help.clone(),
            Error::Step { source, .. } => source.help(),
            _ => None,
        }
    }
}
