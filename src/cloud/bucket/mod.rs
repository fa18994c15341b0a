//! Objects in buckets, as streams.

mod address;
mod azure;
mod connection;
mod google;
mod s3;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3;
use object_store::azure::MicrosoftAzure;
use object_store::gcp::GoogleCloudStorage;
use object_store::path::Path;
use object_store::{BackoffConfig, GetOptions, GetResult, ObjectStore as _, RetryConfig};

pub use address::{Address, ParseAddressError};

use super::{CloudError, Clouds};
use address::Place;
use connection::{Connection, Witness};

/// Attempts of one object, all its interruptions together.
const RETRIES: usize = 8;
/// A download may take as long as it gets on.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A bucket that can be asked, and with whose credentials.
struct Store {
    store: Objects,
    tried: String,
}

/// The library's stores. As trait objects they would bring all that they can do into the program:
/// writing, with a megabyte of checksum tables.
enum Objects {
    S3(AmazonS3),
    Google(GoogleCloudStorage),
    Azure(MicrosoftAzure),
}

impl Objects {
    async fn get(&self, key: &Path) -> object_store::Result<GetResult> {
        let options = GetOptions::default();
        match self {
            Objects::S3(store) => store.get_opts(key, options).await,
            Objects::Google(store) => store.get_opts(key, options).await,
            Objects::Azure(store) => store.get_opts(key, options).await,
        }
    }
}

/// An object on its way.
pub(crate) struct Opened {
    /// Bytes it has.
    pub(crate) size: u64,
    /// Name of the credentials' source.
    pub(crate) tried: String,
    /// Its bytes, up to the end or the first error.
    pub(crate) stream: BoxStream<'static, Result<Bytes, CloudError>>,
}

impl Clouds {
    /// Opens an object.
    pub(crate) async fn open(&self, address: &Address) -> Result<Opened, CloudError> {
        let witness = Witness::default();
        let connection = Connection::new(self.clone(), witness.clone());
        let Store { store, tried } = match &address.place {
            Place::S3 { bucket, .. } => s3::store(self, bucket, connection).await?,
            Place::Google { bucket, .. } => google::store(self, bucket, connection).await?,
            Place::Azure(blob) => azure::store(self, blob, connection).await?,
        };
        let key = Path::parse(address.key()).map_err(|_| CloudError::Object {
            address: address.to_string(),
            reason: "its name has an empty part, '.' or '..' between its slashes".to_owned(),
            tried: tried.clone(),
            help: Some("give the object a name without them".to_owned()),
        })?;
        self.inner.events.debug(format!("{address} is read with {tried}"));
        let failed = Failed { address: address.clone(), tried: tried.clone(), witness };
        let got = store.get(&key).await.map_err(|e| failed.error(&e))?;
        let size = got.meta.size;
        let stream = got.into_stream().map(move |piece| piece.map_err(|e| failed.error(&e)));
        // The store has to live as long as its stream may go on with another request.
        let stream = stream.map(move |piece| {
            let _kept = &store;
            piece
        });
        Ok(Opened { size, tried, stream: stream.boxed() })
    }
}

/// How often and how patiently.
fn patience() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: LONGEST,
    }
}

/// What errors of one object have in common.
struct Failed {
    address: Address,
    tried: String,
    witness: Witness,
}

impl Failed {
    /// An error in our words: the library's hold URLs with signatures.
    fn error(&self, error: &object_store::Error) -> CloudError {
        let (reason, status) = match self.witness.last() {
            Some(seen) => (seen.reason, seen.status),
            None => (credential_problem(error), None),
        };
        let help = match status {
            Some(404) => Some("check the names of bucket and object".to_owned()),
            Some(400 | 401 | 403) => {
                Some(format!("check that the credentials ({}) are right and may read the object", self.tried))
            }
            _ => None,
        };
        CloudError::Object { address: self.address.to_string(), reason, tried: self.tried.clone(), help }
    }
}

/// What came of an identity that was looked for in the middle, else something nobody foresaw.
fn credential_problem(error: &object_store::Error) -> String {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = next {
        if let Some(own) = e.downcast_ref::<CloudError>() {
            return own.to_string();
        }
        next = e.source();
    }
    match error {
        object_store::Error::Generic { source, .. } => crate::transport::plain(&source.to_string()),
        _ => "the answer makes no sense".to_owned(),
    }
}

/// An identity's error as the library carries it.
fn carried(store: &'static str, error: CloudError) -> object_store::Error {
    object_store::Error::Generic { store, source: Box::new(error) }
}

/// An error of a store's settings.
fn unset(address: &str, error: &object_store::Error) -> CloudError {
    CloudError::Place {
        source_name: address.to_owned(),
        problem: crate::transport::plain(&error.to_string()),
    }
}
