//! What a front asks for: a build, the files that report it, and how it is shown.

use std::path::PathBuf;

use yadokari::config::BuildConfig;

use super::log::LogOptions;
use super::results::Name;

/// Everything one run of the program does.
#[derive(Debug)]
pub(crate) struct Job {
    /// The build.
    pub(crate) config: BuildConfig,
    /// Files written after it succeeded.
    pub(crate) files: ResultFiles,
    /// How it is shown.
    pub(crate) log: LogOptions,
    /// What to tell the user before it starts, without a warning.
    pub(crate) notes: Vec<String>,
    /// What to warn the user of before it starts.
    pub(crate) warnings: Vec<String>,
}

/// The files that flags ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ResultFiles {
    /// `--digest-file`
    pub(crate) digest: Option<PathBuf>,
    /// `--image-name-with-digest-file`
    pub(crate) name: Option<PathBuf>,
    /// `--image-name-tag-with-digest-file`
    pub(crate) name_tag: Option<PathBuf>,
    /// `--metadata-file`
    pub(crate) metadata: Option<PathBuf>,
    /// `--env-file`
    pub(crate) environment: Option<PathBuf>,
    /// `--output-file`
    pub(crate) outputs: Vec<(Name, PathBuf)>,
}
