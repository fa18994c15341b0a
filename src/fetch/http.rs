//! Files of web servers: one GET with redirects, tried again where that may help, streamed.

use std::io::Write;
use std::net::IpAddr;

use bytes::Bytes;
use jiff::fmt::rfc2822;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED,
    LOCATION, RANGE,
};
use reqwest::{Response, StatusCode, Url};

use super::FetchError;
use super::checksum::Hasher;
use super::remote::UrlSource;
use super::version::{self, Version};
use crate::config::FetchConfig;
use crate::image::Digest;
use crate::layer::Timestamp;
use crate::registry::{
    ConnectionKind, Failure, Transfer, Tries, Web, connection_kind, connection_reason, is_transient,
    own_words, retry_after,
};

/// As Go's HTTP client, and so BuildKit.
const REDIRECTS: usize = 10;
/// What is read of an answer that says no.
const WORDS_LIMIT: usize = 16 << 10;
/// A download that got this far since its last failure is worth a new start of counting.
const WORTHWHILE: u64 = 64 << 10;

/// Takes the bytes of a file.
pub(super) trait Sink: Send {
    /// Takes the next piece.
    fn take(&mut self, piece: Bytes) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Forgets what came so far; false if that cannot be.
    fn restart(&mut self) -> bool;
}

/// Why a piece was not taken.
pub(super) enum SinkError {
    /// It could not be written.
    Write(std::io::Error),
    /// Nobody wants more.
    Stopped,
}

/// Writes to a file from its beginning.
pub(super) struct FileSink(pub(super) std::fs::File);

impl Sink for FileSink {
    async fn take(&mut self, piece: Bytes) -> Result<(), SinkError> {
        self.0.write_all(&piece).map_err(SinkError::Write)
    }

    fn restart(&mut self) -> bool {
        use std::io::Seek as _;
        self.0.set_len(0).is_ok() && self.0.rewind().is_ok()
    }
}

/// A file that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// When the server says it was changed last.
    pub last_modified: Option<Timestamp>,
    /// How to ask later whether it is still the same, where the server gave something to ask by.
    pub version: Option<Version>,
}

/// What asking for a file comes to that is known already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It came: it is another.
    Came(Download),
    /// It is this version still.
    Same(Version),
}

/// Fetches a file into a sink.
pub(super) async fn fetch(
    web: &Web,
    config: &FetchConfig,
    source: &UrlSource,
    sink: &mut impl Sink,
) -> Result<Download, FetchError> {
    let mut transfer = Get::new(web, config, source, &[], sink);
    let headers = transfer.whole().await?;
    transfer.finish(&headers)
}

/// Fetches a file into a sink, unless it is one of the versions that are known.
pub(super) async fn fetch_unless(
    web: &Web,
    config: &FetchConfig,
    source: &UrlSource,
    known: &[Version],
    sink: &mut impl Sink,
) -> Result<Reply, FetchError> {
    let mut transfer = Get::new(web, config, source, known, sink);
    let headers = transfer.whole().await?;
    match transfer.confirmed.take() {
        Some(version) => Ok(Reply::Same(version)),
        None => transfer.finish(&headers).map(Reply::Came),
    }
}

/// One file on its way.
struct Get<'a, S> {
    web: &'a Web,
    config: &'a FetchConfig,
    source: &'a UrlSource,
    shown: String,
    sink: &'a mut S,
    hasher: Hasher,
    /// Bytes taken.
    done: u64,
    /// What says that a later answer is about the same file.
    validator: Option<HeaderValue>,
    progress: Option<Transfer>,
    /// Versions that need not come.
    known: &'a [Version],
    /// The one of them that the server has.
    confirmed: Option<Version>,
}

impl<'a, S: Sink> Get<'a, S> {
    fn new(
        web: &'a Web,
        config: &'a FetchConfig,
        source: &'a UrlSource,
        known: &'a [Version],
        sink: &'a mut S,
    ) -> Self {
        let (shown, hasher) = (source.shown(), Hasher::new(source.checksum.as_ref()));
        let (validator, progress, confirmed) = (None, None, None);
        Get { web, config, source, shown, sink, hasher, done: 0, validator, progress, known, confirmed }
    }

    /// Takes the whole, with as many tries as are worth it; the last answer's headers.
    async fn whole(&mut self) -> Result<HeaderMap, FetchError> {
        let mut tries = Tries::new(self.web.patience());
        loop {
            let before = self.done;
            match self.go_on().await {
                Ok(headers) => return Ok(headers),
                Err(failure) => {
                    if self.done.saturating_sub(before) >= WORTHWHILE {
                        tries.forget();
                    }
                    tries.pause(failure, self.web.events()).await?;
                }
            }
        }
    }

    /// Asks for what is left and takes it; the answer's headers when all came.
    async fn go_on(&mut self) -> Result<HeaderMap, Failure<FetchError>> {
        let mut response = self.ask().await?;
        if response.status() == StatusCode::NOT_MODIFIED && !self.known.is_empty() {
            self.confirmed = version::confirmed(self.known, response.headers()).cloned();
            if self.confirmed.is_some() {
                return Ok(response.headers().clone());
            }
            self.known = &[];
            response = self.ask().await?;
        }
        let status = response.status();
        let headers = response.headers().clone();
        if !status.is_success() {
            return Err(self.refusal(response).await);
        }
        if self.done > 0 && status != StatusCode::PARTIAL_CONTENT {
            self.start_anew()?;
        }
        if status == StatusCode::PARTIAL_CONTENT && range_start(&headers) != Some(self.done) {
            return Err(self.answer("it sends a range nobody asked for").into());
        }
        self.validator = validator(&headers);
        let left = content_length(&headers);
        let total = left.map(|left| self.done + left);
        if let Some(total) = total {
            self.check_size(total)?;
        }
        if self.progress.is_none() {
            self.progress = Some(self.web.transfer(&self.shown, total));
        }
        while let Some(piece) = self.piece(&mut response).await? {
            self.take(piece).await?;
        }
        match total {
            Some(total) if self.done < total => Err(Failure::transient(FetchError::Connection {
                url: self.shown.clone(),
                host: host(response.url()),
                reason: format!("the body ended after {} of {total} bytes", self.done),
                kind: ConnectionKind::Network,
            })),
            _ => Ok(headers),
        }
    }

    fn start_anew(&mut self) -> Result<(), FetchError> {
        if !self.sink.restart() {
            return Err(self.answer("the connection broke, and the server cannot go on where it stopped"));
        }
        self.hasher = Hasher::new(self.source.checksum.as_ref());
        self.done = 0;
        Ok(())
    }

    async fn take(&mut self, piece: Bytes) -> Result<(), FetchError> {
        let done = self.done + piece.len() as u64;
        self.check_size(done)?;
        self.hasher.update(&piece);
        self.sink.take(piece).await.map_err(|e| match e {
            SinkError::Write(source) => FetchError::Write { url: self.shown.clone(), source },
            SinkError::Stopped => FetchError::Stopped { url: self.shown.clone() },
        })?;
        self.done = done;
        if let Some(progress) = &self.progress {
            progress.progress(done);
        }
        Ok(())
    }

    fn check_size(&self, size: u64) -> Result<(), FetchError> {
        let limit = self.config.max_size;
        if size > limit {
            return Err(FetchError::TooLarge { url: self.shown.clone(), limit });
        }
        Ok(())
    }

    /// Checks the whole and says what came.
    fn finish(self, headers: &HeaderMap) -> Result<Download, FetchError> {
        let (digest, found) = self.hasher.finish();
        if let Some(checksum) = self.source.checksum.as_ref().filter(|c| c.to_string() != found) {
            let expected = checksum.to_string();
            return Err(FetchError::Checksum { url: self.shown, expected, found });
        }
        if let Some(progress) = self.progress {
            progress.finish(crate::event::TransferEnd::Moved);
        }
        let last_modified = headers.get(LAST_MODIFIED).and_then(|v| http_date(v.to_str().ok()?));
        Ok(Download { digest, size: self.done, last_modified, version: Version::of(digest, headers) })
    }

    /// Sends the request and follows redirects.
    async fn ask(&self) -> Result<Response, Failure<FetchError>> {
        let mut url = self.source.url.clone();
        for _ in 0..=REDIRECTS {
            let response = self.once(&url).await?;
            let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.headers().get(LOCATION).filter(|_| moved) else {
                return Ok(response);
            };
            url = redirected(self.source, response.url(), location)?;
        }
        Err(self.answer(format!("more than {REDIRECTS} redirects")).into())
    }

    async fn once(&self, url: &Url) -> Result<Response, Failure<FetchError>> {
        let client = self.web.http(url).map_err(|e| FetchError::Setup(Box::new(e)))?;
        let mut request = client.get(url.clone());
        if url.origin() == self.source.url.origin()
            && let Some(authorization) = authorization(self.config, url)
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        if self.done > 0
            && let Some(validator) = &self.validator
        {
            request = request.header(RANGE, format!("bytes={}-", self.done)).header(IF_RANGE, validator);
        }
        if self.done == 0 {
            request = version::unless(request, self.known);
        }
        match tokio::time::timeout(self.web.silence(), request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.broken(url, &error)),
            Err(_) => Err(self.silent(url)),
        }
    }

    async fn piece(&self, response: &mut Response) -> Result<Option<Bytes>, Failure<FetchError>> {
        match tokio::time::timeout(self.web.silence(), response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(self.broken(response.url(), &error)),
            Err(_) => Err(self.silent(response.url())),
        }
    }

    fn answer(&self, problem: impl Into<String>) -> FetchError {
        FetchError::Answer { url: self.shown.clone(), problem: problem.into(), help: None }
    }

    fn broken(&self, url: &Url, error: &reqwest::Error) -> Failure<FetchError> {
        let kind = connection_kind(error);
        let transient = kind == ConnectionKind::Network;
        let error = FetchError::Connection {
            url: self.shown.clone(),
            host: host(url),
            reason: connection_reason(error),
            kind,
        };
        Failure { transient, ..Failure::from(error) }
    }

    fn silent(&self, url: &Url) -> Failure<FetchError> {
        Failure::transient(FetchError::Connection {
            url: self.shown.clone(),
            host: host(url),
            reason: "timeout".to_owned(),
            kind: ConnectionKind::Network,
        })
    }

    async fn refusal(&self, mut response: Response) -> Failure<FetchError> {
        let status = response.status();
        let after = retry_after(response.headers());
        let mut words = Vec::new();
        // Without its words the status still says what is needed.
        while let Ok(Some(piece)) = self.piece(&mut response).await {
            words.extend_from_slice(&piece);
            if words.len() > WORDS_LIMIT {
                break;
            }
        }
        let page = words.trim_ascii_start().starts_with(b"<");
        let error = FetchError::Status {
            url: self.shown.clone(),
            host: host(response.url()),
            status: status.as_u16(),
            message: if page { String::new() } else { own_words(&words) },
        };
        Failure { transient: is_transient(status), after, ..Failure::from(error) }
    }
}

/// Where a redirect leads. What was asked for over TLS never comes in the clear, unless it is known
/// what it must be.
pub(super) fn redirected(source: &UrlSource, from: &Url, location: &HeaderValue) -> Result<Url, FetchError> {
    let refused = |problem: String, help| FetchError::Answer { url: source.shown(), problem, help };
    let text = String::from_utf8_lossy(location.as_bytes());
    let next = from.join(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let nowhere = || refused("it redirects to a place that makes no sense".to_owned(), None);
    let mut next = next.ok_or_else(nowhere)?;
    if from.scheme() == "https" && next.scheme() == "http" && source.checksum.is_none() {
        let problem = format!("{} redirects to plain HTTP on {}", host(from), host(&next));
        return Err(refused(problem, Some("name the file's checksum with ADD --checksum=sha256:…")));
    }
    if next.origin() == source.url.origin() && next.username().is_empty() {
        // The same server sees the same credentials, no other any.
        let _ = next.set_username(source.url.username());
        let _ = next.set_password(source.url.password());
    }
    Ok(next)
}

/// The authorization that is configured for a URL's host.
fn authorization(config: &FetchConfig, url: &Url) -> Option<HeaderValue> {
    let host = url.host_str().unwrap_or_default();
    let found = config.http_authorizations.iter().find(|a| a.host.eq_ignore_ascii_case(host))?;
    let mut value = HeaderValue::from_str(&found.value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The host of a URL, with its port where that is not the scheme's own.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let shown = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{host}]"),
        _ => host.to_owned(),
    };
    url.port().map_or_else(|| shown.clone(), |port| format!("{shown}:{port}"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// A strong ETag, else the time of the last change.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    let strong = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    strong.or_else(|| headers.get(LAST_MODIFIED)).cloned()
}

/// The first byte of `Content-Range: bytes <first>-<last>/<size>`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.trim().strip_prefix("bytes")?.trim().split('-').next()?.parse().ok()
}

/// A time as HTTP writes it (RFC 9110, 5.6.7).
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let time = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Timestamp { seconds: time.as_second(), nanoseconds: 0 })
}
