//! Carrying out a plan once, with a cache or without, and bringing what it made to its places.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use crate::cache::Cache;
use crate::config::{BuildConfig, CacheOutcome, StepOutcome};
use crate::context::Context;
use crate::event::Events;
use crate::layer::Timestamp;
use crate::plan::Plan;
use crate::rootfs::{self, RootfsError};
use crate::run::Cancel;

use super::assemble::{self, Image, Root};
use super::blobs::Fetcher;
use super::cached::Cached;
use super::executor::{Executor, Ran, Slot};
use super::images::Images;
use super::keys::KeyMaker;
use super::left::Left;
use super::remotes::Remotes;
use super::session::Session;
use super::turns::Turns;
use super::upload::Uploads;
use super::workspace::Workspace;
use super::{Error, demands, mounts, products, threads};

/// Builds with a cache. Where what is known turns out to be lost or wrong, all is done again
/// without it: a cache fails no build.
pub(super) fn with_cache(job: &Job<'_>, cache: &Cache, maker: &KeyMaker<'_>) -> Result<Built, Error> {
    loop {
        let keys = maker.stages(&job.plan.stages);
        let cached = Cached::plan(cache, job, &keys, maker);
        cached.fetch_what_runs();
        let error = match attempt(job, Some(&cached)) {
            Ok(built) => return Ok(Built { cache: Some(cached.outcome()), ..built }),
            Err(error) => error,
        };
        if job.cancel.signal().is_some() {
            return Err(error);
        }
        if job.remotes.take_change() {
            job.events.warn(format!("{error}; building again with what came"));
            continue;
        }
        if !cached.is_suspect() || !cache.reads() {
            return Err(error);
        }
        job.events.warn(format!("a layer from the cache cannot be used; building without: {error}"));
        cache.distrust();
    }
}

/// Images that are where they should be.
pub(super) struct Built {
    /// One for each platform.
    pub(super) images: Vec<Image>,
    /// What the destinations name.
    pub(super) root: Root,
    pub(super) steps: Vec<StepOutcome>,
    pub(super) cache: Option<CacheOutcome>,
    /// What is still to be left in place.
    pub(super) left: Option<Left>,
}

/// Carries out the plan once, and writes and pushes the images.
pub(super) fn attempt(job: &Job<'_>, cached: Option<&Cached<'_>>) -> Result<Built, Error> {
    let Job { config, session, plan, events, cancel, fetcher, .. } = *job;
    let uploads = Uploads::new(&session.network, &session.registry, session.destinations());
    // What was made is kept even where a later step fails, while its files are there.
    let _keeping = cached.map(|cached| Keeping { cached, cancel });
    let saving = mounts::Saving::open(job, cached);
    let made = carry_out(job, &uploads, cached, saving.as_ref());
    let stopped = || cancel.signal().is_some();
    let save = || {
        if let Some(saving) = &saving {
            saving.save(&caches(job), &stopped);
        }
    };
    if made.is_err() && !stopped() {
        save();
    }
    let Made { ran, mut placement, tree } = made?;
    let left = tree.and_then(|tree| Some(Left { tree, placement: placement.take()? }));
    let mut images = Vec::new();
    for (planned, made) in plan.images.iter().zip(ran.images) {
        let base = job.images.base_of(plan, planned.stage);
        images.push(assemble::assemble(config, planned, base.as_deref(), made, cached)?);
    }
    let root = Root::of(config, &images)?;
    let pushed = session.destinations();
    std::thread::scope(|scope| {
        // Trees nobody needs any more go while the image is written and sent.
        let cleared = scope.spawn(|| placement.map_or(Ok(()), |p| p.finish()));
        // So does what cache mounts hold.
        scope.spawn(save);
        products::write(config, fetcher, &images, &root, events)?;
        if !pushed.is_empty() {
            push(&uploads, job, &images, &root)?;
        }
        cleared.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok::<(), Error>(())
    })?;
    Ok(Built { images, root, steps: ran.steps, cache: None, left })
}

/// Sends what is not under way yet, and last what the destinations name.
fn push(uploads: &Uploads, job: &Job<'_>, images: &[Image], root: &Root) -> Result<(), Error> {
    for image in images {
        let name = format!("config-{}.json", image.config_descriptor.digest.hex());
        uploads.file(&image.config_descriptor, job.workspace.write_blob(&name, &image.config)?);
    }
    uploads.finish(job.cancel)?;
    if images.len() > 1 {
        for image in images {
            uploads.by_digest(&image.manifest_descriptor, &image.manifest)?;
        }
    }
    if job.config.push_by_digest {
        return uploads.by_digest(&root.descriptor, &root.bytes);
    }
    uploads.manifests(job.session.destinations(), &root.bytes, &root.descriptor.media_type)
}

/// Waits at its end until the cache has what it should keep.
struct Keeping<'a> {
    cached: &'a Cached<'a>,
    cancel: &'a Cancel,
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.cached.finish(&|| self.cancel.signal().is_some());
    }
}

/// What carrying out a plan made.
struct Made {
    ran: Ran,
    /// What is still to be cleared away; the container's own files are back already.
    placement: Option<Box<dyn rootfs::Placement>>,
    /// What is left in place, where that is wanted.
    tree: Option<Box<dyn rootfs::Rootfs>>,
}

/// What the steps are carried out for.
pub(super) struct Job<'a> {
    pub(super) config: &'a BuildConfig,
    pub(super) events: &'a Events,
    pub(super) cancel: &'a Cancel,
    pub(super) workspace: &'a Workspace,
    pub(super) fetcher: &'a Fetcher,
    pub(super) session: &'a Session<'a>,
    pub(super) plan: &'a Plan,
    pub(super) images: &'a Images<'a>,
    pub(super) context: Option<&'a Context>,
    pub(super) remotes: &'a Remotes,
    pub(super) directories: &'a BTreeMap<PathBuf, Context>,
}

/// Carries out the plan's steps. Whatever happens, the container's own files are back
/// when this returns.
fn carry_out(
    job: &Job<'_>,
    uploads: &Uploads,
    cached: Option<&Cached<'_>>,
    saving: Option<&mounts::Saving<'_>>,
) -> Result<Made, Error> {
    let secrets = mounts::Secrets::read(&job.config.steps.secrets, job.plan)?;
    let agents = mounts::Agents::open(&job.config.steps.agents, job.plan)?;
    let placement = placement(job, cached)?;
    let now = assemble::created(job.config)?;
    // A step that fails ends the others, and nothing else.
    let cancel = job.cancel.part();
    let hosts = mounts::hosts(&job.config.steps, job.workspace)?;
    let executor = Executor {
        config: job.config,
        events: job.events,
        cancel: &cancel,
        plan: job.plan,
        images: job.images,
        placement: placement.as_deref(),
        context: job.context,
        remotes: job.remotes,
        workspace: job.workspace,
        fetcher: job.fetcher,
        uploads,
        now: Timestamp { seconds: now.as_second(), nanoseconds: 0 },
        stages: job.plan.stages.iter().map(|_| Slot::default()).collect(),
        in_images: job.plan.in_images(),
        image_files: Mutex::default(),
        directories: job.directories,
        ahead: Mutex::default(),
        commands: AtomicUsize::new(0),
        turns: Turns::new(threads(job.config)),
        terminal: Mutex::default(),
        secrets,
        agents,
        hosts,
        caches: caches(job),
        saving,
        shown: mounts::Shown::default(),
        cached,
    };
    let outcome = executor.run();
    let tree = executor.take_materialized();
    drop(executor);
    // In place, whatever comes next needs the container's own files.
    let finished = match &placement {
        Some(placement) if outcome.is_err() => placement.finish(),
        Some(placement) => placement.leave(),
        None => Ok(()),
    };
    let ran = settled(outcome, finished, job.events)?;
    Ok(Made { ran, placement, tree })
}

/// Where the steps are executed, if any is.
fn placement(
    job: &Job<'_>,
    cached: Option<&Cached<'_>>,
) -> Result<Option<Box<dyn rootfs::Placement>>, Error> {
    let commands = match cached {
        Some(cached) => cached.any_needs_disk(),
        None => job.plan.stages.iter().any(|s| s.on_disk),
    };
    if !commands && !job.config.rootfs.materialize {
        job.events.info("no root filesystem: nothing is executed");
        return Ok(None);
    }
    demands::check_foreign(job, cached)?;
    let mut rootfs = job.config.rootfs.clone();
    rootfs.work_dir = job.workspace.path().to_owned();
    let (placement, why) =
        rootfs::open_placement(&rootfs, &job.session.secrets, threads(job.config), job.events)
            .map_err(|error| demands::at_first_command(error.into(), job, cached))?;
    job.events.info(why);
    if placement.kind() == rootfs::PlacementKind::Inplace {
        job.session.keychain.freeze_files();
    }
    demands::check(job.config, job.plan, placement.kind())?;
    Ok(Some(placement))
}

/// What the steps came to. Where they failed and the container's own files are not back either, both are said.
fn settled<T>(outcome: Result<T, Error>, back: Result<(), RootfsError>, events: &Events) -> Result<T, Error> {
    match (outcome, back) {
        (Ok(done), Ok(())) => Ok(done),
        (Ok(_), Err(error)) => Err(error.into()),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(left)) => {
            events.warn(match &left {
                RootfsError::Refused { help: Some(help), .. } => format!("{left}; {help}"),
                _ => left.to_string(),
            });
            Err(error)
        }
    }
}

/// Directory of what cache mounts keep, as an absolute path.
fn caches(job: &Job<'_>) -> PathBuf {
    let beside = || job.workspace.path().parent().unwrap_or(job.workspace.path()).join("caches");
    let caches = job.config.steps.caches.clone().unwrap_or_else(beside);
    std::path::absolute(&caches).unwrap_or(caches)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event::{Event, EventSink};

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl EventSink for Warnings {
        fn event(&self, event: Event) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    #[test]
    fn files_that_are_not_back_are_told_of_whatever_failed() {
        let stuck = || {
            let help = Some("run it again".to_owned());
            Err(RootfsError::Refused { reason: "cannot put back /etc".to_owned(), help })
        };
        let failed = || Err(Error::other("the step failed"));
        for (outcome, back, error, warned) in [
            (Ok(()), Ok(()), None, None),
            (Ok(()), stuck(), Some("cannot put back /etc"), None),
            (failed(), Ok(()), Some("the step failed"), None),
            (failed(), stuck(), Some("the step failed"), Some("cannot put back /etc; run it again")),
        ] {
            let warnings = Arc::new(Warnings::default());
            let settled = settled(outcome, back, &Events::new(warnings.clone()));
            assert_eq!(settled.err().map(|e| e.to_string()).as_deref(), error);
            assert_eq!(warnings.0.lock().unwrap().first().map(String::as_str), warned);
        }
    }
}
