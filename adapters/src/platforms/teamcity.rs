//! TeamCity: results as build parameters by service messages, blocks, messages with a status
//! (<https://www.jetbrains.com/help/teamcity/service-messages.html>).

use super::commit::Variables;
use super::markup::{Folds, part};
use super::{PLAIN, System, commit, sinks};
use crate::cli::progress::{Place, Severity};

pub(super) static SYSTEM: System = System {
    name: "teamcity",
    title: "TeamCity",
    detect: |env| env.get("TEAMCITY_VERSION").is_some(),
    folds: FOLDS,
    gives: ("parameters of the build", "the log"),
    report: |results, _, _| {
        sinks::say(&results.lines(|name, value| {
            format!("##teamcity[setParameter name='env.{name}' value='{}']", escaped(value))
        }))
    },
    commit: Variables { sha: &["BUILD_VCS_NUMBER"], ..commit::UNKNOWN },
    ..PLAIN
};

const FOLDS: Folds = Folds {
    open: |_, title| format!("##teamcity[blockOpened name='{}']\n", escaped(title)),
    close: |_, title| format!("##teamcity[blockClosed name='{}']\n", escaped(title)),
    // Recognised wherever it is in a line.
    guard: |line| part(line, "##teamcity[", 1),
    issue,
    reads_log: true,
};

fn issue(place: &Place) -> String {
    let status = match place.severity {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    let at = match (&place.file, place.line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        _ => String::new(),
    };
    format!("##teamcity[message text='{}' status='{status}']\n", escaped(&format!("{at}{}", place.message)))
}

/// A value between quotes. What is not ASCII is written as UTF-16 in hexadecimal digits.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\'' | '[' | ']' => out.extend(['|', c]),
            '\n' => out.push_str("|n"),
            '\r' => out.push_str("|r"),
            c if c.is_ascii() => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("|0x{unit:04x}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        assert_eq!(escaped("a|b'c[d]\n\r"), "a||b|'c|[d|]|n|r");
        assert_eq!(escaped("é🦀"), "|0x00e9|0xd83e|0xdd80");
    }

    #[test]
    fn nothing_printed_is_a_service_message() {
        for line in ["##teamcity[buildStatus text='x']", "a ##TeamCity[x]", "###teamcity[x]"] {
            let guarded = (FOLDS.guard)(line).to_ascii_lowercase();
            assert!(!guarded.contains("##teamcity["), "{guarded}");
        }
    }

    #[test]
    fn blocks_end_with_the_name_they_started_with() {
        let title = "[stage 1/2] RUN echo 'x'";
        assert_eq!((FOLDS.open)(1, title), "##teamcity[blockOpened name='|[stage 1/2|] RUN echo |'x|'']\n");
        assert_eq!((FOLDS.close)(1, title), "##teamcity[blockClosed name='|[stage 1/2|] RUN echo |'x|'']\n");
    }
}
