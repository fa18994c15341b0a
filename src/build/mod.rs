//! The executor: walks the plan and makes the image.

mod assemble;
mod bases;
mod blobs;
mod cached;
mod check;
mod check_files;
mod copy;
mod demands;
mod describe;
mod devices;
mod dockerfile_source;
mod error;
mod executor;
mod extract;
mod fetching;
mod idle;
mod images;
mod keys;
mod memory;
mod mounts;
mod named;
mod open_cache;
mod products;
mod remotes;
mod run;
mod sources;
mod squash;
mod stage;
mod turns;
mod upload;
mod warm;
mod workspace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub use check::{BaseLookup, CheckReport, check};
pub use describe::{outline, targets};
pub use error::Error;
pub use warm::{WarmConfig, Warmed, warm};

use crate::cache::Cache;
use crate::cloud::Clouds;
use crate::config::{
    BuildConfig, BuildOutcome, CacheOutcome, Compression, FetchConfig, ImageFormat, LayerOutcome,
    SecretSource, StepOutcome,
};
use crate::context::{self, Context};
use crate::dockerfile;
use crate::event::Events;
use crate::fetch;
use crate::image::{Platform, Reference};
use crate::keychain::Keychain;
use crate::layer::{Limits, Timestamp};
use crate::plan::{self, Arguments, CopyFrom, Inputs, Plan, PlanError};
use crate::registry::{Network, Registry, Task};
use crate::rootfs;
use crate::run::Cancel;

use bases::KeptImages;
use blobs::{Fetcher, Layer};
use cached::Cached;
use executor::{Executor, Ran, Slot};
use images::Images;
use keys::{KeyMaker, StageKeys};
use named::Named;
use remotes::Remotes;
use turns::Turns;
use upload::Uploads;
use workspace::Workspace;

/// Builds an image as configured, pushes it if asked, and says what came out.
///
/// # Errors
/// [`Error`]; whatever happens, no tag is written before all blobs are, and the container's
/// own files are back in their place.
pub fn build(config: &BuildConfig, events: &Events, cancel: &Cancel) -> Result<BuildOutcome, Error> {
    let started = Instant::now();
    if rootfs::inplace::restore(&config.rootfs.home_dir, events)? {
        events.info("put the container's own files back, which a build that was killed had set aside");
    }
    let session = Session::open(config, events)?;
    let workspace = Workspace::create(&config.rootfs.work_dir)?;
    let mut context = session.context(&workspace, cancel)?;
    let source = dockerfile_source::read(config, context.as_mut(), events)?;
    let dockerfile = dockerfile::parse(&source).map_err(Error::Dockerfile)?;

    let rights = session.try_rights();
    let named = Named::new(config, &workspace, session.fetcher(), &session.network, cancel)?;
    let platform = config.platform.clone().unwrap_or_else(Platform::host);
    let mut cache = open_cache::open(config, &session, &platform, events);
    let arguments = Arguments::new(&config.build_args, &platform);
    let inputs = Inputs {
        dockerfile: &dockerfile,
        arguments: &arguments,
        target: config.target.as_deref(),
        contexts: &named.contexts,
        platform_given: config.platform.is_some(),
    };
    let bases = KeptImages::open(config.cache.bases.as_ref(), events);
    let images = Images::new(&session.network, &session.registry, Some(&named), bases);
    let mut images = images.among_stages(&dockerfile);
    let plan = plan::plan(&inputs, &mut images).map_err(plan_error)?;
    check::check_build(&inputs, &plan, context.as_ref(), &mut images, events)?;
    // What the caller says goes before what the Dockerfile says.
    let source_date_epoch = config.source_date_epoch.or(plan.epoch);
    let config = &BuildConfig { source_date_epoch, ..config.clone() };
    if let Some(cache) = &mut cache {
        cache.set_epoch(source_date_epoch);
    }
    let remotes = session.fetch(&plan, &workspace, cancel)?;
    images.resolve_sources(&plan)?;
    named.ensure_used(&plan)?;
    let format = image_format(config, &plan, &images)?;
    let directories = named_directories(&plan, &named)?;
    rights.wait()?;
    session.settle_credentials()?;

    let maker = KeyMaker::new(config, &images, context.as_ref(), &directories, &remotes);
    let keys = cache.as_ref().map(|_| maker.stages(&plan.stages));
    let fetcher = Fetcher::new(&session.network, &session.registry, &workspace);
    let job = Job {
        config,
        events,
        cancel,
        workspace: &workspace,
        fetcher: &fetcher,
        session: &session,
        plan: &plan,
        images: &images,
        context: context.as_ref(),
        directories: &directories,
        remotes: &remotes,
        format,
    };
    let built = match (&cache, &keys) {
        (Some(cache), Some(keys)) => with_cache(&job, cache, keys, &maker)?,
        _ => attempt(&job, None)?,
    };
    Ok(outcome(&job, built, started))
}

/// Builds with a cache. Where what is known turns out to be lost or wrong, all is done again
/// without it: a cache fails no build.
fn with_cache(
    job: &Job<'_>,
    cache: &Cache,
    keys: &[StageKeys],
    maker: &KeyMaker<'_>,
) -> Result<Built, Error> {
    loop {
        let cached = Cached::plan(cache, job, keys, maker);
        let error = match attempt(job, Some(&cached)) {
            Ok(built) => return Ok(Built { cache: Some(cached.outcome()), ..built }),
            Err(error) => error,
        };
        if job.cancel.signal().is_some() || !cached.is_suspect() || !cache.reads() {
            return Err(error);
        }
        job.events.warn(format!("a layer from the cache cannot be used; building without: {error}"));
        cache.distrust();
    }
}

/// An image that is where it should be.
struct Built {
    image: assemble::Image,
    layers: Vec<Layer>,
    steps: Vec<StepOutcome>,
    cache: Option<CacheOutcome>,
}

/// Carries out the plan once, and writes and pushes the image.
fn attempt(job: &Job<'_>, cached: Option<&Cached<'_>>) -> Result<Built, Error> {
    let Job { config, session, plan, images, events, cancel, workspace, fetcher, .. } = *job;
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
    let Made { ran, placement } = made?;
    let Ran { layers, times, steps } = ran;

    let image = assemble::assemble(config, plan, images, &layers, &times, job.format, cached)?;
    let pushed = session.destinations();
    std::thread::scope(|scope| {
        // Trees nobody needs any more go while the image is written and sent.
        let cleared = scope.spawn(|| placement.map_or(Ok(()), |p| p.finish()));
        // So does what cache mounts hold.
        scope.spawn(save);
        products::write(config, fetcher, &image, &layers, events)?;
        if !pushed.is_empty() {
            uploads.file(&image.config_descriptor, workspace.write_blob("config.json", &image.config)?);
            uploads.finish(cancel)?;
            uploads.manifests(pushed, &image.manifest, &image.manifest_descriptor.media_type)?;
        }
        cleared.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok::<(), Error>(())
    })?;
    Ok(Built { image, layers, steps, cache: None })
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
}

/// What the steps are carried out for.
struct Job<'a> {
    config: &'a BuildConfig,
    events: &'a Events,
    cancel: &'a Cancel,
    workspace: &'a Workspace,
    fetcher: &'a Fetcher,
    session: &'a Session<'a>,
    plan: &'a Plan,
    images: &'a Images<'a>,
    context: Option<&'a Context>,
    remotes: &'a Remotes,
    directories: &'a BTreeMap<PathBuf, Context>,
    format: ImageFormat,
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
    let commands = match cached {
        Some(cached) => cached.any_needs_disk(),
        None => job.plan.stages.iter().any(|s| s.on_disk),
    };
    let placement = if commands {
        let mut rootfs = job.config.rootfs.clone();
        rootfs.work_dir = job.workspace.path().to_owned();
        let (placement, why) =
            rootfs::open_placement(&rootfs, &job.session.secrets, threads(job.config), job.events)?;
        job.events.info(why);
        if placement.kind() == rootfs::PlacementKind::Inplace {
            job.session.keychain.freeze_files();
        }
        demands::check(job.config, job.plan, placement.kind())?;
        Some(placement)
    } else {
        job.events.info("no root filesystem: nothing is executed");
        None
    };
    let now = assemble::created(job.config)?;
    let hosts = mounts::hosts(&job.config.steps, job.workspace)?;
    let executor = Executor {
        config: job.config,
        events: job.events,
        cancel: job.cancel,
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
        image_files: Mutex::default(),
        directories: job.directories,
        ahead: Mutex::default(),
        commands: AtomicUsize::new(0),
        turns: Turns::new(threads(job.config)),
        secrets,
        agents,
        hosts,
        caches: caches(job),
        saving,
        shown: mounts::Shown::default(),
        cached,
    };
    let outcome = executor.run();
    drop(executor);
    // In place, whatever comes next needs the container's own files.
    let finished = match &placement {
        Some(placement) if outcome.is_err() => placement.finish(),
        Some(placement) => placement.leave(),
        None => Ok(()),
    };
    let ran = outcome?;
    finished?;
    Ok(Made { ran, placement })
}

/// Directory of what cache mounts keep, as an absolute path.
fn caches(job: &Job<'_>) -> PathBuf {
    let beside = || job.workspace.path().parent().unwrap_or(job.workspace.path()).join("caches");
    let caches = job.config.steps.caches.clone().unwrap_or_else(beside);
    std::path::absolute(&caches).unwrap_or(caches)
}

/// What speaks to registries during one build.
struct Session<'a> {
    network: Arc<Network>,
    clouds: Clouds,
    keychain: Keychain,
    registry: Registry,
    config: &'a BuildConfig,
    /// With the build secrets that are for servers of files and repositories.
    fetching: FetchConfig,
    /// Files with credentials, which steps must not see.
    secrets: Vec<PathBuf>,
}

impl<'a> Session<'a> {
    fn open(config: &'a BuildConfig, events: &Events) -> Result<Session<'a>, Error> {
        let fetching = fetching::config(&config.fetch, &config.steps.secrets)?;
        let network =
            Arc::new(Network::new().map_err(|e| Error::other(format!("cannot start threads: {e}")))?);
        let clouds = Clouds::new(&config.keychain.clouds, &config.registry, &network, events.clone());
        let keychain = Keychain::new(&config.keychain, clouds.clone(), events.clone())?;
        let mut secrets = keychain.files();
        secrets.extend(config.steps.secrets.iter().filter_map(|secret| match &secret.source {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Value(_) => None,
        }));
        secrets.extend(config.registry.client_certificates.iter().map(|shown| shown.key.clone()));
        let own = keychain.clone();
        let registry = Registry::new(&config.registry, keychain, events.clone(), &network)?;
        Ok(Session { network, clouds, keychain: own, registry, config, fetching, secrets })
    }

    /// Where the image is pushed.
    fn destinations(&self) -> &'a [Reference] {
        if self.config.push { &self.config.destinations } else { &[] }
    }

    /// Asks for every credential that the push will need, and for none after that: later the
    /// root may be an image's, and a credential helper of the same name its program.
    fn settle_credentials(&self) -> Result<(), Error> {
        self.keychain.prefetch(self.destinations())?;
        // A cache without credentials is a cache that does not answer.
        for reference in open_cache::references(self.config) {
            let _ = self.keychain.prefetch([&reference]);
        }
        self.registry.settle_credentials();
        self.keychain.seal();
        Ok(())
    }

    fn fetcher(&self) -> fetch::Fetcher {
        fetch::Fetcher::new(&self.registry, &self.fetching)
    }

    /// Opens the build context; one that is no directory is put into the workspace.
    fn context(&self, workspace: &Workspace, cancel: &Cancel) -> Result<Option<Context>, Error> {
        let cancelled = cancel.clone();
        let directory = workspace.directory_outside("context")?;
        let ground = context::Ground {
            fetcher: &self.fetcher(),
            clouds: &self.clouds,
            directory: &directory,
            stop: Arc::new(move || cancelled.signal().is_some()),
        };
        let opened = Context::open(&self.config.context, self.config.context_sub_path.as_deref(), &ground);
        opened.map_err(|error| match cancel.signal() {
            Some(signal) => Error::cancelled(signal),
            None => error.into(),
        })
    }

    /// Begins to fetch what steps name that is elsewhere.
    fn fetch(&self, plan: &Plan, workspace: &Workspace, cancel: &Cancel) -> Result<Remotes, Error> {
        Remotes::start(plan, &self.fetcher(), &self.network, workspace, cancel)
    }

    /// Begins to find out whether the destinations may be written, before the first step.
    fn try_rights(&self) -> Rights {
        let registry = self.registry.clone();
        let destinations = self.destinations().to_vec();
        let skip = self.config.registry.skip_push_permission_check;
        Rights(self.network.spawn(async move {
            for destination in destinations.iter().filter(|_| !skip) {
                registry.check_push(destination).await?;
            }
            Ok(())
        }))
    }
}

/// A context that is only looked at, and what keeps it on disk meanwhile.
struct Opened {
    context: Option<Context>,
    _workspace: Option<Workspace>,
}

impl Opened {
    /// Opens a build's context. Nothing is fetched for one that is here.
    fn open(config: &BuildConfig, events: &Events) -> Result<Opened, Error> {
        if let Some(here) = Context::open_here(&config.context, config.context_sub_path.as_deref()) {
            return Ok(Opened { context: here?, _workspace: None });
        }
        let workspace = Workspace::create(&config.rootfs.work_dir)?;
        let context = Session::open(config, events)?.context(&workspace, &Cancel::new())?;
        Ok(Opened { context, _workspace: Some(workspace) })
    }
}

/// Opens the directories that `COPY --from` and mounts name: later they may have been set aside.
fn named_directories(plan: &Plan, named: &Named<'_>) -> Result<BTreeMap<PathBuf, Context>, Error> {
    let mut directories = BTreeMap::new();
    for step in plan.stages.iter().flat_map(|s| &s.steps) {
        for from in step.action.sources() {
            if let CopyFrom::Directory(_, path) = from
                && !directories.contains_key(path)
            {
                let context = named.open(path).map_err(|e| e.at(&step.place))?;
                directories.insert(path.clone(), context);
            }
        }
    }
    Ok(directories)
}

/// A check of rights that goes on beside.
struct Rights(Task<Result<(), Error>>);

impl Rights {
    fn wait(self) -> Result<(), Error> {
        self.0.wait().unwrap_or_else(|| Err(Error::other("the check of push rights was ended")))
    }
}

/// The result's family of media types: the one asked for, or the base's, or OCI for scratch.
fn image_format(config: &BuildConfig, plan: &Plan, images: &Images<'_>) -> Result<ImageFormat, Error> {
    let base = images.base_of(plan, plan.target);
    let inherited = base.map_or(ImageFormat::Oci, |b| b.media_type.format());
    let format = config.image_format.unwrap_or(inherited);
    if format == ImageFormat::Docker && config.compression.algorithm == Compression::Zstd {
        return Err(Error::Other {
            message: "Docker's image format has no zstd layers".to_owned(),
            help: Some("add --image-format=oci, or use --compression=gzip".to_owned()),
        });
    }
    Ok(format)
}

fn outcome(job: &Job<'_>, built: Built, started: Instant) -> BuildOutcome {
    let Built { image, layers, steps, cache } = built;
    let history = image.image_config.history.iter().filter(|h| !h.empty_layer);
    let texts =
        history.map(|h| h.created_by.clone().unwrap_or_default()).chain(std::iter::repeat(String::new()));
    let base = job.images.base_of(job.plan, job.plan.target).map_or(0, |b| b.layers.len());
    BuildOutcome {
        digest: image.manifest_descriptor.digest,
        media_type: image.manifest_descriptor.media_type,
        manifest_size: image.manifest_descriptor.size,
        config_digest: image.config_descriptor.digest,
        platform: image.image_config.platform(),
        pushed: job.session.destinations().to_vec(),
        layers: layers
            .iter()
            .zip(texts)
            .enumerate()
            .map(|(at, (layer, created_by))| LayerOutcome {
                descriptor: layer.descriptor.clone(),
                created_by,
                from_base: at < base,
            })
            .collect(),
        steps,
        cache,
        duration: started.elapsed(),
    }
}

/// What layers and archives from elsewhere may ask for.
fn limits(config: &BuildConfig) -> Limits {
    let default = Limits::default();
    Limits {
        layer_size: config.max_layer_size.unwrap_or(default.layer_size),
        entries: config.max_image_entries.unwrap_or(default.entries),
        ..default
    }
}

/// Threads for work that keeps a core busy.
fn threads(config: &BuildConfig) -> usize {
    config.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Paths that are in no layer, as layers name them.
fn ignored(config: &BuildConfig) -> Vec<Vec<u8>> {
    config.ignore_paths.iter().map(|p| copy::clean(p.as_os_str().as_encoded_bytes())).collect()
}

/// Whether a path is `directory` or below it.
fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn plan_error(error: PlanError<Error>) -> Error {
    match error {
        PlanError::Dockerfile(all) => Error::Dockerfile(all),
        PlanError::Base { place, error } => error.at(&place),
    }
}
