//! Versions of a file, and how a server is asked whether one is still there (RFC 9110, 8.8 and 13.1).

use reqwest::RequestBuilder;
use reqwest::header::{DATE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};

use super::http::http_date;
use crate::image::Digest;

/// Most bytes of what a server calls a version.
const LONGEST: usize = 256;
/// Versions that are asked about at once.
const MOST: usize = 8;

/// A version of a file, and what its server said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// What the server calls it, as sent.
    pub etag: Option<String>,
    /// When the server says it was made, as sent.
    pub last_modified: Option<String>,
}

impl Version {
    /// What an answer says of the file in it; none if there is nothing to ask by later.
    pub(super) fn of(digest: Digest, headers: &HeaderMap) -> Option<Version> {
        let etag = text(headers, &ETAG).filter(|tag| is_etag(tag)).map(str::to_owned);
        let last_modified = text(headers, &LAST_MODIFIED).filter(|time| is_settled(time, headers));
        let last_modified = last_modified.map(str::to_owned);
        (etag.is_some() || last_modified.is_some()).then_some(Version { digest, etag, last_modified })
    }
}

/// Asks for a file only if it is none of these versions.
pub(super) fn unless(request: RequestBuilder, known: &[Version]) -> RequestBuilder {
    let tags: Vec<&str> = asked_by_tag(known).filter_map(|v| v.etag.as_deref()).collect();
    if !tags.is_empty() {
        return request.header(IF_NONE_MATCH, tags.join(", "));
    }
    match asked_by_time(known).and_then(|v| v.last_modified.as_deref()) {
        Some(time) => request.header(IF_MODIFIED_SINCE, time),
        None => request,
    }
}

/// Which of the versions that were asked about an answer without a body means; none if that is not
/// certain.
pub(super) fn confirmed<'k>(known: &'k [Version], headers: &HeaderMap) -> Option<&'k Version> {
    let mut by_tag = asked_by_tag(known).peekable();
    if by_tag.peek().is_none() {
        return asked_by_time(known);
    }
    if let Some(tag) = text(headers, &ETAG) {
        return by_tag.find(|v| v.etag.as_deref().is_some_and(|known| opaque(known) == opaque(tag)));
    }
    let first = by_tag.next()?;
    by_tag.all(|other| other.digest == first.digest).then_some(first)
}

fn asked_by_tag(known: &[Version]) -> impl Iterator<Item = &Version> {
    known.iter().filter(|v| v.etag.as_deref().is_some_and(is_etag)).take(MOST)
}

fn asked_by_time(known: &[Version]) -> Option<&Version> {
    known.iter().find(|v| v.last_modified.as_deref().is_some_and(|time| http_date(time).is_some()))
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a text is an entity tag, and not too long to be noted.
fn is_etag(text: &str) -> bool {
    let inner = opaque(text).strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let is_plain = |inner: &str| inner.bytes().all(|b| b == b'!' || (b'#'..=b'~').contains(&b));
    text.len() <= LONGEST && inner.is_some_and(is_plain)
}

/// An entity tag as it is compared here: weak or not, it names the version.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Whether a file cannot have changed again in the second that is named.
fn is_settled(changed: &str, headers: &HeaderMap) -> bool {
    let sent = text(headers, &DATE).and_then(http_date);
    let changed = http_date(changed).filter(|_| changed.len() <= LONGEST);
    matches!((changed, sent), (Some(changed), Some(sent)) if changed.seconds < sent.seconds)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(all: &[(HeaderName, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn version(content: &[u8], etag: Option<&str>, time: Option<&str>) -> Version {
        let [etag, last_modified] = [etag, time].map(|text| text.map(str::to_owned));
        Version { digest: Digest::of(content), etag, last_modified }
    }

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn what_is_noted_of_an_answer() {
        let digest = Digest::of(b"x");
        let of = |all: &[(HeaderName, &'static str)]| Version::of(digest, &headers(all));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(ETAG, "no quotes")]), None);
        assert_eq!(of(&[(ETAG, "W/\"1\"")]).unwrap().etag.as_deref(), Some("W/\"1\""));
        assert_eq!(of(&[(LAST_MODIFIED, THEN)]), None, "nobody says when it was sent");
        assert_eq!(of(&[(LAST_MODIFIED, THEN), (DATE, THEN)]), None, "it may change in the same second");
        let later = of(&[(LAST_MODIFIED, THEN), (DATE, "Sun, 06 Nov 1994 08:49:38 GMT")]).unwrap();
        assert_eq!(later.last_modified.as_deref(), Some(THEN));
    }

    #[test]
    fn which_version_an_answer_means() {
        let (one, two) = (version(b"1", Some("\"1\""), Some(THEN)), version(b"2", Some("\"2\""), None));
        let both = [one.clone(), two.clone()];
        assert_eq!(confirmed(&both, &headers(&[(ETAG, "W/\"2\"")])), Some(&two));
        assert_eq!(confirmed(&both, &headers(&[(ETAG, "\"3\"")])), None);
        assert_eq!(confirmed(&both, &HeaderMap::new()), None, "it may be either");
        assert_eq!(confirmed(&both[..1], &HeaderMap::new()), Some(&one));
        let timed = [version(b"3", None, Some(THEN))];
        assert_eq!(confirmed(&timed, &HeaderMap::new()), Some(&timed[0]));
    }

    #[test]
    fn a_note_from_elsewhere_cannot_make_another_request() {
        for odd in ["*", "\"a\r\nX: y\"", "\"a\", \"b\"", "\"", "a"] {
            assert!(!is_etag(odd), "{odd}");
        }
    }
}
