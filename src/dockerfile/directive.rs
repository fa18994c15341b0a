//! `# key=value` lines at the head of a file: `syntax`, `escape`, `check`.

use super::lines::{PhysicalLine, PhysicalLines};
use super::{Diagnostic, Source, Span, Word};
use std::ops::Range;

const KEYS: [&str; 3] = ["syntax", "escape", "check"];
/// What `\s` is in Go's regular expressions.
const BLANKS: [char; 5] = ['\t', '\n', '\x0c', '\r', ' '];

/// The reader of directives while a file is parsed. The first line that is none ends them.
#[derive(Debug, Default)]
pub(super) struct Directives {
    seen: Vec<String>,
    done: bool,
}

impl Directives {
    /// Reads a line, blanks before it included; `None` if it is no directive.
    ///
    /// # Errors
    /// A directive that was given before.
    pub(super) fn read(
        &mut self,
        source: &Source,
        line: Span,
    ) -> Result<Option<(String, Word)>, Box<Diagnostic>> {
        if self.done {
            return Ok(None);
        }
        let text = source.slice(line);
        let Some((key, value)) = split(text, "#") else {
            self.done = true;
            return Ok(None);
        };
        let at = |range: Range<usize>| Span::new(line.start + range.start, line.start + range.end);
        if self.seen.contains(&key) {
            let message = format!("only one `{key}` directive can be given");
            let help = "remove this line, or the one above it";
            return Err(Box::new(Diagnostic::new(source, at(0..text.len()), message).with_help(help)));
        }
        self.seen.push(key.clone());
        Ok(Some((key, Word { text: text[value.clone()].to_owned(), span: at(value) })))
    }
}

/// The value of a directive wherever a frontend would look for it: after a `#!` line, in
/// `// key=value` lines, or as a JSON object (these two for `syntax` only).
pub(super) fn find(source: &Source, key: &str) -> Option<Word> {
    let mut lines = PhysicalLines::new(source).peekable();
    if lines.peek().is_some_and(|line| without_bom(line, source).0.starts_with("#!")) {
        lines.next();
    }
    let first = lines.peek().map_or(0, |line| line.start);
    for comment in ["#", "//"] {
        if comment == "//" && key != "syntax" {
            break;
        }
        let mut seen = Vec::new();
        for line in lines.clone() {
            let (text, start) = without_bom(&line, source);
            let Some((name, value)) = split(text, comment) else { break };
            if seen.contains(&name) {
                break;
            }
            if name == key {
                let span = Span::new(start + value.start, start + value.end);
                return Some(Word { text: text[value].to_owned(), span });
            }
            seen.push(name);
        }
    }
    if key != "syntax" {
        return None;
    }
    let rest = source.text().get(first..)?.trim_start_matches('\u{feff}');
    let object: serde_json::Value = serde_json::from_str(rest).ok()?;
    let text = object.get(key)?.as_str()?.to_owned();
    Some(Word { text, span: Span::new(source.text().len() - rest.len(), source.text().len()) })
}

fn without_bom<'s>(line: &PhysicalLine, source: &'s Source) -> (&'s str, usize) {
    let text = line.text(source);
    let stripped = if line.start == 0 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    (stripped, line.end - stripped.len())
}

/// The key, lower case, and where the value stands in `line`.
fn split(line: &str, comment: &str) -> Option<(String, Range<usize>)> {
    let body = line.strip_prefix(comment)?.trim_start_matches(BLANKS);
    let name_length = body.bytes().take_while(u8::is_ascii_alphanumeric).count();
    if !body.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    let key = body[..name_length].to_ascii_lowercase();
    if !KEYS.contains(&key.as_str()) {
        return None;
    }
    let value = body[name_length..].trim_start_matches(BLANKS).strip_prefix('=')?;
    let (rest, value) = (value, value.trim_matches(BLANKS));
    // Of blanks alone the last one is the value: `.+?` must match something.
    let length = if value.is_empty() { rest.chars().next_back()?.len_utf8() } else { value.len() };
    let end = if value.is_empty() { line.len() } else { line.trim_end_matches(BLANKS).len() };
    Some((key, end - length..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_directives() {
        for (text, key, expected) in [
            ("# syntax=docker/dockerfile:1\nFROM a", "syntax", Some("docker/dockerfile:1")),
            ("#SYNTAX = a/b  \nFROM a", "syntax", Some("a/b")),
            ("\u{feff}# syntax=a/b\nFROM a", "syntax", Some("a/b")),
            ("#!/bin/x\n# syntax=a/b\nFROM a", "syntax", Some("a/b")),
            ("// syntax=a/b\n", "syntax", Some("a/b")),
            ("// check=skip=all\n", "check", None),
            ("{\"syntax\": \"a/b\"}", "syntax", Some("a/b")),
            ("# escape=`\n# syntax=a/b\n", "syntax", Some("a/b")),
            ("# check=skip=all;error=true\n", "check", Some("skip=all;error=true")),
            ("# other=1\n# syntax=a/b\n", "syntax", None),
            ("\n# syntax=a/b\n", "syntax", None),
            ("# syntax=\n", "syntax", None),
            ("# syntax= \t\n", "syntax", Some("\t")),
            ("# check=\u{b}a\u{b} \n", "check", Some("\u{b}a\u{b}")),
            (" # syntax=a\n", "syntax", None),
            ("# 1syntax=a\n", "syntax", None),
            ("#\u{a0}syntax=a\n", "syntax", None),
            ("#\u{b}syntax=a\n", "syntax", None),
            ("#\u{c}syntax=a\n", "syntax", Some("a")),
        ] {
            let found = find(&Source::new("Dockerfile", text), key);
            assert_eq!(found.as_ref().map(|word| word.text.as_str()), expected, "{text:?}");
        }
    }

    #[test]
    fn points_at_the_value() {
        let source = Source::new("Dockerfile", "\u{feff}#  escape =  `  \n");
        let mut directives = Directives::default();
        let (key, value) = directives.read(&source, Span::new(3, 18)).unwrap().unwrap();
        assert_eq!((key.as_str(), source.slice(value.span)), ("escape", "`"));
        assert!(directives.read(&source, Span::new(3, 18)).is_err());
    }
}
