//! From what was typed to what is meant: a pure conversion.

use std::path::PathBuf;

use yadokari::config::{BuildConfig, CacheConfig, CompressionConfig, Isolation, MountConflict, RootfsConfig};
use yadokari::image::{Compression, ImageFormat, Platform, Reference};

use super::flags::{Flags, IsolationFlag, Layers, MountConflictFlag, Rootfs};
use super::job::{Job, ResultFiles};
use super::results::Name;
use super::{
    annotations, caching, context, credentials, fetch, handover, log, missing, places, registries, steps,
};
use crate::env::Env;
use crate::usage::Usage;
use crate::vocabulary::{binary_size, go_boolean, key_value};

/// Root of the in-place machinery.
const HOME_DIR: &str = "/yadokari";

/// What the flags mean in this environment.
///
/// # Errors
/// Values that make no sense, alone or together, and what this version cannot do.
pub(crate) fn job(flags: &Flags, env: &Env) -> Result<Job, Usage> {
    missing::refuse(flags)?;
    let log = log::options(&flags.log)?;
    let mut config = build_config(flags, env)?;
    let caching = caching::config(&flags.cache, env, &config.destinations, config.push)?;
    config.cache = caching.config;
    if let Some(directory) = path(&flags.credentials_once) {
        handover::take(&directory)?.put_in(&mut config);
    }
    let layout = config.oci_layout_path.is_some() || config.oci_archive_path.is_some();
    let mut warnings = caching.remarks;
    warnings.extend(annotations::without_place(&config.annotations, &config.platforms, layout));
    Ok(Job { config, files: result_files(flags)?, log, notes: Vec::new(), warnings })
}

fn build_config(flags: &Flags, env: &Env) -> Result<BuildConfig, Usage> {
    let push = !no_push(flags, env)?;
    let compression = compression(&flags.layers)?;
    let image_format = image_format(&flags.layers.image_format)?;
    let tar_path = path(&flags.result.tar_path);
    check_zstd(compression.algorithm, image_format, tar_path.is_some())?;
    let build_args = build_args(&flags.build_arg, env)?;
    let source_date_epoch = source_date_epoch(&build_args)?;
    let caches = path(&flags.cache.cache_dir).map(|d| d.join("mounts"));
    let steps = steps::config(&flags.steps, &build_args, caches, env)?;
    let context = context::source(flags, env, &build_args)?;
    Ok(BuildConfig {
        fetch: fetch::config(flags, env, &context)?,
        context,
        context_sub_path: path(&flags.context_sub_path),
        dockerfile: places::dockerfile(&flags.dockerfile)?,
        destinations: destinations(flags, push)?,
        push,
        push_by_digest: flags.result.push_by_digest,
        build_args,
        target: target(flags)?,
        platforms: platforms(flags)?,
        labels: pairs("--label", &flags.label)?,
        annotations: annotations::parse(&flags.annotation)?,
        build_contexts: flags.build_context.iter().map(|c| places::named(c)).collect::<Result<_, _>>()?,
        image_format,
        compression,
        compat: flags.compat,
        reproducible: flags.layers.reproducible,
        single_snapshot: flags.layers.single_snapshot,
        source_date_epoch,
        ignore_paths: ignore_paths(&flags.layers)?,
        tar_path,
        oci_layout_path: path(&flags.result.oci_layout_path),
        oci_archive_path: path(&flags.result.oci_archive_path),
        rootfs: rootfs(&flags.rootfs, env),
        steps,
        registry: registries::config(&flags.registry, env)?,
        keychain: credentials::of_flags(env, kaniko_dir(&flags.rootfs, env), &flags.registry)?,
        max_layer_size: limit("--max-layer-size", &flags.limits.max_layer_size, binary_size)?,
        max_image_entries: limit("--max-image-entries", &flags.limits.max_image_entries, |t| t.parse().ok())?,
        jobs: Some(flags.layers.jobs).filter(|n| *n > 0),
        cache: CacheConfig::default(),
        context_modes: caching::context_modes(&flags.cache),
    })
}

/// `KANIKO_NO_PUSH` wins over the flag, as in kaniko.
fn no_push(flags: &Flags, env: &Env) -> Result<bool, Usage> {
    match env.get("KANIKO_NO_PUSH") {
        Some(text) => go_boolean(text)
            .map_err(|e| Usage::new(format!("KANIKO_NO_PUSH is '{text}', which is no boolean")).help(e)),
        None => Ok(flags.result.no_push),
    }
}

fn destinations(flags: &Flags, push: bool) -> Result<Vec<Reference>, Usage> {
    let destination = |text: &String| {
        let name = places::destination(text)?;
        // A tag that nobody gave is none where none is wanted.
        let bare =
            flags.result.push_by_digest && name.whole().ends_with(":latest") && !text.ends_with(":latest");
        Ok(if bare { name.clone_untagged() } else { name })
    };
    let all = flags.destination.iter().map(destination).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() && push {
        return Err(Usage::new("there is nowhere to push the image to")
            .help("give --destination, or --no-push if the image shall not be pushed"));
    }
    Ok(all)
}

/// `K=V`, or `K` for the environment's value, empty if unset, as in kaniko.
/// `SOURCE_DATE_EPOCH` of the environment counts as given, as in buildx.
pub(crate) fn build_args(typed: &[String], env: &Env) -> Result<Vec<(String, String)>, Usage> {
    let mut args = Vec::new();
    if let Some(epoch) = env.get("SOURCE_DATE_EPOCH") {
        args.push(("SOURCE_DATE_EPOCH".to_owned(), epoch.to_owned()));
    }
    // An empty one is what a shell makes of an unset variable.
    for text in typed.iter().filter(|text| !text.is_empty()) {
        args.push(match text.split_once('=') {
            Some(("", _)) => return Err(Usage::new(format!("--build-arg '{text}' has no name"))),
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text.clone(), env.text(text)?.unwrap_or_default().to_owned()),
        });
    }
    Ok(args)
}

fn source_date_epoch(build_args: &[(String, String)]) -> Result<Option<i64>, Usage> {
    let last = build_args.iter().rev().find(|(name, _)| name == "SOURCE_DATE_EPOCH");
    match last.map(|(_, value)| value.as_str()) {
        // The context's time is known when there is the context.
        None | Some("" | "context") => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(seconds) if seconds >= 0 => Ok(Some(seconds)),
            _ => Err(Usage::new(format!("SOURCE_DATE_EPOCH is '{text}', which is no number of seconds"))
                .help("set it to seconds since 1970, such as the output of: git log -1 --format=%ct; or to 'context', for a git context")),
        },
    }
}

/// The only list that kaniko splits at commas; it builds the others too and pushes the first.
fn target(flags: &Flags) -> Result<Option<String>, Usage> {
    let last = flags.target.iter().flat_map(|t| t.split(',')).filter(|t| !t.is_empty());
    let targets: Vec<&str> = last.collect();
    match targets.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).to_owned())),
        many => Err(Usage::new(format!("several targets ({}) are not supported yet", many.join(", ")))
            .help("give the one that shall be pushed; what it needs is built with it")),
    }
}

/// The platforms, each once, in the order given.
fn platforms(flags: &Flags) -> Result<Vec<Platform>, Usage> {
    let mut all: Vec<Platform> = Vec::new();
    for text in &flags.platform {
        match platform("--platform", text.trim())? {
            Some(one) if !all.contains(&one) => all.push(one),
            _ => {}
        }
    }
    match platform("--custom-platform", &flags.custom_platform)? {
        Some(one) if all.is_empty() => all.push(one),
        Some(one) if all != [one.clone()] => {
            return Err(Usage::new(format!("--custom-platform={one} and --platform contradict each other"))
                .help("give --platform alone, with commas between several"));
        }
        _ => {}
    }
    Ok(all)
}

/// The platform that a flag names, if any.
pub(crate) fn platform(flag: &str, text: &str) -> Result<Option<Platform>, Usage> {
    match text {
        "" => Ok(None),
        text => {
            let platform: Platform = text.parse().map_err(|e| Usage::new(format!("{flag}: {e}")))?;
            if platform.os == "windows" {
                return Err(Usage::new(format!(
                    "images for {platform} cannot be built: only Linux ones can"
                ))
                .help("build Windows images with Docker on a Windows host"));
            }
            Ok(Some(platform))
        }
    }
}

fn pairs(flag: &str, items: &[String]) -> Result<Vec<(String, String)>, Usage> {
    items.iter().map(|item| key_value(flag, item)).collect()
}

/// `--image-format`
///
/// # Errors
/// It is none.
pub(crate) fn image_format(text: &str) -> Result<Option<ImageFormat>, Usage> {
    match text {
        "" => Ok(None),
        "oci" => Ok(Some(ImageFormat::Oci)),
        "docker" => Ok(Some(ImageFormat::Docker)),
        _ => Err(Usage::new(format!("'{text}' for --image-format is unknown")).help("write oci or docker")),
    }
}

fn compression(layers: &Layers) -> Result<CompressionConfig, Usage> {
    let (algorithm, highest) = match layers.compression.as_str() {
        "" | "gzip" => (Compression::Gzip, 9),
        "zstd" => (Compression::Zstd, 22),
        other => {
            return Err(
                Usage::new(format!("'{other}' for --compression is unknown")).help("write gzip or zstd")
            );
        }
    };
    // As in kaniko, 0 and below ask for the default.
    let level = match layers.compression_level {
        ..=0 => None,
        level if level <= highest => u32::try_from(level).ok(),
        level => {
            return Err(Usage::new(format!("--compression-level {level} is too high"))
                .help(format!("write a number from 1 to {highest}")));
        }
    };
    Ok(CompressionConfig { algorithm, level, single_member: layers.single_member_gzip })
}

fn check_zstd(algorithm: Compression, format: Option<ImageFormat>, tar: bool) -> Result<(), Usage> {
    match (algorithm, format, tar) {
        (Compression::Zstd, Some(ImageFormat::Docker), _) => {
            Err(Usage::new("docker's image format has no zstd layers")
                .help("give --image-format=oci, or --compression=gzip"))
        }
        (Compression::Zstd, _, true) => {
            Err(Usage::new("a docker archive (--tar-path) cannot hold zstd layers")
                .help("give --oci-layout-path in its place, or --compression=gzip"))
        }
        _ => Ok(()),
    }
}

fn ignore_paths(layers: &Layers) -> Result<Vec<PathBuf>, Usage> {
    let absolute = |text: &String| match text.starts_with('/') {
        true => Ok(PathBuf::from(text)),
        false => Err(Usage::new(format!("--ignore-path '{text}' is not absolute"))
            .help(format!("write the path in the image, such as /{text}"))),
    };
    let var_run = layers.ignore_var_run.then(|| Ok(PathBuf::from("/var/run")));
    layers.ignore_path.iter().filter(|p| !p.is_empty()).map(absolute).chain(var_run).collect()
}

/// A number greater than 0, if one was typed.
fn limit(flag: &str, text: &str, number: impl Fn(&str) -> Option<u64>) -> Result<Option<u64>, Usage> {
    match text {
        "" => Ok(None),
        text => number(text).filter(|n| *n > 0).map(Some).ok_or_else(|| {
            Usage::new(format!("{flag} '{text}' is no number that limits anything"))
                .help("write a number greater than 0; sizes may have a unit, such as 500m or 200g")
        }),
    }
}

fn kaniko_dir<'a>(flags: &'a Rootfs, env: &'a Env) -> Option<&'a str> {
    Some(flags.kaniko_dir.as_str()).filter(|d| !d.is_empty()).or_else(|| env.get("KANIKO_DIR"))
}

/// How steps get their root filesystem.
pub(crate) fn rootfs(flags: &Rootfs, env: &Env) -> RootfsConfig {
    let beside_kaniko = kaniko_dir(flags, env).map(|d| PathBuf::from(d).join("work"));
    RootfsConfig {
        isolation: match flags.isolation {
            IsolationFlag::Auto => Isolation::Auto,
            IsolationFlag::Overlay => Isolation::Overlay,
            IsolationFlag::Chroot => Isolation::Chroot,
            IsolationFlag::Inplace => Isolation::Inplace,
        },
        mount_conflict: match flags.mount_conflict {
            MountConflictFlag::Swap => MountConflict::Swap,
            MountConflictFlag::Error => MountConflict::Error,
        },
        require_hidden_credentials: flags.require_hidden_credentials,
        force: flags.force,
        materialize: flags.materialize,
        work_dir: path(&flags.work_dir).or(beside_kaniko).unwrap_or_else(|| env.work_dir.clone()),
        home_dir: PathBuf::from(HOME_DIR),
    }
}

fn result_files(flags: &Flags) -> Result<ResultFiles, Usage> {
    Ok(ResultFiles {
        digest: path(&flags.result.digest_file),
        name: path(&flags.result.image_name_with_digest_file),
        name_tag: path(&flags.result.image_name_tag_with_digest_file),
        metadata: path(&flags.result.metadata_file),
        environment: path(&flags.result.env_file),
        outputs: output_files(&flags.result.output_file)?,
    })
}

/// `--output-file`
///
/// # Errors
/// There is no such result, or it names no file.
pub(crate) fn output_files(typed: &[String]) -> Result<Vec<(Name, PathBuf)>, Usage> {
    let outputs = typed.iter().filter(|text| !text.is_empty()).map(|text| {
        let (name, path) = key_value("--output-file", text)?;
        let path = self::path(&path).ok_or_else(|| {
            Usage::new(format!("--output-file '{text}' names no file"))
                .help("write --output-file digest=FILE")
        })?;
        Ok((Name::parse(&name)?, path))
    });
    outputs.collect()
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
