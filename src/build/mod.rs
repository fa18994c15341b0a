//! The executor: walks the plan and makes the image.

mod assemble;
mod attempt;
mod bases;
mod blobs;
mod cached;
mod check;
mod check_files;
mod copied_from;
mod copy;
mod demands;
mod describe;
mod devices;
mod dockerfile_source;
mod epoch;
mod error;
mod executor;
mod extract;
mod fetching;
mod idle;
mod images;
mod keys;
mod left;
mod memory;
mod mounts;
mod named;
mod needs;
mod open_cache;
mod order;
mod outcome;
mod products;
mod remotes;
mod run;
mod session;
mod sources;
mod squash;
mod stage;
mod turns;
mod upload;
mod warm;
mod workspace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

pub use check::{BaseLookup, CheckReport, check};
pub use describe::{outline, targets};
pub use error::Error;
pub use warm::{WarmConfig, Warmed, warm};

use crate::config::{Annotation, AnnotationLevel, BuildConfig, BuildOutcome};
use crate::context::Context;
use crate::dockerfile::{self, Dockerfile};
use crate::event::Events;
use crate::image::{ImageFormat, Platform};
use crate::layer::Limits;
use crate::plan::{self, Arguments, CopyFrom, Inputs, Plan, PlanError};
use crate::run::Cancel;

use attempt::{Job, attempt, with_cache};
use bases::KeptImages;
use blobs::Fetcher;
use images::Images;
use keys::KeyMaker;
use left::Left;
use named::Named;
use outcome::outcome;
use session::{Opened, Session};
use workspace::Workspace;

/// Builds an image as configured, pushes it if asked, and says what came out.
///
/// # Errors
/// [`Error`]; whatever happens, no tag is written before all blobs are, and the container's
/// own files are back in their place.
pub fn build(config: &BuildConfig, events: &Events, cancel: &Cancel) -> Result<BuildOutcome, Error> {
    let started = Instant::now();
    left::clear(config, events)?;
    check_products(config)?;
    let (outcome, left) = make(config, events, cancel, started)?;
    // Last of all: whatever else there is to do needs the container's own files.
    left.map_or(Ok(()), |left| left.put_in_place(config, events))?;
    Ok(outcome)
}

/// Builds, and gives what is still to be left in place.
fn make(
    config: &BuildConfig,
    events: &Events,
    cancel: &Cancel,
    started: Instant,
) -> Result<(BuildOutcome, Option<Left>), Error> {
    let session = Session::open(config, events)?;
    let workspace = Workspace::create(&config.rootfs.work_dir)?;
    let mut context = session.context(&workspace, cancel)?;
    let source = dockerfile_source::read(config, context.as_mut(), events)?;
    let dockerfile = dockerfile::parse(&source).map_err(Error::Dockerfile)?;

    let rights = session.try_rights();
    session.try_caches(events);
    let named = Named::new(config, &workspace, session.fetcher(), &session.network, cancel)?;
    let mut cache = open_cache::open(config, &session, events);
    let config = &epoch::of_context(config, context.as_ref());
    let bases = KeptImages::open(config.cache.bases.as_ref(), events);
    let images = Images::new(&session.network, &session.registry, Some(&named), bases);
    let mut images = images.among(&dockerfile, &named.contexts);
    let plan = plan_all(config, &dockerfile, &named, &mut images, context.as_ref(), events)?;
    // What the caller says goes before what the Dockerfile says.
    let source_date_epoch = config.source_date_epoch.or(plan.epoch);
    let config = &BuildConfig { source_date_epoch, ..config.clone() };
    if let Some(cache) = &mut cache {
        cache.set_epoch(source_date_epoch);
    }
    let remotes = session.fetch(&plan, &workspace, cache.as_ref(), cancel)?;
    named.ensure_used(&plan)?;
    for image in &plan.images {
        assemble::image_format(config, images.base_of(&plan, image.stage).as_deref())?;
    }
    let directories = named_directories(&plan, &named)?;
    rights.wait()?;
    session.settle_credentials()?;

    let maker = KeyMaker::new(config, &images, context.as_ref(), &directories, &remotes);
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
    };
    let mut built = match &cache {
        Some(cache) => with_cache(&job, cache, &maker)?,
        None => attempt(&job, None)?,
    };
    let left = built.left.take();
    Ok((outcome(&job, built, started), left))
}

/// Plans the build for every platform, and checks it for the first, as BuildKit does.
fn plan_all(
    config: &BuildConfig,
    dockerfile: &Dockerfile,
    named: &Named<'_>,
    images: &mut Images<'_>,
    context: Option<&Context>,
    events: &Events,
) -> Result<Plan, Error> {
    let mut platforms = config.platforms.clone();
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    let mut plans = Vec::new();
    for platform in &platforms {
        let time = context.and_then(Context::time);
        let arguments = Arguments::new(&config.build_args, platform).with_context_time(time);
        let inputs = Inputs {
            dockerfile,
            arguments: &arguments,
            target: config.target.as_deref(),
            contexts: &named.contexts,
            platform_given: !config.platforms.is_empty(),
        };
        let plan = plan::plan(&inputs, images).map_err(plan_error)?;
        images.resolve_sources(&plan)?;
        if plans.is_empty() {
            check::check_build(&inputs, &plan, context, images, events)?;
        }
        plans.push(plan);
    }
    Ok(plan::merge(plans))
}

/// What a docker archive cannot hold, and tags of what has none, are refused before anything is done.
fn check_products(config: &BuildConfig) -> Result<(), Error> {
    if config.platforms.len() > 1 && config.rootfs.materialize {
        return Err(Error::Other {
            message: "--materialize leaves one image's files, and several platforms make several".to_owned(),
            help: Some("build for one platform, or without --materialize".to_owned()),
        });
    }
    if config.platforms.len() > 1 && config.tar_path.is_some() {
        return Err(Error::Other {
            message:
                "an archive for docker load (--tar-path) holds one image, and several platforms make several"
                    .to_owned(),
            help: Some("write an OCI layout (--oci-layout-path or --oci-archive-path), push, or build for one platform".to_owned()),
        });
    }
    check_annotations(config)?;
    let mut tagged = config.destinations.iter().filter(|d| d.tag().is_some() || d.digest().is_some());
    if let Some(name) = tagged.next().filter(|_| config.push_by_digest) {
        return Err(Error::Other {
            message: format!("{} cannot be pushed by its digest: it has a tag", name.whole()),
            help: Some(format!("name the repository alone: {}/{}", name.registry(), name.repository())),
        });
    }
    Ok(())
}

/// An image for one platform has no index, and Docker's index has nothing to annotate.
fn check_annotations(config: &BuildConfig) -> Result<(), Error> {
    let several = config.platforms.len() > 1;
    let of_index = |a: &&Annotation| a.level().of_index();
    if let Some(found) = config.annotations.iter().find(of_index).filter(|_| !several) {
        return Err(Error::Other {
            message: format!("--annotation {}: an image for one platform has no index", found.full_key()),
            help: Some(format!(
                "annotate its manifest, --annotation {}=…, or build for several platforms",
                found.key
            )),
        });
    }
    let in_index =
        |a: &&Annotation| matches!(a.level(), AnnotationLevel::Index | AnnotationLevel::ManifestDescriptor);
    let docker = several && config.image_format == Some(ImageFormat::Docker);
    if let Some(found) = config.annotations.iter().find(in_index).filter(|_| docker) {
        return Err(Error::Other {
            message: format!(
                "--annotation {}: docker's manifest lists have no annotations",
                found.full_key()
            ),
            help: Some("give --image-format=oci, or annotate the manifests alone".to_owned()),
        });
    }
    Ok(())
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
