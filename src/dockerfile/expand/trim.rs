//! `${v#p}`, `${v%p}` and `${v/p/r}`: shell patterns of `*`, `?` and backslash escapes.

use super::MAX_RESULT;
use crate::dockerfile::unicode::{is_decimal_digit, is_letter};
use regex::{Regex, RegexBuilder};

/// Compiled size in bytes above which a pattern is refused. Bounds memory on hostile input.
const MAX_PATTERN: usize = 4 << 20;

/// The value without what the pattern matches at its start: the shortest stretch, or the
/// longest if `greedy`.
pub(super) fn trim_prefix(pattern: &str, value: &str, greedy: bool) -> Result<String, String> {
    let regex = compile(pattern, greedy, true)?;
    let cut = regex.find(value).map_or(0, |found| found.end());
    Ok(value[cut..].to_owned())
}

/// The value without what the pattern matches at its end.
pub(super) fn trim_suffix(pattern: &str, value: &str, greedy: bool) -> Result<String, String> {
    // A regular expression finds the leftmost match, so the shortest suffix has to be looked
    // for from the other side.
    let trimmed = trim_prefix(&reverse_pattern(pattern), &reverse(value), greedy)?;
    Ok(reverse(&trimmed))
}

/// The value with the first match, or all matches, replaced.
pub(super) fn replace(pattern: &str, replacement: &str, value: &str, all: bool) -> Result<String, String> {
    let regex = compile(pattern, true, false)?;
    if !all {
        return Ok(match regex.find(value) {
            Some(found) => format!("{}{replacement}{}", &value[..found.start()], &value[found.end()..]),
            None => value.to_owned(),
        });
    }
    let mut result = String::new();
    let mut done = 0;
    for found in regex.find_iter(value) {
        result.push_str(&value[done..found.start()]);
        fill_template(&mut result, replacement, found.as_str());
        done = found.end();
        if result.len() > MAX_RESULT {
            return Err(format!("this expands to more than {} MiB", MAX_RESULT >> 20));
        }
    }
    result.push_str(&value[done..]);
    Ok(result)
}

fn compile(pattern: &str, greedy: bool, anchored: bool) -> Result<Regex, String> {
    let mut regex = String::from(if anchored { "^" } else { "" });
    let mut chars = pattern.chars().peekable();
    // BuildKit's scanner drops a byte order mark at the start.
    chars.next_if_eq(&'\u{feff}');
    while let Some(char) = chars.next() {
        let literal = match char {
            '*' => {
                regex.push_str(if greedy { ".*" } else { ".*?" });
                continue;
            }
            '?' => {
                regex.push('.');
                continue;
            }
            // `}` and `/` are escaped for the sake of the `${…}` around the pattern.
            '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '\\')) => escaped,
                Some(other) => return Err(format!("`\\{other}` is no escape of the pattern `{pattern}`")),
                None => return Err(format!("the pattern `{pattern}` ends in an escape")),
            },
            other => other,
        };
        regex.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
    }
    RegexBuilder::new(&regex)
        .size_limit(MAX_PATTERN)
        .build()
        .map_err(|_| "the pattern is too large".to_owned())
}

/// Go's `regexp.Expand` on a match without groups: `$0` is the match, every other name is
/// empty, `$$` is a dollar sign.
fn fill_template(out: &mut String, template: &str, matched: &str) {
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (body, braced) = match rest.strip_prefix('{') {
            Some(body) => (body, true),
            None => (rest, false),
        };
        let is_part = |char: char| char == '_' || is_letter(char) || is_decimal_digit(char);
        let length = body.find(|char| !is_part(char)).unwrap_or(body.len());
        let after = &body[length..];
        let after = if braced { after.strip_prefix('}') } else { Some(after) };
        match after {
            Some(after) if length > 0 => {
                if &body[..length] == "0" {
                    out.push_str(matched);
                }
                rest = after;
            }
            _ => out.push('$'),
        }
    }
    out.push_str(rest);
}

fn reverse(text: &str) -> String {
    text.chars().rev().collect()
}

/// The pattern from back to front, escapes still before what they escape.
fn reverse_pattern(pattern: &str) -> String {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        let escaped = if char == '\\' { chars.next() } else { None };
        tokens.push((char, escaped));
    }
    let mut result = String::with_capacity(pattern.len());
    for (char, escaped) in tokens.into_iter().rev() {
        result.push(char);
        result.extend(escaped);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims() {
        for (pattern, value, shortest, longest) in [
            ("*/", "usr/local/bin", "local/bin", "bin"),
            ("x", "usr", "usr", "usr"),
            ("?", "é!", "!", "!"),
            ("*", "abc", "abc", ""),
            ("\\*", "*a", "a", "a"),
            ("[a]", "[a]b", "b", "b"),
        ] {
            assert_eq!(trim_prefix(pattern, value, false).unwrap(), shortest, "{pattern} {value}");
            assert_eq!(trim_prefix(pattern, value, true).unwrap(), longest, "{pattern} {value}");
        }
        for (pattern, value, shortest, longest) in [
            (".*", "a.tar.gz", "a.tar", "a"),
            ("/*", "/usr/bin", "/usr", ""),
            ("\\*", "a*", "a", "a"),
            ("b\\?", "ab?", "a", "a"),
        ] {
            assert_eq!(trim_suffix(pattern, value, false).unwrap(), shortest, "{pattern} {value}");
            assert_eq!(trim_suffix(pattern, value, true).unwrap(), longest, "{pattern} {value}");
        }
    }

    #[test]
    fn replaces() {
        for (pattern, replacement, value, first, all) in [
            ("a", "b", "aXa", "bXa", "bXb"),
            ("?", "-", "ab", "-b", "--"),
            ("", "-", "ab", "-ab", "-a-b-"),
            ("*", "-", "ab", "-", "-"),
            ("a", "$0$0", "aX", "$0$0X", "aaX"),
            ("a", "$1!", "aX", "$1!X", "!X"),
            ("a", "${0}b$$", "aX", "${0}b$$X", "ab$X"),
            ("a", "${0", "aX", "${0X", "${0X"),
            ("\\/", "_", "a/b/c", "a_b/c", "a_b_c"),
        ] {
            assert_eq!(replace(pattern, replacement, value, false).unwrap(), first, "{pattern}");
            assert_eq!(replace(pattern, replacement, value, true).unwrap(), all, "{pattern}");
        }
        assert!(replace("\\q", "", "", false).is_err());
        assert!(replace("q\\", "", "", false).is_err());
    }
}
