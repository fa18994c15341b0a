//! Why connections cannot be made, and what a failed one looks like.

/// Longest piece of somebody else's words that is shown.
const MESSAGE_LIMIT: usize = 500;

/// CA roots or proxies cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct SetupError {
    /// What is wrong, and where.
    pub(crate) problem: String,
}

/// What a failed connection looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionKind {
    /// Refused, reset, timed out, no address.
    Network,
    /// The host's name has no address.
    Name,
    /// The certificate is not trusted.
    Certificate,
    /// The other side does not speak TLS.
    NotTls,
    /// The other side wants a certificate of us, or another one.
    ClientCertificate,
}

/// Text from outside for an error: one line, bounded, without control characters.
pub(crate) fn plain(text: &str) -> String {
    let mut words = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if words.len() > MESSAGE_LIMIT {
            words = words.chars().take(MESSAGE_LIMIT).collect::<String>() + "…";
            break;
        }
    }
    words
}
