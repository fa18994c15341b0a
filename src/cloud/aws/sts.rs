//! Roles: the Security Token Service gives keys for a token of somebody else, or for other keys.

use std::path::Path;

use http::Method;
use object_store::aws::AwsAuthorizer;
use object_store::client::HttpRequestBody;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Request, Url};
use serde::Deserialize;

use super::{IssuedKeys, Keys, domain, endpoint, region};
use crate::cloud::call::{Answer, Distance};
use crate::cloud::identity::Identity;
use crate::cloud::{CloudError, Clouds};

/// What the service calls us in its logs.
const SESSION: &str = "yadokari";
const VERSION: (&str, &str) = ("Version", "2011-06-15");

/// `<AssumeRole…Response>`, as much of it as counts.
#[derive(Deserialize)]
struct Response {
    #[serde(alias = "AssumeRoleWithWebIdentityResult", alias = "AssumeRoleResult")]
    result: Issued,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Issued {
    credentials: IssuedKeys,
}

impl Clouds {
    /// Keys of a role for a token in a file: what EKS calls IAM roles for service accounts.
    pub(super) async fn web_identity(
        &self,
        file: &str,
        role: &str,
        session: Option<&str>,
    ) -> Result<Identity<Keys>, CloudError> {
        let source = format!("the web identity in {file} for {role}");
        let path = Path::new(file);
        let token = self.files().text(path).map_err(|e| CloudError::File {
            source_name: source.clone(),
            path: path.to_owned(),
            source: e,
        })?;
        let (url, _) = self.sts()?;
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            VERSION,
            ("RoleArn", role),
            ("RoleSessionName", session.unwrap_or(SESSION)),
            ("WebIdentityToken", &token),
        ];
        let answer = self.ask(&source, Distance::Far, form(url, &fields)).await?;
        issued(&answer, &source)
    }

    /// Keys of a role for other keys.
    pub(super) async fn assume_role(
        &self,
        keys: &Keys,
        role: &str,
        session: Option<&str>,
        external_id: Option<&str>,
        source: &str,
    ) -> Result<Identity<Keys>, CloudError> {
        let (url, region) = self.sts()?;
        let mut fields = vec![
            ("Action", "AssumeRole"),
            VERSION,
            ("RoleArn", role),
            ("RoleSessionName", session.unwrap_or(SESSION)),
        ];
        fields.extend(external_id.map(|id| ("ExternalId", id)));
        let request = signed(keys, "sts", &region, form(url, &fields), source)?;
        let answer = self.ask(source, Distance::Far, request).await?;
        issued(&answer, source)
    }

    fn sts(&self) -> Result<(Url, String), CloudError> {
        let region = region(self)?.unwrap_or_else(|| "us-east-1".to_owned());
        let default = || format!("https://sts.{region}.{}/", domain(&region));
        let text = endpoint(self.config(), "STS").unwrap_or_else(default);
        Ok((parse("AWS_ENDPOINT_URL", &text)?, region))
    }
}

/// A URL that was configured.
pub(super) fn parse(name: &str, text: &str) -> Result<Url, CloudError> {
    text.parse().map_err(|e| CloudError::Place {
        source_name: name.to_owned(),
        problem: format!("'{text}' is no URL: {e}"),
    })
}

fn form(url: Url, fields: &[(&str, &str)]) -> Request {
    let mut written = url.clone();
    written.set_query(None);
    written.query_pairs_mut().extend_pairs(fields);
    let body = written.query().unwrap_or_default().to_owned();
    let mut request = Request::new(Method::POST, url);
    let kind = reqwest::header::HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    *request.body_mut() = Some(body.into());
    request
}

/// Signs a request whose body is in memory (Signature Version 4).
pub(super) fn signed(
    keys: &Keys,
    service: &str,
    region: &str,
    request: Request,
    source: &str,
) -> Result<Request, CloudError> {
    let wrong = |problem: String| CloudError::Place { source_name: source.to_owned(), problem };
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec();
    let mut plain = http::Request::builder().method(request.method()).uri(request.url().as_str());
    if let Some(headers) = plain.headers_mut() {
        headers.clone_from(request.headers());
    }
    let mut plain = plain.body(HttpRequestBody::from(body)).map_err(|e| wrong(e.to_string()))?;
    // `object_store` panics where a token is no header.
    if keys.token.as_ref().is_some_and(|token| http::HeaderValue::from_str(token).is_err()) {
        return Err(wrong("its session token holds characters that no header may hold".to_owned()));
    }
    if http::HeaderValue::from_str(&keys.id).is_err() {
        return Err(wrong("its key id holds characters that no header may hold".to_owned()));
    }
    let credential = keys.credential();
    AwsAuthorizer::new(&credential, service, region)
        .try_authorize(&mut plain, None)
        .map_err(|_| wrong("the request cannot be signed".to_owned()))?;
    let mut request = request;
    request.headers_mut().clone_from(plain.headers());
    Ok(request)
}

fn issued(answer: &Answer, source: &str) -> Result<Identity<Keys>, CloudError> {
    let text = answer.text();
    let response: Response =
        quick_xml::de::from_str(&text).map_err(|_| answer.senseless("it holds no credentials"))?;
    Ok(response.result.credentials.identity(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_service() {
        let body = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
            <AssumeRoleWithWebIdentityResult><Audience>sts</Audience>
            <Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>
            <SessionToken>T</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
            </AssumeRoleWithWebIdentityResult><ResponseMetadata/></AssumeRoleWithWebIdentityResponse>"#;
        let answer = |body: &str| Answer {
            source_name: "s".to_owned(),
            host: "h".to_owned(),
            body: body.as_bytes().to_vec(),
        };
        let keys = issued(&answer(body), "s").expect("keys").secret;
        assert_eq!((keys.id.as_str(), keys.secret.as_str(), keys.token.as_deref()), ("A", "S", Some("T")));
        assert!(issued(&answer("<AssumeRoleResponse/>"), "s").is_err());
    }
}
