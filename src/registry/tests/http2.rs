//! HTTP/2, spoken frame by frame (RFC 9113) so that it can go wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

type Tls = StreamOwned<ServerConnection, TcpStream>;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// The last frame of a stream; of settings, that they were taken.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u8 = 7;
const HTTP_1_1_REQUIRED: u8 = 13;
/// `:status: 200` in the static table of HPACK (RFC 7541, A).
const STATUS_200: u8 = 0x88;

/// What the server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Right,
    /// Nothing was done; the client may ask again.
    Refuse,
    /// The server goes, without having looked at the request.
    GoAway,
    /// Not by HTTP/2.
    WantOld,
    /// Bytes that are no frame.
    Garbage,
}

/// A registry that has every blob, and no body to send.
struct Server {
    address: SocketAddr,
    /// What was spoken on each connection.
    spoken: Arc<Mutex<Vec<String>>>,
    /// What happens to the next requests.
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Server {
    /// One that offers these protocols.
    fn start(protocols: &[&str], answers: &[Answer]) -> Server {
        let chain = CertificateDer::from_pem_slice(include_bytes!("leaf.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("leaf.key")).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("a matching key");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let spoken = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(answers.to_vec()));
        let server = Server { address, spoken: spoken.clone(), answers: answers.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let session = ServerConnection::new(config.clone()).expect("a session");
                let (spoken, answers) = (spoken.clone(), answers.clone());
                // A client that goes away in the middle is the test's concern.
                thread::spawn(move || drop(serve(StreamOwned::new(session, stream), &spoken, &answers)));
            }
        });
        server
    }

    fn ask(&self, bench: &Bench, times: usize) {
        let at: Reference = format!("{}/a/b:1", self.address).parse().expect("a reference");
        for _ in 0..times {
            let found = bench.run(bench.registry.has_blob(&at, &Digest::of(b"x"), Direction::Pull));
            assert!(found.expect("an answer"));
        }
    }

    fn spoken(&self) -> Vec<String> {
        self.spoken.lock().expect("no test fails inside").clone()
    }
}

fn bench() -> Bench {
    let config = RegistryConfig { skip_tls_verify_pull: true, ..RegistryConfig::default() };
    Bench::with(config, KeychainConfig::default())
}

fn serve(mut tls: Tls, spoken: &Mutex<Vec<String>>, answers: &Mutex<Vec<Answer>>) -> std::io::Result<()> {
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    let chosen = String::from_utf8_lossy(tls.conn.alpn_protocol().unwrap_or_default()).into_owned();
    spoken.lock().expect("no test fails inside").push(chosen.clone());
    if chosen == "h2" { serve_frames(tls, answers) } else { serve_lines(tls) }
}

fn serve_lines(mut tls: Tls) -> std::io::Result<()> {
    let mut seen = Vec::new();
    let mut byte = [0];
    loop {
        tls.read_exact(&mut byte)?;
        seen.push(byte[0]);
        if seen.ends_with(b"\r\n\r\n") {
            tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            tls.flush()?;
            seen.clear();
        }
    }
}

fn frame(tls: &mut Tls, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    tls.write_all(&bytes)?;
    tls.flush()
}

fn serve_frames(mut tls: Tls, answers: &Mutex<Vec<Answer>>) -> std::io::Result<()> {
    tls.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()])?;
    frame(&mut tls, SETTINGS, 0, 0, &[])?;
    loop {
        let mut head = [0; 9];
        tls.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        tls.read_exact(&mut vec![0; length])?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] == SETTINGS && head[4] & END_STREAM == 0 {
            frame(&mut tls, SETTINGS, END_STREAM, 0, &[])?;
        }
        if head[3] != HEADERS {
            continue;
        }
        let answer = answers.lock().expect("no test fails inside").pop().unwrap_or(Answer::Right);
        match answer {
            Answer::Right => {
                frame(&mut tls, HEADERS, END_HEADERS, stream, &[STATUS_200])?;
                frame(&mut tls, DATA, END_STREAM, stream, &[])?;
            }
            Answer::Refuse => frame(&mut tls, RST_STREAM, 0, stream, &[0, 0, 0, REFUSED_STREAM])?,
            Answer::WantOld => frame(&mut tls, RST_STREAM, 0, stream, &[0, 0, 0, HTTP_1_1_REQUIRED])?,
            // The last stream that was looked at, and no error.
            Answer::GoAway => return frame(&mut tls, GOAWAY, 0, 0, &[0; 8]),
            Answer::Garbage => {
                tls.write_all(&[0xff; 64])?;
                return tls.flush();
            }
        }
    }
}

#[test]
fn questions_share_a_connection_where_the_server_can() {
    let server = Server::start(&["h2", "http/1.1"], &[]);
    server.ask(&bench(), 5);
    assert_eq!(server.spoken(), ["h2"]);
    for protocols in [&["http/1.1"][..], &[]] {
        let old = Server::start(protocols, &[]);
        old.ask(&bench(), 5);
        assert!(old.spoken().iter().all(|spoken| *spoken != "h2"), "{:?}", old.spoken());
    }
}

#[test]
fn what_the_server_did_not_look_at_is_asked_again() {
    for answer in [Answer::Refuse, Answer::GoAway] {
        let server = Server::start(&["h2", "http/1.1"], &[answer, Answer::Right]);
        let bench = bench();
        server.ask(&bench, 3);
        assert!(server.spoken().iter().all(|spoken| spoken == "h2"), "{answer:?}: {:?}", server.spoken());
        assert!(server.answers.lock().expect("no test fails inside").is_empty());
        assert!(!bench.said().contains("trying again"), "{answer:?}: {}", bench.said());
    }
}

#[test]
fn a_server_whose_http2_is_broken_is_asked_in_http1() {
    for answer in [Answer::WantOld, Answer::Garbage] {
        let server = Server::start(&["h2", "http/1.1"], &[answer, Answer::Right]);
        let bench = bench();
        server.ask(&bench, 3);
        let spoken = server.spoken();
        assert_eq!(spoken.iter().filter(|spoken| *spoken == "h2").count(), 1, "{answer:?}: {spoken:?}");
        assert!(spoken.iter().any(|spoken| spoken == "http/1.1"), "{answer:?}: {spoken:?}");
        assert!(bench.said().contains("asked in HTTP/1.1"), "{answer:?}: {}", bench.said());
    }
}
