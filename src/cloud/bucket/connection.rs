//! How `object_store` speaks to the network: over our connections. The last thing that went wrong
//! is kept, for errors in our words.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use reqwest::header::{ACCEPT_ENCODING, ETAG, HeaderValue, LAST_MODIFIED};
use reqwest::{Request, Url};
use tokio::time::Sleep;

use crate::cloud::Clouds;
use crate::cloud::call::{host, is_transient, words};
use crate::transport::{ConnectionKind, kind, reason};

/// How long silence is borne.
const SILENCE: Duration = Duration::from_secs(60);
/// What is read of an answer that says no.
const WORDS_LIMIT: usize = 64 << 10;

/// What went wrong last.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// In words.
    pub(super) reason: String,
    /// HTTP status, if there was one.
    pub(super) status: Option<u16>,
}

/// Keeps what went wrong last.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness(Arc<Mutex<Option<Seen>>>);

impl Witness {
    pub(super) fn last(&self) -> Option<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, reason: String, status: Option<u16>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { reason, status });
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Our connections.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    clouds: Clouds,
    witness: Witness,
}

impl Connection {
    pub(super) fn new(clouds: Clouds, witness: Witness) -> Self {
        Connection { clouds, witness }
    }
}

impl HttpConnector for Connection {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connection {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.witness.forget();
        let (parts, body) = request.into_parts();
        let url: Url =
            parts.uri.to_string().parse().map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        let server = host(&url);
        let mut request = Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        // Google's buckets unpack what was stored as packed, unless told that nobody wants that;
        // the length and the checksum are then unknown.
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(bytes) = body.as_bytes() {
            *request.body_mut() = Some(bytes.clone().into());
        }
        let transport = self.clouds.transport().map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        let client = transport.client(request.url());
        let client = client.map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        let response = match tokio::time::timeout(SILENCE, client.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                self.witness.note(format!("no answer from {server}: {}", reason(&error)), None);
                return Err(failed(error));
            }
            Err(elapsed) => {
                self.witness.note(format!("no answer from {server}: timeout"), None);
                return Err(HttpError::new(HttpErrorKind::Timeout, elapsed));
            }
        };
        let status = response.status();
        let response: http::Response<reqwest::Body> = response.into();
        let (mut parts, body) = response.into_parts();
        // The library wants both, and not every server sends them. Nobody reads the one; the other matches
        // nothing, so that a download that breaks fails rather than goes on with another object.
        parts.headers.entry(ETAG).or_insert(HeaderValue::from_static("\"unknown\""));
        parts
            .headers
            .entry(LAST_MODIFIED)
            .or_insert(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
        let body = Patient { body, silence: None, witness: self.witness.clone(), server: server.clone() };
        if status.is_success() || status.is_redirection() {
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)));
        }
        let said = http_body_util::Limited::new(body, WORDS_LIMIT).collect().await;
        let said = said.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        self.witness
            .note(format!("{server} answered {}{}", status.as_u16(), words(&said)), Some(status.as_u16()));
        if is_transient(status) {
            self.clouds.inner.events.debug(format!("{server} answered {status}; trying again"));
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(said.to_vec())))
    }
}

/// An error as the library tells those apart that may pass.
fn failed(error: reqwest::Error) -> HttpError {
    let by_kind = match kind(&error) {
        ConnectionKind::Network if error.is_connect() => HttpErrorKind::Connect,
        ConnectionKind::Network => HttpErrorKind::Request,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(by_kind, error.without_url())
}

/// A body that fails when it has been silent for too long.
struct Patient {
    body: reqwest::Body,
    silence: Option<Pin<Box<Sleep>>>,
    witness: Witness,
    server: String,
}

impl http_body::Body for Patient {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame.map(|frame| {
                frame.map_err(|error| {
                    self.witness
                        .note(format!("the connection to {} broke: {}", self.server, reason(&error)), None);
                    HttpError::new(HttpErrorKind::Interrupted, error.without_url())
                })
            }));
        }
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE)));
        ready!(silence.as_mut().poll(context));
        self.witness.note(format!("{} sent nothing for {} s", self.server, SILENCE.as_secs()), None);
        let timeout = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, timeout))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
