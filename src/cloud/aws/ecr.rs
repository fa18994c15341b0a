//! Elastic Container Registry: a password for twelve hours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use reqwest::Request;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;

use super::sts::{parse, signed};
use super::{domain, endpoint};
use crate::cloud::call::Distance;
use crate::cloud::identity::{Login, renewal, seconds_until};
use crate::cloud::{CloudError, Clouds};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const PUBLIC_HOST: &str = "public.ecr.aws";
/// The only region that gives tokens for the public registry.
const PUBLIC_REGION: &str = "us-east-1";

/// What the name of a registry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EcrHost {
    /// `public.ecr.aws`
    Public,
    /// `<account>.dkr.ecr.<region>.amazonaws.com` and its kin.
    Private {
        /// The account.
        account: String,
        /// The region.
        region: String,
        /// The service's own host.
        api: String,
    },
}

impl EcrHost {
    /// Reads the name of a registry (amazon-ecr-credential-helper, `ExtractRegistry`).
    pub(crate) fn parse(host: &str) -> Option<EcrHost> {
        let host = host.to_ascii_lowercase();
        if host == PUBLIC_HOST {
            return Some(EcrHost::Public);
        }
        let (account, rest) = host.split_once('.')?;
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (fips, rest, dual) = if let Some(rest) = rest.strip_prefix("dkr.ecr.") {
            (false, rest, false)
        } else if let Some(rest) = rest.strip_prefix("dkr.ecr-fips.") {
            (true, rest, false)
        } else if let Some(rest) = rest.strip_prefix("dkr-ecr.") {
            (false, rest, true)
        } else {
            (true, rest.strip_prefix("dkr-ecr-fips.")?, true)
        };
        let (region, domain) = rest.split_once('.')?;
        let api = match (domain, dual, fips) {
            ("on.aws", true, false) => format!("ecr.{region}.api.aws"),
            ("on.aws", true, true) => format!("ecr-fips.{region}.api.aws"),
            ("on.amazonwebservices.com.cn", true, false) => {
                format!("ecr.{region}.api.amazonwebservices.com.cn")
            }
            (
                "amazonaws.com" | "amazonaws.com.cn" | "amazonaws.eu" | "c2s.ic.gov" | "sc2s.sgov.gov"
                | "cloud.adc-e.uk" | "csp.hci.ic.gov",
                false,
                _,
            ) => {
                let service = if fips { "ecr-fips" } else { "api.ecr" };
                format!("{service}.{region}.{domain}")
            }
            _ => return None,
        };
        Some(EcrHost::Private { account: account.to_owned(), region: region.to_owned(), api })
    }
}

/// `GetAuthorizationToken`'s answer: a list of one, or, for the public registry, one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    authorization_data: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Data>),
    One(Data),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    authorization_token: String,
    expires_at: Option<f64>,
}

impl Clouds {
    /// A password for a registry.
    pub(crate) async fn ecr(&self, host: &EcrHost) -> Result<Login, CloudError> {
        let keys = self.aws().await?;
        let source = format!("ECR by {}", keys.source);
        let (service, region, target, default, body) = match host {
            EcrHost::Public => (
                "ECR_PUBLIC",
                PUBLIC_REGION,
                "SpencerFrontendService.GetAuthorizationToken",
                format!("https://api.ecr-public.{PUBLIC_REGION}.{}/", domain(PUBLIC_REGION)),
                "{}".to_owned(),
            ),
            EcrHost::Private { account, region, api } => (
                "ECR",
                region.as_str(),
                "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
                format!("https://{api}/"),
                serde_json::json!({ "registryIds": [account] }).to_string(),
            ),
        };
        let url = parse("AWS_ENDPOINT_URL", &endpoint(self.config(), service).unwrap_or(default))?;
        let mut request = Request::new(Method::POST, url);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert(TARGET, HeaderValue::from_static(target));
        *request.body_mut() = Some(body.into());
        let name = if service == "ECR" { "ecr" } else { "ecr-public" };
        let request = signed(&keys.secret, name, region, request, &source)?;
        let answer = self.ask(&source, Distance::Far, request).await?;
        let data = match answer.json::<Response>()?.authorization_data {
            OneOrMany::One(data) => Some(data),
            OneOrMany::Many(all) => all.into_iter().next(),
        };
        let data = data.ok_or_else(|| answer.senseless("it holds no token"))?;
        let decoded = STANDARD.decode(data.authorization_token).ok().and_then(|b| String::from_utf8(b).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (username, password) =
            pair.ok_or_else(|| answer.senseless("its token is no user and password"))?;
        let seconds = data.expires_at.map_or(3600, seconds_until);
        let until = renewal(std::time::Duration::from_secs(seconds));
        Ok(Login { username: Some(username.to_owned()), secret: password.to_owned(), source, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_registries() {
        for (host, api) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some("api.ecr.eu-west-1.amazonaws.com")),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                Some("ecr-fips.us-gov-west-1.amazonaws.com"),
            ),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("api.ecr.cn-north-1.amazonaws.com.cn")),
            ("123456789012.dkr-ecr.us-east-2.on.aws", Some("ecr.us-east-2.api.aws")),
            ("123456789012.dkr-ecr-fips.us-east-2.on.aws", Some("ecr-fips.us-east-2.api.aws")),
            ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", Some("api.ecr.us-iso-east-1.c2s.ic.gov")),
            ("12.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
            ("123456789012.dkr.ecr.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-west-1.example.com", None),
            ("ecr.example.com", None),
        ] {
            let found = match EcrHost::parse(host) {
                Some(EcrHost::Private { account, api, .. }) => {
                    assert_eq!(account, "123456789012");
                    Some(api)
                }
                _ => None,
            };
            assert_eq!(found.as_deref(), api, "{host}");
        }
        assert_eq!(EcrHost::parse("public.ecr.aws"), Some(EcrHost::Public));
    }
}
