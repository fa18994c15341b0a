//! `yadokari ci <platform> index`, and `mode: index` on GitHub: images of several platforms, which other jobs
//! built, as one.

use std::collections::BTreeMap;

use yadokari::event::Events;
use yadokari::image::{Descriptor, Digest, ManifestOrIndex, Reference};
use yadokari::run::{Cancel, signals};
use yadokari::ship::{Carrier, IndexConfig, Place, ShipError, Source};

use crate::ci::Front;
use crate::cli::job::Job;
use crate::cli::progress::{Display, Redactor};
use crate::cli::{annotations, diagnostic, places, secrets};
use crate::env::Env;
use crate::session::{self, EmitError};
use crate::usage::Usage;

/// An index that was pushed.
pub(crate) struct Joined {
    /// Its names.
    pub(crate) pushed: Vec<Reference>,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its entry in a list of manifests.
    pub(crate) descriptor: Descriptor,
    /// The image of each platform.
    pub(crate) platforms: BTreeMap<String, Digest>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// It is there, but that could not be reported.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

impl Failed {
    fn help(&self) -> Option<&str> {
        match self {
            Failed::Ship(error) => error.help.as_deref(),
            Failed::Emit(_) => Some("the index itself has been pushed"),
        }
    }
}

/// Joins the images that the platform names, and pushes the index to where a build would be; the exit code.
///
/// # Errors
/// Inputs that make no index.
pub(crate) fn run(front: &Front, env: &Env) -> Result<u8, Usage> {
    let reporter = front.reporter.as_ref();
    let job = front.settings.job(env, reporter)?;
    let images = match job.config.push {
        true => reporter.images(&job)?,
        // Then the other jobs pushed nothing either.
        false => Vec::new(),
    };
    let images = images
        .iter()
        .map(|image| places::reference("the image", image).map(Place::Registry))
        .collect::<Result<Vec<_>, _>>()?;
    let redactor = Redactor::new(secrets::of(&job.config));
    let markup = reporter.markup(&redactor);
    let display = Display::open(job.log, env, redactor, markup, reporter.sink())?;
    let events = display.events();
    let cancel =
        signals::install().map_err(|e| Usage::new(format!("SIGTERM and SIGINT cannot be handled: {e}")))?;
    for warning in &job.warnings {
        events.warn(warning.as_str());
    }
    let done = match job.config.push {
        true => push(&job, &images, front, &events, cancel.clone()),
        false => {
            events.info("nothing is pushed, so there is no index");
            Ok(())
        }
    };
    let code = match done {
        Ok(()) => 0,
        Err(error) => {
            let mut failure = match cancel.signal() {
                None => diagnostic::of_text(&error.to_string(), error.help(), display.color()),
                // Whatever else went wrong by then did so because of it.
                Some(_) => {
                    let text = format!("cancelled by {}", cancel.signal_name());
                    diagnostic::of_text(&text, None, display.color())
                }
            };
            session::explained(&mut failure, reporter);
            display.failure(&failure);
            // The job has failed already.
            if let Err(error) = reporter.fail(&failure.report) {
                events.warn(error.to_string());
            }
            1
        }
    };
    display.close();
    Ok(code)
}

fn push(job: &Job, images: &[Place], front: &Front, events: &Events, cancel: Cancel) -> Result<(), Failed> {
    let config = &job.config;
    let spare = config.rootfs.work_dir.clone();
    let carrier = Carrier::new(&config.registry, &config.keychain, spare, events.clone(), cancel)?;
    carrier.check(&config.destinations)?;
    let open = |image: &Place| Source::open(&carrier, image, true);
    let sources = images.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let settings = IndexConfig {
        annotations: annotations::of_index(&config.annotations),
        entries: annotations::of_entries(&config.annotations),
        format: config.image_format,
    };
    let shipped = carrier.create_index(&sources, &config.destinations, &settings)?;
    for destination in &config.destinations {
        events.info(format!("pushed {}@{}", destination.whole(), shipped.digest));
    }
    events.info(format!("an index of {} images", shipped.images));
    let Some(first) = config.destinations.first() else { return Ok(()) };
    // What the registry says is what others will get.
    let place = format!("{}/{}@{}", first.registry(), first.repository(), shipped.digest);
    let reference = place.parse().map_err(|e| ShipError::new(format!("'{place}' is no reference: {e}")))?;
    let joined = read(&open(&Place::Registry(reference))?, &config.destinations)?;
    Ok(front.reporter.emit_index(job, &joined, events)?)
}

/// What an index is that was pushed.
fn read(index: &Source, pushed: &[Reference]) -> Result<Joined, ShipError> {
    let root = index.root();
    let mut platforms = BTreeMap::new();
    if let ManifestOrIndex::Index(index) = index.parsed()? {
        for entry in &index.manifests {
            if let Some(platform) = &entry.platform {
                platforms.insert(platform.to_string(), entry.digest);
            }
        }
    }
    Ok(Joined {
        pushed: pushed.to_vec(),
        digest: root.digest,
        descriptor: Descriptor::new(root.media_type.clone(), root.digest, root.bytes.len() as u64),
        platforms,
    })
}
