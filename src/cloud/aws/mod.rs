//! Amazon's identities, in the order of its own tools (aws-sdk-go-v2, `resolveCredentialChain`).

mod ecr;
mod instance;
mod profile;
mod sts;

use std::path::PathBuf;

use object_store::aws::AwsCredential;
use serde::Deserialize;

use super::identity::{Identity, seconds_until};
use super::{CloudError, Clouds};
use crate::config::CloudConfig;
use profile::{Method, Profiles};

pub(super) use ecr::EcrHost;

/// Keys to sign requests with.
#[derive(Clone)]
pub(super) struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Keys {
    /// The same for `object_store`.
    pub(super) fn credential(&self) -> AwsCredential {
        let Keys { id, secret, token } = self.clone();
        AwsCredential { key_id: id, secret_key: secret, token }
    }
}

/// Keys as the metadata services write them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IssuedKeys {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    token: Option<String>,
    expiration: Option<String>,
}

impl IssuedKeys {
    fn identity(self, source: &str) -> Identity<Keys> {
        let keys = Keys { id: self.access_key_id, secret: self.secret_access_key, token: self.token };
        let end = self.expiration.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        // Nobody issues keys for less than a quarter of an hour.
        let seconds = end.map_or(900, |end| seconds_until(end.as_second() as f64));
        Identity::passing(keys, source, seconds)
    }
}

/// Files that hold keys.
pub(super) fn files(config: &CloudConfig) -> Vec<PathBuf> {
    let named = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
    let named = named.iter().filter_map(|name| config.get(name)).map(PathBuf::from);
    named.chain(Profiles::paths(config)).collect()
}

/// The region that is configured.
pub(super) fn region(clouds: &Clouds) -> Result<Option<String>, CloudError> {
    let config = clouds.config();
    let named = config.get("AWS_REGION").or_else(|| config.get("AWS_DEFAULT_REGION"));
    match named {
        Some(region) => Ok(Some(region.to_owned())),
        None => Ok(Profiles::read(clouds)?.region()),
    }
}

/// Where a service is: what `AWS_ENDPOINT_URL_<SERVICE>` and `AWS_ENDPOINT_URL` say, else `default`.
pub(super) fn endpoint(config: &CloudConfig, service: &str) -> Option<String> {
    if config.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
        return None;
    }
    let own = config.get(&format!("AWS_ENDPOINT_URL_{service}"));
    own.or_else(|| config.get("AWS_ENDPOINT_URL")).map(str::to_owned)
}

/// The domain of a region's services.
pub(super) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

impl Clouds {
    /// The keys, from the first place that has some.
    pub(super) async fn aws(&self) -> Result<Identity<Keys>, CloudError> {
        self.inner.aws.get(self.find_aws()).await
    }

    async fn find_aws(&self) -> Result<Identity<Keys>, CloudError> {
        let config = self.config();
        let mut tried = Vec::new();
        match (config.get("AWS_ACCESS_KEY_ID"), config.get("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                let token = config.get("AWS_SESSION_TOKEN").map(str::to_owned);
                let keys = Keys { id: id.to_owned(), secret: secret.to_owned(), token };
                return Ok(Identity::lasting(keys, "AWS_ACCESS_KEY_ID"));
            }
            (Some(_), None) => return Err(half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
            (None, Some(_)) => return Err(half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")),
            (None, None) => tried.push("AWS_ACCESS_KEY_ID is not set".to_owned()),
        }
        match (config.get("AWS_WEB_IDENTITY_TOKEN_FILE"), config.get("AWS_ROLE_ARN")) {
            (Some(file), Some(role)) => {
                return self.web_identity(file, role, config.get("AWS_ROLE_SESSION_NAME")).await;
            }
            (Some(_), None) => return Err(half("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")),
            _ => tried.push("AWS_WEB_IDENTITY_TOKEN_FILE is not set".to_owned()),
        }
        let profiles = Profiles::read(self)?;
        match profiles.method()? {
            Some(method) => return self.by_profile(&profiles, method).await,
            None => tried.push(profiles.absence()),
        }
        self.of_this_place(tried).await
    }

    /// Containers' and machines' own identities.
    async fn of_this_place(&self, mut tried: Vec<String>) -> Result<Identity<Keys>, CloudError> {
        match self.container_keys().await? {
            Some(keys) => return Ok(keys),
            None => tried.push("AWS_CONTAINER_CREDENTIALS_FULL_URI is not set".to_owned()),
        }
        match self.instance_keys().await {
            Ok(keys) => Ok(keys),
            Err(CloudError::Silent { source_name, host, reason }) => {
                tried.push(format!("{source_name}: no answer from {host} ({reason})"));
                Err(CloudError::NoIdentity { cloud: "AWS", tried })
            }
            Err(CloudError::NoIdentity { tried: more, .. }) => {
                tried.extend(more);
                Err(CloudError::NoIdentity { cloud: "AWS", tried })
            }
            Err(error) => Err(error),
        }
    }

    async fn by_profile(&self, profiles: &Profiles, method: Method) -> Result<Identity<Keys>, CloudError> {
        match method {
            Method::Keys(keys) => Ok(Identity::lasting(keys, profiles.source())),
            Method::WebIdentity { file, role, session } => {
                self.web_identity(&file, &role, session.as_deref()).await
            }
            Method::Role { role, session, external_id, base } => {
                let base = match *base {
                    Method::Place(place) => self.by_place(profiles, &place).await?,
                    base => Box::pin(self.by_profile(profiles, base)).await?,
                };
                self.assume_role(
                    &base.secret,
                    &role,
                    session.as_deref(),
                    external_id.as_deref(),
                    &profiles.source(),
                )
                .await
            }
            Method::Place(place) => self.by_place(profiles, &place).await,
        }
    }

    /// `credential_source` of a profile.
    async fn by_place(&self, profiles: &Profiles, place: &str) -> Result<Identity<Keys>, CloudError> {
        match place {
            "Ec2InstanceMetadata" => self.instance_keys().await,
            "EcsContainer" => self.container_keys().await?.ok_or_else(|| {
                profiles.wrong(
                    "credential_source is EcsContainer, and AWS_CONTAINER_CREDENTIALS_FULL_URI is not set",
                )
            }),
            // Keys in the environment would have been taken before any profile.
            other => Err(profiles.wrong(&format!("there is nothing in its credential_source {other}"))),
        }
    }
}

fn half(has: &str, misses: &str) -> CloudError {
    CloudError::Place { source_name: has.to_owned(), problem: format!("{misses} is not set") }
}
