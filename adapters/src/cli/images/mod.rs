//! Commands on images that are there: `push`, `pull`, `copy`.

mod flags;
mod place;
mod ship;

use clap::Subcommand;

use crate::env::Env;
use crate::usage::Usage;
use flags::{CopyFlags, PullFlags, PushFlags};

/// A command on images that are there.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ImageCommand {
    /// Push an image that is in an OCI layout or an archive
    Push(Box<PushFlags>),
    /// Pull an image into an OCI layout or an archive
    Pull(Box<PullFlags>),
    /// Copy an image, with all its platforms, between registries, layouts and archives
    Copy(Box<CopyFlags>),
}

/// Gives these commands pflag's grammar.
pub(crate) fn as_pflag(all: clap::Command) -> clap::Command {
    ["push", "pull", "copy"]
        .into_iter()
        .fold(all, |all, name| all.mut_subcommand(name, crate::cli::flags::as_pflag))
}

/// Carries one out; the exit code.
///
/// # Errors
/// Values that make no sense.
pub(crate) fn run(command: &ImageCommand, env: &Env) -> Result<u8, Usage> {
    match command {
        ImageCommand::Push(flags) => ship::push(flags, env),
        ImageCommand::Pull(flags) => ship::pull(flags, env),
        ImageCommand::Copy(flags) => ship::copy(flags, env),
    }
}
