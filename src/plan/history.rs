//! History texts, letter for letter BuildKit's (`dockerfile2llb/convert.go`, `commitToHistory`).

use crate::dockerfile::{go_duration, go_quote, go_quote_all};
use crate::image::{Healthcheck, History};

/// What our entries carry in place of BuildKit's `buildkit.dockerfile.v0`.
pub(super) const COMMENT: &str = "yadokari.dockerfile.v0";

/// A history entry; its time is filled in when the image is assembled.
pub(super) fn entry(created_by: String, layer: bool) -> History {
    History {
        created_by: Some(created_by),
        comment: Some(COMMENT.to_owned()),
        empty_layer: !layer,
        ..History::default()
    }
}

/// Go's `%v` of a slice: `[a b]`.
pub(super) fn plain_list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// Go's `%q` of a pointer to Docker's `HealthcheckConfig`: texts and times quoted, the number of
/// retries as the character of that number.
pub(super) fn healthcheck(check: &Healthcheck) -> String {
    let times = [check.interval, check.timeout, check.start_period, check.start_interval];
    let times = times.map(|time| go_quote(&go_duration(time))).join(" ");
    format!("HEALTHCHECK &{{{} {times} {}}}", go_quote_all(&check.test), quoted_character(check.retries))
}

/// Go's `%q` of a number: a character in single quotes, U+FFFD where there is none.
fn quoted_character(number: i64) -> String {
    let character =
        u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    match character {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        other => format!("'{}'", go_quote(&other.to_string()).trim_matches('"')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthcheck_reads_as_in_go() {
        let check = Healthcheck {
            test: vec!["CMD-SHELL".into(), "curl -f x".into()],
            interval: 5_000_000_000,
            ..Healthcheck::default()
        };
        let text = r#"HEALTHCHECK &{["CMD-SHELL" "curl -f x"] "5s" "0s" "0s" "0s" '\x00'}"#;
        assert_eq!(healthcheck(&check), text);
        for (retries, quoted) in [
            (3, r"'\x03'"),
            (10, r"'\n'"),
            (34, "'\"'"),
            (39, r"'\''"),
            (65, "'A'"),
            (92, r"'\\'"),
            (-1, "'\u{fffd}'"),
        ] {
            assert_eq!(quoted_character(retries), quoted, "{retries}");
        }
    }
}
