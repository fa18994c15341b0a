//! Buckets of S3, and of servers that speak like it.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use reqwest::{Method, Request, Url};

use super::connection::Connection;
use super::{Objects, Store, carried, patience, unset};
use crate::cloud::aws::{domain, endpoint, region};
use crate::cloud::{CloudError, Clouds};

/// Where a region is not needed, or cannot be found out.
const REGION: &str = "us-east-1";

/// The keys of now.
#[derive(Debug)]
struct Keys(Clouds);

#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let identity = self.0.aws().await.map_err(|e| carried("S3", e))?;
        Ok(Arc::new(identity.secret.credential()))
    }
}

pub(super) async fn store(
    clouds: &Clouds,
    bucket: &str,
    connection: Connection,
) -> Result<Store, CloudError> {
    let config = clouds.config();
    let own = config.get("S3_ENDPOINT").map(str::to_owned).or_else(|| endpoint(config, "S3"));
    let path_style = config.get("S3_FORCE_PATH_STYLE").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let region = match (region(clouds)?, &own) {
        (Some(region), _) => region,
        (None, Some(_)) => REGION.to_owned(),
        (None, None) => clouds.region_of(bucket).await,
    };
    let (base, with_bucket) = match &own {
        Some(text) => addressed(text, bucket, path_style)?,
        None => {
            let fips = config.get("AWS_USE_FIPS_ENDPOINT").is_some_and(|v| v.eq_ignore_ascii_case("true"));
            let service = if fips { "s3-fips" } else { "s3" };
            addressed(&format!("https://{service}.{region}.{}", domain(&region)), bucket, path_style)?
        }
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&region)
        .with_endpoint(base)
        .with_virtual_hosted_style_request(with_bucket)
        .with_allow_http(true)
        .with_http_connector(connection)
        .with_retry(patience());
    let tried = match clouds.aws().await {
        Ok(identity) => {
            builder = builder.with_credentials(Arc::new(Keys(clouds.clone())));
            identity.source
        }
        // A public bucket needs none; the error of another names the places.
        Err(error) if error.is_absence() => {
            builder = builder.with_skip_signature(true);
            format!("no credentials: {error}")
        }
        Err(error) => return Err(error),
    };
    let store = builder.build().map_err(|e| unset(&format!("s3://{bucket}"), &e))?;
    Ok(Store { store: Objects::S3(store), tried })
}

/// Where a bucket is on a server, and whether the bucket is in the host's name: everywhere but on
/// hosts that have no names below them, and with TLS where a dot would not match a certificate.
fn addressed(text: &str, bucket: &str, path_style: bool) -> Result<(String, bool), CloudError> {
    let wrong =
        |problem: String| CloudError::Place { source_name: format!("the endpoint '{text}'"), problem };
    let url: Url = text.parse().map_err(|e| wrong(format!("it is no URL: {e}")))?;
    let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
    let host = host.ok_or_else(|| wrong("it is no URL of a web server".to_owned()))?.to_owned();
    let nameless = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() || host == "localhost";
    let dotted = bucket.contains('.') && url.scheme() == "https";
    if path_style || nameless || dotted {
        return Ok((url.as_str().trim_end_matches('/').to_owned(), false));
    }
    let mut with_bucket = url.clone();
    with_bucket
        .set_host(Some(&format!("{bucket}.{host}")))
        .map_err(|_| wrong(format!("'{bucket}' is no name below it")))?;
    Ok((with_bucket.as_str().trim_end_matches('/').to_owned(), true))
}

impl Clouds {
    /// The region that a bucket says it is in: asked without credentials, and answered even where
    /// access is denied.
    async fn region_of(&self, bucket: &str) -> String {
        let Ok(url) = format!("https://s3.amazonaws.com/{bucket}").parse::<Url>() else {
            return REGION.to_owned();
        };
        let request = Request::new(Method::HEAD, url);
        let answer = self.header("x-amz-bucket-region", request).await;
        answer.unwrap_or_else(|| REGION.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_buckets_are() {
        for (text, bucket, path_style, expected) in [
            (
                "https://s3.eu-west-1.amazonaws.com",
                "b",
                false,
                ("https://b.s3.eu-west-1.amazonaws.com", true),
            ),
            (
                "https://s3.eu-west-1.amazonaws.com",
                "b.c",
                false,
                ("https://s3.eu-west-1.amazonaws.com", false),
            ),
            ("http://minio:9000", "b", false, ("http://b.minio:9000", true)),
            ("http://minio:9000/", "b", true, ("http://minio:9000", false)),
            ("http://127.0.0.1:9000", "b", false, ("http://127.0.0.1:9000", false)),
        ] {
            let found = addressed(text, bucket, path_style).expect(text);
            assert_eq!((found.0.as_str(), found.1), expected, "{text} {bucket}");
        }
        assert!(addressed("minio:9000", "b", false).is_err());
    }
}
