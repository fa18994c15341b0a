//! Workload identity federation: a token of somebody else for one of Google (google.aip.dev/auth/4117).

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Issued, SCOPE, Token, form, parse};
use crate::cloud::call::Distance;
use crate::cloud::identity::{Identity, seconds_until};
use crate::cloud::{CloudError, Clouds};

const TOKEN_URL: &str = "https://sts.googleapis.com/v1/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What `gcloud iam workload-identity-pools create-cred-config` writes.
#[derive(Deserialize)]
pub(super) struct ExternalAccount {
    audience: String,
    subject_token_type: String,
    token_url: Option<String>,
    service_account_impersonation_url: Option<String>,
    credential_source: Source,
}

/// Where the other's token is.
#[derive(Deserialize)]
struct Source {
    file: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    format: Option<Format>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: Option<String>,
    subject_token_field_name: Option<String>,
}

/// What taking on a service account gives.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
    expire_time: Option<String>,
}

impl Clouds {
    pub(super) async fn external_account(
        &self,
        source: &str,
        account: &ExternalAccount,
    ) -> Result<Identity<Token>, CloudError> {
        let subject = self.subject_token(source, &account.credential_source).await?;
        let url = parse(source, account.token_url.as_deref().unwrap_or(TOKEN_URL))?;
        let fields = [
            ("grant_type", GRANT),
            ("audience", account.audience.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", account.subject_token_type.as_str()),
            ("subject_token", &subject),
        ];
        let answer = self.ask(source, Distance::Far, form(url, &fields)).await?;
        let federated = answer.json::<Issued>()?.identity(source);
        match &account.service_account_impersonation_url {
            None => Ok(federated),
            Some(url) => self.impersonate(source, url, &federated.secret).await,
        }
    }

    async fn impersonate(
        &self,
        source: &str,
        url: &str,
        token: &Token,
    ) -> Result<Identity<Token>, CloudError> {
        let mut request = Request::new(Method::POST, parse(source, url)?);
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.0)).map_err(|_| CloudError::Place {
            source_name: source.to_owned(),
            problem: "its token holds characters that no header may hold".to_owned(),
        })?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(json!({ "scope": [SCOPE], "lifetime": "3600s" }).to_string().into());
        let answer = self.ask(source, Distance::Far, request).await?;
        let issued: Impersonated = answer.json()?;
        let end = issued.expire_time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let seconds = end.map_or(3600, |end| seconds_until(end.as_second() as f64));
        Ok(Identity::passing(Token(issued.access_token), source, seconds))
    }

    /// The other's token, from a file or from a service.
    async fn subject_token(&self, source: &str, from: &Source) -> Result<String, CloudError> {
        let wrong =
            |problem: &str| CloudError::Place { source_name: source.to_owned(), problem: problem.to_owned() };
        let text = if let Some(file) = &from.file {
            let path = Path::new(file);
            self.files().text(path).map_err(|error| CloudError::File {
                source_name: source.to_owned(),
                path: path.to_owned(),
                source: error,
            })?
        } else if let Some(url) = &from.url {
            let mut request = Request::new(Method::GET, parse(source, url)?);
            for (name, value) in &from.headers {
                let pair = (HeaderName::try_from(name), HeaderValue::try_from(value));
                let (Ok(name), Ok(value)) = pair else { return Err(wrong("its headers are none")) };
                request.headers_mut().insert(name, value);
            }
            self.ask(source, Distance::Far, request).await?.text()
        } else {
            return Err(wrong(
                "its credential_source is neither a file nor a url; executables and AWS are not supported here",
            ));
        };
        let format = from.format.as_ref();
        if format.and_then(|f| f.kind.as_deref()) != Some("json") {
            return Ok(text);
        }
        let field = format.and_then(|f| f.subject_token_field_name.as_deref());
        let json: Option<Value> = serde_json::from_str(&text).ok();
        let token = json.and_then(|json| json.get(field?)?.as_str().map(str::to_owned));
        token.ok_or_else(|| wrong("there is no token in what its credential_source gives"))
    }
}
