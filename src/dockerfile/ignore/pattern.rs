//! One pattern, compiled. The way a pattern becomes a regular expression has its quirks (stars
//! in brackets, letters after a backslash), and images depend on them: it follows
//! patternmatcher's `compile` character by character.

use super::go_regex;
use regex::Regex;
use std::borrow::Cow;

/// How a pattern is matched.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// No wildcards.
    Exact(String),
    /// `text**`
    Prefix(String),
    /// `**text`, text being all that is left.
    Suffix(String),
    /// Anything else.
    Regex(Regex),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

impl Pattern {
    /// Compiles a cleaned pattern; `None` if it makes no regular expression.
    pub(super) fn new(pattern: &str) -> Option<Pattern> {
        let (kind, expression) = expression(pattern);
        Some(match kind {
            Kind::Exact => Pattern::Exact(pattern.to_owned()),
            Kind::Prefix => Pattern::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_owned()),
            Kind::Suffix => Pattern::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
            Kind::Regex => Pattern::Regex(go_regex::compile(&expression)?),
        })
    }

    /// Whether the pattern matches the whole path.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Pattern::Exact(text) => path == text.as_bytes(),
            Pattern::Prefix(text) => path.starts_with(text.as_bytes()),
            Pattern::Suffix(text) => {
                // `**/foo` matches `foo` too.
                path.ends_with(text.as_bytes())
                    || text.strip_prefix('/').is_some_and(|text| path == text.as_bytes())
            }
            Pattern::Regex(regex) => regex.is_match(&decoded(path)),
        }
    }
}

/// The regular expression in Go's syntax, and whether something simpler does.
fn expression(pattern: &str) -> (Kind, String) {
    let mut expression = String::from("^");
    let mut kind = Kind::Exact;
    let mut is_first = true;
    let mut chars = pattern.chars().peekable();
    // Go's scanner drops a byte order mark at the start.
    chars.next_if_eq(&'\u{feff}');
    while let Some(char) = chars.next() {
        match char {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_some() {
                    expression.push_str("(.*/)?");
                    kind = Kind::Regex;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    expression.push_str(".*");
                    kind = Kind::Regex;
                }
                if is_first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                kind = Kind::Regex;
            }
            '?' => {
                expression.push_str("[^/]");
                kind = Kind::Regex;
            }
            // Not `|`, `{` and `}`: patternmatcher means to escape them, but its table of bits is
            // too narrow, and images depend on what `a|b*` matches.
            '.' | '+' | '(' | ')' | '$' => expression.extend(['\\', char]),
            '\\' => {
                expression.push('\\');
                if let Some(escaped) = chars.next() {
                    expression.push(escaped);
                    kind = Kind::Regex;
                }
            }
            '[' | ']' => {
                expression.push(char);
                kind = Kind::Regex;
            }
            _ => expression.push(char),
        }
        is_first = false;
    }
    expression.push('$');
    (kind, expression)
}

/// The path as text, each byte that is no UTF-8 as U+FFFD.
fn decoded(path: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(path) {
        return Cow::Borrowed(text);
    }
    let mut text = String::new();
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}
