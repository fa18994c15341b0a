//! One of the places in which a build looks results up, or keeps them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::CacheError;
use super::index::Index;
use super::inline::ImageCache;
use super::local::LocalCache;
use super::lookup::CacheSettings;
use super::repository::RepositoryCache;
use crate::config::{CacheLocation, CacheMode};
use crate::event::Events;
use crate::registry::{Network, Registry, Task};

/// How long a place may take to answer a question.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What a place is.
pub(super) enum Backend {
    Repository(RepositoryCache),
    Image(ImageCache),
    Local(LocalCache),
}

/// What asking for an index comes to.
pub(super) type IndexAnswer = Result<Option<Index>, CacheError>;

/// A place, and what became of it.
pub(super) struct Place {
    /// What people call it.
    pub(super) name: String,
    pub(super) backend: Backend,
    pub(super) reads: bool,
    pub(super) writes: Option<CacheMode>,
    pub(super) dead: AtomicBool,
    /// The index on its way.
    pub(super) asked: Mutex<Option<Task<IndexAnswer>>>,
    pub(super) index: OnceLock<Option<Index>>,
    pub(super) keeping: Mutex<Vec<Task<Result<(), CacheError>>>>,
}

impl Place {
    /// Opens a place and begins to ask for its index; none if it is a directory without a cache that
    /// is only read.
    pub(super) fn open(
        location: &CacheLocation,
        reads: bool,
        writes: Option<CacheMode>,
        settings: &CacheSettings,
        network: &Network,
        registry: &Registry,
        events: &Events,
    ) -> Result<Option<Place>, CacheError> {
        let backend = match location {
            CacheLocation::Registry(reference) => {
                Backend::Repository(RepositoryCache::new(registry, reference))
            }
            CacheLocation::Image(reference) => Backend::Image(ImageCache::new(registry, reference, events)),
            CacheLocation::Directory(path) if writes.is_some() => Backend::Local(LocalCache::create(path)?),
            CacheLocation::Directory(path) => match LocalCache::open(path)? {
                Some(cache) => Backend::Local(cache),
                None => return Ok(None),
            },
        };
        let late = || Err(CacheError::Slow(PATIENCE.as_secs()));
        let asked = match &backend {
            Backend::Repository(repository) => {
                let (repository, index) = (repository.clone(), settings.index);
                Some(network.spawn(async move {
                    tokio::time::timeout(PATIENCE, repository.index(&index)).await.unwrap_or_else(|_| late())
                }))
            }
            Backend::Image(image) => {
                let (image, platforms, now) = (image.clone(), settings.platforms.clone(), settings.now);
                Some(network.spawn(async move {
                    let index = tokio::time::timeout(PATIENCE, image.index(&platforms, now));
                    index.await.unwrap_or_else(|_| late())
                }))
            }
            Backend::Local(_) => None,
        };
        Ok(Some(Place {
            name: location.to_string(),
            backend,
            reads,
            writes,
            dead: AtomicBool::new(false),
            asked: Mutex::new(asked),
            index: OnceLock::new(),
            keeping: Mutex::default(),
        }))
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::SeqCst)
    }
}
