//! JSON arrays of strings: the exec form of commands, and lists of paths with blanks in them.

use serde::de::IgnoredAny;
use std::ops::Range;

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Why a text is no list of strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoStrings {
    /// It is not JSON, or no array: then it is plain text.
    NotAnArray,
    /// It is an array with something else in it, at this range: that is refused.
    Element(Range<usize>),
}

/// The strings of a JSON array with their ranges, quotes included.
///
/// Half surrogates in `\u` escapes become U+FFFD, as with Go's decoder.
pub(super) fn strings(text: &str) -> Result<Vec<(String, Range<usize>)>, NoStrings> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blanks();
    if !reader.take('[') {
        return Err(NoStrings::NotAnArray);
    }
    let mut found = Vec::new();
    let mut foreign = None;
    reader.skip_blanks();
    if !reader.take(']') {
        loop {
            reader.skip_blanks();
            let start = reader.at;
            if reader.rest().starts_with('"') {
                let string = reader.string().ok_or(NoStrings::NotAnArray)?;
                found.push((string, start..reader.at));
            } else {
                reader.other().ok_or(NoStrings::NotAnArray)?;
                foreign.get_or_insert(start..reader.at);
            }
            reader.skip_blanks();
            if reader.take(']') {
                break;
            }
            if !reader.take(',') {
                return Err(NoStrings::NotAnArray);
            }
        }
    }
    reader.skip_blanks();
    match foreign {
        _ if !reader.rest().is_empty() => Err(NoStrings::NotAnArray),
        Some(range) => Err(NoStrings::Element(range)),
        None => Ok(found),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches(BLANKS).len();
    }

    fn take(&mut self, char: char) -> bool {
        let found = self.rest().starts_with(char);
        if found {
            self.at += char.len_utf8();
        }
        found
    }

    fn string(&mut self) -> Option<String> {
        let mut result = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.at += at + 1;
                    return Some(result);
                }
                '\\' => match chars.next()?.1 {
                    'u' => {
                        let (char, length) = unicode_escape(&self.rest()[at..])?;
                        result.push(char);
                        // The `\u` itself is behind us.
                        chars.nth(length - 3)?;
                    }
                    'b' => result.push('\u{8}'),
                    'f' => result.push('\u{c}'),
                    'n' => result.push('\n'),
                    'r' => result.push('\r'),
                    't' => result.push('\t'),
                    escaped @ ('"' | '\\' | '/') => result.push(escaped),
                    _ => return None,
                },
                '\0'..='\x1f' => return None,
                _ => result.push(char),
            }
        }
        None
    }

    /// Any JSON value that is no string.
    fn other(&mut self) -> Option<()> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let length = values.byte_offset();
        if has_huge_number(&self.rest()[..length]) {
            return None;
        }
        self.at += length;
        Some(())
    }
}

/// Whether a number in a JSON value is too large for a float: then Go takes the text for no JSON.
fn has_huge_number(value: &str) -> bool {
    // Every other part is outside of strings, once escaped quotes are out of the way.
    let unescaped = value.replace("\\\\", "").replace("\\\"", "");
    let mut outside = unescaped.split('"').step_by(2);
    let is_part = |char: char| char.is_ascii_digit() || matches!(char, '-' | '+' | '.' | 'e' | 'E');
    outside.any(|text| {
        let mut numbers = text.split(|char| !is_part(char));
        numbers.any(|number| number.parse::<f64>().is_ok_and(f64::is_infinite))
    })
}

/// The character of a `\uXXXX`, or of two that make a surrogate pair, and the length of the
/// escape in bytes, all of them ASCII.
fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let first = unit(text)?;
    if (0xd800..0xdc00).contains(&first)
        && let Some(second @ 0xdc00..0xe000) = text.get(6..).and_then(unit)
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((char::from_u32(code)?, 12));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Result<Vec<String>, NoStrings> {
        Ok(strings(text)?.into_iter().map(|(string, _)| string).collect())
    }

    #[test]
    fn reads_arrays_of_strings() {
        for (text, expected) in [
            ("[]", &[][..]),
            ("  [ ]\t", &[]),
            ("[\"\"]", &[""]),
            ("[\"a\",\"b\"]", &["a", "b"]),
            ("[\t\"a\" ,\n\"b\" ] ", &["a", "b"]),
            (r#"["\"\\\/\b\f\n\r\t\u0041\u00e9x"]"#, &["\"\\/\u{8}\u{c}\n\r\tAéx"]),
            (
                r#"["\ud83d\ude00!","\ud83d!","\ude00","\ud83d\u0041"]"#,
                &["😀!", "\u{fffd}!", "\u{fffd}", "\u{fffd}A"],
            ),
            ("[\"☃ 한\"]", &["☃ 한"]),
        ] {
            assert_eq!(texts(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_other_elements() {
        for (text, range) in [
            ("[1]", 1..2),
            ("[\"a\", null, 2]", 6..10),
            ("[[\"a\"]]", 1..6),
            ("[{\"a\": [1]}]", 1..11),
            ("[true ]", 1..5),
            ("[{\"\\\"1e999\": 1e9}]", 1..17),
        ] {
            assert_eq!(texts(text), Err(NoStrings::Element(range)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_text() {
        for text in [
            "",
            "a",
            "[",
            "[\"a\"",
            "[\"a",
            "['a']",
            "[\"a\"] b",
            "[\"a\",]",
            "[,]",
            "[\"a\" \"b\"]",
            "[1 2]",
            "[ -f x ] && y",
            r#"["\x"]"#,
            r#"["\u12"]"#,
            "[\"a\tb\"]",
            "{}",
            "\"a\"",
            "[1] x",
            "[1e999]",
            "[\"a\", {\"1\": [2, -1E+400]}]",
        ] {
            assert_eq!(texts(text), Err(NoStrings::NotAnArray), "{text}");
        }
    }

    #[test]
    fn gives_ranges_with_quotes() {
        assert_eq!(strings("[ \"a\", \"é\" ]").unwrap()[1].1, 7..11);
    }
}
