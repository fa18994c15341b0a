//! Wrong usage: what was asked cannot be done, or cannot be understood.

/// Why a command line, or a platform's inputs, make no build. The process exits with 1, as
/// kaniko does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Usage {
    /// What is wrong, where, and why.
    pub(crate) message: String,
    /// One way out.
    pub(crate) help: Option<String>,
}

impl Usage {
    /// An error that says all by its message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Usage { message: message.into(), help: None }
    }

    /// Adds a way out.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
