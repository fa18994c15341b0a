//! Commands on images that are there: `push`, `pull`, `copy`, `inspect`, `unpack`,
//! `repack`, `index` and `bundle`.

mod flags;
mod index;
mod inspect;
mod place;
mod ship;
mod tekton;
mod unpack;

use clap::Subcommand;

use crate::cli::pflag::as_pflag as pflag;
use crate::env::Env;
use crate::usage::Usage;
use flags::{CopyFlags, PullFlags, PushFlags};
use index::IndexCommand;
use inspect::InspectFlags;
use tekton::BundleCommand;
use unpack::{RepackFlags, UnpackFlags};

/// A command on images that are there.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ImageCommand {
    /// Push an image that is in an OCI layout or an archive
    Push(Box<PushFlags>),
    /// Pull an image into an OCI layout or an archive
    Pull(Box<PullFlags>),
    /// Copy an image, with all its platforms, between registries, layouts and archives
    Copy(Box<CopyFlags>),
    /// Say what an image is: its platform, size, settings, layers and history
    Inspect(Box<InspectFlags>),
    /// Unpack an image into a runtime bundle, to look at it or to change it
    Unpack(Box<UnpackFlags>),
    /// Make an image of a bundle that was unpacked: one more layer of what was changed
    Repack(Box<RepackFlags>),
    /// Join images for several platforms
    #[command(subcommand)]
    Index(IndexCommand),
    /// Push Tekton resources as a bundle
    #[command(subcommand)]
    Bundle(BundleCommand),
}

impl ImageCommand {
    /// Whether it deals with owners of files, which a plain user can give in a namespace only.
    pub(crate) fn has_owners(&self) -> bool {
        matches!(self, ImageCommand::Unpack(_) | ImageCommand::Repack(_))
    }
}

/// Gives these commands pflag's grammar.
pub(crate) fn as_pflag(all: clap::Command) -> clap::Command {
    let all = ["push", "pull", "copy", "inspect", "unpack", "repack"]
        .into_iter()
        .fold(all, |all, name| all.mut_subcommand(name, pflag));
    all.mut_subcommand("index", |c| c.mut_subcommand("create", pflag))
        .mut_subcommand("bundle", |c| c.mut_subcommand("push", pflag))
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
        ImageCommand::Inspect(flags) => inspect::run(flags, env),
        ImageCommand::Unpack(flags) => unpack::unpack(flags, env),
        ImageCommand::Repack(flags) => unpack::repack(flags, env),
        ImageCommand::Index(IndexCommand::Create(flags)) => index::create(flags, env),
        ImageCommand::Bundle(BundleCommand::Push(flags)) => tekton::push(flags, env),
    }
}
