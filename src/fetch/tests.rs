//! Files of a web server that is slow, rude, or wrong.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::http::redirected;
use super::*;
use crate::cloud::Clouds;
use crate::config::{CloudConfig, FetchConfig, HttpAuthorization, KeychainConfig, RegistryConfig};
use crate::event::Events;
use crate::image::Digest;
use crate::keychain::Keychain;
use crate::layer::Timestamp;
use crate::registry::{Network, Registry};

/// A request as it came: its path, and its headers with names in lower case.
#[derive(Debug, Clone)]
struct Request {
    path: String,
    headers: HashMap<String, String>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An answer: its head without the first word, and its body, cut off after some bytes perhaps.
struct Answer(String, Vec<u8>, usize);

fn answer(head: &str, body: impl Into<Vec<u8>>) -> Answer {
    let body = body.into();
    let head = format!("{head}\r\nContent-Length: {}", body.len());
    Answer(head, body, usize::MAX)
}

type Handler = dyn Fn(&Request, usize) -> Answer + Send + Sync;

/// A web server on a loopback port; the handler sees each request with its number.
struct Server {
    port: u16,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (known, handler): (_, Arc<Handler>) = (log.clone(), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (known, handler) = (known.clone(), handler.clone());
                std::thread::spawn(move || serve(stream, &known, &*handler));
            }
        });
        Server { port, log }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn log(&self) -> Vec<Request> {
        self.log.lock().expect("unpoisoned").clone()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Request>>, handler: &Handler) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.by_ref().take(65_536).read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines[0].split(' ').nth(1).expect("a path").to_owned();
    let headers = lines[1..].iter().filter_map(|l| l.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let request = Request { path, headers };
    let number = {
        let mut log = log.lock().expect("unpoisoned");
        log.push(request.clone());
        log.len()
    };
    let Answer(head, body, most) = handler(&request, number);
    let mut stream = stream;
    let _ = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(&body[..most.min(body.len())]);
}

struct Bench {
    network: Network,
    fetcher: Fetcher,
}

impl Bench {
    fn new() -> Bench {
        Self::with(FetchConfig::default())
    }

    fn with(config: FetchConfig) -> Bench {
        let network = Network::new().expect("threads");
        let settings = RegistryConfig::default();
        let clouds = Clouds::new(&CloudConfig::default(), &settings, &network, Events::none());
        let keychain = Keychain::new(&KeychainConfig::default(), clouds, Events::none()).expect("a keychain");
        let registry = Registry::new(&RegistryConfig::default(), keychain, Events::none(), &network);
        Bench { fetcher: Fetcher::new(&registry.expect("a client"), &config), network }
    }

    fn get(&self, url: &str) -> Result<(Download, Vec<u8>), FetchError> {
        self.get_checked(url, None)
    }

    fn get_checked(&self, url: &str, checksum: Option<&str>) -> Result<(Download, Vec<u8>), FetchError> {
        let Ok(Some(Remote::Url(mut source))) = Remote::parse(url) else { panic!("no URL: {url}") };
        source.checksum = checksum.map(|c| c.parse().expect("a checksum"));
        let file = tempfile::NamedTempFile::new().expect("a file");
        let writer = file.reopen().expect("the file");
        let download = self.network.block_on(self.fetcher.download(&source, writer))?;
        Ok((download, std::fs::read(file.path()).expect("the file")))
    }
}

#[test]
fn a_file_with_what_is_said_of_it() {
    let server = Server::start(|_, _| {
        answer("200 OK\r\nETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "hello")
    });
    let (download, bytes) = Bench::new().get(&server.url("/f")).expect("a file");
    assert_eq!(bytes, b"hello");
    let last_modified = Some(Timestamp { seconds: 784_111_777, nanoseconds: 0 });
    let digest = Digest::of(b"hello");
    let etag = Some("\"v1\"".to_owned());
    let version = Some(Version { digest, etag, last_modified: None });
    assert_eq!(download, Download { digest, size: 5, last_modified, version });
    assert_eq!(server.log()[0].header("accept-encoding"), None, "bytes are wanted as they are");
}

#[test]
fn credentials_do_not_follow_to_another_host() {
    let other = Server::start(|_, _| answer("200 OK", "there"));
    let target = format!("http://localhost:{}/x", other.port);
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/a" => answer("302 Found\r\nLocation: /b", ""),
        _ => answer(&format!("307 Temporary Redirect\r\nLocation: {target}"), ""),
    });
    let host = "127.0.0.1".to_owned();
    let value = "Bearer secret".to_owned();
    let config = FetchConfig {
        http_authorizations: vec![HttpAuthorization { host, value }],
        ..FetchConfig::default()
    };
    let (_, bytes) = Bench::with(config).get(&server.url("/a")).expect("followed");
    assert_eq!(bytes, b"there");
    assert!(server.log().iter().all(|r| r.header("authorization") == Some("Bearer secret")));
    assert_eq!(server.log().len(), 2);
    assert_eq!(other.log()[0].header("authorization"), None);
    let with_user = server.url("/a").replace("http://", "http://user:pass@");
    Bench::new().get(&with_user).expect("followed");
    let shown: Vec<_> =
        server.log().iter().skip(2).map(|r| r.header("authorization").map(str::to_owned)).collect();
    assert_eq!(shown, vec![Some("Basic dXNlcjpwYXNz".to_owned()); 2]);
    assert_eq!(other.log()[1].header("authorization"), None);
}

#[test]
fn redirects_end() {
    let server = Server::start(|request, _| answer(&format!("302 Found\r\nLocation: {}x", request.path), ""));
    let error = Bench::new().get(&server.url("/x")).expect_err("endless").to_string();
    assert!(error.contains("more than 10 redirects"), "{error}");
    assert_eq!(server.log().len(), 11);
    for nowhere in ["ftp://h/f", "http://"] {
        let server = Server::start(move |_, _| answer(&format!("302 Found\r\nLocation: {nowhere}"), ""));
        let error = Bench::new().get(&server.url("/x")).expect_err("nowhere").to_string();
        assert!(error.contains("makes no sense"), "{error}");
    }
}

#[test]
fn tls_is_not_left() {
    let parse = |text: &str| match Remote::parse(text) {
        Ok(Some(Remote::Url(source))) => source,
        other => panic!("{other:?}"),
    };
    let mut source = parse("https://h/f?token=1");
    let (from, to) = (source.url.clone(), "http://h/f".parse().expect("a header"));
    let error = redirected(&source, &from, &to).expect_err("refused");
    assert_eq!(error.to_string(), "cannot fetch https://h/f?…: h redirects to plain HTTP on h");
    assert!(error.help().is_some_and(|h| h.contains("--checksum")));
    source.checksum = Some(format!("sha256:{}", "0".repeat(64)).parse().expect("a checksum"));
    assert!(redirected(&source, &from, &to).is_ok());
}

#[test]
fn what_passes_is_tried_again() {
    let server = Server::start(|_, number| match number {
        1 => answer("503 Busy\r\nRetry-After: 0", "later"),
        2 => answer("429 Slow\r\nRetry-After: 0", ""),
        _ => answer("200 OK", "done"),
    });
    assert_eq!(Bench::new().get(&server.url("/f")).expect("at last").1, b"done");
    assert_eq!(server.log().len(), 3);
    let server = Server::start(|_, _| answer("404 Not Found", "no such file"));
    let error = Bench::new().get(&server.url("/f?token=1")).expect_err("nothing there");
    let shown =
        format!("cannot fetch {}?…: 127.0.0.1:{} answered 404: no such file", server.url("/f"), server.port);
    assert_eq!(error.to_string(), shown);
    assert_eq!(server.log().len(), 1, "a refusal stays");
}

#[test]
fn a_broken_download_goes_on() {
    let server = Server::start(|request, number| {
        let whole = b"0123456789".repeat(20_000);
        match (number, request.header("range"), request.header("if-range")) {
            (1, None, None) => {
                Answer(format!("200 OK\r\nETag: \"v\"\r\nContent-Length: {}", whole.len()), whole, 150_000)
            }
            (_, Some(range), Some("\"v\"")) => {
                let from: usize = range
                    .strip_prefix("bytes=")
                    .and_then(|r| r.strip_suffix('-'))
                    .and_then(|r| r.parse().ok())
                    .expect("a range");
                let head = format!(
                    "206 Partial Content\r\nETag: \"v\"\r\nContent-Range: bytes {from}-199999/200000"
                );
                answer(&head, &whole[from..])
            }
            other => panic!("{other:?}"),
        }
    });
    let (download, bytes) = Bench::new().get(&server.url("/f")).expect("whole");
    assert_eq!((download.size, bytes), (200_000, b"0123456789".repeat(20_000)));
    assert_eq!(server.log().len(), 2);
}

#[test]
fn a_file_that_changed_starts_anew() {
    let server = Server::start(|_, number| match number {
        1 => Answer("200 OK\r\nETag: \"a\"\r\nContent-Length: 9".to_owned(), b"old".to_vec(), 9),
        _ => answer("200 OK\r\nETag: \"b\"", "new"),
    });
    let (download, bytes) = Bench::new().get(&server.url("/f")).expect("whole");
    assert_eq!((download.digest, bytes), (Digest::of(b"new"), b"new".to_vec()));
}

#[test]
fn sizes_are_bounded() {
    let config = || FetchConfig { max_size: 100, ..FetchConfig::default() };
    for head in ["200 OK\r\nContent-Length: 101", "200 OK"] {
        let server = Server::start(move |_, _| Answer(head.to_owned(), vec![b'x'; 101], usize::MAX));
        let error = Bench::with(config()).get(&server.url("/f")).expect_err("too large");
        assert!(error.to_string().ends_with("it has more than 100 bytes"), "{error}");
    }
    let server = Server::start(|_, _| Answer("200 OK".to_owned(), vec![b'x'; 100], usize::MAX));
    assert_eq!(Bench::with(config()).get(&server.url("/f")).expect("just").0.size, 100);
}

#[test]
fn checksums_are_compared() {
    let server = Server::start(|_, _| answer("200 OK", "abc"));
    let url = server.url("/f");
    let right = Digest::of(b"abc").to_string();
    Bench::new().get_checked(&url, Some(&right)).expect("right");
    let sha512 = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    Bench::new().get_checked(&url, Some(sha512)).expect("right");
    let wrong = format!("sha256:{}", "0".repeat(64));
    let error = Bench::new().get_checked(&url, Some(&wrong)).expect_err("wrong").to_string();
    assert_eq!(error, format!("{url} is not what --checksum says: it should be {wrong}, and is {right}"));
}

#[test]
fn a_reader_gets_its_end_only_when_all_is_right() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/good" => answer("200 OK", "abc"),
        _ => Answer("200 OK\r\nContent-Length: 9".to_owned(), b"abc".to_vec(), 9),
    });
    let bench = Bench::new();
    let read = |path: &str| {
        let Ok(Some(Remote::Url(source))) = Remote::parse(&server.url(path)) else { panic!("no URL") };
        let mut text = String::new();
        bench.fetcher.reader(&source).read_to_string(&mut text).map(|_| text)
    };
    assert_eq!(read("/good").expect("whole"), "abc");
    let error = read("/bad").expect_err("cut off").to_string();
    assert!(error.contains("cannot go on where it stopped"), "{error}");
}
