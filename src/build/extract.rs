//! Reading the layers of an image: into a tree on disk, or into a listing. Once more where
//! something that may pass by itself came in between.

use std::path::Path;
use std::time::Duration;

use crate::image::ChainId;
use crate::layer::{LayerSource, Listing, unpack};
use crate::rootfs::{Base, Rootfs, RootfsError, clear};

use super::Error;
use super::blobs::{Blob, Layer};
use super::executor::Executor;

/// Pause before the first repetition; doubled before each further one, as in kaniko.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often a pause looks whether somebody asks for the end.
const LOOK: Duration = Duration::from_millis(100);

/// Repeats what reads layers as often as the configuration says; not counted is what failed because
/// a mirror sent something else, for it is not asked again. `attempt` is told whether it is a
/// repetition.
fn repeated<T>(
    executor: &Executor<'_>,
    mut attempt: impl FnMut(bool) -> Result<T, Error>,
) -> Result<T, Error> {
    let registry = &executor.fetcher.registry;
    let mut left = executor.config.registry.extract_retry;
    let mut pause = PAUSE;
    let mut again = false;
    loop {
        let lies = registry.lies();
        let error = match attempt(again) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        again = true;
        executor.check_cancelled()?;
        if registry.lies() > lies {
            executor.events.warn(format!("{error}; reading the layers again from elsewhere"));
            continue;
        }
        if left == 0 {
            return Err(error);
        }
        left -= 1;
        let text = format!("{error}; reading the layers again in {} s", pause.as_secs());
        executor.events.warn(text);
        let mut waited = Duration::ZERO;
        while waited < pause {
            std::thread::sleep(LOOK);
            waited += LOOK;
            executor.check_cancelled()?;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A tree on disk with these layers in it.
pub(super) fn unpacked(
    executor: &Executor<'_>,
    at: usize,
    layers: &[Layer],
) -> Result<Box<dyn Rootfs>, Error> {
    let placement =
        executor.placement.ok_or_else(|| Error::other("no place for a root filesystem was opened"))?;
    let diff_ids: Vec<_> = layers.iter().map(|l| l.diff_id).collect();
    let unpack = |target: &Path, observer: &mut dyn FnMut(&[u8], u128)| {
        let attempt = |again| {
            if again {
                clear(target).map_err(|e| Error::other(format!("cannot empty {}: {e}", target.display())))?;
            }
            unpack_layers(executor, layers, target, observer)
        };
        repeated(executor, attempt).map_err(|e| RootfsError::Unpack(Box::new(e)))
    };
    let base = match ChainId::of_layers(&diff_ids) {
        Some(key) => Base::Layers { key, unpack: &unpack },
        None => Base::Scratch,
    };
    Ok(placement.create(at, base)?)
}

/// Unpacks layers into an empty directory, all of them fetched at the same time.
fn unpack_layers(
    executor: &Executor<'_>,
    layers: &[Layer],
    target: &Path,
    observer: &mut dyn FnMut(&[u8], u128),
) -> Result<(), Error> {
    for layer in layers {
        if let Blob::Base(base) = &layer.blob {
            base.start(executor.fetcher)?;
        }
    }
    let mut sources = Vec::new();
    for layer in layers {
        sources.push(LayerSource {
            reader: layer.reader(executor.fetcher)?,
            diff_id: Some(layer.diff_id),
            name: layer.descriptor.digest.to_string(),
        });
    }
    let limits = super::limits(executor.config);
    let unpacked = unpack(sources, target, &limits, observer).map_err(Error::from_display)?;
    unpacked.warnings.into_iter().for_each(|w| executor.events.warn(w));
    Ok(())
}

/// The files in these layers, each read once as a stream; with `contents` these are spooled to a
/// nameless file, else nothing is written to disk.
pub(super) fn listed(executor: &Executor<'_>, layers: &[Layer], contents: bool) -> Result<Listing, Error> {
    let all = [Vec::new()];
    repeated(executor, |_| list_layers(executor, layers, if contents { &all } else { &[] }))
}

/// As [`listed`], with the contents at and below these paths: see [`Listing::only`].
pub(super) fn listed_only(
    executor: &Executor<'_>,
    layers: &[Layer],
    paths: &[Vec<u8>],
) -> Result<Listing, Error> {
    repeated(executor, |_| list_layers(executor, layers, paths))
}

fn list_layers(executor: &Executor<'_>, layers: &[Layer], paths: &[Vec<u8>]) -> Result<Listing, Error> {
    let listing = if paths.is_empty() {
        Listing::new()
    } else {
        let spool = executor.workspace.spool().and_then(Listing::with_contents);
        let failed = |e| Error::other(format!("cannot make a file for the contents of layers: {e}"));
        spool.map_err(failed)?.only(paths)
    };
    let mut sources = Vec::new();
    for layer in layers {
        let reader = match &layer.blob {
            Blob::Base(base) => base.stream(executor.fetcher)?,
            Blob::Packed(_) => layer.reader(executor.fetcher)?,
        };
        let name = layer.descriptor.digest.to_string();
        sources.push(LayerSource { reader, diff_id: Some(layer.diff_id), name });
    }
    listing.read_layers(sources, &super::limits(executor.config)).map_err(Error::from_display)
}
