//! Blobs of Azure's storage.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::azure::{AzureAccessKey, AzureCredential, MicrosoftAzureBuilder, split_sas};
use object_store::{CredentialProvider, StaticCredentialProvider};

use super::address::Blob;
use super::connection::Connection;
use super::{Objects, Store, carried, patience, unset};
use crate::cloud::azure::{Realm, Token};
use crate::cloud::identity::Kept;
use crate::cloud::{CloudError, Clouds};

/// What tokens for blobs are for, in every cloud.
const RESOURCE: &str = "https://storage.azure.com/";
/// Where a shared key may be: kaniko's name, and the one of Azure's own tool.
const KEYS: [&str; 2] = ["AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"];
const SIGNATURE: &str = "AZURE_STORAGE_SAS_TOKEN";

/// The token of now.
struct Bearer {
    clouds: Clouds,
    realm: Realm,
    kept: Kept<Token>,
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer")
    }
}

impl Bearer {
    async fn source(&self) -> Result<String, CloudError> {
        Ok(self.kept.get(self.clouds.azure(self.realm, RESOURCE)).await?.source)
    }
}

#[async_trait]
impl CredentialProvider for Bearer {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let identity = self.kept.get(self.clouds.azure(self.realm, RESOURCE)).await;
        let identity = identity.map_err(|e| carried("MicrosoftAzure", e))?;
        Ok(Arc::new(AzureCredential::BearerToken(identity.secret.0)))
    }
}

pub(super) async fn store(clouds: &Clouds, blob: &Blob, connection: Connection) -> Result<Store, CloudError> {
    let config = clouds.config();
    let endpoint = match config.get("AZURE_STORAGE_SERVICE_ENDPOINT") {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None => format!("https://{}", blob.host),
    };
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&blob.account)
        .with_container_name(&blob.container)
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_http_connector(connection)
        .with_retry(patience());
    let fixed = |credential| Arc::new(StaticCredentialProvider::new(credential));
    let key = KEYS.iter().find_map(|name| Some((*name, config.get(name)?)));
    let in_variable = config.get(SIGNATURE).map(|text| (SIGNATURE, text.trim_start_matches('?')));
    let signature = blob.signature.as_deref().map(|text| ("the signature in the URL", text)).or(in_variable);
    let tried = match (&blob.signature, key, signature) {
        (None, Some((name, key)), _) => {
            let key = AzureAccessKey::try_new(key).map_err(|_| CloudError::Place {
                source_name: name.to_owned(),
                problem: "it is not base64".to_owned(),
            })?;
            builder = builder.with_credentials(fixed(AzureCredential::AccessKey(key)));
            name.to_owned()
        }
        (_, _, Some((name, text))) => {
            let pairs = split_sas(text).map_err(|_| CloudError::Place {
                source_name: name.to_owned(),
                problem: "it is no shared access signature".to_owned(),
            })?;
            builder = builder.with_credentials(fixed(AzureCredential::SASToken(pairs)));
            name.to_owned()
        }
        (_, _, None) => {
            let bearer = Bearer { clouds: clouds.clone(), realm: blob.realm, kept: Kept::default() };
            match bearer.source().await {
                Ok(source) => {
                    builder = builder.with_credentials(Arc::new(bearer));
                    source
                }
                // A public container needs none; the error of another names the places.
                Err(error) if error.is_absence() => {
                    builder = builder.with_credentials(fixed(AzureCredential::BearerToken(String::new())));
                    builder = builder.with_skip_signature(true);
                    format!("no credentials: AZURE_STORAGE_ACCESS_KEY and {SIGNATURE} are not set; {error}")
                }
                Err(error) => return Err(error),
            }
        }
    };
    let store = builder.build().map_err(|e| unset(&blob.host, &e))?;
    Ok(Store { store: Objects::Azure(store), tried })
}
