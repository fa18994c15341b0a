//! How much is shown, and in which form.

use super::flags::{Log, ProgressFlag};
use crate::usage::Usage;

/// How a build is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogOptions {
    /// The least important thing shown.
    pub(crate) level: Level,
    /// The form.
    pub(crate) format: Format,
    /// Date and time in each line.
    pub(crate) timestamp: bool,
    /// Live, or lines.
    pub(crate) progress: ProgressFlag,
}

/// Importance, from the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// `trace` and `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warning,
    /// `error`, `fatal` and `panic`: the error that ends the build, and what commands print
    Error,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Colours on a terminal.
    Auto,
    /// No colours.
    Text,
    /// Colours.
    Color,
    /// One JSON object a line.
    Json,
}

/// What the flags mean.
///
/// # Errors
/// An unknown level or form.
pub(crate) fn options(flags: &Log) -> Result<LogOptions, Usage> {
    let level = match flags.verbosity.to_ascii_lowercase().as_str() {
        "trace" | "debug" => Level::Debug,
        "" | "info" => Level::Info,
        "warn" | "warning" => Level::Warning,
        "error" | "fatal" | "panic" => Level::Error,
        other => {
            return Err(Usage::new(format!("'{other}' for --verbosity is unknown"))
                .help("write trace, debug, info, warn, error, fatal or panic"));
        }
    };
    let format = match flags.log_format.as_str() {
        "" => Format::Auto,
        "text" => Format::Text,
        "color" => Format::Color,
        "json" => Format::Json,
        other => {
            return Err(Usage::new(format!("'{other}' for --log-format is unknown"))
                .help("write text, color or json"));
        }
    };
    Ok(LogOptions { level, format, timestamp: flags.log_timestamp, progress: flags.progress })
}
