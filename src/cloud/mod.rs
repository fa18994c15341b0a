//! Clouds: who we are to them, and what lies in their buckets.
//!
//! Each cloud has its chain of places where an identity may come from, in the order of its own
//! tools; the first that is there is taken, and errors name it. `object_store` reads buckets and
//! signs requests; identities are found here, because registries want them as well, for other
//! audiences, and because files with them must be read while the container's own root is in place.

mod aws;
mod azure;
mod bucket;
mod call;
mod error;
mod files;
mod google;
mod identity;
mod registries;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

pub(crate) use bucket::Opened;
pub use bucket::{Address, ParseAddressError};
pub use error::CloudError;
pub(crate) use identity::Login;

use crate::config::{CloudConfig, RegistryConfig};
use crate::event::Events;
use crate::transport::{Network, SetupError, Transport};
pub(crate) use files::Files;
use identity::Kept;

/// Clouds; cheap to clone.
#[derive(Clone)]
pub struct Clouds {
    inner: Arc<Inner>,
}

struct Inner {
    config: CloudConfig,
    settings: RegistryConfig,
    handle: Handle,
    events: Events,
    files: Files,
    transport: OnceLock<Result<Transport, SetupError>>,
    aws: Kept<aws::Keys>,
    google: Kept<google::Token>,
}

impl std::fmt::Debug for Clouds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clouds").field(&self.inner.config).finish()
    }
}

impl Clouds {
    /// Connects nowhere yet. `settings` are those of connections: CA roots and the like.
    pub fn new(config: &CloudConfig, settings: &RegistryConfig, network: &Network, events: Events) -> Self {
        let inner = Inner {
            config: config.clone(),
            settings: settings.clone(),
            handle: network.handle().clone(),
            events,
            files: Files::default(),
            transport: OnceLock::new(),
            aws: Kept::default(),
            google: Kept::default(),
        };
        Clouds { inner: Arc::new(inner) }
    }

    /// Files with secrets of clouds that exist.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let all = [
            aws::files(&self.inner.config),
            google::files(&self.inner.config),
            azure::files(&self.inner.config),
        ];
        all.into_iter().flatten().filter(|path| path.is_file()).collect()
    }

    /// The files of credentials, as they are read here.
    pub(crate) fn files(&self) -> &Files {
        &self.inner.files
    }

    /// Waits for something of the network, from a thread that is not one of its own.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.inner.handle.block_on(future)
    }

    fn config(&self) -> &CloudConfig {
        &self.inner.config
    }

    /// Connections; CA roots and proxies are read when the first is needed.
    fn transport(&self) -> Result<&Transport, CloudError> {
        let made = self
            .inner
            .transport
            .get_or_init(|| Transport::new(&self.inner.settings, &self.inner.handle, &self.inner.events));
        made.as_ref().map_err(|error| CloudError::Setup { problem: error.problem.clone() })
    }
}
