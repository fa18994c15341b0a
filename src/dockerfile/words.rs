//! Arguments as words: split at blanks, quote-aware, or a JSON array.

use super::Word;
use super::lines::Line;
use std::ops::Range;

/// Blanks that separate the keyword from its arguments and plain words from each other.
const BLANKS: [char; 5] = ['\t', '\x0b', '\x0c', '\r', ' '];

/// The first word of a range and what follows the blanks after it, if there is a blank.
pub(super) fn split_first(line: &Line, range: Range<usize>) -> (Range<usize>, Option<Range<usize>>) {
    let text = line.slice(range.clone());
    let Some(length) = text.find(BLANKS) else { return (range, None) };
    let rest = text[length..].trim_start_matches(BLANKS);
    (range.start..range.start + length, Some(range.end - rest.len()..range.end))
}

/// The words between blanks; quotes mean nothing.
pub(super) fn split(line: &Line, range: Range<usize>) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = Some(line.trim(range));
    while let Some(range) = rest.filter(|range| !range.is_empty()) {
        let (first, after) = split_first(line, range);
        words.push(line.word(first));
        rest = after;
    }
    words
}

/// A word found by [`split_quoted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QuotedWord {
    /// As written, but an escape character that ends the line is dropped.
    pub(super) text: String,
    /// Where it stands in the line.
    pub(super) range: Range<usize>,
}

/// The words between blanks that are neither quoted nor escaped; quotes and escapes are kept.
/// A quote that is never closed goes to the end.
pub(super) fn split_quoted(line: &Line, range: Range<usize>, escape: char) -> Vec<QuotedWord> {
    let text = line.slice(range.clone());
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        if start.is_none() {
            if char.is_whitespace() {
                continue;
            }
            start = Some(at);
        }
        match quote {
            None if char.is_whitespace() => {
                words.extend(start.take().map(|start| start..at));
            }
            None if char == '\'' || char == '"' => quote = Some(char),
            Some(open) if char == open => quote = None,
            // In single quotes nothing is escaped.
            None | Some('"') if char == escape => {
                chars.next();
            }
            _ => {}
        }
    }
    words.extend(start.map(|start| start..text.len()));
    words
        .into_iter()
        .map(|found: Range<usize>| QuotedWord {
            text: without_final_escape(&text[found.clone()], found.end == text.len(), escape).to_owned(),
            range: range.start + found.start..range.start + found.end,
        })
        .filter(|word| !word.text.is_empty())
        .collect()
}

/// An escape character at the end of the line escapes nothing and is dropped, unless it is
/// itself escaped or in single quotes.
fn without_final_escape(word: &str, is_last: bool, escape: char) -> &str {
    let Some(before) = word.strip_suffix(escape).filter(|_| is_last) else { return word };
    let mut quote = None;
    let mut escaped = false;
    for char in before.chars() {
        match quote {
            _ if escaped => escaped = false,
            None if char == '\'' || char == '"' => quote = Some(char),
            Some(open) if char == open => quote = None,
            None | Some('"') => escaped = char == escape,
            Some(_) => {}
        }
    }
    if escaped || quote == Some('\'') { word } else { before }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::default();
        line.push(text, 0);
        line
    }

    fn quoted(text: &str) -> Vec<String> {
        let line = line(text);
        split_quoted(&line, 0..text.len(), '\\').into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn splits_at_blanks() {
        let line = line(" a \t\"b c\"  ");
        let words = split(&line, 0..line.text().len());
        let texts: Vec<_> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["a", "\"b", "c\""]);
        assert_eq!(words[2].span.range(), 7..9);
    }

    #[test]
    fn splits_at_blanks_outside_quotes() {
        for (text, expected) in [
            ("a=1 b=\"x y\"  c", &["a=1", "b=\"x y\"", "c"][..]),
            ("a='x \\' b", &["a='x \\'", "b"]),
            ("a=x\\ y", &["a=x\\ y"]),
            ("a=\"x\\\" y\"", &["a=\"x\\\" y\""]),
            ("'a\\'b''", &["'a\\'b''"]),
            ("a \"b c", &["a", "\"b c"]),
            ("a\\", &["a"]),
            ("a\\\\", &["a\\\\"]),
            ("a 'b\\", &["a", "'b\\"]),
            ("\"\" a", &["\"\"", "a"]),
            ("  ", &[]),
            ("\\", &[]),
        ] {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }
}
