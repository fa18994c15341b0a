//! Image references (distribution's `reference` package: its grammar, and the normalisation
//! that gives Docker Hub's short names their long form).

use std::fmt;
use std::str::FromStr;

/// Longest repository name, in bytes.
const REPOSITORY_LIMIT: usize = 255;
/// Longest tag, in bytes.
const TAG_LIMIT: usize = 128;
/// Digest algorithms and how many hexadecimal digits each has.
const DIGESTS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

const HUB: &str = "docker.io";
/// What Docker Hub was called before.
const OLD_HUB: &str = "index.docker.io";
/// All of Docker Hub's names.
const HUB_NAMES: [&str; 3] = [HUB, OLD_HUB, "registry-1.docker.io"];
/// Docker Hub's namespace of images named by one word.
const HUB_LIBRARY: &str = "library";
const DEFAULT_TAG: &str = "latest";

/// An image reference, `[host/]repository[:tag][@digest]`, with Docker Hub's short names resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    /// There is no repository.
    #[error("it names no repository")]
    Empty,
    /// It begins with `http://` or the like.
    #[error("it is a URL; leave out what is before the host")]
    Url,
    /// The host is no host name or address, or its port is no number.
    #[error("'host[:port]' before the first '/' is no host name or address")]
    Host,
    /// The repository has upper case letters.
    #[error("the repository has upper case letters")]
    UpperCase,
    /// The repository holds other characters, or separators where none may be.
    #[error(
        "the repository may hold lower case letters and digits, and between them '.', '_', '__', '-' and '/'"
    )]
    Repository,
    /// The repository is too long.
    #[error("the repository is longer than {REPOSITORY_LIMIT} bytes")]
    TooLong,
    /// 64 hexadecimal digits mean an image's id, which no registry knows.
    #[error("it is an image's id, not a name")]
    Id,
    /// The tag is empty, too long, or holds other characters.
    #[error(
        "the tag must be 1 to {TAG_LIMIT} letters, digits, '_', '.' and '-', the first a letter, digit or '_'"
    )]
    Tag,
    /// The digest is none.
    #[error(
        "the digest must be 'sha256:' and 64 hexadecimal digits in lower case, or sha384 or sha512 alike"
    )]
    Digest,
}

impl Reference {
    /// `host[:port]`; `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in its registry, such as `library/debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where the text had neither tag nor digest, unless it was taken away.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, with its algorithm.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The same repository, by digest and without a tag.
    #[must_use]
    pub fn clone_with_digest(&self, digest: String) -> Self {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The repository alone, which stands for no image.
    #[must_use]
    pub fn clone_untagged(&self) -> Self {
        Reference { tag: None, digest: None, ..self.clone() }
    }

    /// The same repository, by a tag and without a digest.
    ///
    /// # Errors
    /// [`ParseReferenceError::Tag`]
    pub fn clone_with_tag(&self, tag: &str) -> Result<Self, ParseReferenceError> {
        format!("{}/{}:{tag}", self.registry, self.repository).parse()
    }

    /// The same tag and digest in another repository, whose name must be a right one.
    #[must_use]
    pub fn clone_at(&self, registry: &str, repository: &str) -> Self {
        Reference { registry: registry.to_owned(), repository: repository.to_owned(), ..self.clone() }
    }

    /// All of it as text.
    pub fn whole(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("://") {
            return Err(ParseReferenceError::Url);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash is a port's.
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].split_once(':') {
            Some((end, tag)) => (&rest[..last + end.len()], Some(tag)),
            None => (rest, None),
        };
        let (registry, repository) = split_name(name)?;
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ParseReferenceError::Tag);
        }
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(ParseReferenceError::Digest);
        }
        let tag = tag.or(if digest.is_none() { Some(DEFAULT_TAG) } else { None });
        Ok(Reference { registry, repository, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }
}

/// Whether two names mean the same registry: Docker Hub has several.
pub fn is_same_registry(a: &str, b: &str) -> bool {
    let is_hub = |name: &str| HUB_NAMES.iter().any(|hub| hub.eq_ignore_ascii_case(name));
    a.eq_ignore_ascii_case(b) || (is_hub(a) && is_hub(b))
}

/// Parts `host[:port][/prefix]`, the name of a place that holds repositories; the prefix has no
/// slash at its end.
///
/// # Errors
/// [`ParseReferenceError`]
pub fn registry_and_prefix(text: &str) -> Result<(&str, &str), ParseReferenceError> {
    let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
    let prefix = prefix.trim_end_matches('/');
    if !is_host_and_port(host) {
        return Err(ParseReferenceError::Host);
    }
    if !prefix.is_empty() {
        check_repository(prefix)?;
    }
    Ok((host, prefix))
}

/// Host and repository of a name (`splitDockerDomain`). A first part with upper case letters is a
/// host: no repository can begin so.
fn split_name(name: &str) -> Result<(String, String), ParseReferenceError> {
    let is_host = |word: &str| {
        word == "localhost" || word.contains(['.', ':']) || word.bytes().any(|b| b.is_ascii_uppercase())
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path),
        _ => (HUB, name),
    };
    if !is_host_and_port(host) {
        return Err(ParseReferenceError::Host);
    }
    check_repository(path)?;
    if path == name && is_hex(path, 64) {
        return Err(ParseReferenceError::Id);
    }
    let host = if host == OLD_HUB { HUB } else { host };
    let short = host == HUB && !path.contains('/');
    let repository = if short { format!("{HUB_LIBRARY}/{path}") } else { path.to_owned() };
    if repository.len() > REPOSITORY_LIMIT {
        return Err(ParseReferenceError::TooLong);
    }
    Ok((host.to_owned(), repository))
}

/// `domain`: a name or an address, IPv6 in brackets, with a port perhaps.
fn is_host_and_port(text: &str) -> bool {
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (is_host, port) = match in_brackets {
        Some((address, port)) => (address.parse::<std::net::Ipv6Addr>().is_ok(), port),
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (text[..end].split('.').all(is_label), &text[end..])
        }
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit());
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// `domain-component`
fn is_label(label: &str) -> bool {
    let inside = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    inside && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
}

/// `remote-name`
fn check_repository(path: &str) -> Result<(), ParseReferenceError> {
    if path.is_empty() {
        return Err(ParseReferenceError::Empty);
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ParseReferenceError::UpperCase);
    }
    if path.split('/').all(is_path_component) { Ok(()) } else { Err(ParseReferenceError::Repository) }
}

/// `path-component`: letters and digits, with one `.`, one or two `_`, or any number of `-`
/// between them.
fn is_path_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let mut separators = bytes.split(|b| is_word(*b));
    let is_separator = |s: &[u8]| matches!(s, b"." | b"_" | b"__") || s.iter().all(|b| *b == b'-');
    ends.iter().all(|end| end.is_some_and(|b| is_word(*b))) && separators.all(is_separator)
}

/// `tag`
fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let first = tag.bytes().next().is_some_and(is_word);
    first && tag.len() <= TAG_LIMIT && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'))
}

/// A digest of one of the registered algorithms (OCI image specification, descriptor, "Digests").
fn is_digest(digest: &str) -> bool {
    let parts = digest.split_once(':');
    parts.is_some_and(|(name, hex)| {
        DIGESTS.iter().any(|(known, length)| name == *known && is_hex(hex, *length))
    })
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
