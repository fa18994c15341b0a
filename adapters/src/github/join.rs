//! `mode: index`: images of several platforms, which jobs before have pushed, become one.

use std::collections::BTreeMap;

use yadokari::event::Events;
use yadokari::image::{Descriptor, Digest, ManifestOrIndex, Reference};
use yadokari::ship::{Carrier, IndexConfig, Place, ShipError, Source};

use super::{Github, outputs};
use crate::cli::job::Job;
use crate::cli::progress::{Display, Redactor};
use crate::cli::{diagnostic, secrets};
use crate::env::Env;
use crate::session::{EmitError, Reporter};
use crate::usage::Usage;

/// An index that was pushed.
pub(super) struct Joined {
    /// Its digest.
    pub(super) digest: Digest,
    /// Its entry in a list of manifests.
    pub(super) descriptor: Descriptor,
    /// The image of each platform.
    pub(super) platforms: BTreeMap<String, Digest>,
    /// Where it was pushed to.
    pub(super) pushed: Vec<Reference>,
}

/// Why there is no index, or nobody heard of it.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Ship(#[from] ShipError),
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Makes the index and reports it; the exit code.
///
/// # Errors
/// Inputs that make no index.
pub(super) fn run(job: &Job, github: &Github, digests: &str, env: &Env) -> Result<u8, Usage> {
    let images = images(digests, &job.config.destinations)?;
    let redactor = Redactor::new(secrets::of(&job.config));
    let markup = github.markup(&redactor);
    let display = Display::open(job.log, env, redactor, markup, github.sink())?;
    let events = display.events();
    for warning in &job.warnings {
        events.warn(warning.as_str());
    }
    let done = match job.config.push {
        true => join(job, github, &images, env, &events),
        false => {
            events.info("push is false: the images stay by themselves, and there is no index");
            Ok(())
        }
    };
    let code = match done {
        Ok(()) => 0,
        Err(error) => {
            let help = match &error {
                Failed::Ship(error) => error.help.as_deref(),
                Failed::Emit(_) => Some("the index itself has been pushed"),
            };
            let failure = diagnostic::of_text(&error.to_string(), help, display.color());
            display.failure(&failure);
            // The step has failed already.
            if let Err(error) = github.fail(&failure.report) {
                events.warn(error.to_string());
            }
            1
        }
    };
    display.close();
    Ok(code)
}

/// The images to join: references, or digests in the repository of the first destination.
fn images(digests: &str, destinations: &[Reference]) -> Result<Vec<Reference>, Usage> {
    let words = digests.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let images = words.map(|word| {
        let whole = match (word.starts_with("sha256:"), destinations.first()) {
            (true, Some(first)) => format!("{}/{}@{word}", first.registry(), first.repository()),
            _ => word.to_owned(),
        };
        whole.parse::<Reference>().map_err(|e| {
            Usage::new(format!("input digests: '{word}' is no image: {e}"))
                .help("give each as repository@sha256:…, the output image-ref of the job that built it")
        })
    });
    let images = images.collect::<Result<Vec<_>, _>>()?;
    if images.is_empty() {
        return Err(Usage::new("mode is index, but there are no digests to join")
            .help("give the input digests: the outputs image-ref of the jobs that built the images"));
    }
    Ok(images)
}

fn join(job: &Job, github: &Github, images: &[Reference], env: &Env, events: &Events) -> Result<(), Failed> {
    let config = &job.config;
    let carrier = Carrier::new(&config.registry, &config.keychain, env.work_dir.clone(), events.clone())?;
    carrier.check(&config.destinations)?;
    let open = |reference: &Reference| Source::open(&carrier, &Place::Registry(reference.clone()), true);
    let sources = images.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let settings = IndexConfig { annotations: github.index_annotations(job), format: config.image_format };
    let shipped = carrier.create_index(&sources, &config.destinations, &settings)?;
    for destination in &config.destinations {
        events.info(format!("pushed {}@{}", destination.whole(), shipped.digest));
    }
    let Some(first) = config.destinations.first() else { return Ok(()) };
    // What the registry says is what others will get.
    let place = format!("{}/{}@{}", first.registry(), first.repository(), shipped.digest);
    let reference = place.parse().map_err(|e| ShipError::new(format!("'{place}' is no reference: {e}")))?;
    let index = open(&reference)?;
    let root = index.root();
    let descriptor = Descriptor::new(root.media_type.clone(), root.digest, root.bytes.len() as u64);
    let mut platforms = BTreeMap::new();
    if let ManifestOrIndex::Index(index) = index.parsed()? {
        for entry in &index.manifests {
            if let Some(platform) = &entry.platform {
                platforms.insert(platform.to_string(), entry.digest);
            }
        }
    }
    let pushed = config.destinations.clone();
    github.joined(job, &Joined { digest: shipped.digest, descriptor, platforms, pushed }, events)?;
    Ok(())
}

impl Github {
    /// What the index itself is annotated with.
    fn index_annotations(&self, job: &Job) -> BTreeMap<String, String> {
        if let Some(metadata) = &self.metadata {
            let wanted = metadata.levels.iter().any(|level| level.starts_with("index"));
            return metadata.annotations.iter().filter(|_| wanted).cloned().collect();
        }
        let given = job.config.annotations.iter().filter_map(|(key, value)| {
            let (level, name) = key.split_once(':').unwrap_or(("index", key));
            (level == "index").then(|| (name.to_owned(), value.clone()))
        });
        given.collect()
    }

    fn joined(&self, job: &Job, joined: &Joined, events: &Events) -> Result<(), EmitError> {
        let metadata = self.metadata.as_ref();
        self.put_outputs(&outputs::joined(job, joined, metadata, super::commands::token), events)?;
        self.summarise(|summary| summary.joined(joined))?;
        self.put_subjects(&outputs::artifacts(&joined.pushed, joined.digest), events)
    }
}
