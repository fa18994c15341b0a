//! What a source text names: a file of a web server, a git repository, or something here
//! (BuildKit, `dfgitutil.ParseGitRef` and `isHTTPSource`).

use reqwest::Url;

use super::git::GitSource;
use super::{Checksum, git};

/// What a file is called whose URL has no name in it (BuildKit, `dispatchCopy`).
const UNNAMED: &str = "__unnamed__";

/// A source that is not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A file of a web server.
    Url(UrlSource),
    /// A git repository.
    Git(GitSource),
}

/// A file of a web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlSource {
    /// Where it is; may hold credentials.
    pub url: Url,
    /// What it is called: the last part of the path.
    pub name: String,
    /// What it must hash to.
    pub checksum: Option<Checksum>,
}

/// Why a text that names something elsewhere cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseRemoteError {
    /// What is wrong, one sentence.
    pub reason: String,
}

impl ParseRemoteError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        ParseRemoteError { reason: reason.into() }
    }
}

impl Remote {
    /// Reads a source; none if it is a path.
    ///
    /// # Errors
    /// [`ParseRemoteError`]: it is a URL, and a wrong one.
    pub fn parse(text: &str) -> Result<Option<Remote>, ParseRemoteError> {
        if let Some(git) = git::parse(text)? {
            return Ok(Some(Remote::Git(git)));
        }
        if !(text.starts_with("http://") || text.starts_with("https://")) {
            return Ok(None);
        }
        let url: Url =
            text.parse().map_err(|e| ParseRemoteError::new(format!("the URL makes no sense: {e}")))?;
        let name = file_name(text)?;
        Ok(Some(Remote::Url(UrlSource { url, name, checksum: None })))
    }
}

impl UrlSource {
    /// The URL for people: without credentials and without the query, which may hold tokens.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// A URL for people: without credentials and without the query, which may hold tokens.
pub(super) fn shown(url: &Url) -> String {
    let mut plain = url.clone();
    let query = plain.query().is_some();
    // Both fail only for URLs that cannot have credentials.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.set_query(None);
    plain.set_fragment(None);
    format!("{plain}{}", if query { "?…" } else { "" })
}

/// The last part of a URL's path, percent signs undone.
fn file_name(text: &str) -> Result<String, ParseRemoteError> {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = percent_decoded(rest.split_once('/').map_or("", |(_, path)| path));
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match name {
        "" | "." => Ok(UNNAMED.to_owned()),
        ".." => Err(ParseRemoteError::new("the URL ends in '..', which is no name for a file")),
        name if name.contains('\0') => {
            Err(ParseRemoteError::new("the file's name would have a zero byte in it"))
        }
        name if name.len() > 255 => Err(ParseRemoteError::new("the file's name would be too long")),
        name => Ok(name.to_owned()),
    }
}

/// Undoes percent signs; what is no UTF-8 after that stays as it was.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = digits.and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_and_what_is_elsewhere() {
        for here in ["", ".", "/a", "a:b", "./x.git", "../x.git", "github.com/a/b", "x.git", "ftp://h/f"] {
            assert_eq!(Remote::parse(here), Ok(None), "{here}");
        }
        for (text, name) in [
            ("https://h/a/b.tar.gz?x=/y#z", "b.tar.gz"),
            ("http://h", UNNAMED),
            ("http://h/", UNNAMED),
            ("http://h/a/", "a"),
            ("http://h/a%20b%2Fc", "c"),
            ("http://h/%zz%4", "%zz%4"),
            ("https://h/foo", "foo"),
            ("https://h/foo.git.bar", "foo.git.bar"),
            ("https://h/foo.git/", "foo.git"),
        ] {
            match Remote::parse(text) {
                Ok(Some(Remote::Url(source))) => assert_eq!(source.name, name, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for wrong in ["http://", "https://h:port/x", "https://h/a/..", "https://h/%00"] {
            assert!(Remote::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        let url: Url = "https://user:pass@h:8443/a?token=1#x".parse().expect("a URL");
        assert_eq!(shown(&url), "https://h:8443/a?…");
    }
}
