//! Strings as Go prints them, for texts in an image's history.

use std::fmt::Write as _;

/// A string as Go's `%q`: in double quotes, with escapes for what cannot be printed.
pub fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            char if super::unicode::is_printable(char) => quoted.push(char),
            '\0'..='\x1f' | '\x7f' => _ = write!(quoted, "\\x{:02x}", u32::from(char)),
            '\u{80}'..='\u{ffff}' => _ = write!(quoted, "\\u{:04x}", u32::from(char)),
            _ => _ = write!(quoted, "\\U{:08x}", u32::from(char)),
        }
    }
    quoted.push('"');
    quoted
}

/// Strings as Go's `%q` prints a slice: `["a" "b"]`.
pub fn go_quote_all(texts: &[String]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| go_quote(text)).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go() {
        for (text, expected) in [
            ("", r#""""#),
            ("a 'b' \"c\" \\", r#""a 'b' \"c\" \\""#),
            ("\n\t\u{7}\u{b}\0\u{7f}", r#""\n\t\a\v\x00\x7f""#),
            ("é한☃😀", r#""é한☃😀""#),
            ("\u{a0}\u{ad}\u{200b}\u{fffd}", r#""\u00a0\u00ad\u200b�""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(go_quote(text), expected);
        }
        assert_eq!(go_quote_all(&[]), "[]");
        assert_eq!(go_quote_all(&["a".into(), "b c".into()]), r#"["a" "b c"]"#);
    }
}
