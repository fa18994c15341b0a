//! A registry for tests: small, in this process, over plain TCP, and as rude as a test wants.

mod door;
mod message;
mod store;

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

pub(super) use message::{Reply, Request, hang_up, reply, silence};
use message::{read_head, write_reply};
pub(super) use store::Location;

use super::chunked::Chunked;
use crate::image::Digest;

/// First byte of a TLS client's first message.
const TLS_HANDSHAKE: u8 = 0x16;

type Matches = Box<dyn Fn(&Request) -> bool + Send>;

/// Answers given in place of the registry's own, each to the next request that matches.
struct Fault {
    matches: Matches,
    replies: Vec<Reply>,
}

/// A way of one registry: the answer where it differs from the ordinary one.
type Manner = Box<dyn FnMut(&Request, &mut State) -> Option<Reply> + Send>;

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
    /// Path of the token server, which is then another host.
    pub(super) realm: Option<&'static str>,
    /// How a password is asked for.
    pub(super) basic: &'static str,
    /// How an upload's address is written.
    pub(super) location: Location,
    manners: Vec<Manner>,
    faults: Vec<Fault>,
    /// Tokens given out, with their scopes.
    tokens: HashMap<String, Vec<String>>,
    pub(super) revoked: BTreeSet<String>,
    sessions: u64,
    /// What came in PATCH requests, by session, until it is committed or cancelled.
    received: HashMap<String, Vec<u8>>,
    /// Bytes of the body that is being received in chunks.
    pub(super) arriving: usize,
    /// The next body of known length breaks off after this many bytes.
    pub(super) cut_upload: Option<usize>,
    /// What happens to the next body that comes in chunks.
    pub(super) chunked: Option<Chunked>,
}

impl Default for State {
    fn default() -> Self {
        State {
            door: Door::Open,
            blobs: HashMap::new(),
            manifests: HashMap::new(),
            mounting: true,
            ranges: true,
            no_content_digest: false,
            denied: BTreeSet::new(),
            log: Vec::new(),
            handshakes: 0,
            to_plain: None,
            plain: String::new(),
            realm: None,
            basic: "Basic realm=\"fake\"",
            location: store::usual,
            manners: Vec::new(),
            faults: Vec::new(),
            tokens: HashMap::new(),
            revoked: BTreeSet::new(),
            sessions: 0,
            received: HashMap::new(),
            arriving: 0,
            cut_upload: None,
            chunked: None,
        }
    }
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
        let chain = CertificateDer::from_pem_slice(include_bytes!("../leaf.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../leaf.key")).expect("a key");
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
            state: Arc::new(Mutex::default()),
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

    /// Answers as one registry does, from now on: to who may ask, before the ordinary answer.
    pub(super) fn manner(&self, manner: impl FnMut(&Request, &mut State) -> Option<Reply> + Send + 'static) {
        self.state().manners.push(Box::new(manner));
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
        if request.path() == state.token_path() {
            return state.give_token(&request);
        }
        if let Some(refusal) = state.refuse(&request, self.address) {
            return refusal;
        }
        let mut manners = std::mem::take(&mut state.manners);
        let special = manners.iter_mut().find_map(|manner| manner(&request, &mut state));
        state.manners = manners;
        special.unwrap_or_else(|| state.registry(&request, &self.address.to_string()))
    }
}
