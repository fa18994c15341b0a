//! Azure Pipelines: results as output variables by logging commands, groups, issues.
//!
//! The agent looks for `##vso[` anywhere in a line (azure-pipelines-agent, `Command.TryParse`), the log's viewer
//! for `##[group]` and its like.

use super::commit::Variables;
use super::markup::{Folds, part};
use super::{PLAIN, System, commit, sinks};
use crate::cli::progress::{Place, Severity};

pub(super) static SYSTEM: System = System {
    name: "azure",
    title: "Azure Pipelines",
    detect: |env| env.get("TF_BUILD").is_some_and(|value| value.eq_ignore_ascii_case("true")),
    folds: FOLDS,
    gives: ("output variables of the step", "the log"),
    report: |results, _, _| sinks::say(&results.lines(variable)),
    fork: |env| env.get("SYSTEM_PULLREQUEST_ISFORK").is_some_and(|v| v.eq_ignore_ascii_case("true")),
    commit: Variables {
        reference: &["BUILD_SOURCEBRANCH"],
        sha: &["BUILD_SOURCEVERSION"],
        pull_request: &["SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "SYSTEM_PULLREQUEST_PULLREQUESTID"],
        base: &["SYSTEM_PULLREQUEST_TARGETBRANCH"],
        schedule: Some(("BUILD_REASON", "Schedule")),
        ..commit::UNKNOWN
    },
    ..PLAIN
};

const FOLDS: Folds = Folds {
    open: |_, title| format!("##[group]{title}\n"),
    close: |_, _| "##[endgroup]\n".to_owned(),
    guard,
    issue,
    reads_log: true,
};

fn guard(line: &str) -> String {
    part(&part(line, "##vso[", 1), "##[", 1)
}

fn variable(name: &str, value: &str) -> String {
    format!("##vso[task.setvariable variable={};isOutput=true]{}", property(name), message(value))
}

fn issue(place: &Place) -> String {
    let kind = match place.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut properties = format!("type={kind};");
    if let Some(file) = &place.file {
        properties += &format!("sourcepath={};", property(file));
    }
    for (name, number) in [("linenumber", place.line), ("columnnumber", place.column)] {
        if let Some(number) = number {
            properties += &format!("{name}={number};");
        }
    }
    format!("##vso[task.logissue {properties}]{}\n", message(&place.message))
}

/// Escapes what follows the bracket.
fn message(text: &str) -> String {
    text.replace('%', "%AZP25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes what is inside of the brackets.
fn property(text: &str) -> String {
    message(text).replace(']', "%5D").replace(';', "%3B")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the agent finds a command, which it does by a comparison that leaves out ignorable characters.
    fn is_command(line: &str) -> bool {
        let seen: String = line.chars().filter(|c| !"\u{ad}\u{200b}\u{feff}".contains(*c)).collect();
        seen.to_ascii_lowercase().contains("##vso[") || seen.contains("##[")
    }

    #[test]
    fn nothing_printed_is_a_command() {
        for line in [
            "##vso[task.setvariable variable=x]y",
            "a ##vso[b.c]d ##vso[e.f]",
            "###vso[a.b]c",
            "##VSO[a.b]c",
            "##[group]x",
            "#\u{200b}#vso[a.b]c",
            "##v\u{ad}so[a.b]c",
            "##\u{feff}[error]x",
        ] {
            assert!(is_command(line), "{line}");
            assert!(!is_command(&guard(line)), "{line} -> {}", guard(line));
        }
        for line in ["## a heading", "a\u{200b}b", "C# [x]"] {
            assert_eq!(guard(line), line);
        }
    }

    #[test]
    fn issues_name_their_place() {
        let place = Place {
            message: "50% of\nlines".to_owned(),
            file: Some("a;b]".to_owned()),
            line: Some(3),
            column: Some(4),
            ..Place::default()
        };
        assert_eq!(
            issue(&place),
            "##vso[task.logissue type=error;sourcepath=a%3Bb%5D;linenumber=3;columnnumber=4;]50%AZP25 of%0Alines\n"
        );
    }
}
