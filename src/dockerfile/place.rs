//! The way from a part of a word back to the source.

use super::{Source, Span, Word};
use std::ops::Range;

impl Word {
    /// Where a part of the text stands in the source, also in a word that continuations break or
    /// that lost its quotes. The whole word where that cannot be told, as in a JSON string with
    /// escapes.
    pub fn span_of(&self, source: &Source, range: Range<usize>) -> Span {
        let written = source.slice(self.span);
        if written == self.text {
            return Span::new(self.span.start + range.start, self.span.start + range.end);
        }
        let Some(offsets) = offsets(&self.text, written) else { return self.span };
        let at = |offset: usize| self.span.start + offset;
        let last = range.end.checked_sub(1).and_then(|last| offsets.get(last));
        match (offsets.get(range.start), last) {
            (Some(&first), Some(&last)) if first <= last => Span::new(at(first), at(last + 1)),
            (Some(&first), _) => Span::new(at(first), at(first)),
            (None, _) => Span::new(self.span.end, self.span.end),
        }
    }
}

/// For each byte of `text` where it stands in `written`, which is the text with more in it.
fn offsets(text: &str, written: &str) -> Option<Vec<usize>> {
    let mut offsets = Vec::with_capacity(text.len());
    let mut at = 0;
    for wanted in text.chars() {
        loop {
            at += joint_length(&written[at..]);
            let found = written[at..].chars().next()?;
            if found == wanted {
                offsets.extend(at..at + found.len_utf8());
                at += found.len_utf8();
                break;
            }
            // A quote or an escape that is not part of the text.
            at += found.len_utf8();
        }
    }
    Some(offsets)
}

/// The length of a continuation at the start of a text: the escape character, blanks, the
/// newline, and the comments and empty lines after it. 0 if there is none.
fn joint_length(text: &str) -> usize {
    let blanks = [' ', '\t', '\r'];
    let Some(rest) =
        text.strip_prefix(['\\', '`']).and_then(|rest| rest.trim_start_matches(blanks).strip_prefix('\n'))
    else {
        return 0;
    };
    let mut rest = rest;
    while let Some((line, after)) = rest.split_once('\n') {
        let line = line.trim_start();
        if !line.is_empty() && !line.starts_with('#') {
            break;
        }
        rest = after;
    }
    text.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_parts_of_words() {
        for (written, text, part, expected) in [
            ("abc", "abc", 1..2, "b"),
            ("a\\\nbc", "abc", 0..3, "a\\\nbc"),
            ("a\\\nbc", "abc", 1..3, "bc"),
            ("a\\ \t\r\n# c\n\n  bc", "a  bc", 3..5, "bc"),
            ("a`\nbc", "abc", 1..2, "b"),
            ("a\\bc", "a\\bc", 1..3, "\\b"),
            ("\"a b\"c", "a bc", 2..4, "b\"c"),
            ("é\\\n$한", "é$한", 2..6, "$한"),
            ("\\u0041b", "Ab", 0..1, "\\u0041b"),
            ("abc", "abc", 3..3, ""),
            ("", "", 0..0, ""),
        ] {
            let source = Source::new("Dockerfile", format!("ENV {written} x"));
            let word = Word { text: text.to_owned(), span: Span::new(4, 4 + written.len()) };
            assert_eq!(source.slice(word.span_of(&source, part)), expected, "{written:?}");
        }
    }
}
