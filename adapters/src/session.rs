//! One build from a job to an exit code, the same for every front.

use std::path::PathBuf;

use yadokari::build;
use yadokari::config::{BuildOutcome, ImageOutcome};
use yadokari::event::Events;
use yadokari::image::Reference;
use yadokari::rootfs::inplace::{self, Restored};
use yadokari::run::signals;

use crate::cli::flags::{FormatFlag, Log, Rootfs};
use crate::cli::job::Job;
use crate::cli::progress::text::{bytes, seconds};
use crate::cli::progress::{Bare, Display, Failure, Markup, Redactor, Sink};
use crate::cli::{config, diagnostic, files, log, secrets};
use crate::env::Env;
use crate::joined::Joined;
use crate::platforms::cloudbuild;
use crate::settings::land::TagRules;
use crate::several::Made;
use crate::usage::Usage;

/// What a front adds to a build.
pub(crate) trait Reporter: Sync {
    /// Where the log goes.
    fn sink(&self) -> Sink;

    /// How the log is marked up.
    fn markup(&self, redactor: &Redactor) -> Box<dyn Markup>;

    /// The tags that rules make of what the platform knows of the commit, best first.
    ///
    /// # Errors
    /// A broken rule, or a platform that knows nothing.
    fn tags(&self, _: &TagRules) -> Result<Vec<String>, Usage> {
        Err(Usage::new("tag-rules need a CI platform that knows the commit").help("name the tags: tags"))
    }

    /// What to say where there is nowhere to push to.
    fn nowhere(&self) -> Usage {
        Usage::new("there is nowhere to push the image to")
            .help("give --destination, or --no-push if the image shall not be pushed")
    }

    /// Adds what no setting says: credentials of the platform, limits of where it runs.
    ///
    /// # Errors
    /// What cannot be built here.
    fn complete(&self, _: &mut Job, _: &Env) -> Result<(), Usage> {
        Ok(())
    }

    /// Reports a success in the platform's format.
    ///
    /// # Errors
    /// The platform's file cannot be written.
    fn emit(&self, job: &Job, outcome: &BuildOutcome, events: &Events) -> Result<(), EmitError>;

    /// The images that other jobs pushed, by digest, to be joined in an index.
    ///
    /// # Errors
    /// There are none, or this platform does not know.
    fn images(&self, _: &Job) -> Result<Vec<String>, Usage> {
        Err(Usage::new("this platform hands no images from job to job")
            .help("name them: yadokari index create -d IMAGE IMAGE@DIGEST…"))
    }

    /// Reports an index.
    ///
    /// # Errors
    /// As [`Reporter::emit`].
    fn emit_index(&self, _: &Job, _: &Joined, _: &Events) -> Result<(), EmitError> {
        Ok(())
    }

    /// What the platform had to do with a failure, if it had.
    fn explain(&self, report: &str) -> Option<String> {
        let _ = report;
        None
    }

    /// Reports a failure, which may show secrets, in addition to the log.
    ///
    /// # Errors
    /// The platform's file cannot be written.
    fn fail(&self, report: &str) -> Result<(), EmitError> {
        let _ = report;
        Ok(())
    }

    /// Reports several images, each with its target's name, where the platform's format has a place for them.
    ///
    /// # Errors
    /// As [`Reporter::emit`].
    fn emit_all(&self, made: &[Made<'_>], events: &Events) -> Result<(), EmitError> {
        match made {
            [one] => self.emit(one.job, &one.outcome, events),
            _ => Ok(()),
        }
    }

    /// What [`Reporter::emit`] will write, for people: what it is, and where it goes.
    fn emits(&self, _: &Job) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The form of a check's report, where none is asked for.
    fn check_format(&self) -> FormatFlag {
        FormatFlag::Human
    }
}

/// A success could not be reported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmitError {
    /// A file of ours.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// A file of the platform's that is appended to.
    #[error("cannot append to {}: {source}", path.display())]
    Append {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// No platform.
#[derive(Debug, Default)]
pub(crate) struct CommandLine {
    /// Where Cloud Build's steps put what came out; kaniko writes there unasked.
    builder_output: Option<PathBuf>,
}

impl CommandLine {
    /// For a command line in this environment.
    pub(crate) fn new(env: &Env) -> Self {
        CommandLine { builder_output: env.get("BUILDER_OUTPUT").map(PathBuf::from) }
    }
}

impl Reporter for CommandLine {
    fn sink(&self) -> Sink {
        Sink::Stderr
    }

    fn markup(&self, _: &Redactor) -> Box<dyn Markup> {
        Box::new(Bare)
    }

    fn emit(&self, _: &Job, outcome: &BuildOutcome, _: &Events) -> Result<(), EmitError> {
        match &self.builder_output {
            Some(directory) => cloudbuild::write_images(directory, std::iter::once(outcome)),
            None => Ok(()),
        }
    }

    fn emit_all(&self, made: &[Made<'_>], _: &Events) -> Result<(), EmitError> {
        match &self.builder_output {
            Some(directory) => cloudbuild::write_images(directory, made.iter().map(|made| &made.outcome)),
            None => Ok(()),
        }
    }
}

/// Builds, shows and reports; the exit code.
///
/// # Errors
/// It cannot be shown as asked for.
pub(crate) fn run(job: &Job, env: &Env, reporter: &dyn Reporter) -> Result<u8, Usage> {
    let redactor = Redactor::new(secrets::of(&job.config));
    let markup = reporter.markup(&redactor);
    let display = Display::open(job.log, env, redactor, markup, reporter.sink())?;
    let events = display.events();
    let cancel =
        signals::install().map_err(|e| Usage::new(format!("SIGTERM and SIGINT cannot be handled: {e}")))?;
    for note in &job.notes {
        events.info(note.as_str());
    }
    for warning in &job.warnings {
        events.warn(warning.as_str());
    }
    events.info(intention(job));
    let failure = match build::build(&job.config, &events, &cancel) {
        Ok(outcome) => match report(job, &outcome, reporter, &events) {
            Ok(()) => None,
            Err(e) => Some((
                diagnostic::of_text(&e.to_string(), lost(job, &outcome).as_deref(), display.color()),
                1,
            )),
        },
        Err(e) => Some((diagnostic::of_build(&e, display.color()), e.exit_code())),
    };
    let code = failure.map_or(0, |(mut failure, code): (Failure, u8)| {
        explained(&mut failure, reporter);
        display.failure(&failure);
        // The build has failed already.
        if let Err(error) = reporter.fail(&failure.report) {
            events.warn(error.to_string());
        }
        code
    });
    display.close();
    Ok(code)
}

/// Adds to a failure what the platform had to do with it.
pub(crate) fn explained(failure: &mut Failure, reporter: &dyn Reporter) {
    if let Some(text) = reporter.explain(&failure.report) {
        failure.report += &format!("\nnote: {text}");
    }
}

/// Puts the container's own files back after a build in place was killed; the exit code.
///
/// # Errors
/// As [`run`].
pub(crate) fn restore(env: &Env) -> Result<u8, Usage> {
    let rootfs = config::rootfs(&Rootfs::default(), env);
    let log = log::options(&Log::default())?;
    let display = Display::open(log, env, Redactor::default(), Box::new(Bare), Sink::Stderr)?;
    let events = display.events();
    let code = match inplace::restore(&rootfs.home_dir, &events) {
        Ok(Restored::Files) => {
            events.info("the container's own files are back");
            0
        }
        Ok(Restored::Trees) => {
            events.info("removed what a build had left; the container's own files were in their place");
            0
        }
        Ok(Restored::Nothing) => {
            events
                .info(format!("there is nothing to put back: {} has no journal", rootfs.home_dir.display()));
            0
        }
        Err(e) => {
            display.failure(&diagnostic::of_build(&build::Error::from(e), display.color()));
            1
        }
    };
    display.close();
    Ok(code)
}

/// Platforms differ in whether they push by default, so it is said.
pub(crate) fn intention(job: &Job) -> String {
    let names: Vec<String> = job.config.destinations.iter().map(Reference::whole).collect();
    match job.config.push {
        true => format!("building, to be pushed to {}", names.join(", ")),
        false => "building; the image is not pushed".to_owned(),
    }
}

fn report(
    job: &Job,
    outcome: &BuildOutcome,
    reporter: &dyn Reporter,
    events: &Events,
) -> Result<(), EmitError> {
    files::write_results(&job.files, &job.config, outcome)?;
    reporter.emit(job, outcome, events)?;
    tell(outcome, events);
    Ok(())
}

/// Says what came out.
pub(crate) fn tell(outcome: &BuildOutcome, events: &Events) {
    cache_totals(outcome, events);
    for destination in &outcome.pushed {
        events.info(format!("pushed {}@{}", destination.whole(), outcome.digest));
    }
    if outcome.pushed.is_empty() {
        events.info(format!("built {}", outcome.digest));
    }
    let size = |image: &ImageOutcome| {
        format!(
            "{}, {} layers, {} compressed",
            image.platform,
            image.layers.len(),
            bytes(image.compressed_size())
        )
    };
    match outcome.images.as_slice() {
        [image] => events.info(format!("{}, in {}", size(image), seconds(outcome.duration))),
        images => {
            for image in images {
                events.info(format!("{}: {}", size(image), image.digest));
            }
            events.info(format!("an index of {} images, in {}", images.len(), seconds(outcome.duration)));
        }
    }
}

/// What the cache did, where there was one.
fn cache_totals(outcome: &BuildOutcome, events: &Events) {
    if let Some(cache) = &outcome.cache {
        events.info(format!(
            "cache: {} of {} steps known, which saved {} of layers and {} of work",
            cache.hits,
            cache.hits + cache.misses,
            bytes(cache.bytes_saved),
            seconds(cache.time_saved)
        ));
    }
}

/// What a user whose result file failed must know: the image is there.
fn lost(job: &Job, outcome: &BuildOutcome) -> Option<String> {
    let first = job.config.destinations.first().filter(|_| !outcome.pushed.is_empty())?;
    Some(format!("the image itself has been pushed: {}@{}", first.whole(), outcome.digest))
}

/// The outcome of a build, for tests of those who report it.
#[cfg(test)]
pub(crate) mod sample {
    use std::time::Duration;

    use yadokari::config::{BuildOutcome, ImageOutcome};
    use yadokari::image::{Digest, MediaType, Platform};

    /// One image for this machine, pushed to these references.
    pub(crate) fn outcome(pushed: &[&str]) -> BuildOutcome {
        BuildOutcome {
            cache: None,
            digest: Digest::of(b"m"),
            media_type: MediaType::from(MediaType::OCI_MANIFEST),
            manifest_size: 1,
            images: vec![ImageOutcome {
                digest: Digest::of(b"m"),
                config_digest: Digest::of(b"c"),
                platform: Platform::host(),
                layers: Vec::new(),
            }],
            pushed: pushed.iter().map(|p| p.parse().unwrap()).collect(),
            steps: Vec::new(),
            duration: Duration::ZERO,
        }
    }
}
