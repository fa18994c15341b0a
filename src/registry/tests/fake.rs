//! A registry for tests: small, in this process, over plain TCP, and as rude as a test wants.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::chunked::Chunked;
use crate::image::Digest;

/// First byte of a TLS client's first message.
const TLS_HANDSHAKE: u8 = 0x16;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path with query, percent signs undone.
    pub(super) target: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn query(&self, name: &str) -> Vec<&str> {
        let query = self.target.split_once('?').map_or("", |(_, q)| q);
        query
            .split('&')
            .filter_map(|p| p.split_once('='))
            .filter(|(n, _)| *n == name)
            .map(|(_, v)| v)
            .collect()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What is sent back.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub(super) cut: Option<usize>,
    /// Send no headers at all: just close.
    pub(super) hang_up: bool,
    /// Keep silent after that, with the connection open.
    pub(super) silent: bool,
}

pub(super) fn reply(status: u16) -> Reply {
    Reply { status, ..Reply::default() }
}

impl Reply {
    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

pub(super) fn hang_up() -> Reply {
    Reply { hang_up: true, ..Reply::default() }
}

/// Neither answers nor closes.
pub(super) fn silence() -> Reply {
    Reply { silent: true, ..hang_up() }
}

type Matches = Box<dyn Fn(&Request) -> bool + Send>;

/// Answers given in place of the registry's own, each to the next request that matches.
struct Fault {
    matches: Matches,
    replies: Vec<Reply>,
}

/// How the registry wants to be convinced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Door {
    #[default]
    Open,
    /// `user:password`, for everything.
    Basic(String),
    /// Tokens, given to everybody who shows this, or to everybody at all.
    Token(Option<String>),
}

#[derive(Default)]
pub(super) struct State {
    pub(super) door: Door,
    pub(super) blobs: HashMap<(String, String), Vec<u8>>,
    pub(super) manifests: HashMap<(String, String), (String, Vec<u8>)>,
    pub(super) mounting: bool,
    pub(super) ranges: bool,
    pub(super) no_content_digest: bool,
    /// Scopes in which the token server gives nothing.
    pub(super) denied: BTreeSet<String>,
    pub(super) log: Vec<Request>,
    /// How often TLS was tried on one that does not speak it.
    pub(super) handshakes: u64,
    /// What one that speaks TLS says to plain HTTP before it closes; the words of TLS if none.
    pub(super) to_plain: Option<&'static str>,
    /// What came in plain HTTP to one that speaks TLS.
    pub(super) plain: String,
    faults: Vec<Fault>,
    /// Tokens given out, with their scopes.
    tokens: HashMap<String, Vec<String>>,
    pub(super) revoked: BTreeSet<String>,
    sessions: u64,
    /// What came in PATCH requests, by session, until it is committed or cancelled.
    received: HashMap<String, Vec<u8>>,
    /// Bytes of the body that is being received in chunks.
    pub(super) arriving: usize,
    /// What happens to the next body that comes in chunks.
    pub(super) chunked: Option<Chunked>,
}

/// A running registry.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    tls: Option<Arc<ServerConfig>>,
}

impl Fake {
    pub(super) fn start() -> Self {
        Self::listen(None)
    }

    /// One that speaks TLS, with a certificate of `ca.pem` beside this file for 127.0.0.1 and
    /// localhost.
    pub(super) fn start_tls() -> Self {
        let chain = CertificateDer::from_pem_slice(include_bytes!("leaf.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("leaf.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key);
        Self::listen(Some(Arc::new(config.expect("a matching key"))))
    }

    fn listen(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let fake = Fake {
            address: listener.local_addr().expect("an address"),
            tls,
            state: Arc::new(Mutex::new(State { mounting: true, ranges: true, ..State::default() })),
        };
        let serving = fake.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let fake = serving.clone();
                thread::spawn(move || fake.serve(stream));
            }
        });
        fake
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test fails inside")
    }

    /// Answers the next matching requests with these.
    pub(super) fn fault(
        &self,
        matches: impl Fn(&Request) -> bool + Send + 'static,
        replies: impl IntoIterator<Item = Reply>,
    ) {
        let mut replies: Vec<Reply> = replies.into_iter().collect();
        replies.reverse();
        self.state().faults.push(Fault { matches: Box::new(matches), replies });
    }

    pub(super) fn add_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.state().blobs.insert((repository.to_owned(), digest.to_string()), bytes.to_vec());
        digest
    }

    pub(super) fn blob(&self, repository: &str, digest: Digest) -> Option<Vec<u8>> {
        self.state().blobs.get(&(repository.to_owned(), digest.to_string())).cloned()
    }

    /// Method and target of all requests but those of `/v2/` itself.
    pub(super) fn lines(&self) -> Vec<String> {
        self.state().log.iter().filter(|r| r.target != "/v2/").map(Request::line).collect()
    }

    pub(super) fn count(&self, beginning: &str) -> usize {
        self.lines().iter().filter(|l| l.starts_with(beginning)).count()
    }

    /// Waits for a request that nobody waits for.
    pub(super) fn wait_for(&self, beginning: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.count(beginning) == 0 {
            assert!(Instant::now() < deadline, "no {beginning} in {:?}", self.lines());
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn requests(&self, beginning: &str) -> Vec<Request> {
        self.state().log.iter().filter(|r| r.line().starts_with(beginning)).cloned().collect()
    }

    fn serve(&self, stream: TcpStream) {
        match &self.tls {
            None => self.converse(stream),
            Some(tls) => {
                if let Some(answer) = self.hear_plain(&stream) {
                    // Read to the end: else the client may see a reset before the answer.
                    let mut stream = stream;
                    let _ = stream.write_all(answer.as_bytes());
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = stream.read_to_end(&mut Vec::new());
                    return;
                }
                let session = ServerConnection::new(tls.clone()).expect("a session");
                self.converse(StreamOwned::new(session, stream));
            }
        }
    }

    /// Notes what comes in plain HTTP; the answer to it, if there is a special one.
    fn hear_plain(&self, stream: &TcpStream) -> Option<&'static str> {
        let mut beginning = [0; 4096];
        let length = stream.peek(&mut beginning).ok()?;
        if beginning[0] == TLS_HANDSHAKE {
            return None;
        }
        let mut state = self.state();
        state.plain.push_str(&String::from_utf8_lossy(&beginning[..length]));
        state.to_plain
    }

    fn converse(&self, stream: impl Read + Write) {
        let mut reader = BufReader::new(stream);
        if reader.fill_buf().is_ok_and(|first| first.first() == Some(&TLS_HANDSHAKE)) {
            self.state().handshakes += 1;
            // What Go's servers say.
            let _ = reader.get_mut().write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nnot TLS\n");
            return;
        }
        while let Some(mut request) = read_head(&mut reader) {
            let early = match self.read_body(&mut reader, &mut request) {
                Some(early) => early,
                None => return,
            };
            let answered_early = early.is_some();
            let reply = early.unwrap_or_else(|| self.answer(request.clone()));
            let stream = reader.get_mut();
            let over = reply.hang_up
                || write_reply(stream, &request, &reply).is_err()
                || reply.cut.is_some()
                || answered_early;
            if over && reply.silent {
                thread::sleep(Duration::from_secs(600));
            }
            if over {
                return;
            }
        }
    }

    fn answer(&self, request: Request) -> Reply {
        let mut state = self.state();
        state.log.push(request.clone());
        let fault = state.faults.iter_mut().find(|f| !f.replies.is_empty() && (f.matches)(&request));
        if let Some(reply) = fault.and_then(|f| f.replies.pop()) {
            return reply;
        }
        if request.path() == "/token" {
            return state.give_token(&request);
        }
        if let Some(refusal) = state.refuse(&request, self.address) {
            return refusal;
        }
        state.registry(&request)
    }
}

impl State {
    fn give_token(&mut self, request: &Request) -> Reply {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let form = undo_percent(&form);
        let field = |name: &str| {
            form.split('&')
                .filter_map(|p| p.split_once('='))
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.to_owned())
        };
        let shown = match request.method.as_str() {
            "POST" => field("refresh_token"),
            _ => request.header("authorization").map(str::to_owned),
        };
        if let Door::Token(Some(wanted)) = &self.door
            && shown.as_ref() != Some(wanted)
        {
            return reply(401).body(r#"{"details":"incorrect username or password"}"#);
        }
        let asked: Vec<String> = match request.method.as_str() {
            "POST" => field("scope")
                .into_iter()
                .flat_map(|s| s.split('+').map(str::to_owned).collect::<Vec<_>>())
                .collect(),
            _ => request.query("scope").into_iter().map(str::to_owned).collect(),
        };
        if asked.iter().any(|s| self.denied.contains(s)) {
            return reply(403).body(r#"{"errors":[{"code":"DENIED","message":"not your repository"}]}"#);
        }
        let token = format!("token-{}", self.tokens.len());
        self.tokens.insert(token.clone(), asked);
        reply(200).body(format!(r#"{{"token":"{token}","expires_in":300}}"#))
    }

    /// The answer to a request that may not be.
    fn refuse(&self, request: &Request, address: SocketAddr) -> Option<Reply> {
        let shown = request.header("authorization");
        match &self.door {
            Door::Open => None,
            Door::Basic(pair) => {
                use base64::Engine as _;
                let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
                (shown != Some(&wanted)).then(|| reply(401).with("WWW-Authenticate", "Basic realm=\"fake\""))
            }
            Door::Token(_) => {
                let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"fake\"");
                let refusal = || Some(reply(401).with("WWW-Authenticate", &challenge));
                let token = shown.and_then(|s| s.strip_prefix("Bearer "));
                let Some(scopes) =
                    token.filter(|t| !self.revoked.contains(*t)).and_then(|t| self.tokens.get(t))
                else {
                    return refusal();
                };
                let needed = needed_scopes(request);
                let has = |needed: &(String, &str)| {
                    scopes.iter().any(|s| {
                        s.strip_prefix(&format!("repository:{}:", needed.0))
                            .is_some_and(|actions| actions.split(',').any(|a| a == needed.1))
                    })
                };
                if needed.iter().all(has) { None } else { refusal() }
            }
        }
    }

    fn registry(&mut self, request: &Request) -> Reply {
        if request.path() == "/v2/" {
            return reply(200);
        }
        let path = request.path().strip_prefix("/v2/").unwrap_or_default().to_owned();
        if let Some((repository, session)) = path.split_once("/blobs/uploads/") {
            return self.upload(request, repository, session);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            let Some(bytes) = self.blobs.get(&(repository.to_owned(), digest.to_owned())) else {
                return reply(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#);
            };
            return ranged(request, bytes, self.ranges);
        }
        match path.split_once("/manifests/") {
            Some((repository, version)) => self.manifest(request, repository, version),
            None => reply(404),
        }
    }

    fn upload(&mut self, request: &Request, repository: &str, session: &str) -> Reply {
        match request.method.as_str() {
            "POST" => {
                if let ([digest], [from]) = (&request.query("mount")[..], &request.query("from")[..])
                    && self.mounting
                    && let Some(bytes) = self.blobs.get(&((*from).to_owned(), (*digest).to_owned())).cloned()
                {
                    self.blobs.insert((repository.to_owned(), (*digest).to_owned()), bytes);
                    return reply(201);
                }
                self.sessions += 1;
                let location = format!("/v2/{repository}/blobs/uploads/{}?_state=a%2Bb", self.sessions);
                reply(202).with("Location", location)
            }
            "PATCH" if !session.is_empty() => {
                self.received.entry(session.to_owned()).or_default().extend(&request.body);
                let location = format!("/v2/{repository}/blobs/uploads/{session}?_state=c%2Bd");
                reply(202).with("Location", location)
            }
            "PUT" if !session.is_empty() => {
                let digest = request.query("digest").first().map(|d| (*d).to_owned()).unwrap_or_default();
                let mut bytes = self.received.remove(session).unwrap_or_default();
                bytes.extend(&request.body);
                if Digest::of(&bytes).to_string() != digest {
                    return reply(400).body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]}"#);
                }
                self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
                self.digested(reply(201), &digest)
            }
            "DELETE" => {
                self.received.remove(session);
                reply(204)
            }
            _ => reply(405),
        }
    }

    fn manifest(&mut self, request: &Request, repository: &str, version: &str) -> Reply {
        let key = (repository.to_owned(), version.to_owned());
        if request.method == "PUT" {
            let digest = Digest::of(&request.body).to_string();
            let kind = request.header("content-type").unwrap_or_default().to_owned();
            self.manifests.insert(key, (kind, request.body.clone()));
            return self.digested(reply(201), &digest);
        }
        let Some((kind, bytes)) = self.manifests.get(&key).cloned() else {
            return reply(404)
                .body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
        };
        let digest = Digest::of(&bytes).to_string();
        self.digested(reply(200).with("Content-Type", kind).body(bytes), &digest)
    }

    fn digested(&self, reply: Reply, digest: &str) -> Reply {
        if self.no_content_digest { reply } else { reply.with("Docker-Content-Digest", digest) }
    }
}

fn ranged(request: &Request, bytes: &[u8], ranges: bool) -> Reply {
    let start =
        request.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match start.filter(|start| ranges && *start < bytes.len()) {
        None => reply(200).body(bytes),
        Some(start) => reply(206)
            .with("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[start..]),
    }
}

/// What a token must allow for a request.
fn needed_scopes(request: &Request) -> Vec<(String, &'static str)> {
    let path = request.path().strip_prefix("/v2/").unwrap_or_default();
    let end = path.find("/blobs/").or_else(|| path.find("/manifests/"));
    let Some(end) = end else { return Vec::new() };
    let action = if matches!(request.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
    let mut needed = vec![(path[..end].to_owned(), action)];
    needed.extend(request.query("from").first().map(|from| ((*from).to_owned(), "pull")));
    needed
}

/// A request without its body.
fn read_head(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = Vec::new();
    reader.by_ref().take(64 << 10).read_until(b'\n', &mut line).ok()?;
    let line = String::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), undo_percent(words.next()?));
    words.next().filter(|version| version.starts_with("HTTP/1"))?;
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request { method, target, headers, body: Vec::new() })
}

fn write_reply(stream: &mut impl Write, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Fake\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())])?;
    }
    stream.flush()
}

fn undo_percent(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
