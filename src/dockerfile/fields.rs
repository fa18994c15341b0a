//! Lists of comma-separated values, as the values of some flags are.

/// The fields of one line of comma-separated values; quotes may stand around a whole field
/// (tonistiigi/go-csvvalue).
///
/// # Errors
/// What is wrong, one sentence without a full stop.
pub(super) fn fields(text: &str) -> Result<Vec<String>, &'static str> {
    const INSIDE: &str = "a quote stands inside an option";
    if text.is_empty() {
        return Err("nothing is given");
    }
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            None => {
                let length = rest.find(',').unwrap_or(rest.len());
                if rest[..length].contains('"') {
                    return Err(INSIDE);
                }
                (rest[..length].to_owned(), &rest[length..])
            }
            Some(quoted) => unquote(quoted).ok_or("a quote is never closed")?,
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err(INSIDE),
        }
    }
}

/// Text up to a lone quote, doubled quotes made single, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
    }
}

/// Go's `strconv.ParseBool`; an option without a value is true. None if it is neither.
pub(super) fn bool_of(value: Option<&str>) -> Option<bool> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Some(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Some(false),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_commas_outside_quotes() {
        for (text, expected) in [
            ("", None),
            ("a,b=c", Some(&["a", "b=c"][..])),
            (",", Some(&["", ""])),
            ("\"a,b\",c", Some(&["a,b", "c"])),
            ("\"a\"\"b\"", Some(&["a\"b"])),
            ("\"\"", Some(&[""])),
            ("a\"b", None),
            ("\"a", None),
            ("\"a\"b", None),
        ] {
            let found = fields(text).ok();
            assert_eq!(
                found.as_deref(),
                expected.map(|e| e.iter().map(|s| s.to_string()).collect::<Vec<_>>()).as_deref(),
                "{text}"
            );
        }
    }
}
