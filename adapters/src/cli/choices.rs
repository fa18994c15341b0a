//! What flags choose from, as it is typed.

use clap::ValueEnum;

/// `--format` of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatFlag {
    /// For people
    #[default]
    Human,
    /// As `docker build --call=check,format=json`, with more beside it
    Json,
    /// SARIF 2.1.0
    Sarif,
    /// GitLab's code quality report
    Gitlab,
    /// GitHub's annotations
    Github,
}

/// `--bases` of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BasesFlag {
    /// Fetch their configs, and go on without those that cannot be had
    #[default]
    Fetch,
    /// Fetch nothing; what needs them is not checked
    Skip,
    /// Fetch nothing; count each as an image that sets only PATH
    Empty,
}

/// `--format` of an outline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFlag {
    /// For people
    #[default]
    Table,
    /// As `docker build --call=outline,format=json`
    Json,
}

/// `--on-failure`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailureFlag {
    /// Everything goes
    #[default]
    Nothing,
    /// A shell on this terminal
    Shell,
    /// The root stays
    Keep,
}

/// `--isolation`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationFlag {
    /// The fastest that works here
    #[default]
    Auto,
    /// An overlay in a mount namespace
    Overlay,
    /// A plain tree in a mount namespace
    Chroot,
    /// The container's own root
    Inplace,
}

/// `--mount-conflict`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MountConflictFlag {
    /// Set the volume's own files aside meanwhile
    #[default]
    Swap,
    /// Refuse to build
    Error,
}

/// `--progress`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressFlag {
    /// Live on a terminal, lines elsewhere
    #[default]
    Auto,
    /// Lines
    Plain,
    /// Live
    Tty,
}

/// `--context-modes`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContextModesFlag {
    /// All of it
    #[default]
    Disk,
    /// 0755 for directories and executable files, 0644 for others
    Git,
}
