//! Go's `filepath.Match` and `filepath.Clean` on slash-separated paths.

/// A pattern that is not well-formed: an open bracket, an empty range, a backslash at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pattern is not well-formed")]
pub struct BadPattern;

/// Whether a whole name matches a pattern, as Go's `filepath.Match` has it: `*` and `?` match
/// anything but a slash, `[a-z]` and `[^a-z]` one character, a backslash escapes.
///
/// # Errors
/// The pattern is not well-formed up to the star after which the name cannot match any more.
pub fn go_match(pattern: &[u8], name: &[u8]) -> Result<bool, BadPattern> {
    let mut pattern = pattern;
    let mut name = name;
    while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        // The last chunk must use the name up.
        let fits = |left: &[u8]| left.is_empty() || !rest.is_empty();
        let mut found = match_chunk(chunk, name)?.filter(|left| fits(left));
        if found.is_none() && star {
            for skipped in 0..name.len() {
                if name[skipped] == b'/' {
                    break;
                }
                found = match_chunk(chunk, &name[skipped + 1..])?.filter(|left| fits(left));
                if found.is_some() {
                    break;
                }
            }
        }
        match found {
            Some(left) => name = left,
            None => return Ok(false),
        }
    }
    Ok(name.is_empty())
}

/// Whether a pattern is well-formed to its end. One that is not matches nothing, but
/// [`go_match`] tells only where a name gets that far.
pub fn is_well_formed(mut pattern: &[u8]) -> bool {
    while !pattern.is_empty() {
        let (_, chunk, rest) = next_chunk(pattern);
        if match_chunk(chunk, b"").is_err() {
            return false;
        }
        pattern = rest;
    }
    true
}

/// Whether stars begin the pattern, what stands up to the next star, and the rest.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let body = &pattern[stars..];
    let mut in_brackets = false;
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'\\' => at += 1,
            b'[' => in_brackets = true,
            b']' => in_brackets = false,
            b'*' if !in_brackets => break,
            _ => {}
        }
        at += 1;
    }
    let (chunk, rest) = body.split_at(at.min(body.len()));
    (stars > 0, chunk, rest)
}

/// What is left of a name whose start matches a pattern without stars. The pattern is checked
/// to its end either way.
fn match_chunk<'n>(mut chunk: &[u8], name: &'n [u8]) -> Result<Option<&'n [u8]>, BadPattern> {
    let mut left = Some(name);
    while let Some((&first, rest)) = chunk.split_first() {
        left = left.filter(|left| !left.is_empty());
        match first {
            b'[' => {
                let (char, length) = left.map_or(('\0', 0), decode);
                let (matches, after) = match_class(rest, char)?;
                left = left.filter(|_| matches).map(|left| &left[length..]);
                chunk = after;
            }
            b'?' => {
                left = left.filter(|left| left[0] != b'/').map(|left| &left[decode(left).1..]);
                chunk = rest;
            }
            _ => {
                let literal = if first == b'\\' { rest } else { chunk };
                let (&byte, after) = literal.split_first().ok_or(BadPattern)?;
                left = left.filter(|left| left[0] == byte).map(|left| &left[1..]);
                chunk = after;
            }
        }
    }
    Ok(left)
}

/// Whether a character is in the class whose text follows its `[`, and what follows the class.
fn match_class(text: &[u8], char: char) -> Result<(bool, &[u8]), BadPattern> {
    let (negated, mut text) = match text.strip_prefix(b"^") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut matches = false;
    let mut is_first = true;
    loop {
        if let Some(after) = text.strip_prefix(b"]").filter(|_| !is_first) {
            return Ok((matches != negated, after));
        }
        let (low, after) = class_char(text)?;
        let (high, after) = match after.strip_prefix(b"-") {
            Some(after) => class_char(after)?,
            None => (low, after),
        };
        matches |= (low..=high).contains(&char);
        is_first = false;
        text = after;
    }
}

/// A character of a class, escaped or not. Something must follow it.
fn class_char(text: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    let text = match text.split_first() {
        None | Some((b'-' | b']', _)) => return Err(BadPattern),
        Some((b'\\', rest)) => rest,
        Some(_) => text,
    };
    if text.is_empty() {
        return Err(BadPattern);
    }
    let (char, length) = decode(text);
    let after = &text[length..];
    if after.is_empty() || (char == char::REPLACEMENT_CHARACTER && length == 1) {
        return Err(BadPattern);
    }
    Ok((char, after))
}

/// The first character and its length; a byte that is no UTF-8 is U+FFFD of length 1.
fn decode(bytes: &[u8]) -> (char, usize) {
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(char) => (char, char.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

/// The shortest path that means the same without looking at files: no empty or `.` components,
/// `..` taken back where something can be. Go's `filepath.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a[^a]b", "a/b", Some(true)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("a?b", "a/b", Some(false)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[x\\-]", "-", Some(true)),
            ("[\\-x]", "a", Some(false)),
            ("*x", "xxx", Some(true)),
            ("*.go", ".go", Some(true)),
            ("**", "a", Some(true)),
            ("[[]a", "[a", Some(true)),
            ("", "", Some(true)),
            ("", "a", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[-x]", "x", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "a", None),
            ("a[", "ab", None),
            ("a[", "x", None),
            ("a/b[", "x", None),
            ("a\\", "a", None),
            ("[\\", "a", None),
            ("[a*[", "b", None),
            ("a*[", "a", None),
            ("a*[", "ab", None),
            ("b*[", "ab", Some(false)),
            ("b*[-]", ".", Some(false)),
        ] {
            let found = go_match(pattern.as_bytes(), name.as_bytes()).ok();
            assert_eq!(found, expected, "{pattern} {name}");
        }
        assert_eq!(go_match(b"a?b", b"a\xffb"), Ok(true));
        assert_eq!(go_match(b"[\xff]", b"a"), Err(BadPattern));
    }

    #[test]
    fn cleans_as_go() {
        for (path, expected) in [
            ("", "."),
            ("abc", "abc"),
            ("abc/", "abc"),
            ("a//b/./c", "a/b/c"),
            ("a/b/../c", "a/c"),
            ("a/..", "."),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("/../a", "/a"),
            ("/", "/"),
            ("//a", "/a"),
            ("./a", "a"),
            (".../a", ".../a"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
