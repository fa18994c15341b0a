//! Opens the cache of a build.

use std::collections::BTreeSet;

use crate::cache::{Cache, CacheSettings, index_name};
use crate::config::{BuildConfig, CacheLocation};
use crate::event::Events;
use crate::image::{Platform, Reference};

use super::session::Session;

/// The cache that the configuration asks for, its indexes already asked for.
pub(super) fn open(config: &BuildConfig, session: &Session<'_>, events: &Events) -> Option<Cache> {
    let wanted = &config.cache;
    if wanted.from.is_empty() && wanted.to.is_empty() && !wanted.inline {
        return None;
    }
    if config.single_snapshot {
        events.warn("with --single-snapshot steps have no layers of their own: the layer cache is not used");
        return None;
    }
    let image = config.destinations.first();
    let image = image.map(|d| format!("{}/{}", d.registry(), d.repository())).unwrap_or_default();
    let target = config.target.as_deref().unwrap_or_default();
    let mut platforms = config.platforms.clone();
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    let names: BTreeSet<String> = platforms.iter().map(ToString::to_string).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(",");
    let settings = CacheSettings {
        config: wanted.clone(),
        index: index_name(&wanted.scope, &image, target, &names),
        platforms,
        now: jiff::Timestamp::now().as_second(),
        epoch: config.source_date_epoch,
    };
    Some(Cache::open(settings, &session.network, &session.registry, events))
}

/// The repositories whose credentials the cache needs.
pub(super) fn references(config: &BuildConfig) -> Vec<Reference> {
    let mounts = &config.cache.mounts;
    let all = config.cache.from.iter().chain(config.cache.to.iter().map(|e| &e.location));
    let all = all.chain(&mounts.from).chain(&mounts.to);
    all.filter_map(repository).collect()
}

/// The repositories that layers are kept in.
pub(super) fn written(config: &BuildConfig) -> Vec<Reference> {
    config.cache.to.iter().filter_map(|export| repository(&export.location)).collect()
}

fn repository(location: &CacheLocation) -> Option<Reference> {
    match location {
        CacheLocation::Registry(reference) | CacheLocation::Image(reference) => Some(reference.clone()),
        CacheLocation::Directory(_) => None,
    }
}
