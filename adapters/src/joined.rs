//! `yadokari ci <platform> index`: images of several platforms, which other jobs built, as one.

use yadokari::image::{Digest, Reference};
use yadokari::ship::{Carrier, IndexConfig, Place, ShipError, Source};

use crate::ci::Front;
use crate::cli::job::Job;
use crate::cli::progress::{Display, Redactor};
use crate::cli::{diagnostic, places, secrets};
use crate::env::Env;
use crate::session::{self, EmitError};
use crate::usage::Usage;

/// An index that was pushed.
pub(crate) struct Joined {
    /// Its names.
    pub(crate) pushed: Vec<Reference>,
    /// Its digest.
    pub(crate) digest: Digest,
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
        true => reporter.images()?,
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
    for warning in &job.warnings {
        events.warn(warning.as_str());
    }
    let done = match job.config.push {
        true => push(&job, &images, front, &events),
        false => {
            events.info("nothing is pushed, so there is no index");
            Ok(())
        }
    };
    let code = match done {
        Ok(()) => 0,
        Err(error) => {
            let mut failure = diagnostic::of_text(&error.to_string(), error.help(), display.color());
            session::explained(&mut failure, reporter);
            display.failure(&failure);
            1
        }
    };
    display.close();
    Ok(code)
}

fn push(job: &Job, images: &[Place], front: &Front, events: &yadokari::event::Events) -> Result<(), Failed> {
    let config = &job.config;
    let spare = config.rootfs.work_dir.clone();
    let carrier = Carrier::new(&config.registry, &config.keychain, spare, events.clone())?;
    carrier.check(&config.destinations)?;
    let sources =
        images.iter().map(|image| Source::open(&carrier, image, true)).collect::<Result<Vec<_>, _>>()?;
    let plain = |(key, value): &(String, String)| {
        (key.strip_prefix("index:").unwrap_or(key).to_owned(), value.clone())
    };
    let settings = IndexConfig {
        annotations: config.annotations.iter().map(plain).collect(),
        format: config.image_format,
    };
    let shipped = carrier.create_index(&sources, &config.destinations, &settings)?;
    let joined = Joined { pushed: config.destinations.clone(), digest: shipped.digest };
    front.reporter.emit_index(&joined, events)?;
    for destination in &joined.pushed {
        events.info(format!("pushed {}@{}", destination.whole(), joined.digest));
    }
    events.info(format!("an index of {} images", shipped.images));
    Ok(())
}
