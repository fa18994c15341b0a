//! One request to a registry: authorization, redirects, time limits, and what an answer means.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url, Version};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};

use super::call::{Body, Call};
use super::challenge::Challenge;
use super::deliveries::Deliveries;
use super::endpoint::{self, Endpoint, Route};
use super::feed::Feed;
use super::mirror::Mirrors;
use super::retry::{Failure, Patience, is_transient, retry_after};
use super::sessions::Sessions;
use super::token::{Scopes, Tokens};
use super::words::{limits, own_words};
use super::{ConnectionKind, Direction, RegistryError};
use crate::config::RegistryConfig;
use crate::event::Events;
use crate::image::Reference;
use crate::keychain::{Credential, Keychain};
use crate::transport::{self, Traffic, Transport, Trust};

/// More redirects than any registry needs.
const REDIRECTS: usize = 8;
/// What is read of an answer that says no.
const WORDS_LIMIT: usize = 64 << 10;
/// How long the first scheme may take to fail where the other would do.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// How long silence is borne.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until an answer begins, and between the pieces of its body.
    pub(super) answer: Duration,
    /// While we send a body and none of it is taken. Copying waits for the source meanwhile.
    pub(super) sending: Duration,
    /// Until the answer, after a whole blob was sent: the registry may move it elsewhere first.
    pub(super) commit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            answer: Duration::from_secs(60),
            sending: Duration::from_secs(180),
            commit: Duration::from_secs(900),
        }
    }
}

/// What all requests of a build share.
pub(super) struct Client {
    pub(super) config: RegistryConfig,
    pub(super) events: Events,
    pub(super) handle: Handle,
    pub(super) tokens: Tokens,
    pub(super) pulls: Arc<Semaphore>,
    pub(super) pushes: Arc<Semaphore>,
    pub(super) questions: Arc<Semaphore>,
    pub(super) deliveries: Deliveries,
    pub(super) sessions: Sessions,
    pub(super) download: Patience,
    pub(super) upload: Patience,
    pub(super) limits: Limits,
    pub(super) mirrors: Mirrors,
    pub(super) next_transfer: AtomicU64,
    pub(super) keychain: Keychain,
    pub(super) transport: Transport,
    pub(super) endpoints: Mutex<HashMap<Route, Arc<OnceCell<Arc<Endpoint>>>>>,
}

/// What the requests of one operation share.
#[derive(Clone)]
pub(super) struct Target {
    /// The operation, as "cannot …" goes on.
    pub(super) what: String,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) repository: String,
    pub(super) credential: Option<Credential>,
    pub(super) scopes: Scopes,
}

impl Client {
    /// Finds the registry of a reference and the credentials for it.
    pub(super) async fn target(
        &self,
        reference: &Reference,
        direction: Direction,
        what: String,
    ) -> Result<Target, Failure> {
        let route = Route::new(&self.config, reference.registry(), direction);
        let endpoint = self.endpoint(route, &what).await?;
        let credential = self.credential(reference, &what).await?;
        let repository = reference.repository().to_owned();
        let scopes = Scopes::new(&repository, direction);
        Ok(Target { what, endpoint, repository, credential, scopes })
    }

    async fn credential(&self, reference: &Reference, what: &str) -> Result<Option<Credential>, Failure> {
        if let Some(known) = self.keychain.known(reference.registry(), reference.repository()) {
            return Ok(known);
        }
        let (registry, repository) = (reference.registry().to_owned(), reference.repository().to_owned());
        let keychain = self.keychain.clone();
        // A helper program may take its time.
        let found = tokio::task::spawn_blocking(move || keychain.resolve(&registry, &repository)).await;
        match found {
            Ok(Ok(credential)) => Ok(credential),
            Ok(Err(source)) => Err(RegistryError::Keychain { what: what.to_owned(), source }.into()),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(RegistryError::Stopped { what: what.to_owned() }.into()),
            },
        }
    }

    /// Whether the settings allow to speak plain HTTP to a host.
    pub(super) fn may_be_plain(&self, host: &str) -> bool {
        [Direction::Pull, Direction::Push].iter().any(|d| Route::new(&self.config, host, *d).plain)
    }

    /// Where a registry is; asked once, however many callers there are.
    async fn endpoint(&self, route: Route, what: &str) -> Result<Arc<Endpoint>, Failure> {
        let cell = {
            let mut cells = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            cells.entry(route.clone()).or_default().clone()
        };
        cell.get_or_try_init(|| self.find(&route, what)).await.cloned()
    }

    /// Asks `/v2/` what the registry wants to see. Where plain HTTP will do, HTTPS is tried first
    /// all the same, but not on this machine: nobody listens in between, nearly all registries
    /// here speak plain HTTP, and TLS costs more to set up than a small build. No credentials are
    /// sent before the scheme is settled.
    async fn find(&self, route: &Route, what: &str) -> Result<Arc<Endpoint>, Failure> {
        if !route.plain {
            return self.ping(route, "https", what).await;
        }
        let plain_first = route.is_loopback();
        let (first, second) = if plain_first { ("http", "https") } else { ("https", "http") };
        let first = match tokio::time::timeout(FIRST_PATIENCE, self.ping(route, first, what)).await {
            Ok(Ok(endpoint)) => return Ok(endpoint),
            Ok(Err(failure)) if plain_first && speaks_plain(&failure) => return Err(failure),
            Ok(Err(failure)) => Some(failure),
            Err(_) => None,
        };
        match (self.ping(route, second, what).await, first) {
            (Ok(endpoint), _) => Ok(endpoint),
            // It does speak TLS: that is what to mend.
            (Err(failure), _) if is_certificate(&failure) => Err(failure),
            (Err(_), Some(first)) if plain_first || is_certificate(&first) => Err(first),
            (Err(failure), _) => Err(failure),
        }
    }

    async fn ping(&self, route: &Route, scheme: &str, what: &str) -> Result<Arc<Endpoint>, Failure> {
        let wrong = |problem: &str| RegistryError::Protocol {
            what: what.to_owned(),
            host: route.host.clone(),
            problem: problem.to_owned(),
        };
        let base: Result<Url, _> = format!("{scheme}://{}/", route.host).parse();
        let base = base.map_err(|_| wrong("this is no host name"))?;
        let target = Target {
            what: what.to_owned(),
            endpoint: Arc::new(Endpoint::new(route, base.clone(), None)),
            repository: String::new(),
            credential: None,
            scopes: Scopes(Vec::new()),
        };
        let call = Call::get(target.endpoint.url(""));
        let response = self.once(&target, &call, &call.url, true, None).await?;
        let status = response.status();
        if is_transient(status) {
            return Err(self.refusal(&target, &call, response).await);
        }
        // What an HTTPS server says to plain HTTP is 400 or a redirect.
        if scheme == "http" && (status == StatusCode::BAD_REQUEST || status.is_redirection()) {
            return Err(self.refusal(&target, &call, response).await);
        }
        // Some registries answer 404 here and work all the same.
        let challenge = Challenge::of(response.headers()).filter(|_| status == StatusCode::UNAUTHORIZED);
        Ok(Arc::new(Endpoint::new(route, base, challenge)))
    }

    /// Sends a request with authorization, once more if a new one helps.
    pub(super) async fn send(&self, target: &Target, call: &Call) -> Result<Response, Failure> {
        let mut authorization = self.authorization(target, None).await?;
        // The challenge may be new to us, and after that our token may be stale.
        for _ in 0..2 {
            let response = self.follow(target, call, authorization.header(), &target.endpoint.base).await?;
            let own = target.endpoint.owns(response.url());
            if response.status() != StatusCode::UNAUTHORIZED || !own {
                return Ok(response);
            }
            match self.better(target, &authorization, response.headers()).await? {
                Some(better) => authorization = better,
                None => return Ok(response),
            }
        }
        self.follow(target, call, authorization.header(), &target.endpoint.base).await
    }

    /// Sends a request and demands one of these statuses.
    pub(super) async fn expect(
        &self,
        target: &Target,
        call: &Call,
        wanted: &[StatusCode],
    ) -> Result<Response, Failure> {
        let response = self.send(target, call).await?;
        if wanted.contains(&response.status()) {
            return Ok(response);
        }
        Err(self.refusal(target, call, response).await)
    }

    /// Sends a request and follows redirects. Authorization goes to `home` only.
    pub(super) async fn follow(
        &self,
        target: &Target,
        call: &Call,
        authorization: Option<&HeaderValue>,
        home: &Url,
    ) -> Result<Response, Failure> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let trusted = url.origin() == home.origin();
            let response = self.once(target, call, &url, trusted, authorization).await?;
            match redirect(target, call, home, &response)? {
                Some(next) => url = next,
                None => return Ok(response),
            }
        }
        Err(target.protocol(format!("more than {REDIRECTS} redirects")).into())
    }

    /// Sends a request once; who we are is shown only where it is `trusted`.
    async fn once(
        &self,
        target: &Target,
        call: &Call,
        url: &Url,
        trusted: bool,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let endpoint = &target.endpoint;
        let trust = Trust { registry: &endpoint.name, skip_verify: endpoint.skip_verify, own: trusted };
        let client = self.transport.client_for(url, trust, call.traffic()).map_err(RegistryError::from)?;
        let mut request = client.request(call.method.clone(), url.clone()).headers(call.headers.clone());
        if let Some(authorization) = authorization.filter(|_| trusted) {
            request = request.header(reqwest::header::AUTHORIZATION, authorization);
        }
        let answer = match &call.body {
            Body::Feed(feed) => {
                let sending = request.body(feed.open(self)).send();
                let answer = watched(sending, feed, self.limits).await;
                if let Some(error) = feed.take_failure() {
                    // Asked again, another place gives the bytes.
                    let transient = matches!(error, RegistryError::Mirror { .. });
                    return Err(Failure { transient, ..Failure::from(error) });
                }
                answer
            }
            Body::Bytes(bytes) => {
                tokio::time::timeout(self.limits.answer, request.body(bytes.clone()).send()).await.ok()
            }
            Body::None => tokio::time::timeout(self.limits.answer, request.send()).await.ok(),
        };
        match answer {
            Some(Ok(response)) => Ok(response),
            // Errors do not say that HTTP/2 is to blame, nor what an alert of TLS meant that came in it: by
            // HTTP/1.1 it works, or shows why not.
            Some(Err(error)) if !error.is_connect() && self.give_up_http2(call.traffic(), url) => {
                Box::pin(self.once(target, call, url, trusted, authorization)).await
            }
            Some(Err(error)) => Err(self.broken(target, url, &error)),
            None => {
                self.give_up_http2(call.traffic(), url);
                Err(self.silent(target, url))
            }
        }
    }

    /// The host of a URL is asked in HTTP/1.1 from now on, if it was asked otherwise; whether that is new.
    fn give_up_http2(&self, traffic: Traffic, url: &Url) -> bool {
        traffic == Traffic::Question && self.transport.give_up_http2(url)
    }

    /// A failed connection as a failure.
    pub(super) fn broken(&self, target: &Target, url: &Url, error: &reqwest::Error) -> Failure {
        let kind = transport::kind(error);
        let error = RegistryError::Connection {
            what: target.what.clone(),
            host: endpoint::host(url),
            reason: transport::reason(error),
            kind,
        };
        Failure { transient: kind == ConnectionKind::Network, ..Failure::from(error) }
    }

    /// Silence as a failure.
    pub(super) fn silent(&self, target: &Target, url: &Url) -> Failure {
        Failure::transient(RegistryError::Connection {
            what: target.what.clone(),
            host: endpoint::host(url),
            reason: "timeout".to_owned(),
            kind: ConnectionKind::Network,
        })
    }

    /// An answer that says no as a failure.
    pub(super) async fn refusal(&self, target: &Target, call: &Call, response: Response) -> Failure {
        let status = response.status();
        let after = retry_after(response.headers());
        let limits =
            if status == StatusCode::TOO_MANY_REQUESTS { limits(response.headers()) } else { String::new() };
        let host = endpoint::host(response.url());
        let request = call.describe(response.url(), &target.endpoint);
        // Without its words the status still says what is needed.
        let words = self.bounded(target, response, WORDS_LIMIT).await.unwrap_or_default();
        let error = RegistryError::Status {
            what: target.what.clone(),
            host,
            status: status.as_u16(),
            request,
            message: own_words(&words) + &limits,
            tried: target.tried(),
        };
        Failure { transient: is_transient(status), after, ..Failure::from(error) }
    }

    /// The body of an answer.
    ///
    /// # Errors
    /// It is larger than `limit`, or the connection broke.
    pub(super) async fn bounded(
        &self,
        target: &Target,
        mut response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(target, &mut response).await? {
            if body.len() + chunk.len() > limit {
                let limit = limit as u64;
                return Err(RegistryError::TooLarge { what: target.what.clone(), limit }.into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The next piece of a body.
    pub(super) async fn chunk(
        &self,
        target: &Target,
        response: &mut Response,
    ) -> Result<Option<Bytes>, Failure> {
        let piece = tokio::time::timeout(self.limits.answer, response.chunk()).await;
        if !matches!(piece, Ok(Ok(_))) && response.version() == Version::HTTP_2 {
            self.transport.give_up_http2(response.url());
        }
        match piece {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(self.broken(target, response.url(), &error)),
            Err(_) => Err(self.silent(target, response.url())),
        }
    }

    /// A number no other transfer of this client has.
    pub(super) fn transfer_number(&self) -> u64 {
        self.next_transfer.fetch_add(1, Ordering::Relaxed)
    }
}

/// Whether one of the two sides did not like the other's certificate.
fn is_certificate(failure: &Failure) -> bool {
    use ConnectionKind::{Certificate, ClientCertificate};
    matches!(&*failure.error, RegistryError::Connection { kind: Certificate | ClientCertificate, .. })
}

/// Whether the answer to a ping came from a registry in plain HTTP: one that fails, but is no
/// TLS server's word for "not so".
fn speaks_plain(failure: &Failure) -> bool {
    failure.transient && matches!(&*failure.error, RegistryError::Status { .. })
}

/// Where an answer sends us; none if it is no redirect.
fn redirect(target: &Target, call: &Call, home: &Url, response: &Response) -> Result<Option<Url>, Failure> {
    let reading = matches!(call.method, Method::GET | Method::HEAD);
    let moved = match response.status().as_u16() {
        301..=303 => reading,
        307 | 308 => true,
        _ => false,
    };
    let Some(text) = response.headers().get(LOCATION).filter(|_| moved) else { return Ok(None) };
    let text = String::from_utf8_lossy(text.as_bytes());
    // What is checked by its digest, or says nothing but that it is there, may come from anywhere;
    // who chooses what is asked for next is not to be reached in plain HTTP.
    let next = if call.download || call.method == Method::HEAD {
        response.url().join(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
    } else {
        target.endpoint.location(response.url(), &text)
    };
    let next = next.ok_or_else(|| target.protocol("it redirects to a place that makes no sense"))?;
    // A POST's body may be an identity token.
    if call.method == Method::POST && next.origin() != home.origin() {
        return Err(target.protocol("it redirects a POST to another host").into());
    }
    Ok(Some(next))
}

/// Waits for the answer to an upload as long as bytes are taken; none if silence lasts too long.
async fn watched<F: Future>(sending: F, feed: &Feed, limits: Limits) -> Option<F::Output> {
    let mut sending = std::pin::pin!(sending);
    loop {
        let before = feed.moved();
        let patience = if feed.is_sent() { limits.commit } else { limits.sending };
        match tokio::time::timeout(patience, sending.as_mut()).await {
            Ok(answer) => return Some(answer),
            Err(_) if feed.moved() == before => return None,
            Err(_) => {}
        }
    }
}
