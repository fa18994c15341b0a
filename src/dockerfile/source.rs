//! Source text, places in it, and what is wrong there.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Bytes of a [`Source`], half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// The smallest span that holds both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// As a range.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A file's name and text, shared by everything that points into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(Arc<Text>);

#[derive(Debug)]
struct Text {
    name: String,
    text: String,
    /// Where bytes that are no UTF-8 have been replaced.
    replaced: Vec<usize>,
    /// Where newlines stand, once somebody has asked for a line: a file can have a finding in each.
    newlines: OnceLock<Vec<usize>>,
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text, &self.replaced) == (&other.name, &other.text, &other.replaced)
    }
}

impl Eq for Text {}

impl Text {
    fn new(name: String, text: String, replaced: Vec<usize>) -> Arc<Self> {
        Arc::new(Text { name, text, replaced, newlines: OnceLock::new() })
    }

    fn newlines(&self) -> &[usize] {
        self.newlines.get_or_init(|| self.text.match_indices('\n').map(|(at, _)| at).collect())
    }
}

impl Source {
    /// A source; `name` is what people are shown.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Source(Text::new(name.into(), text.into(), Vec::new()))
    }

    /// A source of bytes that need not be UTF-8. Each byte that is not becomes U+FFFD, as where
    /// Go writes JSON; [`Source::is_replaced`] tells where the text is not what the file holds.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        let (mut text, mut replaced) = (String::with_capacity(bytes.len()), Vec::new());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for _ in chunk.invalid() {
                replaced.push(text.len());
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        Source(Text::new(name.into(), text, replaced))
    }

    /// The same text under another name.
    #[must_use]
    pub fn named(&self, name: impl Into<String>) -> Self {
        let Text { text, replaced, .. } = &*self.0;
        Source(Text::new(name.into(), text.clone(), replaced.clone()))
    }

    /// Whether bytes in a span have been replaced because they are no UTF-8.
    pub fn is_replaced(&self, span: Span) -> bool {
        let first = self.0.replaced.partition_point(|at| *at < span.start);
        self.0.replaced.get(first).is_some_and(|at| *at < span.end)
    }

    /// What people are shown: a path, or `ONBUILD trigger of <image>`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &str {
        self.0.text.get(span.range()).unwrap_or_default()
    }

    /// The line of a byte, from 1.
    pub fn line(&self, at: usize) -> usize {
        1 + self.0.newlines().partition_point(|newline| *newline < at)
    }
}

impl Source {
    /// Line and column of a byte, the column in characters, both from 1.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let bytes = self.0.text.as_bytes();
        let before = &bytes[..at.min(bytes.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        // Bytes that continue a character are no character of their own.
        let characters = before[line_start..].iter().filter(|b| **b & 0xc0 != 0x80).count();
        (self.line(at), characters + 1)
    }
}

/// Something wrong, or questionable, at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The text it is about.
    pub source: Source,
    /// The words to underline.
    pub span: Span,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// A few words under the underline.
    pub label: Option<String>,
    /// One way out.
    pub help: Option<String>,
    /// The check that found it.
    pub id: Option<&'static str>,
    /// What brought the text in, where it is not the file itself: the `FROM` of a trigger.
    pub origin: Option<Box<Origin>>,
}

/// What brought a text in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub source: Source,
    /// The words in it.
    pub span: Span,
}

impl Diagnostic {
    /// A diagnostic without label and help.
    pub fn new(source: &Source, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            source: source.clone(),
            span,
            message: message.into(),
            label: None,
            help: None,
            id: None,
            origin: None,
        }
    }

    /// Adds a way out.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what brought the text in, unless that is known.
    #[must_use]
    pub fn with_origin(mut self, source: &Source, span: Span) -> Self {
        self.origin.get_or_insert_with(|| Box::new(Origin { source: source.clone(), span }));
        self
    }

    /// The place in a file: where it is, or what brought its text in.
    pub fn in_file(&self) -> (&Source, Span) {
        self.origin.as_ref().map_or((&self.source, self.span), |origin| (&origin.source, origin.span))
    }

    /// Line and column of the first and the last character.
    pub fn positions(&self) -> ((usize, usize), (usize, usize)) {
        let last = self.span.end.saturating_sub(1).max(self.span.start);
        (self.source.position(self.span.start), self.source.position(last))
    }

    /// Names the check that found it.
    #[must_use]
    pub fn with_id(mut self, id: &'static str) -> Self {
        self.id = Some(id);
        self
    }

    /// Adds words under the underline.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.source.name(), self.source.line(self.span.start), self.message)
    }
}
