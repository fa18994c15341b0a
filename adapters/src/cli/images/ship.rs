//! `yadokari push`, `pull` and `copy`.

use std::path::{Path, PathBuf};

use yadokari::event::Events;
use yadokari::image::{LayoutName, Platform, Reference};
use yadokari::run::signals;
use yadokari::ship::{ArchiveKind, Carrier, Place, ShipError, Shipped, Source};

use super::flags::{Common, CopyFlags, PullFlags, PushFlags};
use super::place;
use crate::cli::files::{self, FileError};
use crate::cli::flags::{Log, Registry};
use crate::cli::progress::{Bare, Display, Redactor, Sink};
use crate::cli::{credentials, diagnostic, log, places, registries};
use crate::env::Env;
use crate::usage::Usage;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The image did not get there.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// It did, but that could not be reported.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Failed {
    fn help(&self) -> Option<&str> {
        match self {
            Failed::Ship(error) => error.help.as_deref(),
            Failed::File(_) => Some("the image itself is where it should be"),
        }
    }
}

/// Makes a carrier, does something with it, and shows how it went; the exit code.
pub(super) fn with_carrier(
    registry: &Registry,
    shown: &Log,
    env: &Env,
    work: impl FnOnce(&Carrier, &Events) -> Result<(), Failed>,
) -> Result<u8, Usage> {
    let options = log::options(shown)?;
    let sources = credentials::of_flags(env, env.get("KANIKO_DIR"), registry)?;
    let display = Display::open(options, env, Redactor::default(), Box::new(Bare), Sink::Stderr)?;
    let events = display.events();
    let settings = registries::config(registry, env)?;
    let cancel = signals::install_once()
        .map_err(|e| Usage::new(format!("SIGTERM and SIGINT cannot be handled: {e}")))?;
    let carrier = Carrier::new(&settings, &sources, env.work_dir.clone(), events.clone(), cancel.clone());
    let code = match carrier.map_err(Failed::from).and_then(|carrier| work(&carrier, &events)) {
        Ok(()) => 0,
        // Whatever else went wrong by then did so because of it.
        Err(_) if cancel.signal().is_some() => {
            let message = format!("cancelled by {}", cancel.signal_name());
            display.failure(&diagnostic::of_text(&message, None, display.color()));
            1
        }
        Err(error) => {
            display.failure(&diagnostic::of_text(&error.to_string(), error.help(), display.color()));
            1
        }
    };
    display.close();
    Ok(code)
}

/// Opens an image, of one platform if that is wanted.
pub(super) fn open(
    carrier: &Carrier,
    place: &Place,
    platform: Option<&Platform>,
    compress: bool,
) -> Result<Source, ShipError> {
    let source = Source::open(carrier, place, compress)?;
    match platform {
        Some(platform) => source.pick(carrier, platform),
        None => Ok(source),
    }
}

/// Pushes an image that is on disk; the exit code.
///
/// # Errors
/// Values that make no sense.
pub(super) fn push(flags: &PushFlags, env: &Env) -> Result<u8, Usage> {
    let Common { files, registry, log, .. } = &flags.common;
    let place = place::on_disk(&flags.image)?;
    let destinations = flags.destination.iter().filter(|d| !d.is_empty()).map(|d| places::destination(d));
    let destinations = destinations.collect::<Result<Vec<_>, _>>()?;
    if destinations.is_empty() {
        return Err(Usage::new("there is nowhere to push the image to").help("give --destination"));
    }
    let (platform, files) = (flags.common.platform()?, files.wanted()?);
    with_carrier(registry, log, env, |carrier, events| {
        carrier.check(&destinations)?;
        let source = open(carrier, &place, platform.as_ref(), true)?;
        let shipped = carrier.send(&source, &destinations, false)?;
        files::write_shipped(&files, &destinations, &shipped.digest)?;
        report(events, &destinations, &shipped);
        Ok(())
    })
}

/// Pulls an image to disk; the exit code.
///
/// # Errors
/// Values that make no sense.
pub(super) fn pull(flags: &PullFlags, env: &Env) -> Result<u8, Usage> {
    let Common { files, registry, log, .. } = &flags.common;
    let text = flags.image.strip_prefix("docker://").unwrap_or(&flags.image);
    let reference = places::reference("the image", text)?;
    let layout = Some(&flags.oci_layout_path).filter(|path| !path.is_empty()).map(PathBuf::from);
    let archive = Some(&flags.tar_path).filter(|path| !path.is_empty()).map(PathBuf::from);
    if layout.is_none() && archive.is_none() {
        return Err(
            Usage::new("there is nowhere to put the image").help("give --oci-layout-path or --tar-path")
        );
    }
    let (platform, files) = (flags.common.platform()?, files.wanted()?);
    let names: Vec<Reference> = reference.tag().map(|_| reference.clone()).into_iter().collect();
    with_carrier(registry, log, env, |carrier, events| {
        let mut source = open(carrier, &Place::Registry(reference.clone()), platform.as_ref(), false)?;
        let mut digest = None;
        if let Some(path) = &layout {
            let names: Vec<_> = names.iter().cloned().map(LayoutName::Reference).collect();
            let saved = carrier.save_layout(&source, path, &names)?;
            events.info(format!("pulled {}@{} to {}", reference.whole(), saved.digest, path.display()));
            digest = Some(saved.digest);
        }
        if let Some(path) = &archive {
            source = source.pick(carrier, &platform.clone().unwrap_or_else(Platform::host))?;
            let saved = carrier.save_archive(&source, path, &names)?;
            events.info(format!("pulled {}@{} to {}", reference.whole(), saved.digest, path.display()));
            digest = digest.or(Some(saved.digest));
        }
        if let Some(digest) = digest {
            files::write_shipped(&files, std::slice::from_ref(&reference), &digest)?;
        }
        Ok(())
    })
}

/// Copies an image from anywhere to anywhere; the exit code.
///
/// # Errors
/// Values that make no sense.
pub(super) fn copy(flags: &CopyFlags, env: &Env) -> Result<u8, Usage> {
    let Common { files, registry, log, .. } = &flags.common;
    let from = place::source(&flags.source)?;
    let all = flags.destination.iter().map(|d| place::destination(d)).collect::<Result<Vec<_>, _>>()?;
    let (platform, files) = (flags.common.platform()?, files.wanted()?);
    let registries: Vec<Reference> = all.iter().filter_map(reference).collect();
    with_carrier(registry, log, env, |carrier, events| {
        carrier.check(&registries)?;
        let source = open(carrier, &from, platform.as_ref(), !registries.is_empty())?;
        if !registries.is_empty() {
            let shipped = carrier.send(&source, &registries, flags.referrers)?;
            report(events, &registries, &shipped);
        }
        for place in &all {
            save(carrier, &source, place, events)?;
        }
        files::write_shipped(&files, &registries, &source.root().digest)?;
        Ok(())
    })
}

/// The reference of a place in a registry.
pub(super) fn reference(place: &Place) -> Option<Reference> {
    match place {
        Place::Registry(reference) => Some(reference.clone()),
        _ => None,
    }
}

/// Writes an image to a place on disk.
pub(super) fn save(
    carrier: &Carrier,
    source: &Source,
    place: &Place,
    events: &Events,
) -> Result<(), ShipError> {
    let wrote = |path: &Path, shipped: Shipped| {
        events.info(format!("wrote {} to {}", shipped.digest, path.display()));
    };
    let own = source.reference().filter(|reference| reference.tag().is_some());
    let layout_name = |tag: &Option<String>| match (tag, own) {
        (Some(tag), _) => Some(LayoutName::Tag(tag.clone())),
        (None, own) => own.cloned().map(LayoutName::Reference),
    };
    match place {
        Place::Registry(_) => {}
        Place::Layout { path, tag, .. } => {
            wrote(path, carrier.save_layout(source, path, layout_name(tag).as_slice())?);
        }
        Place::Archive { path, kind: Some(ArchiveKind::Oci), name } => {
            wrote(path, carrier.save_oci_archive(source, path, layout_name(name).as_slice())?);
        }
        Place::Archive { path, name, .. } => {
            let name = match name {
                Some(name) => Some(
                    name.parse::<Reference>()
                        .map_err(|e| ShipError::new(format!("'{name}' is no name of an image: {e}")))?,
                ),
                None => own.cloned(),
            };
            wrote(path, carrier.save_archive(source, path, name.as_slice())?);
        }
    }
    Ok(())
}

/// Says where the image is now.
pub(super) fn report(events: &Events, destinations: &[Reference], shipped: &Shipped) {
    for destination in destinations {
        events.info(format!("pushed {}@{}", destination.whole(), shipped.digest));
    }
    if shipped.images > 1 {
        events.info(format!("an index of {} images, all of them", shipped.images));
    }
}
