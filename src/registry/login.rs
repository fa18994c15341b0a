//! Whether credentials are the right ones, as `docker login` asks.

use reqwest::StatusCode;

use super::call::Call;
use super::client::Client;
use super::token::Scopes;
use super::{Direction, Registry, RegistryError};
use crate::image::Reference;

impl Registry {
    /// Asks the registry of a reference whether it knows who we are; the repository does not count.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn check_login(&self, registry: &Reference) -> Result<(), RegistryError> {
        self.client.check_login(registry).await
    }
}

impl Client {
    /// Asks the registry of a reference whether it knows us; the repository does not count.
    pub(super) async fn check_login(&self, registry: &Reference) -> Result<(), RegistryError> {
        let what = format!("log in to {}", registry.registry());
        let ask = || async {
            let mut target = self.target(registry, Direction::Push, what.clone()).await?;
            target.scopes = Scopes(Vec::new());
            let call = Call::get(target.endpoint.url(""));
            // Some registries answer 404 here and work all the same.
            self.expect(&target, &call, &[StatusCode::OK, StatusCode::NOT_FOUND]).await.map(drop)
        };
        self.download.retry(&self.events, ask).await
    }
}
