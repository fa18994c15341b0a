//! History texts, letter for letter BuildKit's (`dockerfile2llb/convert.go`, `commitToHistory`).

use crate::dockerfile::go_duration;
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

/// Go's `%+v` of Docker's `HealthConfig`.
pub(super) fn healthcheck(check: &Healthcheck) -> String {
    format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        plain_list(&check.test),
        go_duration(check.interval),
        go_duration(check.timeout),
        go_duration(check.start_period),
        go_duration(check.start_interval),
        check.retries
    )
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
        assert_eq!(
            healthcheck(&check),
            "HEALTHCHECK {Test:[CMD-SHELL curl -f x] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"
        );
    }
}
