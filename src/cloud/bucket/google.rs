//! Buckets of Google's storage.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use reqwest::Url;

use super::connection::Connection;
use super::{Objects, Store, carried, patience, unset};
use crate::cloud::{CloudError, Clouds};

const BASE: &str = "https://storage.googleapis.com";

/// The token of now.
#[derive(Debug)]
struct Token(Clouds);

#[async_trait]
impl CredentialProvider for Token {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let identity = self.0.google().await.map_err(|e| carried("GCS", e))?;
        Ok(Arc::new(GcpCredential { bearer: identity.secret.0 }))
    }
}

pub(super) async fn store(
    clouds: &Clouds,
    bucket: &str,
    connection: Connection,
) -> Result<Store, CloudError> {
    let config = clouds.config();
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_http_connector(connection)
        .with_retry(patience())
        // Before anything else: what is not given is looked for in files and the environment.
        .with_credentials(Arc::new(Token(clouds.clone())));
    // As Google's own libraries: no credentials for an emulator.
    let tried = if let Some(host) = config.get("STORAGE_EMULATOR_HOST") {
        let text = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        builder = builder.with_base_url(&base("STORAGE_EMULATOR_HOST", &text)?).with_skip_signature(true);
        "no credentials, since STORAGE_EMULATOR_HOST is set".to_owned()
    } else {
        const OVERRIDE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE";
        builder = builder.with_base_url(&match config.get(OVERRIDE) {
            Some(text) => base(OVERRIDE, text)?,
            None => BASE.to_owned(),
        });
        match clouds.google().await {
            Ok(identity) => identity.source,
            // A public bucket needs none; the error of another names the places.
            Err(error) if error.is_absence() => {
                builder = builder.with_skip_signature(true);
                format!("no credentials: {error}")
            }
            Err(error) => return Err(error),
        }
    };
    let store = builder.build().map_err(|e| unset(&format!("gs://{bucket}"), &e))?;
    Ok(Store { store: Objects::Google(store), tried })
}

/// A server, without the path of an API that these variables usually have.
fn base(name: &str, text: &str) -> Result<String, CloudError> {
    let wrong = |problem: String| CloudError::Place { source_name: name.to_owned(), problem };
    let url: Url = text.parse().map_err(|e| wrong(format!("'{text}' is no URL: {e}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url.origin().ascii_serialization()),
        _ => Err(wrong(format!("'{text}' is no URL of a web server"))),
    }
}
