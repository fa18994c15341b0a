//! Managed identities: of App Service and its kin, and of machines.

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request};

use super::{Issued, Token};
use crate::cloud::call::Distance;
use crate::cloud::google::parse;
use crate::cloud::identity::Identity;
use crate::cloud::{CloudError, Clouds};

const SOURCE: &str = "the Azure managed identity";
const METADATA: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata"), HeaderValue::from_static("true"));
const IDENTITY: HeaderName = HeaderName::from_static("x-identity-header");

impl Clouds {
    /// A token for a resource.
    pub(super) async fn managed_identity(&self, resource: &str) -> Result<Identity<Token>, CloudError> {
        let config = self.config();
        let (text, version, secret) = match (config.get("IDENTITY_ENDPOINT"), config.get("IDENTITY_HEADER")) {
            (Some(endpoint), Some(secret)) => (endpoint.to_owned(), "2019-08-01", Some(secret)),
            _ => {
                // What AAD Pod Identity and tests put in the place of the machine's service.
                let host = config.get("AZURE_POD_IDENTITY_AUTHORITY_HOST");
                let host = host.unwrap_or("http://169.254.169.254").trim_end_matches('/');
                (format!("{host}/metadata/identity/oauth2/token"), "2018-02-01", None)
            }
        };
        let mut url = parse(SOURCE, &text)?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("api-version", version).append_pair("resource", resource);
            query.extend_pairs(config.get("AZURE_CLIENT_ID").map(|id| ("client_id", id)));
        }
        let mut request = Request::new(Method::GET, url);
        match secret.map(HeaderValue::from_str) {
            None => request.headers_mut().insert(METADATA.0, METADATA.1),
            Some(Ok(value)) => request.headers_mut().insert(IDENTITY, value),
            Some(Err(_)) => {
                return Err(CloudError::Place {
                    source_name: "IDENTITY_HEADER".to_owned(),
                    problem: "it holds characters that no header may hold".to_owned(),
                });
            }
        };
        let answer = self.ask(SOURCE, Distance::Near, request).await?;
        Ok(answer.json::<Issued>()?.identity(SOURCE))
    }
}
