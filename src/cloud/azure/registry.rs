//! Container Registry: a refresh token for a token of the directory.

use std::time::Duration;

use serde::Deserialize;

use super::Realm;
use crate::cloud::call::Distance;
use crate::cloud::google::{form, parse};
use crate::cloud::identity::{Login, renewal};
use crate::cloud::{CloudError, Clouds};

/// What tokens for registries are for where a registry takes no tokens of the resource manager.
const AUDIENCE: &str = "https://containerregistry.azure.net/";
/// Refresh tokens of registries live three hours.
const LIFE: Duration = Duration::from_secs(3 * 3600);

/// A registry of Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AcrHost {
    host: String,
    realm: Realm,
}

impl AcrHost {
    /// Reads the name of a registry.
    pub(crate) fn parse(host: &str) -> Option<AcrHost> {
        // A token for the resource manager is shown to registries only.
        let registry = host.to_ascii_lowercase().contains(".azurecr.");
        Realm::of(host).filter(|_| registry).map(|realm| AcrHost { host: host.to_owned(), realm })
    }

    /// A registry under a name of its own.
    pub(crate) fn named(host: &str) -> AcrHost {
        AcrHost { host: host.to_owned(), realm: Realm::of(host).unwrap_or_else(Realm::public) }
    }
}

#[derive(Deserialize)]
struct Exchanged {
    refresh_token: String,
}

impl Clouds {
    /// An identity token for a registry.
    pub(crate) async fn acr(&self, registry: &AcrHost) -> Result<Login, CloudError> {
        match self.exchange(registry, registry.realm.manager).await {
            Err(CloudError::Refused { status: 401 | 403, .. }) if registry.realm == Realm::public() => {
                self.exchange(registry, AUDIENCE).await
            }
            end => end,
        }
    }

    async fn exchange(&self, registry: &AcrHost, resource: &str) -> Result<Login, CloudError> {
        let identity = self.azure(registry.realm, resource).await?;
        let source = format!("ACR by {}", identity.source);
        let url = parse(&source, &format!("https://{}/oauth2/exchange", registry.host))?;
        let tenant = self.config().get("AZURE_TENANT_ID");
        let mut fields = vec![("grant_type", "access_token"), ("service", registry.host.as_str())];
        fields.extend(tenant.map(|tenant| ("tenant", tenant)));
        fields.push(("access_token", &identity.secret.0));
        let answer = self.ask(&source, Distance::Far, form(url, &fields)).await?;
        let secret = answer.json::<Exchanged>()?.refresh_token;
        Ok(Login { username: None, secret, source, until: renewal(LIFE) })
    }
}
