//! `${v#p}`, `${v%p}` and `${v/p/r}`.

use super::budget::Budget;
use super::pattern::Pattern;
use crate::dockerfile::unicode::{is_decimal_digit, is_letter};

/// The value without what the pattern matches at its start: the shortest stretch, or the
/// longest if `greedy`.
pub(super) fn trim_prefix(
    pattern: &str,
    value: &str,
    greedy: bool,
    budget: &mut Budget,
) -> Result<String, String> {
    let cut = Pattern::new(pattern, greedy)?.find_at_start(value, budget)?.unwrap_or(0);
    Ok(value[cut..].to_owned())
}

/// The value without what the pattern matches at its end.
pub(super) fn trim_suffix(
    pattern: &str,
    value: &str,
    greedy: bool,
    budget: &mut Budget,
) -> Result<String, String> {
    // What comes first in the pattern is matched first, so the suffix is looked for from the other side.
    let pattern = Pattern::new(&reversed(pattern, true), greedy)?;
    let cut = pattern.find_at_start(&reversed(value, false), budget)?.unwrap_or(0);
    Ok(value[..value.len() - cut].to_owned())
}

/// The value with the first match, or all matches, replaced.
pub(super) fn replace(
    pattern: &str,
    replacement: &str,
    value: &str,
    all: bool,
    budget: &mut Budget,
) -> Result<String, String> {
    let pattern = Pattern::new(pattern, true)?;
    if !all {
        return Ok(match pattern.find(value, 0, budget)? {
            Some(found) => format!("{}{replacement}{}", &value[..found.start], &value[found.end..]),
            None => value.to_owned(),
        });
    }
    let mut result = String::new();
    let (mut done, mut from) = (0, 0);
    let mut last_end = None;
    while let Some(found) = pattern.find(value, from, budget)? {
        // An empty match directly after another match is none.
        if !found.is_empty() || last_end != Some(found.end) {
            result.push_str(&value[done..found.start]);
            fill_template(&mut result, replacement, &value[found.clone()], budget)?;
            done = found.end;
            last_end = Some(found.end);
        }
        from = found.end;
        if found.is_empty() {
            let Some(next) = value[from..].chars().next() else { break };
            from += next.len_utf8();
        }
    }
    result.push_str(&value[done..]);
    Ok(result)
}

/// Go's `regexp.Expand` on a match without groups: `$0` is the match, every other name is
/// empty, `$$` is a dollar sign.
fn fill_template(out: &mut String, template: &str, matched: &str, budget: &mut Budget) -> Result<(), String> {
    budget.text(template.len())?;
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
                    budget.text(matched.len())?;
                    out.push_str(matched);
                }
                rest = after;
            }
            _ => out.push('$'),
        }
    }
    out.push_str(rest);
    Ok(())
}

/// The characters from back to front; if `escapes`, those still before what they escape.
fn reversed(text: &str, escapes: bool) -> String {
    let mut result = vec![0; text.len()];
    let mut end = text.len();
    let mut chars = text.char_indices();
    while let Some((start, char)) = chars.next() {
        if escapes && char == '\\' {
            chars.next();
        }
        let unit = &text[start..chars.offset()];
        result[end - unit.len()..end].copy_from_slice(unit.as_bytes());
        end -= unit.len();
    }
    String::from_utf8(result).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trim_prefix(pattern: &str, value: &str, greedy: bool) -> String {
        super::trim_prefix(pattern, value, greedy, &mut Budget::new()).unwrap()
    }

    fn trim_suffix(pattern: &str, value: &str, greedy: bool) -> String {
        super::trim_suffix(pattern, value, greedy, &mut Budget::new()).unwrap()
    }

    fn replace(pattern: &str, replacement: &str, value: &str, all: bool) -> Result<String, String> {
        super::replace(pattern, replacement, value, all, &mut Budget::new())
    }

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
            assert_eq!(trim_prefix(pattern, value, false), shortest, "{pattern} {value}");
            assert_eq!(trim_prefix(pattern, value, true), longest, "{pattern} {value}");
        }
        for (pattern, value, shortest, longest) in [
            (".*", "a.tar.gz", "a.tar", "a"),
            ("/*", "/usr/bin", "/usr", ""),
            ("\\*", "a*", "a", "a"),
            ("b\\?", "ab?", "a", "a"),
        ] {
            assert_eq!(trim_suffix(pattern, value, false), shortest, "{pattern} {value}");
            assert_eq!(trim_suffix(pattern, value, true), longest, "{pattern} {value}");
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
