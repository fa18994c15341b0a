//! An internet of a test's own: a proxy that is every HTTPS server itself, with certificates of a CA
//! that the program is told to trust; and services of the machine, in plain HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::build::Build;
use crate::command::run_ok;
use crate::http::{Head, percent_decode};
use crate::machine::scratch;

/// A request to one of the servers.
#[derive(Debug, Clone)]
pub struct Request {
    /// The name that was asked for.
    pub host: String,
    /// Method.
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// Header lines without their line ends.
    pub lines: Vec<String>,
    /// The body, put together.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The path as it was sent, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The path with percent signs undone.
    pub fn decoded_path(&self) -> String {
        percent_decode(&self.path().replace('+', "%2B"))
    }

    /// A field of a form in the body, or of the query.
    pub fn field(&self, name: &str) -> Option<String> {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        [body.as_str(), query].iter().find_map(|text| {
            let head = Head { method: String::new(), target: format!("/?{text}"), lines: Vec::new() };
            head.query(name).into_iter().next()
        })
    }
}

/// What a server answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// These bytes.
    Answer {
        /// HTTP status.
        status: u16,
        /// Header lines.
        headers: Vec<String>,
        /// Body.
        body: Vec<u8>,
        /// Bytes after which the connection breaks.
        cut: Option<usize>,
    },
    /// What a server on a loopback port answers.
    Forward(u16),
}

impl Reply {
    /// An answer without headers of its own.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply::Answer { status, headers: Vec::new(), body: body.into(), cut: None }
    }

    /// Adds a header line.
    pub fn header(mut self, line: &str) -> Reply {
        if let Reply::Answer { headers, .. } = &mut self {
            headers.push(line.to_owned());
        }
        self
    }

    /// Breaks the connection after so many bytes of the body.
    pub fn cut_after(mut self, bytes: usize) -> Reply {
        if let Reply::Answer { cut, .. } = &mut self {
            *cut = Some(bytes);
        }
        self
    }
}

type Server = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// The proxy; it remembers what it was asked.
pub struct Internet {
    port: u16,
    directory: TempDir,
    state: Arc<State>,
}

struct State {
    servers: Mutex<BTreeMap<String, Server>>,
    requests: Mutex<Vec<Request>>,
    tls: Arc<ServerConfig>,
}

impl Internet {
    /// One with these names of hosts; others cannot be connected to.
    pub fn with(hosts: &[&str]) -> Internet {
        let directory = scratch();
        certify(directory.path(), hosts);
        let state = Arc::new(State {
            servers: Mutex::default(),
            requests: Mutex::default(),
            tls: Arc::new(tls(directory.path())),
        });
        let server = Arc::clone(&state);
        let port = listen(move |stream| server.connected(stream));
        Internet { port, directory, state }
    }

    /// Says what a host answers.
    pub fn serve(&self, host: &str, server: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> &Internet {
        let mut servers = self.state.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.insert(host.to_owned(), Arc::new(server));
        drop(servers);
        self
    }

    /// Lets a build see this internet, and no metadata service of the machine it runs on.
    pub fn seen_by(&self, build: Build) -> Build {
        build
            .env("HTTPS_PROXY", &format!("http://127.0.0.1:{}", self.port))
            .env("SSL_CERT_FILE", &self.ca().display().to_string())
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
            .env("GCE_METADATA_HOST", "127.0.0.1:9")
            .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    }

    /// The proxy's URL.
    pub fn proxy(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// What a host was asked so far: method and target, a line each.
    pub fn asked(&self, host: &str) -> Vec<String> {
        let requests = self.state.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let of_host = requests.iter().filter(|r| r.host == host);
        of_host.map(|r| format!("{} {}", r.method, r.target)).collect()
    }
}

/// A service of the machine: a metadata server.
pub struct Near {
    port: u16,
}

impl Near {
    /// Starts one.
    pub fn serve(server: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Near {
        let port = listen(move |stream| {
            let mut reader = BufReader::new(stream.try_clone()?);
            let mut stream = stream;
            let Some(request) = read(&mut reader, "near")? else { return Ok(()) };
            write(&mut stream, &server(&request), &request)
        });
        Near { port }
    }

    /// `127.0.0.1:port`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:port` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }
}

fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("an address").port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            // A client that goes away in the middle is its own test's concern.
            std::thread::spawn(move || drop(serve(stream)));
        }
    });
    port
}

impl State {
    fn connected(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
        let host = head.target.trim_end_matches(":443").to_owned();
        let server = self.servers.lock().unwrap_or_else(PoisonError::into_inner).get(&host).cloned();
        let Some(server) = server.filter(|_| head.method == "CONNECT") else {
            return stream.write_all(b"HTTP/1.1 502 No such host\r\nContent-Length: 0\r\n\r\n");
        };
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let connection = ServerConnection::new(Arc::clone(&self.tls)).expect("TLS");
        let mut reader = BufReader::new(StreamOwned::new(connection, stream));
        let Some(request) = read(&mut reader, &host)? else { return Ok(()) };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let mut stream = reader.into_inner();
        write(&mut stream, &server(&request), &request)?;
        stream.conn.send_close_notify();
        stream.flush()
    }
}

fn read(reader: &mut impl io::BufRead, host: &str) -> io::Result<Option<Request>> {
    let Some(head) = Head::read(reader)? else { return Ok(None) };
    let mut body = Vec::new();
    if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    } else {
        let length = head.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        reader.take(length).read_to_end(&mut body)?;
    }
    let Head { method, target, lines } = head;
    Ok(Some(Request { host: host.to_owned(), method, target, lines, body }))
}

fn write(stream: &mut impl Write, reply: &Reply, request: &Request) -> io::Result<()> {
    match reply {
        Reply::Forward(port) => stream.write_all(&forwarded(*port, request)?)?,
        Reply::Answer { status, headers, body, cut } => {
            let own = headers.iter().any(|line| line.to_ascii_lowercase().starts_with("content-length:"));
            let length = if own { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
            let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
            write!(stream, "HTTP/1.1 {status} Test\r\n{length}Connection: close\r\n{headers}\r\n")?;
            if request.method != "HEAD" {
                stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])?;
            }
        }
    }
    stream.flush()
}

fn forwarded(port: u16, request: &Request) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect(("127.0.0.1", port))?;
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    let dropped = ["connection", "transfer-encoding", "content-length"];
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    for line in request.lines.iter().filter(|line| !dropped.contains(&name(line).as_str())) {
        head += &format!("{line}\r\n");
    }
    head += &format!(
        "X-Forwarded-Proto: https\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        request.body.len()
    );
    upstream.write_all(head.as_bytes())?;
    upstream.write_all(&request.body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Makes a CA and a certificate of it for all hosts.
fn certify(directory: &Path, hosts: &[&str]) {
    let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
    let names = if names.is_empty() { "DNS:none.example".to_owned() } else { names.join(",") };
    let script = format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=e2e \
           -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem\n\
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=leaf \
           -keyout leaf.key -out leaf.csr\n\
         printf 'subjectAltName=%s\\n' '{names}' > leaf.ext\n\
         openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem"
    );
    run_ok(Command::new("sh").args(["-euc", &script]).current_dir(directory));
}

fn tls(directory: &Path) -> ServerConfig {
    let text = |name: &str| fs::read(directory.join(name)).expect("openssl wrote it");
    let certificate = CertificateDer::from_pem_slice(&text("leaf.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&text("leaf.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key")
}
