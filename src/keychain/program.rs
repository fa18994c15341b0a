//! Credential helper programs (docker-credential-helpers protocol): the server's name on
//! standard input of `docker-credential-<name> get`, a JSON object on its standard output.

use std::io::{ErrorKind, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{KeychainError, Secret};
use crate::run::program::{Waited, collect, wait};
use crate::run::spawn;

/// Helpers may ask a cloud's metadata service, but none needs longer.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(30);
/// A cloud's tokens have some kilobytes.
const OUTPUT_LIMIT: u64 = 256 << 10;
/// What the protocol says for "I know nothing about this server".
const NOT_FOUND: &str = "credentials not found";
/// The user name that says the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a helper program; none means that it knows nothing about the server. It has our environment
/// but for the variables that are `withheld`.
pub(super) fn ask(
    name: &str,
    program: &str,
    server: &str,
    withheld: &[String],
    limit: Duration,
) -> Result<Option<Secret>, KeychainError> {
    let io = |source| KeychainError::HelperIo { name: name.to_owned(), program: program.to_owned(), source };
    let mut command = Command::new(program);
    for name in withheld {
        command.env_remove(name);
    }
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command).map_err(|source| match source.kind() {
        ErrorKind::NotFound => KeychainError::HelperMissing {
            name: name.to_owned(),
            program: program.to_owned(),
            server: server.to_owned(),
        },
        _ => io(source),
    })?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that ends without reading says by its status what it thinks.
        if let Err(e) = input.write_all(server.as_bytes())
            && e.kind() != ErrorKind::BrokenPipe
        {
            return Err(io(e));
        }
    }
    let stdout = collect(child.stdout.take(), OUTPUT_LIMIT);
    let stderr = collect(child.stderr.take(), OUTPUT_LIMIT);
    let deadline = Instant::now() + limit;
    let timeout = || KeychainError::HelperTimeout {
        program: program.to_owned(),
        server: server.to_owned(),
        seconds: limit.as_secs(),
    };
    let Waited::Ended(status) = wait(&mut child, deadline, &|| false).map_err(io)? else {
        child.kill().and_then(|()| child.wait()).map_err(io)?;
        return Err(timeout());
    };
    // What the helper left running may hold the pipes open.
    let left = || deadline.saturating_duration_since(Instant::now());
    let stdout = stdout.recv_timeout(left()).map_err(|_| timeout())?;
    let stderr = stderr.recv_timeout(left()).unwrap_or_default();
    judge(program, server, status, &stdout, &stderr)
}

fn judge(
    program: &str,
    server: &str,
    status: ExitStatus,
    stdout: &[u8],
    stderr: &[u8],
) -> Result<Option<Secret>, KeychainError> {
    if !status.success() {
        let said = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
        if said(stdout).to_ascii_lowercase().contains(NOT_FOUND) {
            return Ok(None);
        }
        // Standard output may hold half an answer, secret included, if it starts as one.
        let words = match (said(stderr), said(stdout)) {
            (err, _) if !err.is_empty() => err,
            (_, out) if !out.starts_with('{') && !out.is_empty() => out,
            _ => "it said nothing".to_owned(),
        };
        return Err(KeychainError::HelperFailed {
            program: program.to_owned(),
            server: server.to_owned(),
            status: status.to_string(),
            message: words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect(),
        });
    }
    let wrong = || KeychainError::HelperAnswer { program: program.to_owned(), server: server.to_owned() };
    let answer: Answer = serde_json::from_slice(stdout).map_err(|_| wrong())?;
    match (answer.username, answer.secret) {
        (_, secret) if secret.is_empty() => Ok(None),
        (user, secret) if user == TOKEN_USER => Ok(Some(Secret::Identity(secret))),
        (username, password) => Ok(Some(Secret::Basic { username, password })),
    }
}
