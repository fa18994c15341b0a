//! What clouds check in requests: signatures with keys, and statements signed by service accounts.
//! Written from the clouds' own descriptions, not from the program.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::command::run_ok;
use crate::internet::Request;
use crate::machine::scratch;

/// Keys of Amazon's.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Key id.
    pub id: String,
    /// Secret key.
    pub secret: String,
    /// Session token that must come along.
    pub token: Option<String>,
}

impl Signed {
    /// Keys without a session.
    pub fn with(id: &str, secret: &str, token: Option<&str>) -> Signed {
        Signed { id: id.to_owned(), secret: secret.to_owned(), token: token.map(str::to_owned) }
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a request is signed with these keys for a region and a service (Amazon's "Signature
/// Version 4 signing process").
pub fn sigv4_is_right(request: &Request, keys: &Signed, region: &str, service: &str) -> bool {
    let part = |name: &str| {
        let header = request.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
        header.split(',').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let (Some(credential), Some(signed), Some(signature)) =
        (part("Credential"), part("SignedHeaders"), part("Signature"))
    else {
        return false;
    };
    let (Some(date), Some(payload)) = (request.header("x-amz-date"), request.header("x-amz-content-sha256"))
    else {
        return false;
    };
    let scope = format!("{}/{region}/{service}/aws4_request", &date[..8]);
    let names: Vec<&str> = signed.split(';').collect();
    let covered = ["host", "x-amz-date", "x-amz-content-sha256"].iter().all(|name| names.contains(name));
    let token = request.header("x-amz-security-token");
    let token_is_right =
        token == keys.token.as_deref() && (token.is_none() || names.contains(&"x-amz-security-token"));
    let payload_is_right = payload == hex(&Sha256::digest(&request.body));
    if credential != format!("{}/{scope}", keys.id) || !covered || !token_is_right || !payload_is_right {
        return false;
    }
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let mut pairs: Vec<String> =
        query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned).collect();
    pairs.iter_mut().filter(|pair| !pair.contains('=')).for_each(|pair| pair.push('='));
    pairs.sort();
    let headers: String =
        names.iter().map(|name| format!("{name}:{}\n", request.header(name).unwrap_or_default())).collect();
    let canonical =
        format!("{}\n{path}\n{}\n{headers}\n{signed}\n{payload}", request.method, pairs.join("&"));
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for piece in [&date[..8], region, service, "aws4_request"] {
        key = mac(&key, piece);
    }
    signature == hex(&mac(&key, &text))
}

/// Whether a request is signed with an account's key (Azure's "Authorize with Shared Key").
pub fn shared_key_is_right(request: &Request, account: &str, key: &str) -> bool {
    let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
    let length = header("content-length");
    let mut text = format!("{}\n", request.method);
    for value in [
        header("content-encoding"),
        header("content-language"),
        if length == "0" { String::new() } else { length },
        header("content-md5"),
        header("content-type"),
        header("date"),
        header("if-modified-since"),
        header("if-match"),
        header("if-none-match"),
        header("if-unmodified-since"),
        header("range"),
    ] {
        text += &format!("{value}\n");
    }
    let mut own: Vec<(String, String)> = request
        .lines
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .collect();
    own.sort();
    own.iter().for_each(|(name, value)| text += &format!("{name}:{value}\n"));
    text += &format!("/{account}{}", request.path());
    assert!(!request.target.contains('?'), "no test asks with a query");
    let signature = STANDARD.encode(mac(&STANDARD.decode(key).expect("base64"), &text));
    header("authorization") == format!("SharedKey {account}:{signature}")
}

/// A service account's key.
pub struct ServiceKey {
    directory: TempDir,
}

impl ServiceKey {
    /// Makes one.
    pub fn new() -> ServiceKey {
        let directory = scratch();
        let script = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem\n\
                      openssl pkey -in key.pem -pubout -out public.pem";
        run_ok(Command::new("sh").args(["-euc", script]).current_dir(directory.path()));
        ServiceKey { directory }
    }

    /// Writes the file that Google hands out.
    pub fn file(&self, email: &str) -> PathBuf {
        let key = fs::read_to_string(self.directory.path().join("key.pem")).expect("openssl wrote it");
        let json = serde_json::json!({
            "type": "service_account", "project_id": "p", "private_key_id": "id", "private_key": key,
            "client_email": email, "client_id": "1", "token_uri": "https://oauth2.googleapis.com/token",
        });
        let path = self.directory.path().join("account.json");
        fs::write(&path, json.to_string()).expect("written");
        path
    }

    /// The claims of a statement that this key signed; none if it did not.
    pub fn claims(&self, statement: &str) -> Option<serde_json::Value> {
        let (signed, signature) = statement.rsplit_once('.')?;
        let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1)?).ok()?;
        let path = self.directory.path().join(format!("{}.sig", hex(&Sha256::digest(statement.as_bytes()))));
        fs::write(&path, URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let text = path.with_extension("txt");
        fs::write(&text, signed).ok()?;
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-verify"]).arg(self.directory.path().join("public.pem"));
        let status = openssl.arg("-signature").arg(&path).arg(&text).stdout(Stdio::null()).status().ok()?;
        status.success().then(|| serde_json::from_slice(&claims).ok()).flatten()
    }
}

impl Default for ServiceKey {
    fn default() -> Self {
        ServiceKey::new()
    }
}
