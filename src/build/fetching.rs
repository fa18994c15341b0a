//! Build secrets that are for servers of files and repositories, known by their names (BuildKit,
//! `source/git/source.go` and `source/http/source.go`).

use crate::config::{FetchConfig, GitCredential, GitSecret, HttpAuthorization, StepSecret};

use super::Error;
use super::mounts::read_secret;

/// The user name that goes with a token alone, BuildKit's.
const TOKEN_USER: &str = "x-access-token";

/// Whom a secret is shown to, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// `GIT_AUTH_HEADER[.host[:port]]`, a whole header.
    GitHeader(Option<String>),
    /// `GIT_AUTH_TOKEN[.host[:port]]`, a password.
    GitToken(Option<String>),
    /// `HTTP_AUTH_TOKEN_host`, a bearer token.
    HttpToken(String),
    /// `HTTP_AUTH_HEADER_host`, a whole header.
    HttpHeader(String),
}

impl Purpose {
    /// What a name says; absent for a secret that is for steps only.
    fn of(id: &str) -> Option<Purpose> {
        let git = |name: &str| match id.strip_prefix(name)? {
            "" => Some(None),
            rest => rest.strip_prefix('.').filter(|host| !host.is_empty()).map(|h| Some(h.to_owned())),
        };
        let http = |prefix: &str| id.strip_prefix(prefix).filter(|host| !host.is_empty()).map(bracketed);
        let found = git("GIT_AUTH_HEADER").map(Purpose::GitHeader);
        let found = found.or_else(|| git("GIT_AUTH_TOKEN").map(Purpose::GitToken));
        let found = found.or_else(|| http("HTTP_AUTH_TOKEN_").map(Purpose::HttpToken));
        found.or_else(|| http("HTTP_AUTH_HEADER_").map(Purpose::HttpHeader))
    }
}

/// A host without a port as URLs write it: IPv6 addresses in brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// How this build fetches: as configured, and with its secrets that are for servers. These come
/// first, for they were given for this build by name.
///
/// # Errors
/// Such a secret cannot be read, or cannot be part of a header.
pub(super) fn config(configured: &FetchConfig, given: &[StepSecret]) -> Result<FetchConfig, Error> {
    // The last of a name wins, as for steps.
    let last = |at: usize, id: &str| !given[at + 1..].iter().any(|later| later.id == id);
    let mut found = Vec::new();
    for (at, secret) in given.iter().enumerate() {
        if let Some(purpose) = Purpose::of(&secret.id).filter(|_| last(at, &secret.id)) {
            found.push((purpose, line(&secret.id, read_secret(secret)?)?));
        }
    }
    // BuildKit's order where there are both: git's header, and the token of a file.
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (mut git_credentials, mut http_authorizations) = (Vec::new(), Vec::new());
    for (purpose, value) in found {
        match purpose {
            Purpose::GitHeader(host) => {
                git_credentials.push(GitCredential { host, secret: GitSecret::Header(value) });
            }
            Purpose::GitToken(host) => {
                let secret = GitSecret::Basic { username: TOKEN_USER.to_owned(), password: value };
                git_credentials.push(GitCredential { host, secret });
            }
            Purpose::HttpToken(host) => {
                http_authorizations.push(HttpAuthorization { host, value: format!("Bearer {value}") });
            }
            Purpose::HttpHeader(host) => http_authorizations.push(HttpAuthorization { host, value }),
        }
    }
    let mut fetching = configured.clone();
    git_credentials.append(&mut fetching.git_credentials);
    http_authorizations.append(&mut fetching.http_authorizations);
    Ok(FetchConfig { git_credentials, http_authorizations, ..fetching })
}

/// A secret as part of a header. The line break that editors leave at the end is none of it; within
/// it one would begin another header, or another answer to `git`.
fn line(id: &str, content: Vec<u8>) -> Result<String, Error> {
    let text = String::from_utf8(content).unwrap_or_default();
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Error::Other {
            message: format!("the secret '{id}' is shown to servers, and is not one line of ASCII text"),
            help: Some("give the token or header alone, or rename a secret that is for steps".to_owned()),
        });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
