//! `yadokari unpack` and `yadokari repack`.

use std::path::Path;

use clap::Args;
use yadokari::bundle::{self, RepackConfig};
use yadokari::config::CompressionConfig;
use yadokari::image::Reference;

use super::flags::{Common, Files};
use super::{place, ship};
use crate::cli::files;
use crate::cli::flags::{Log, Registry};
use crate::env::Env;
use crate::usage::Usage;

/// `yadokari unpack`
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct UnpackFlags {
    /// The image: in a registry, an OCI layout or an archive
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The directory to make
    #[arg(value_name = "BUNDLE")]
    bundle: String,
    #[command(flatten)]
    common: Common,
}

/// `yadokari repack`
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct RepackFlags {
    /// A directory that yadokari unpack made
    #[arg(value_name = "BUNDLE")]
    bundle: String,
    /// Where to put the image: IMAGE in a registry, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]
    #[arg(value_name = "DESTINATION")]
    to: Vec<String>,
    /// Where to put the image, as a flag; repeatable
    #[arg(long, short = 'd', value_name = "DESTINATION")]
    destination: Vec<String>,
    /// What the history says made the layer
    #[arg(long, value_name = "TEXT", default_value = "yadokari repack")]
    created_by: String,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    registry: Registry,
    #[command(flatten)]
    log: Log,
}

/// Unpacks an image; the exit code.
///
/// # Errors
/// Values that make no sense.
pub(super) fn unpack(flags: &UnpackFlags, env: &Env) -> Result<u8, Usage> {
    let place = place::source(&flags.image)?;
    let (platform, bundle) = (flags.common.platform()?, Path::new(&flags.bundle));
    ship::with_carrier(&flags.common.registry, &flags.common.log, env, |carrier, events| {
        for warning in bundle::unpack(carrier, &place, platform.as_ref(), bundle)? {
            events.warn(warning);
        }
        events.info(format!("unpacked {place} to {}", bundle.display()));
        Ok(())
    })
}

/// Packs a bundle; the exit code.
///
/// # Errors
/// Values that make no sense.
pub(super) fn repack(flags: &RepackFlags, env: &Env) -> Result<u8, Usage> {
    let all = flags.to.iter().chain(&flags.destination).filter(|d| !d.is_empty());
    let all = all.map(|d| place::destination(d)).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() {
        return Err(Usage::new("there is nowhere to put the image")
            .help("give --destination: IMAGE, oci:DIR:TAG, oci-archive:FILE:TAG or docker-archive:FILE"));
    }
    let registries: Vec<Reference> = all.iter().filter_map(ship::reference).collect();
    let epoch = match env.get("SOURCE_DATE_EPOCH") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            Usage::new(format!("SOURCE_DATE_EPOCH is '{text}', which is no number of seconds"))
        })?),
    };
    let settings = RepackConfig {
        created_by: flags.created_by.clone(),
        compression: CompressionConfig::default(),
        epoch,
        compress: !registries.is_empty(),
    };
    let wanted = flags.files.wanted()?;
    ship::with_carrier(&flags.registry, &flags.log, env, |carrier, events| {
        carrier.check(&registries)?;
        let repacked = bundle::repack(carrier, Path::new(&flags.bundle), &settings)?;
        match repacked.entries {
            0 => events.info("nothing was changed: it is the same image"),
            entries => events.info(format!("one more layer, of {entries} entries")),
        }
        if !registries.is_empty() {
            let shipped = carrier.send(&repacked.source, &registries, false)?;
            ship::report(events, &registries, &shipped);
        }
        for place in &all {
            ship::save(carrier, &repacked.source, place, events)?;
        }
        files::write_shipped(&wanted, &registries, &repacked.source.root().digest)?;
        Ok(())
    })
}
