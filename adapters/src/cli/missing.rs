//! kaniko's flags without an effect. Those that change image, source or destination are refused with a
//! way out, because building something else would be worse; those that tune how kaniko works are taken.

use clap::Args;

use super::flags::Flags;
use crate::usage::Usage;

/// Flags that change image, source or destination and are not there yet.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Missing {
    #[arg(long, hide = true)]
    pub(crate) dryrun: bool,
}

/// Flags that only tune how kaniko works inside.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Ignored {
    #[arg(long, alias = "snapshotMode", hide = true, default_value = "")]
    snapshot_mode: String,
    #[arg(long, hide = true)]
    compressed_caching: bool,
    #[arg(long, hide = true)]
    pre_cleanup: bool,
    #[arg(long, hide = true)]
    cleanup: bool,
    #[arg(long, hide = true)]
    preserve_context: bool,
    #[arg(long, hide = true)]
    use_new_run: bool,
    #[arg(long, hide = true)]
    force_build_metadata: bool,
    #[arg(long, hide = true)]
    skip_unused_stages: bool,
}

/// Refuses what cannot be honoured.
///
/// # Errors
/// The first such flag, with a way out.
pub(crate) fn refuse(flags: &Flags) -> Result<(), Usage> {
    let missing = &flags.missing;
    let table = [(missing.dryrun, "--dryrun", "build with --no-push")];
    for (typed, flag, way_out) in table {
        if typed {
            return Err(Usage::new(format!("{flag} is not supported yet")).help(way_out));
        }
    }
    for file in [
        &flags.result.digest_file,
        &flags.result.image_name_with_digest_file,
        &flags.result.image_name_tag_with_digest_file,
        &flags.result.metadata_file,
        &flags.result.env_file,
    ] {
        if file.starts_with("https://") || file.starts_with("http://") {
            return Err(Usage::new(format!(
                "the result cannot be sent to {file}: that is not supported yet"
            ))
            .help("write a file and send it after the build"));
        }
    }
    Ok(())
}
