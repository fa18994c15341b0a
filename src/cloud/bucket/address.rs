//! Where an object is: `gs://`, `s3://`, and URLs of Azure's blobs.

use std::fmt;

use reqwest::Url;

use crate::cloud::azure::Realm;

/// What is read where an address ends with the bucket (kaniko, `constants.ContextTar`).
const DEFAULT_KEY: &str = "context.tar.gz";

/// Where an object is. Printed without its signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) place: Place,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Google { bucket: String, key: String },
    S3 { bucket: String, key: String },
    Azure(Blob),
}

/// A blob of Azure.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) host: String,
    pub(super) account: String,
    pub(super) container: String,
    pub(super) key: String,
    /// A shared access signature, as it stands in the URL.
    pub(super) signature: Option<String>,
    pub(super) realm: Realm,
}

/// Why a text names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseAddressError {
    /// What is wrong, one sentence.
    pub reason: String,
}

impl Address {
    /// Reads an address; none if the text is about something else.
    ///
    /// # Errors
    /// It names a bucket's object, and wrongly.
    pub fn parse(text: &str) -> Result<Option<Address>, ParseAddressError> {
        let wrong = |reason: &str| ParseAddressError { reason: reason.to_owned() };
        for (scheme, google) in [("gs://", true), ("s3://", false)] {
            let Some(rest) = text.strip_prefix(scheme) else { continue };
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() || bucket.contains(['?', '#', '@', ':', '%', ' ']) {
                return Err(wrong("there is no name of a bucket after the scheme"));
            }
            let key = if key.is_empty() { DEFAULT_KEY } else { key }.to_owned();
            let bucket = bucket.to_owned();
            let place = if google { Place::Google { bucket, key } } else { Place::S3 { bucket, key } };
            return Ok(Some(Address { place }));
        }
        let Some(url) = Url::parse(text).ok().filter(|url| url.scheme() == "https") else { return Ok(None) };
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let Some(realm) = Realm::of(&host).filter(|_| host.contains(".blob.")) else { return Ok(None) };
        let account = host.split('.').next().unwrap_or_default().to_owned();
        let path =
            decoded(url.path().trim_start_matches('/')).ok_or_else(|| wrong("its path is no UTF-8"))?;
        let (container, key) = match path.split_once('/') {
            Some((container, key)) => (container.to_owned(), key.to_owned()),
            // A blob outside of containers lies in this one.
            None if !path.is_empty() => ("$root".to_owned(), path),
            None => {
                return Err(wrong(
                    "there is no blob in its path: write https://ACCOUNT.blob…/CONTAINER/BLOB",
                ));
            }
        };
        if key.is_empty() {
            return Err(wrong("there is no blob in its path: write https://ACCOUNT.blob…/CONTAINER/BLOB"));
        }
        let signature = url.query().filter(|query| query.contains("sig=")).map(str::to_owned);
        let host = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        Ok(Some(Address { place: Place::Azure(Blob { host, account, container, key, signature, realm }) }))
    }

    pub(super) fn key(&self) -> &str {
        match &self.place {
            Place::Google { key, .. } | Place::S3 { key, .. } => key,
            Place::Azure(blob) => &blob.key,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Google { bucket, key } => write!(f, "gs://{bucket}/{key}"),
            Place::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Place::Azure(blob) => write!(f, "https://{}/{}/{}", blob.host, blob.container, blob.key),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Undoes percent signs.
fn decoded(path: &str) -> Option<String> {
    percent_encoding::percent_decode_str(path).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("gs://b", Some("gs://b/context.tar.gz")),
            ("gs://b/", Some("gs://b/context.tar.gz")),
            ("gs://b/d/k.tar", Some("gs://b/d/k.tar")),
            ("s3://b/k?x#y", Some("s3://b/k?x#y")),
            (
                "https://Acc.blob.core.windows.net/c/d/a%20b.tar?sv=1&sig=secret",
                Some("https://acc.blob.core.windows.net/c/d/a b.tar"),
            ),
            ("https://a.blob.core.chinacloudapi.cn/k", Some("https://a.blob.core.chinacloudapi.cn/$root/k")),
            ("https://a.blob.core.cloudapi.de/c/k", Some("https://a.blob.core.cloudapi.de/c/k")),
            ("https://a.blob.core.usgovcloudapi.net/c/k", Some("https://a.blob.core.usgovcloudapi.net/c/k")),
            ("https://a.blob.core.windows.net.example/c/k", None),
            ("http://a.blob.core.windows.net/c/k", None),
            ("https://example.com/c.tar.gz", None),
            ("/gs", None),
        ] {
            let found = Address::parse(text).expect(text).map(|address| format!("{address}"));
            assert_eq!(found.as_deref(), shown, "{text}");
        }
        for text in [
            "gs://",
            "s3:///k",
            "s3://u:p@b/k",
            "https://a.blob.core.windows.net/",
            "https://a.blob.core.windows.net/c/",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        let signed = Address::parse("https://a.blob.core.windows.net/c/k?sv=1&sig=s3cret").expect("right");
        assert!(!format!("{signed:?}").contains("s3cret"));
    }
}
