//! `yadokari warm` and `yadokari cache`: what keeps a cache useful between builds.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use yadokari::build::{self, WarmConfig};
use yadokari::cache::{Kept, Maintained, MountSet, PruneRules, Pruned};
use yadokari::cloud::Clouds;
use yadokari::config::CacheLocation;
use yadokari::event::Events;
use yadokari::keychain::Keychain;
use yadokari::registry::{Network, Registry as Registries};

use super::flags::{Log, Registry};
use super::progress::text::{bytes, seconds};
use super::progress::{Bare, Display, Redactor, Sink};
use super::{caching, config, credentials, diagnostic, log, places, registries};
use crate::env::Env;
use crate::usage::Usage;
use crate::vocabulary::go_duration;

/// What was typed after `yadokari warm` or `warmer`.
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct WarmFlags {
    /// Image to keep; repeatable
    #[arg(long, short = 'i', value_name = "IMAGE")]
    pub(crate) image: Vec<String>,
    /// Dockerfile of which every base is kept
    #[arg(long, short = 'd', value_name = "FILE", default_value = "", hide_default_value = true)]
    dockerfile: String,
    /// Value of an ARG of the Dockerfile, NAME=VALUE; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// The directory
    #[arg(long, short = 'c', value_name = "DIR", default_value = caching::DEFAULT_DIRECTORY)]
    pub(crate) cache_dir: String,
    /// As kaniko; what is kept by its digest is never out of date
    #[arg(long, short = 'f', hide = true)]
    pub(crate) force: bool,
    /// As kaniko; what is kept by its digest is never out of date
    #[arg(long, hide = true, default_value = "")]
    cache_ttl: String,
    /// Platform of the images; the host's by default
    #[arg(
        long,
        alias = "customPlatform",
        value_name = "OS/ARCH",
        default_value = "",
        hide_default_value = true
    )]
    custom_platform: String,
    #[command(flatten)]
    registry: Registry,
    #[command(flatten)]
    log: Log,
}

/// What was typed after `yadokari cache`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum CacheCommand {
    /// List the results in a cache, last used first
    Ls(Box<CacheFlags>),
    /// Remove results that are old, and the layers that only they name
    Prune(Box<PruneFlags>),
}

/// Which cache.
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct CacheFlags {
    /// Its repository, or oci:DIR
    #[arg(long, value_name = "REPOSITORY", default_value = "", hide_default_value = true)]
    cache_repo: String,
    /// Its directory
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    cache_dir: String,
    #[command(flatten)]
    registry: Registry,
}

/// What to remove.
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct PruneFlags {
    /// Results made longer ago than this, such as 720h
    #[arg(long, value_name = "DURATION", default_value = "", hide_default_value = true)]
    older_than: String,
    /// Results that no build used for this long, such as 168h
    #[arg(long, value_name = "DURATION", default_value = "", hide_default_value = true)]
    unused_for: String,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cache: CacheFlags,
}

/// Keeps base images; 1 if none could be kept, as kaniko's warmer.
///
/// # Errors
/// Values that make no sense.
pub(crate) fn warm(flags: &WarmFlags, env: &Env) -> Result<u8, Usage> {
    let images = flags.image.iter().filter(|i| !i.is_empty()).map(|i| places::reference("--image", i));
    let config = WarmConfig {
        images: images.collect::<Result<_, _>>()?,
        dockerfile: Some(PathBuf::from(&flags.dockerfile)).filter(|d| !d.as_os_str().is_empty()),
        build_args: config::build_args(&flags.build_arg, env)?,
        directory: PathBuf::from(&flags.cache_dir),
        platform: config::platform("--custom-platform", &flags.custom_platform)?,
        registry: registries::config(&flags.registry, env)?,
        keychain: credentials::of_flags(env, None, &flags.registry)?,
    };
    if config.images.is_empty() && config.dockerfile.is_none() {
        return Err(Usage::new("there is nothing to keep").help("give --image or --dockerfile"));
    }
    let options = log::options(&flags.log)?;
    let display = Display::open(options, env, Redactor::default(), Box::new(Bare), Sink::Stderr)?;
    let events = display.events();
    let code = match build::warm(&config, &events) {
        Ok(warmed) => {
            let place = config.directory.display();
            events.info(format!("{} images are in {place}, {} could not be had", warmed.kept, warmed.failed));
            u8::from(warmed.kept == 0)
        }
        Err(error) => {
            display.failure(&diagnostic::of_build(&error, display.color()));
            1
        }
    };
    display.close();
    Ok(code)
}

/// Carries a command out: what to print, and the exit code.
///
/// # Errors
/// The cache cannot be had, or values that make no sense.
pub(crate) fn cache(command: &CacheCommand, env: &Env) -> Result<(String, u8), Usage> {
    let now = jiff::Timestamp::now().as_second();
    match command {
        CacheCommand::Ls(flags) => {
            with_cache(flags, env, |cache| Ok(table(&cache.list()?, &cache.mounts()?, now)))
        }
        CacheCommand::Prune(flags) => {
            let rules = PruneRules {
                older_than: duration("--older-than", &flags.older_than)?,
                unused_for: duration("--unused-for", &flags.unused_for)?,
                dry_run: flags.dry_run,
            };
            if rules.older_than.is_none() && rules.unused_for.is_none() {
                return Err(Usage::new("there is nothing to remove by")
                    .help("give --older-than or --unused-for, such as --unused-for=168h"));
            }
            with_cache(&flags.cache, env, |cache| Ok(pruned(&cache.prune(&rules, now)?, &rules, now)))
        }
    }
}

fn with_cache(
    flags: &CacheFlags,
    env: &Env,
    work: impl Fn(&Maintained<'_>) -> Result<String, yadokari::cache::CacheError>,
) -> Result<(String, u8), Usage> {
    let failed = |e: &dyn std::fmt::Display| Usage::new(e.to_string());
    let location = match (flags.cache_repo.as_str(), flags.cache_dir.as_str()) {
        ("", "") => {
            return Err(Usage::new("which cache is meant?").help("give --cache-repo or --cache-dir"));
        }
        ("", path) => CacheLocation::Directory(PathBuf::from(path)),
        (text, _) => caching::location(text)?,
    };
    let network = Network::new().map_err(|e| failed(&e))?;
    let sources = credentials::of_flags(env, None, &flags.registry)?;
    let registry = registries::config(&flags.registry, env)?;
    let clouds = Clouds::new(&sources.clouds, &registry, &network, Events::none());
    let keychain = Keychain::new(&sources, clouds, Events::none()).map_err(|e| failed(&e))?;
    let registry = Registries::new(&registry, keychain, Events::none(), &network).map_err(|e| failed(&e))?;
    let cache = Maintained::open(&location, &network, &registry).map_err(|e| failed(&e))?;
    Ok((work(&cache).map_err(|e| failed(&e))?, 0))
}

fn duration(flag: &str, text: &str) -> Result<Option<Duration>, Usage> {
    match text {
        "" => Ok(None),
        text => go_duration(text).map(Some).ok_or_else(|| {
            Usage::new(format!("'{text}' for {flag} is no duration")).help("write such as 168h or 30m")
        }),
    }
}

/// A line a result.
fn table(all: &[Kept], mounts: &[MountSet], now: i64) -> String {
    let mut out =
        format!("{:<14}{:<24}{:<10}{:>12}{:>12}{:>10}\n", "KEY", "STEP", "KIND", "LAYER", "MADE", "USED");
    let ago = |time: i64| age(now.saturating_sub(time));
    for kept in all {
        let record = &kept.record;
        let key = record.keys.first().map(yadokari::cache::Key::short).unwrap_or_default();
        let step: String = format!("{} {}", record.step.stage, record.step.number + 1)
            .chars()
            .filter(|c| !c.is_control())
            .take(23)
            .collect();
        let kind: String =
            record.step.instruction.chars().filter(char::is_ascii_alphabetic).take(9).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{key:<14}{step:<24}{kind:<10}{:>12}{:>12}{:>10}",
            bytes(record.layer.size),
            ago(record.created),
            ago(kept.used)
        );
    }
    for set in mounts {
        let (key, made, used) = (set.name.short(), ago(set.saved), ago(set.used));
        let size = bytes(set.size());
        let _ = writeln!(out, "{key:<14}{:<24}{:<10}{size:>12}{made:>12}{used:>10}", "cache mount", "mount");
    }
    out
}

fn pruned(pruned: &Pruned, rules: &PruneRules, now: i64) -> String {
    let size: u64 = pruned.removed.iter().map(|k| k.record.layer.size).sum();
    let verb = if rules.dry_run { "would be removed" } else { "removed" };
    let mut out = table(&pruned.removed, &pruned.mounts, now);
    let _ = writeln!(
        out,
        "{} results with {} of layers {verb}, {} left",
        pruned.removed.len(),
        bytes(size),
        pruned.left
    );
    if pruned.mounts.len() + pruned.mounts_left > 0 {
        let size: u64 = pruned.mounts.iter().map(MountSet::size).sum();
        let (count, left) = (pruned.mounts.len(), pruned.mounts_left);
        let _ = writeln!(out, "{count} saved cache mounts with {} {verb}, {left} left", bytes(size));
    }
    if pruned.refused {
        out += "the registry removes nothing: what is old was taken out of the indexes only;\n\
            set a rule there that expires tags that begin with yc1- and ycm1-\n";
    }
    out
}

/// A time that has passed, in its largest unit.
fn age(time: i64) -> String {
    match time {
        ..60 => seconds(Duration::from_secs(u64::try_from(time).unwrap_or(0))),
        60..3600 => format!("{} min", time / 60),
        3600..86_400 => format!("{} h", time / 3600),
        _ => format!("{} d", time / 86_400),
    }
}
