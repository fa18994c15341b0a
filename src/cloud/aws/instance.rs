//! Keys of the container (ECS, EKS pod identity) and of the machine (IMDSv2).

use std::net::IpAddr;
use std::path::Path;

use http::Method;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Request, Url};

use super::sts::parse;
use super::{IssuedKeys, Keys};
use crate::cloud::call::{Answer, Distance};
use crate::cloud::identity::Identity;
use crate::cloud::{CloudError, Clouds};

const CONTAINER: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
/// Where relative addresses of ECS lead.
const CONTAINER_HOST: &str = "http://169.254.170.2";
/// Link-local addresses that may be asked without TLS (aws-sdk-go-v2, `isAllowedHost`).
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
const INSTANCE: &str = "the EC2 instance's role";
const INSTANCE_HOST: &str = "http://169.254.169.254";
const LIFE: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"), HeaderValue::from_static("21600"));
const SESSION: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

impl Clouds {
    /// The container's keys; none where it has no such service.
    pub(super) async fn container_keys(&self) -> Result<Option<Identity<Keys>>, CloudError> {
        let config = self.config();
        let url = match (config.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), config.get(CONTAINER)) {
            (Some(path), _) => {
                parse("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &format!("{CONTAINER_HOST}{path}"))?
            }
            (None, Some(text)) => checked(parse(CONTAINER, text)?)?,
            (None, None) => return Ok(None),
        };
        let mut request = Request::new(Method::GET, url);
        let token = match config.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => {
                let path = Path::new(file);
                let text = self.files().text(path).map_err(|source| CloudError::File {
                    source_name: CONTAINER.to_owned(),
                    path: path.to_owned(),
                    source,
                })?;
                Some(text)
            }
            None => config.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
        };
        if let Some(token) = token {
            let value = HeaderValue::from_str(&token).map_err(|_| CloudError::Place {
                source_name: CONTAINER.to_owned(),
                problem: "its token holds characters that no header may hold".to_owned(),
            })?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.ask(CONTAINER, Distance::Near, request).await?;
        Ok(Some(answer.json::<IssuedKeys>()?.identity(CONTAINER)))
    }

    /// The machine's keys.
    pub(super) async fn instance_keys(&self) -> Result<Identity<Keys>, CloudError> {
        let config = self.config();
        if config.get("AWS_EC2_METADATA_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            let tried = vec!["AWS_EC2_METADATA_DISABLED is true".to_owned()];
            return Err(CloudError::NoIdentity { cloud: "AWS", tried });
        }
        let six = config
            .get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|m| m.eq_ignore_ascii_case("ipv6"));
        let default = if six { "http://[fd00:ec2::254]" } else { INSTANCE_HOST };
        let base = config.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(default).trim_end_matches('/');
        let mut request = Request::new(Method::PUT, parse(INSTANCE, &format!("{base}/latest/api/token"))?);
        request.headers_mut().insert(LIFE.0, LIFE.1);
        let session = match self.ask(INSTANCE, Distance::Near, request).await {
            // It is turned off, or the service of another cloud, or somebody in between says no.
            Err(CloudError::Refused { host, status: status @ (403..=405), .. }) => {
                let tried = vec![format!("{INSTANCE}: {host} answered {status}")];
                return Err(CloudError::NoIdentity { cloud: "AWS", tried });
            }
            answer => answer?,
        };
        let mut header = HeaderValue::from_str(&session.text())
            .map_err(|_| session.senseless("its token holds characters that no header may hold"))?;
        header.set_sensitive(true);
        let roles = format!("{base}/latest/meta-data/iam/security-credentials/");
        let names = match self.metadata(&roles, &header).await {
            Ok(answer) => answer.text(),
            // A machine without a role.
            Err(CloudError::Refused { status: 404, .. }) => String::new(),
            Err(error) => return Err(error),
        };
        let Some(role) = names.lines().next().filter(|name| !name.is_empty()) else {
            let tried = vec!["the EC2 instance has no role".to_owned()];
            return Err(CloudError::NoIdentity { cloud: "AWS", tried });
        };
        let answer = self.metadata(&format!("{roles}{role}"), &header).await?;
        Ok(answer.json::<IssuedKeys>()?.identity(&format!("the EC2 instance's role {role}")))
    }

    async fn metadata(&self, url: &str, session: &HeaderValue) -> Result<Answer, CloudError> {
        let mut request = Request::new(Method::GET, parse(INSTANCE, url)?);
        request.headers_mut().insert(SESSION, session.clone());
        self.ask(INSTANCE, Distance::Near, request).await
    }
}

/// A full address may lead anywhere with TLS, without it only to this machine.
fn checked(url: Url) -> Result<Url, CloudError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let near = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || host == "localhost"
        || CONTAINER_HOSTS.contains(&host);
    if url.scheme() == "https" || near {
        return Ok(url);
    }
    Err(CloudError::Place {
        source_name: CONTAINER.to_owned(),
        problem: "it is neither https nor an address of this machine".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_be_asked_for_the_containers_keys() {
        for (text, right) in [
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://127.0.0.1:8080/x", true),
            ("http://localhost/x", true),
            ("https://example.com/x", true),
            ("http://example.com/x", false),
            ("http://169.254.169.254/x", false),
        ] {
            assert_eq!(checked(text.parse().expect("a URL")).is_ok(), right, "{text}");
        }
    }
}
