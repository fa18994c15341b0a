//! Several images in one run: side by side where steps have root filesystems of their own, one after the
//! other in place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use yadokari::build;
use yadokari::config::{BuildOutcome, Isolation};
use yadokari::event::{Event, EventSink, Events, StepId, TransferId};
use yadokari::image::Reference;
use yadokari::rootfs::{PlacementKind, probe};
use yadokari::run::{Cancel, signals};

use crate::cli::job::Job;
use crate::cli::progress::{Display, Failure, Redactor};
use crate::cli::{diagnostic, files, results, secrets};
use crate::env::Env;
use crate::session::{self, Reporter};
use crate::usage::Usage;

/// One of several images.
pub(crate) struct Work {
    /// The target's name.
    pub(crate) name: String,
    /// Its build.
    pub(crate) job: Job,
}

/// An image that was made.
pub(crate) struct Made<'a> {
    /// The target's name.
    pub(crate) name: &'a str,
    /// Its build.
    pub(crate) job: &'a Job,
    /// What came out.
    pub(crate) outcome: BuildOutcome,
}

/// Builds all; what fails lets the others finish. The exit code is that of the first that failed, in the
/// order of `works`.
///
/// # Errors
/// Two of them write to the same place, or would be left in the same place.
pub(crate) fn run(mut works: Vec<Work>, env: &Env, reporter: &dyn Reporter) -> Result<u8, Usage> {
    if works.len() > 1 && works.iter().any(|work| work.job.config.rootfs.materialize) {
        return Err(Usage::new(format!(
            "--materialize leaves one image's files, and {} are built",
            works.len()
        ))
        .help("build one of them with it, by itself"));
    }
    let shared = Shared::take(&mut works)?;
    let redactor = Redactor::new(works.iter().flat_map(|work| secrets::of(&work.job.config)));
    let markup = reporter.markup(&redactor);
    let Some(first) = works.first() else { return Ok(0) };
    let display = Display::open(first.job.log, env, redactor, markup, reporter.sink())?;
    let events = display.events();
    let cancel =
        signals::install().map_err(|e| Usage::new(format!("SIGTERM and SIGINT cannot be handled: {e}")))?;
    let threads = threads(&works);
    let how = if threads > 1 { "side by side" } else { "one after the other" };
    let names: Vec<&str> = works.iter().map(|work| work.name.as_str()).collect();
    events.info(format!("building {} images {how}: {}", works.len(), names.join(", ")));

    let ended = all(&works, threads, &display, &cancel, reporter);
    let mut code = 0;
    let mut made = Vec::new();
    for (work, end) in works.iter().zip(ended) {
        match end {
            Ok(outcome) => made.push(Made { name: &work.name, job: &work.job, outcome }),
            Err(failed) if code == 0 => code = failed,
            Err(_) => {}
        }
    }
    let reported =
        shared.write(&made).map_err(session::EmitError::from).and_then(|()| match made.is_empty() {
            true => Ok(()),
            false => reporter.emit_all(&made, &events),
        });
    if let Err(error) = reported {
        display.failure(&diagnostic::of_text(&error.to_string(), None, display.color()));
        code = if code == 0 { 1 } else { code };
    }
    if made.len() < works.len() {
        let failed: Vec<&str> = names.into_iter().filter(|n| !made.iter().any(|m| m.name == *n)).collect();
        events.warn(format!("{} of {} images failed: {}", failed.len(), works.len(), failed.join(", ")));
    }
    display.close();
    Ok(code)
}

/// Builds at once: as many as there are processors or `--jobs`, but one where any may be built in place.
fn threads(works: &[Work]) -> usize {
    let apart = works.iter().all(|work| match work.job.config.rootfs.isolation {
        Isolation::Mounted | Isolation::Overlay | Isolation::Chroot => true,
        Isolation::Inplace => false,
        Isolation::Auto => probe(&work.job.config.rootfs)
            .iter()
            .any(|found| found.works && found.kind != PlacementKind::Inplace),
    });
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = works.iter().filter_map(|work| work.job.config.jobs).min().unwrap_or_else(processors);
    if apart { jobs.min(works.len()).max(1) } else { 1 }
}

/// Each build's outcome, or its exit code.
fn all(
    works: &[Work],
    threads: usize,
    display: &Display,
    signal: &Cancel,
    reporter: &dyn Reporter,
) -> Vec<Result<BuildOutcome, u8>> {
    let queue = Mutex::new((0..works.len()).collect::<VecDeque<_>>());
    let ended = Mutex::new(BTreeMap::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(number) = next() {
                    let end = one(number, &works[number], display, signal, reporter);
                    ended.lock().unwrap_or_else(PoisonError::into_inner).insert(number, end);
                }
            });
        }
    });
    ended.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn one(
    number: usize,
    work: &Work,
    display: &Display,
    signal: &Cancel,
    reporter: &dyn Reporter,
) -> Result<BuildOutcome, u8> {
    let Work { name, job } = work;
    let events = Events::new(Arc::new(Part { name: name.clone(), number, whole: display.events() }));
    let fail = |mut failure: Failure, code| {
        events.warn("failed:");
        session::explained(&mut failure, reporter);
        display.failure(&failure);
        // The build has failed already.
        if let Err(error) = reporter.fail(&failure.report) {
            events.warn(error.to_string());
        }
        Err(code)
    };
    for note in &job.notes {
        events.info(note.as_str());
    }
    for warning in &job.warnings {
        events.warn(warning.as_str());
    }
    events.info(session::intention(job));
    let built = build::build(&job.config, &events, signal);
    match built {
        Ok(outcome) => match files::write_results(&job.files, &job.config, &outcome) {
            Ok(()) => {
                session::tell(&outcome, &events);
                Ok(outcome)
            }
            Err(error) => fail(diagnostic::of_text(&error.to_string(), None, display.color()), 1),
        },
        Err(error) => fail(diagnostic::of_build(&error, display.color()), error.exit_code()),
    }
}

/// Shows one build's events among others'.
struct Part {
    name: String,
    number: usize,
    whole: Events,
}

impl Part {
    /// Builds number their stages from 0 each.
    fn step(&self, id: StepId) -> StepId {
        StepId { stage: id.stage + (self.number << 24), ..id }
    }

    fn transfer(&self, id: TransferId) -> TransferId {
        TransferId(id.0 + ((self.number as u64) << 40))
    }

    fn text(&self, text: &str) -> String {
        format!("{}: {text}", self.name)
    }
}

impl EventSink for Part {
    fn event(&self, mut event: Event) {
        match &mut event {
            Event::Debug(text) | Event::Info(text) | Event::Warning(text) => *text = self.text(text),
            Event::StepStarted { id, stage_name, .. } | Event::StepCached { id, stage_name, .. } => {
                *id = self.step(*id);
                *stage_name = format!("{}/{stage_name}", self.name);
            }
            Event::StepOutput { id, .. } | Event::StepFinished { id, .. } | Event::StepFailed { id, .. } => {
                *id = self.step(*id);
            }
            Event::TransferStarted { id, .. }
            | Event::TransferProgress { id, .. }
            | Event::TransferFinished { id, .. } => *id = self.transfer(*id),
            Event::Shell { .. } | Event::Checked(_) => {}
        }
        self.whole.send(event);
    }
}

/// Files that all builds report in.
#[derive(Default)]
struct Shared {
    metadata: Option<PathBuf>,
    environment: Option<PathBuf>,
}

impl Shared {
    /// Takes what all builds have in common; refuses what two would overwrite each other's.
    fn take(works: &mut [Work]) -> Result<Self, Usage> {
        fn common(works: &mut [Work], of: impl Fn(&mut Job) -> &mut Option<PathBuf>) -> Option<PathBuf> {
            let first = of(&mut works.first_mut()?.job).clone()?;
            let all = works.iter_mut().all(|work| of(&mut work.job).as_ref() == Some(&first));
            all.then(|| works.iter_mut().for_each(|work| *of(&mut work.job) = None))?;
            Some(first)
        }
        let shared = Shared {
            metadata: common(works, |job| &mut job.files.metadata),
            environment: common(works, |job| &mut job.files.environment),
        };
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for work in works.iter() {
            let places: BTreeSet<String> = places(&work.job).into_iter().collect();
            for place in places {
                if let Some(other) = seen.insert(place.clone(), &work.name) {
                    return Err(Usage::new(format!(
                        "the targets {other} and {} both write {place}",
                        work.name
                    ))
                    .help("give each its own, or build one of them: name it"));
                }
            }
        }
        Ok(shared)
    }

    fn write(&self, made: &[Made<'_>]) -> Result<(), files::FileError> {
        if let Some(path) = &self.metadata {
            files::write(path, format!("{:#}\n", metadata(made)).as_bytes())?;
        }
        if let Some(path) = &self.environment {
            let lines = made.iter().flat_map(|made| {
                let text = results::environment(&made.job.config, &made.outcome);
                let suffix = variable(made.name);
                text.lines()
                    .map(|line| line.replacen('=', &format!("_{suffix}="), 1) + "\n")
                    .collect::<Vec<_>>()
            });
            files::write(path, lines.collect::<String>().as_bytes())?;
        }
        Ok(())
    }
}

/// Everything a build writes.
fn places(job: &Job) -> Vec<String> {
    let files = &job.files;
    let config = &job.config;
    let fixed = [
        &files.digest,
        &files.name,
        &files.name_tag,
        &files.metadata,
        &files.environment,
        &config.tar_path,
        &config.oci_layout_path,
        &config.oci_archive_path,
    ];
    let paths = fixed.into_iter().flatten().chain(files.outputs.iter().map(|(_, path)| path));
    let mut places: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    if config.push {
        places.extend(config.destinations.iter().map(Reference::whole));
    }
    places
}

/// BuildKit's metadata of each target, as `docker buildx bake --metadata-file` has it.
pub(crate) fn metadata(made: &[Made<'_>]) -> serde_json::Value {
    let all = made.iter().map(|m| (m.name.to_owned(), results::metadata(&m.job.config, &m.outcome)));
    serde_json::Value::Object(all.collect())
}

/// A target's name as a part of a variable's.
pub(crate) fn variable(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}
