//! Azure's identities, in the order of its own tools (`DefaultAzureCredential`).

mod managed;
mod registry;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::call::Distance;
use super::google::form;
use super::identity::Identity;
use super::{CloudError, Clouds};
use crate::config::CloudConfig;

pub(super) use registry::AcrHost;

/// One of Azure's clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Realm {
    /// Where tokens are had.
    authority: &'static str,
    /// What a token for a registry is for.
    manager: &'static str,
}

/// Azure's clouds by the ends of names of hosts.
const REALMS: [(&[&str], Realm); 4] = [
    (
        &[".azurecr.io", ".blob.core.windows.net"],
        Realm { authority: "https://login.microsoftonline.com", manager: "https://management.azure.com/" },
    ),
    (
        &[".azurecr.cn", ".blob.core.chinacloudapi.cn"],
        Realm {
            authority: "https://login.chinacloudapi.cn",
            manager: "https://management.chinacloudapi.cn/",
        },
    ),
    (
        &[".azurecr.us", ".blob.core.usgovcloudapi.net"],
        Realm {
            authority: "https://login.microsoftonline.us",
            manager: "https://management.usgovcloudapi.net/",
        },
    ),
    (
        &[".azurecr.de", ".blob.core.cloudapi.de"],
        Realm {
            authority: "https://login.microsoftonline.de",
            manager: "https://management.microsoftazure.de/",
        },
    ),
];

impl Realm {
    /// The cloud of a host; none for somebody else's.
    pub(super) fn of(host: &str) -> Option<Realm> {
        let host = host.to_ascii_lowercase();
        REALMS.iter().find(|(ends, _)| ends.iter().any(|end| host.ends_with(end))).map(|(_, realm)| *realm)
    }

    /// The public cloud.
    pub(super) fn public() -> Realm {
        REALMS[0].1
    }
}

/// An access token.
#[derive(Clone)]
pub(super) struct Token(pub(super) String);

/// A token server's answer. Numbers may be texts.
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    #[serde(default, deserialize_with = "number")]
    expires_in: Option<u64>,
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|v| v.as_u64().or_else(|| v.as_str()?.parse().ok())))
}

impl Issued {
    fn identity(self, source: &str) -> Identity<Token> {
        Identity::passing(Token(self.access_token), source, self.expires_in.unwrap_or(3600))
    }
}

/// Files that hold secrets.
pub(super) fn files(config: &CloudConfig) -> Vec<PathBuf> {
    config.get("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from).into_iter().collect()
}

impl Clouds {
    /// A token for a resource, such as `https://storage.azure.com/`, from the first place that has one.
    pub(super) async fn azure(&self, realm: Realm, resource: &str) -> Result<Identity<Token>, CloudError> {
        let config = self.config();
        let mut tried = Vec::new();
        let who = (config.get("AZURE_TENANT_ID"), config.get("AZURE_CLIENT_ID"));
        match (who, config.get("AZURE_CLIENT_SECRET"), config.get("AZURE_FEDERATED_TOKEN_FILE")) {
            ((Some(tenant), Some(client)), Some(secret), _) => {
                let source = "the service principal in AZURE_CLIENT_ID";
                return self
                    .directory(realm, tenant, client, resource, &[("client_secret", secret)], source)
                    .await;
            }
            ((Some(tenant), Some(client)), None, Some(file)) => {
                let source = format!("the workload identity in {file}");
                let path = Path::new(file);
                let token = self.files().text(path).map_err(|error| CloudError::File {
                    source_name: source.clone(),
                    path: path.to_owned(),
                    source: error,
                })?;
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let proof = [("client_assertion_type", kind), ("client_assertion", token.as_str())];
                return self.directory(realm, tenant, client, resource, &proof, &source).await;
            }
            (_, Some(_), _) => return Err(half("AZURE_CLIENT_SECRET")),
            (_, None, Some(_)) => return Err(half("AZURE_FEDERATED_TOKEN_FILE")),
            (_, None, None) => {
                tried.push("AZURE_CLIENT_SECRET and AZURE_FEDERATED_TOKEN_FILE are not set".to_owned());
            }
        }
        match self.managed_identity(resource).await {
            Err(CloudError::Silent { source_name, host, reason }) => {
                tried.push(format!("{source_name}: no answer from {host} ({reason})"));
                Err(CloudError::NoIdentity { cloud: "Azure", tried })
            }
            end => end,
        }
    }

    /// A token of the directory (OAuth2 client credentials).
    async fn directory(
        &self,
        realm: Realm,
        tenant: &str,
        client: &str,
        resource: &str,
        proof: &[(&str, &str)],
        source: &str,
    ) -> Result<Identity<Token>, CloudError> {
        let authority = self.config().get("AZURE_AUTHORITY_HOST").unwrap_or(realm.authority);
        let authority = authority.trim_end_matches('/');
        let text = format!("{authority}/{tenant}/oauth2/v2.0/token");
        let url = super::google::parse(source, &text)?;
        let scope = format!("{}/.default", resource.trim_end_matches('/'));
        let mut fields = vec![("grant_type", "client_credentials"), ("client_id", client), ("scope", &scope)];
        fields.extend(proof);
        let answer = self.ask(source, Distance::Far, form(url, &fields)).await?;
        Ok(answer.json::<Issued>()?.identity(source))
    }
}

fn half(has: &str) -> CloudError {
    CloudError::Place {
        source_name: has.to_owned(),
        problem: "AZURE_TENANT_ID and AZURE_CLIENT_ID must be set, too".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_cloud() {
        for (host, manager) in [
            ("Team.azurecr.io", Some("https://management.azure.com/")),
            ("team.azurecr.cn", Some("https://management.chinacloudapi.cn/")),
            ("a.blob.core.usgovcloudapi.net", Some("https://management.usgovcloudapi.net/")),
            ("azurecr.io.example", None),
        ] {
            assert_eq!(Realm::of(host).map(|r| r.manager), manager, "{host}");
        }
    }

    #[test]
    fn lives_of_tokens() {
        let life = |text: &str| serde_json::from_str::<Issued>(text).expect(text).expires_in;
        assert_eq!(life(r#"{"access_token":"t","expires_in":"3599"}"#), Some(3599));
        assert_eq!(life(r#"{"access_token":"t","expires_in":60}"#), Some(60));
        assert_eq!(life(r#"{"access_token":"t"}"#), None);
    }
}
