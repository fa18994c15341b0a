//! The metadata server of machines, and of pods with a workload identity.

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Request};

use super::{Issued, Token, parse};
use crate::cloud::call::Distance;
use crate::cloud::identity::Identity;
use crate::cloud::{CloudError, Clouds};

const SOURCE: &str = "the Google metadata server";
const FLAVOR: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));

impl Clouds {
    /// The token of the machine's, or the pod's, service account.
    pub(super) async fn google_metadata(&self) -> Result<Identity<Token>, CloudError> {
        let config = self.config();
        let named = config.get("GCE_METADATA_HOST").or_else(|| config.get("GCE_METADATA_ROOT"));
        let host = named.unwrap_or("metadata.google.internal");
        let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
        let mut request = Request::new(Method::GET, parse(SOURCE, &url)?);
        request.headers_mut().insert(FLAVOR.0, FLAVOR.1);
        match self.ask(SOURCE, Distance::Near, request).await {
            Ok(answer) => Ok(answer.json::<Issued>()?.identity(SOURCE)),
            // A machine without a service account, or another cloud's service of the same address.
            Err(CloudError::Refused { status: 404, source_name, host, .. }) => {
                Err(CloudError::Silent { source_name, host, reason: "it has no service account".to_owned() })
            }
            Err(error) => Err(error),
        }
    }
}
