//! A web server on a loopback port: pages that a test made, and git repositories by git's own
//! program for web servers.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use crate::command::run_ok;
use crate::http::Head;
use crate::machine::scratch;

/// What is answered to a path.
#[derive(Debug, Clone)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Header lines.
    pub headers: Vec<String>,
    /// The bytes.
    pub body: Vec<u8>,
    /// How often the connection is closed half way.
    pub cut: usize,
    /// The `Authorization` header without which it is not shown.
    pub authorization: Option<String>,
}

impl Page {
    /// A page of these bytes.
    pub fn of(body: impl Into<Vec<u8>>) -> Page {
        Page { status: 200, headers: Vec::new(), body: body.into(), cut: 0, authorization: None }
    }

    /// A page that leads elsewhere.
    pub fn redirect(to: &str) -> Page {
        Page { status: 302, ..Page::of("") }.header("Location", to)
    }

    /// Shows it only to who sends this `Authorization` header.
    pub fn private(self, authorization: &str) -> Page {
        Page { authorization: Some(authorization.to_owned()), ..self }
    }

    /// Whether who asks has the page already, as its headers `ETag` and `Last-Modified` tell.
    fn is_known(&self, head: &Head) -> bool {
        let own = |name: &str| self.headers.iter().find_map(|h| h.strip_prefix(name)?.strip_prefix(": "));
        match (head.header("if-none-match"), head.header("if-modified-since")) {
            (Some(known), _) => own("ETag").is_some_and(|tag| known.split(", ").any(|k| k == tag)),
            (None, Some(time)) => own("Last-Modified") == Some(time),
            (None, None) => false,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Page {
        self.headers.push(format!("{name}: {value}"));
        self
    }
}

/// The server; it remembers what it was asked.
pub struct WebServer {
    port: u16,
    state: Arc<State>,
}

struct State {
    pages: Mutex<BTreeMap<String, Page>>,
    /// Git repositories, bare, by name.
    repositories: TempDir,
    /// `user:password` that repositories ask for.
    password: Option<String>,
    requests: Mutex<Vec<String>>,
    answers: Mutex<Vec<String>>,
}

impl WebServer {
    /// Starts one whose repositories are for everybody.
    pub fn start() -> WebServer {
        Self::with(None)
    }

    /// Starts one whose repositories are for `user:password`.
    pub fn with_password(password: &str) -> WebServer {
        Self::with(Some(password.to_owned()))
    }

    fn with(password: Option<String>) -> WebServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            pages: Mutex::default(),
            repositories: scratch(),
            password,
            requests: Mutex::default(),
            answers: Mutex::default(),
        });
        let server = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = Arc::clone(&server);
                std::thread::spawn(move || {
                    // A client that goes away in the middle is its own test's concern.
                    let _ = server.serve(stream);
                });
            }
        });
        WebServer { port, state }
    }

    /// Adds a page.
    pub fn page(&self, path: &str, page: Page) -> &WebServer {
        let mut pages = self.state.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.insert(path.to_owned(), page);
        drop(pages);
        self
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// `127.0.0.1:port`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What was asked: method, target and the `Authorization` header, a line each.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was answered since this was asked last: status and path, a line each, in the order of the paths.
    pub fn answers(&self) -> Vec<String> {
        let mut answers = self.state.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = std::mem::take(&mut *answers);
        answers.sort_by_key(|line| line.split_once(' ').map(|(_, path)| path.to_owned()));
        answers
    }

    /// Makes a repository by a shell script that runs in an empty one; the URL of the result.
    pub fn repository(&self, name: &str, script: &str) -> String {
        let work = scratch();
        shell(work.path(), &format!("git init -q -b main .\n{script}"));
        let bare = self.state.repositories.path().join(name);
        let mut clone = Command::new("git");
        clone.args(["clone", "-q", "--bare"]).arg(work.path()).arg(&bare);
        run_ok(&mut clone);
        self.url(&format!("/git/{name}"))
    }

    /// Where a repository is on this machine.
    pub fn repository_path(&self, name: &str) -> PathBuf {
        self.state.repositories.path().join(name)
    }
}

/// Runs a script with a git identity and no settings of this machine.
fn shell(directory: &Path, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(directory);
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@example.com"),
        ("GIT_COMMITTER_NAME", "c"),
        ("GIT_COMMITTER_EMAIL", "c@example.com"),
        ("GIT_AUTHOR_DATE", "2001-02-03T04:05:06Z"),
        ("GIT_COMMITTER_DATE", "2001-02-03T04:05:06Z"),
    ] {
        command.env(name, value);
    }
    run_ok(&mut command);
}

impl State {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
        let authorization = head.header("authorization").unwrap_or_default().to_owned();
        let line = format!("{} {} {authorization}", head.method, head.target);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(line.trim_end().to_owned());
        if let Some(path) = head.target.strip_prefix("/git/") {
            let wanted = self.password.as_ref().map(|p| format!("Basic {}", STANDARD.encode(p)));
            if wanted.is_some_and(|wanted| wanted != authorization) {
                let page = Page { status: 401, ..Page::of("who are you?") };
                return write_page(stream, &page.header("WWW-Authenticate", "Basic realm=\"git\""), 0);
            }
            return self.git(path, &head, &mut reader, stream);
        }
        let path = head.target.split('?').next().unwrap_or_default();
        let page = {
            let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
            let found = pages.get(path).cloned();
            if let Some(page) = pages.get_mut(path) {
                page.cut = page.cut.saturating_sub(1);
            }
            found
        };
        let page = page.unwrap_or_else(|| Page { status: 404, ..Page::of("no such page") });
        if page.authorization.as_ref().is_some_and(|wanted| *wanted != authorization) {
            return write_page(stream, &Page { status: 401, ..Page::of("who are you?") }, 0);
        }
        let page = if page.is_known(&head) { Page { status: 304, body: Vec::new(), ..page } } else { page };
        let answer = format!("{} {path}", page.status);
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        let range =
            head.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        write_page(stream, &page, range.unwrap_or(0))
    }

    /// Hands a request to `git http-backend` as a web server does (RFC 3875).
    fn git(
        &self,
        path: &str,
        head: &Head,
        reader: &mut BufReader<TcpStream>,
        mut stream: TcpStream,
    ) -> io::Result<()> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = body(head, reader)?;
        let mut backend = Command::new("git");
        backend
            .args(["-c", "safe.directory=*", "-c", "uploadpack.allowAnySHA1InWant=true", "http-backend"])
            .env("GIT_PROJECT_ROOT", self.repositories.path())
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", &head.method)
            .env("PATH_INFO", format!("/{path}"))
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", head.header("content-type").unwrap_or_default())
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", head.header("content-encoding").unwrap_or_default())
            .env("GIT_PROTOCOL", head.header("git-protocol").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = backend.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(&body)?;
        }
        let output = child.wait_with_output()?.stdout;
        let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(output.len());
        let headers = String::from_utf8_lossy(&output[..end]).into_owned();
        let status = headers.lines().find_map(|l| l.strip_prefix("Status: ")).unwrap_or("200 OK");
        let rest = output.get(end + 4..).unwrap_or_default();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n\r\n",
            rest.len()
        )?;
        stream.write_all(rest)
    }
}

/// The body of a request, in chunks or whole.
fn body(head: &Head, reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.header("transfer-encoding").is_some_and(|e| e.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            reader.by_ref().take(size).read_to_end(&mut body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let size = head.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    reader.take(size).read_to_end(&mut body)?;
    Ok(body)
}

/// Sends a page from a byte on, half of it if the page is one to be cut.
fn write_page(mut stream: TcpStream, page: &Page, from: usize) -> io::Result<()> {
    let ranged = from > 0 && page.status == 200;
    let rest = if ranged { &page.body[from..] } else { &page.body };
    let status = if ranged { 206 } else { page.status };
    write!(stream, "HTTP/1.1 {status} Test\r\nConnection: close\r\nContent-Length: {}\r\n", rest.len())?;
    if ranged {
        let (last, all) = (page.body.len() - 1, page.body.len());
        write!(stream, "Content-Range: bytes {from}-{last}/{all}\r\n")?;
    }
    for header in &page.headers {
        write!(stream, "{header}\r\n")?;
    }
    let sent = if page.cut > 0 { rest.len() / 2 } else { rest.len() };
    stream.write_all(b"\r\n")?;
    stream.write_all(&rest[..sent])
}
