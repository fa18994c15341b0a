//! What speaks to others during one build: network, registries, credentials.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::{Cache, Seen};
use crate::cloud::Clouds;
use crate::config::{BuildConfig, FetchConfig, SecretSource};
use crate::context::{self, Context};
use crate::event::Events;
use crate::fetch;
use crate::image::Reference;
use crate::keychain::Keychain;
use crate::plan::Plan;
use crate::registry::{Network, Registry, RegistryError, Task};
use crate::run::Cancel;

use super::remotes::Remotes;
use super::workspace::Workspace;
use super::{Error, fetching, open_cache};

/// What speaks to registries during one build.
pub(super) struct Session<'a> {
    pub(super) network: Arc<Network>,
    clouds: Clouds,
    pub(super) keychain: Keychain,
    pub(super) registry: Registry,
    pub(super) config: &'a BuildConfig,
    /// With the build secrets that are for servers of files and repositories.
    fetching: FetchConfig,
    /// Files with credentials, which steps must not see.
    pub(super) secrets: Vec<PathBuf>,
}

impl<'a> Session<'a> {
    pub(super) fn open(config: &'a BuildConfig, events: &Events) -> Result<Session<'a>, Error> {
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
        // Keys, that is; an agent's socket stays where it is.
        let keys = config.steps.agents.iter().flat_map(|agent| &agent.paths).filter(|path| path.is_file());
        secrets.extend(keys.cloned());
        secrets.extend(config.registry.client_certificates.iter().map(|shown| shown.key.clone()));
        let own = keychain.clone();
        let registry = Registry::new(&config.registry, keychain, events.clone(), &network)?;
        Ok(Session { network, clouds, keychain: own, registry, config, fetching, secrets })
    }

    /// Where the image is pushed.
    pub(super) fn destinations(&self) -> &'a [Reference] {
        if self.config.push { &self.config.destinations } else { &[] }
    }

    /// Asks for every credential that the push will need, and for none after that: later the
    /// root may be an image's, and a credential helper of the same name its program.
    pub(super) fn settle_credentials(&self) -> Result<(), Error> {
        self.keychain.prefetch(self.destinations())?;
        // A cache without credentials is a cache that does not answer.
        for reference in open_cache::references(self.config) {
            let _ = self.keychain.prefetch([&reference]);
        }
        self.registry.settle_credentials();
        self.keychain.seal();
        Ok(())
    }

    pub(super) fn fetcher(&self) -> fetch::Fetcher {
        fetch::Fetcher::new(&self.registry, &self.fetching)
    }

    /// Opens the build context; one that is no directory is put into the workspace.
    pub(super) fn context(&self, workspace: &Workspace, cancel: &Cancel) -> Result<Option<Context>, Error> {
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
    pub(super) fn fetch(
        &self,
        plan: &Plan,
        workspace: &Workspace,
        cache: Option<&Cache>,
        cancel: &Cancel,
    ) -> Result<Remotes, Error> {
        let cache = cache.filter(|cache| cache.reads());
        let seen = cache.map(|cache| || cache.seen());
        let seen = seen.as_ref().map(|seen| seen as &dyn Fn() -> Vec<Seen>);
        Remotes::start(plan, self.fetcher(), &self.network, workspace, seen, cancel)
    }

    /// Begins to find out whether the destinations may be written, before the first step.
    pub(super) fn try_rights(&self) -> Rights {
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

    /// Says early, beside everything else, where the cache may not be written: nothing of the build is
    /// lost, but all of it is made again the next time. A cache that does not answer is named where it is
    /// asked.
    pub(super) fn try_caches(&self, events: &Events) {
        if self.config.registry.skip_push_permission_check {
            return;
        }
        for cache in open_cache::written(self.config) {
            let (registry, events) = (self.registry.clone(), events.clone());
            self.network.spawn(async move {
                use RegistryError::{Status, Token};
                if let Err(error @ (Status { .. } | Token { .. })) = registry.check_push(&cache).await {
                    let name = format!("{}/{}", cache.registry(), cache.repository());
                    events.warn(format!("nothing can be kept in the cache {name}: {error}"));
                }
            });
        }
    }
}

impl Drop for Session<'_> {
    /// Uploads that were begun are no use to anybody.
    fn drop(&mut self) {
        self.network.block_on(self.registry.close());
    }
}

/// A context that is only looked at, and what keeps it on disk meanwhile.
pub(super) struct Opened {
    pub(super) context: Option<Context>,
    _workspace: Option<Workspace>,
}

impl Opened {
    /// Opens a build's context. Nothing is fetched for one that is here.
    pub(super) fn open(config: &BuildConfig, events: &Events) -> Result<Opened, Error> {
        if let Some(here) = Context::open_here(&config.context, config.context_sub_path.as_deref()) {
            return Ok(Opened { context: here?, _workspace: None });
        }
        let workspace = Workspace::create(&config.rootfs.work_dir)?;
        let context = Session::open(config, events)?.context(&workspace, &Cancel::new())?;
        Ok(Opened { context, _workspace: Some(workspace) })
    }
}

/// A check of rights that goes on beside.
pub(super) struct Rights(Task<Result<(), Error>>);

impl Rights {
    pub(super) fn wait(self) -> Result<(), Error> {
        self.0.wait().unwrap_or_else(|| Err(Error::other("the check of push rights was ended")))
    }
}
