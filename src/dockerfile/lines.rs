//! Physical lines, and logical lines made of them: continuations joined, comments taken out.

use super::{Source, Span, Word};
use std::ops::Range;

/// Longest physical line in bytes, its newline not counted; BuildKit refuses longer ones.
pub(super) const MAX_LINE: usize = 65_535;

/// A logical line with the way back from its bytes to the source.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    text: String,
    pieces: Vec<Piece>,
}

/// A stretch of a [`Line`] that stands in one piece in the source.
#[derive(Debug, Clone, Copy)]
struct Piece {
    at: usize,
    source: usize,
}

impl Line {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }

    /// Appends text that stands at byte `source` of the source.
    pub(super) fn push(&mut self, text: &str, source: usize) {
        self.pieces.push(Piece { at: self.text.len(), source });
        self.text.push_str(text);
    }

    /// Where a range of this line stands in the source: from its first to its last byte, so
    /// that a word broken by a continuation gets the span of both halves.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let start = self.locate(range.start);
        if range.end <= range.start {
            return Span::new(start, start);
        }
        Span::new(start, self.locate(range.end - 1) + 1)
    }

    /// A range as a word.
    pub(super) fn word(&self, range: Range<usize>) -> Word {
        Word { text: self.slice(range.clone()).to_owned(), span: self.span(range) }
    }

    /// A range without the blanks around it.
    pub(super) fn trim(&self, range: Range<usize>) -> Range<usize> {
        let text = self.slice(range.clone());
        let start = range.start + (text.len() - text.trim_start().len());
        start..start + text.trim().len()
    }

    fn locate(&self, at: usize) -> usize {
        let after = self.pieces.partition_point(|piece| piece.at <= at);
        // Several pieces may begin at one byte when some are empty: the last holds the byte.
        match after.checked_sub(1).and_then(|index| self.pieces.get(index)) {
            Some(piece) => piece.source + (at - piece.at),
            None => at,
        }
    }
}

/// A line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PhysicalLine {
    /// First byte.
    pub(super) start: usize,
    /// Byte after the last, carriage returns and newline not counted.
    pub(super) end: usize,
    /// First byte of the next line.
    pub(super) next: usize,
}

impl PhysicalLine {
    pub(super) fn text<'s>(&self, source: &'s Source) -> &'s str {
        source.slice(self.span())
    }

    pub(super) fn span(&self) -> Span {
        Span::new(self.start, self.end)
    }

    pub(super) fn is_too_long(&self, source: &Source) -> bool {
        let whole = source.slice(Span::new(self.start, self.next));
        whole.strip_suffix('\n').unwrap_or(whole).len() > MAX_LINE
    }
}

/// Walks the physical lines of a source.
#[derive(Debug, Clone)]
pub(super) struct PhysicalLines<'s> {
    source: &'s Source,
    at: usize,
    count: usize,
}

impl<'s> PhysicalLines<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        PhysicalLines { source, at: 0, count: 0 }
    }

    /// How many lines have been read.
    pub(super) fn taken(&self) -> usize {
        self.count
    }

    /// First byte after the lines read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }
}

impl Iterator for PhysicalLines<'_> {
    type Item = PhysicalLine;

    fn next(&mut self) -> Option<PhysicalLine> {
        let text = self.source.text();
        let rest = text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let length = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        self.at = start + length;
        self.count += 1;
        let content = rest[..length].trim_end_matches(['\r', '\n']).len();
        Some(PhysicalLine { start, end: start + content, next: self.at })
    }
}

/// Whether the line holds only a comment.
pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without the escape character that continues it, if one does.
///
/// An escape character directly after another is text; blanks after the last one are allowed.
pub(super) fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_keeps_line_endings_out() {
        let source = Source::new("Dockerfile", "a\r\n\nbc");
        let lines: Vec<_> = PhysicalLines::new(&source).map(|line| line.text(&source)).collect();
        assert_eq!(lines, ["a", "", "bc"]);
    }

    #[test]
    fn continuation_is_the_last_unescaped_escape_character() {
        for (line, expected) in [
            ("a\\", Some("a")),
            ("a \\ \t", Some("a ")),
            ("\\", Some("")),
            ("a\\\\", None),
            ("a\\b", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(continued(line, '\\'), expected, "{line:?}");
        }
        assert_eq!(continued("a\\", '`'), None);
        assert_eq!(continued("a`", '`'), Some("a"));
    }

    #[test]
    fn maps_back_across_joints() {
        let mut line = Line::default();
        line.push("RUN ab", 10);
        line.push("", 18);
        line.push("cd ef", 20);
        assert_eq!(line.text(), "RUN abcd ef");
        assert_eq!(line.span(4..8), Span::new(14, 22));
        assert_eq!(line.span(9..11), Span::new(23, 25));
        assert_eq!(line.span(0..3), Span::new(10, 13));
        assert_eq!(line.span(4..6), Span::new(14, 16));
        assert_eq!(line.span(11..11), Span::new(25, 25));
        assert_eq!(line.span(6..6), Span::new(20, 20));
    }
}
