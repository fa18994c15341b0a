//! What the commands of a Dockerfile get.

use std::path::PathBuf;

use super::DevicesConfig;

/// What commands are given besides the image's files.
#[derive(Debug, Clone, Default)]
pub struct StepsConfig {
    /// Secrets by name; of two the later counts.
    pub secrets: Vec<StepSecret>,
    /// SSH agents by name; of two the later counts.
    pub agents: Vec<StepAgent>,
    /// Network of commands that name none.
    pub network: StepNetwork,
    /// Host name of commands; one of ours if absent.
    pub hostname: Option<String>,
    /// Lines of their `/etc/hosts`: an address and a name each.
    pub hosts: Vec<(String, String)>,
    /// Whether a step that asks for every right gets it.
    pub allow_insecure: bool,
    /// Devices for steps that ask for them.
    pub devices: DevicesConfig,
    /// What a failed command leaves.
    pub on_failure: OnFailure,
    /// Directory of what `RUN --mount=type=cache` keeps; `caches` below the work directory if absent.
    pub caches: Option<PathBuf>,
}

/// What a failed command leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Nothing.
    #[default]
    Nothing,
    /// A shell in its root, on the terminal that we have.
    Shell,
    /// Its root.
    Keep,
}

/// Network of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepNetwork {
    /// The builder's.
    #[default]
    Builder,
    /// None but a loopback device.
    None,
}

/// A secret for `RUN --mount=type=secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSecret {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub source: SecretSource,
}

/// Where a [`StepSecret`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file, read when the build starts.
    File(PathBuf),
    /// Here.
    Value(SecretBytes),
}

/// Bytes that no log shows.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SecretBytes(pub Vec<u8>);

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("****")
    }
}

/// An SSH agent for `RUN --mount=type=ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepAgent {
    /// Its name.
    pub id: String,
    /// Its socket, or files with keys for one of ours.
    pub paths: Vec<PathBuf>,
}
