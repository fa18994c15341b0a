//! Why a command could not be run, or not to its end.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// What was being done when a command's surroundings could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Making namespaces.
    Namespaces,
    /// Mapping ids into a user namespace.
    IdMap,
    /// Mounting the tree that becomes the root.
    Tree,
    /// Mounting what belongs into a root: `/proc`, `/sys`, `/dev`, files below `/etc`.
    Mounts,
    /// Making the new root the root.
    Pivot,
    /// Hiding our own processes from the command.
    Hiding,
    /// Taking on the command's user and groups.
    Identity,
    /// Entering the working directory.
    WorkingDirectory,
    /// Writing to the new root, when it is only tried out.
    Trial,
    /// Anything else around a process.
    Process,
}

/// A failure before the command ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// While doing what.
    pub(super) step: Step,
    /// What was tried, to follow the word "cannot".
    pub(super) action: String,
    /// The system's error number.
    pub(super) errno: i32,
}

impl Failure {
    /// Says what was tried when a call failed.
    pub(super) fn new(step: Step, action: impl Into<String>, error: impl Into<io::Error>) -> Self {
        let errno = error.into().raw_os_error().unwrap_or(libc::EIO);
        Failure { step, action: action.into(), errno }
    }
}

/// Why a program could not be executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum NotExecuted {
    /// No such name in any directory of `PATH`.
    NotInPath,
    /// No such file; or its interpreter is missing, where the file itself is there.
    NoFile {
        /// Whether the file is there.
        present: bool,
    },
    /// The kernel refused it.
    Refused(i32),
}

/// Why a command could not be run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What the command needs around it could not be provided.
    #[error("cannot {action}: {source}")]
    Setup {
        /// While doing what.
        step: Step,
        /// What was tried, to follow the word "cannot".
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// The program is not there; a runtime's exit code for it is 127.
    #[error("{message}")]
    NotFound {
        /// In the words of the container runtimes.
        message: String,
    },
    /// The program is there and cannot be executed; a runtime's exit code for it is 126.
    #[error("{message}")]
    NotExecutable {
        /// In the words of the container runtimes.
        message: String,
    },
    /// Somebody asked for the end while the command ran; it and all it started are gone.
    #[error("the command was stopped because of signal {signal}")]
    Cancelled {
        /// The signal that asked for it.
        signal: i32,
    },
    /// The supervising process ended without a report: something killed it.
    #[error("the process that supervises the command was ended by something else ({status})")]
    Lost {
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The program never called [`super::supervisor_entry`].
    #[error("a command cannot be supervised: the program did not call supervisor_entry() when it started")]
    NoSupervisor,
}

impl RunError {
    /// The exit code that container runtimes give for it, where there is one.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            RunError::NotFound { .. } => Some(127),
            RunError::NotExecutable { .. } => Some(126),
            _ => None,
        }
    }

    pub(super) fn not_executed(program: &str, why: &NotExecuted) -> Self {
        match why {
            NotExecuted::NotInPath => RunError::NotFound {
                message: format!("exec: \"{program}\": executable file not found in $PATH"),
            },
            NotExecuted::NoFile { present: false } => RunError::NotFound {
                message: format!("exec: \"{program}\": stat {program}: no such file or directory"),
            },
            NotExecuted::NoFile { present: true } => RunError::NotFound {
                message: format!("exec {program}: no such file or directory (its interpreter is missing)"),
            },
            NotExecuted::Refused(errno) => RunError::NotExecutable {
                message: format!("exec: \"{program}\": {}", Plain(io::Error::from_raw_os_error(*errno))),
            },
        }
    }
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        RunError::Setup {
            step: failure.step,
            action: failure.action,
            source: io::Error::from_raw_os_error(failure.errno),
        }
    }
}

/// A system error as the runtimes write it: lower case, no number.
struct Plain(io::Error);

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        f.write_str(&text.to_lowercase())
    }
}
