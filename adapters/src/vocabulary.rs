//! How single values are written: booleans, sizes, durations, `K=V`. One grammar for all fronts.

use crate::usage::Usage;

/// A boolean of a CI platform: true, false, yes, no, 1, 0, in any case.
///
/// # Errors
/// Anything else.
pub(crate) fn boolean(name: &str, text: &str) -> Result<bool, Usage> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => {
            Err(Usage::new(format!("'{text}' for {name} is neither true nor false"))
                .help("write true or false"))
        }
    }
}

/// A boolean as Go's `strconv.ParseBool` takes it, which is what kaniko's flags and variables do.
///
/// # Errors
/// Anything else.
pub(crate) fn go_boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// Bytes of a whole number with a unit of 1024, as docker's flags take them: `512`, `64m`, `2GiB`.
pub(crate) fn binary_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = text[end..].trim_start();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit) {
        "" if unit == "ib" => return None,
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(1024_u64.pow(power))
}

/// A duration as Go's `time.ParseDuration` takes it, such as `336h` or `1h30m`; no signs.
pub(crate) fn go_duration(text: &str) -> Option<std::time::Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    if text == "0" {
        return Some(std::time::Duration::ZERO);
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[end..];
    }
    std::time::Duration::try_from_secs_f64(seconds).ok().filter(|_| !text.is_empty())
}

/// The two sides of `K=V`.
///
/// # Errors
/// There is no `=`, or nothing before it.
pub(crate) fn key_value(name: &str, text: &str) -> Result<(String, String), Usage> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Usage::new(format!("'{text}' for {name} is not of the form key=value"))
            .help(format!("write {name} key=value"))),
    }
}

/// The word that differs least from `word`, if it is close enough to be what was meant.
pub(crate) fn suggest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let distance = |k: &&&str| edits(&word, &k.to_ascii_lowercase());
    known.iter().min_by_key(distance).filter(|k| distance(k) <= 1 + word.len() / 4).copied()
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_of_platforms() {
        for text in ["true", "True", "YES", "1", " true "] {
            assert_eq!(boolean("push", text), Ok(true), "{text}");
        }
        for text in ["false", "No", "0"] {
            assert_eq!(boolean("push", text), Ok(false), "{text}");
        }
        assert!(boolean("push", "on").is_err());
    }

    #[test]
    fn booleans_of_go() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(go_boolean(text), Ok(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(go_boolean(text), Ok(false), "{text}");
        }
        for text in ["yes", "", "tRUE", " true"] {
            assert!(go_boolean(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("512", Some(512)),
            ("1k", Some(1024)),
            ("64M", Some(64 << 20)),
            ("2 GiB", Some(2 << 30)),
            ("3tb", Some(3 << 40)),
            ("7b", Some(7)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1.5g", None),
            ("1ib", None),
            ("1x", None),
            ("99999999t", None),
        ] {
            assert_eq!(binary_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn pairs() {
        assert_eq!(key_value("--label", "a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(key_value("--label", "a="), Ok(("a".into(), String::new())));
        assert!(key_value("--label", "a").is_err());
        assert!(key_value("--label", "=a").is_err());
    }

    #[test]
    fn suggestions() {
        let known = ["build-args", "tags", "context"];
        assert_eq!(suggest("build-arg", &known), Some("build-args"));
        assert_eq!(suggest("CONTEXTS", &known), Some("context"));
        assert_eq!(suggest("zzz", &known), None);
    }
}
