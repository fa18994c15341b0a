//! CircleCI: results for later steps as lines of the file that `$BASH_ENV` names, which bash reads before each
//! (<https://circleci.com/docs/guides/security/set-environment-variable/>). Steps are folded by CircleCI itself.

use std::path::Path;

use super::commit::Variables;
use super::{PLAIN, System, commit, sinks};

pub(super) static SYSTEM: System = System {
    name: "circleci",
    title: "CircleCI",
    detect: |env| env.get("CIRCLECI") == Some("true"),
    gives: ("export lines", "$BASH_ENV"),
    report: |results, _, env| match env.get("BASH_ENV") {
        Some(path) => sinks::append(Path::new(path), &results.lines(export)),
        None => {
            results.events.warn("BASH_ENV is not set: later steps do not see the results");
            Ok(())
        }
    },
    // Only there for pull requests from forks.
    fork: |env| env.get("CIRCLE_PR_USERNAME").is_some(),
    commit: Variables {
        tag: &["CIRCLE_TAG"],
        branch: &["CIRCLE_BRANCH"],
        sha: &["CIRCLE_SHA1"],
        pull_request: &["CIRCLE_PR_NUMBER", "CIRCLE_PULL_REQUEST"],
        ..commit::UNKNOWN
    },
    ..PLAIN
};

/// A line of a shell script.
fn export(name: &str, value: &str) -> String {
    format!("export {name}='{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        assert_eq!(export("A", "b $c"), "export A='b $c'");
        assert_eq!(export("A", "it's"), r"export A='it'\''s'");
    }
}
