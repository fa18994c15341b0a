//! A server of registry tokens (the distribution project's "token authentication"), signing
//! with a key that it makes at the start.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tempfile::TempDir;

use crate::command::run_ok;
use crate::http::{Head, answer};
use crate::machine::scratch;
use crate::registry::{IDENTITY, PASSWORD, USER};

/// Gives tokens to who knows the account's password or its identity token, for the scopes that were asked for, and
/// remembers them. Nobody else gets any scope.
pub struct TokenServer {
    directory: TempDir,
    port: u16,
    scopes: Arc<Mutex<Vec<Vec<String>>>>,
}

impl TokenServer {
    /// Starts one on a loopback port.
    pub fn start() -> TokenServer {
        Self::with_life(300)
    }

    /// Starts one whose tokens are good for two seconds, though it says that they are for minutes.
    /// The registry's clock may be a minute wrong (distribution's `registry/auth/token`).
    pub fn forgetful() -> TokenServer {
        Self::with_life(-58)
    }

    fn with_life(life: i64) -> TokenServer {
        let directory = scratch();
        let (key, certificate) = (directory.path().join("key"), directory.path().join("cert"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=e2e"]);
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        run_ok(&mut openssl);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("an address").port();
        let scopes = Arc::new(Mutex::new(Vec::new()));
        let signer = Signer { key, certificate, life };
        let remembered = Arc::clone(&scopes);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away in the middle is its own test's concern.
                let _ = signer.serve(stream, &remembered);
            }
        });
        TokenServer { directory, port, scopes }
    }

    /// Where tokens are asked for.
    pub fn realm(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// The certificate that a registry checks signatures with.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert")
    }

    /// The scopes of each request so far, such as `repository:app:pull,push`.
    pub fn requested_scopes(&self) -> Vec<Vec<String>> {
        self.scopes.lock().expect("no thread panicked").clone()
    }
}

struct Signer {
    key: PathBuf,
    certificate: PathBuf,
    /// Seconds until a token's end.
    life: i64,
}

impl Signer {
    fn serve(&self, stream: TcpStream, remembered: &Mutex<Vec<Vec<String>>>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
        let mut stream = stream;
        let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let form = form(&head, &mut reader)?;
        let field = |name: &str| form.query(name).into_iter().next();
        let known = match head.header("authorization") {
            None if head.method == "POST" => field("refresh_token").as_deref() == Some(IDENTITY),
            None => false,
            Some(value) if value == expected => true,
            Some(_) => return answer(&mut stream, 401, "", "{\"details\":\"wrong password\"}"),
        };
        // Several scopes come as parameters of their own or in one, separated by spaces.
        let scopes: Vec<String> = [head.query("scope"), form.query("scope")]
            .concat()
            .iter()
            .flat_map(|scope| scope.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        remembered.lock().expect("no thread panicked").push(scopes.clone());
        let token = self.token(if known { &scopes } else { &[] });
        let body = json!({"token": token, "access_token": token, "expires_in": 300}).to_string();
        answer(&mut stream, 200, "Content-Type: application/json\r\n", &body)
    }

    /// A JSON web token as the distribution project's `docs/spec/auth/jwt.md` has it.
    fn token(&self, scopes: &[String]) -> String {
        let access: Vec<_> = scopes.iter().map(|scope| access(scope)).collect();
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let now = clock.as_secs();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der(&self.certificate)]});
        let claims = json!({
            "iss": "e2e", "sub": USER, "aud": "e2e", "jti": clock.as_nanos().to_string(),
            "iat": now - 100, "nbf": now - 100, "exp": now as i64 + self.life, "access": access,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(&self.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl starts");
        let mut input = openssl.stdin.take().expect("piped");
        input.write_all(bytes).expect("openssl reads it");
        drop(input);
        openssl.wait_with_output().expect("openssl ends").stdout
    }
}

/// The fields of a request's body, as those of a query.
fn form(head: &Head, reader: &mut impl Read) -> std::io::Result<Head> {
    let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    Ok(Head { target: format!("/?{body}"), ..head.clone() })
}

fn access(scope: &str) -> serde_json::Value {
    let (kind, rest) = scope.split_once(':').expect("a scope is type:name:actions");
    let (name, actions) = rest.rsplit_once(':').expect("a scope is type:name:actions");
    let actions: Vec<_> = actions.split(',').collect();
    json!({"type": kind, "name": name, "actions": actions})
}

fn der(certificate: &Path) -> String {
    let pem = fs::read_to_string(certificate).expect("the certificate is readable");
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}
