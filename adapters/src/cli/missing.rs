//! Flags that change image, source or destination and that this version cannot honour: each is
//! refused with a way out, because building something else would be worse.

use clap::Args;

use super::flags::Flags;
use crate::usage::Usage;

/// Flags that change image, source or destination and are not there yet.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Missing {
    #[arg(long, hide = true)]
    pub(crate) dryrun: bool,
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
