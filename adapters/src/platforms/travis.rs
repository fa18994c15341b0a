//! Travis CI: results in a file, which later commands of the job read; folds.
//!
//! The log's viewer looks for `fold:start:NAME` and `time:start:ID` anywhere in a line
//! (travis-web, `app/components/log-line.js` and its like).

use super::commit::Variables;
use super::markup::{Folds, part};
use super::{PLAIN, System, commit, env_file, fork, markup};

pub(super) static SYSTEM: System = System {
    name: "travis",
    title: "Travis CI",
    detect: |env| env.get("TRAVIS") == Some("true"),
    settle: |read, env| env_file(read, env, "TRAVIS_BUILD_DIR"),
    folds: FOLDS,
    fork: |env| fork::differ(env, "TRAVIS_PULL_REQUEST_SLUG", "TRAVIS_REPO_SLUG"),
    commit: Variables {
        tag: &["TRAVIS_TAG"],
        branch: &["TRAVIS_BRANCH"],
        sha: &["TRAVIS_COMMIT"],
        pull_request: &["TRAVIS_PULL_REQUEST"],
        // Of a pull request the branch it goes to.
        base: &["TRAVIS_BRANCH"],
        schedule: Some(("TRAVIS_EVENT_TYPE", "cron")),
        ..commit::UNKNOWN
    },
    ..PLAIN
};

const FOLDS: Folds = Folds {
    open: |number, title| format!("travis_fold:start:yadokari.{number}\r\x1b[0K{title}\n"),
    close: |number, _| format!("travis_fold:end:yadokari.{number}\r\x1b[0K\n"),
    guard,
    reads_log: true,
    ..markup::NONE
};

fn guard(line: &str) -> String {
    let words = ["fold:start:", "fold:end:", "time:start:", "time:end:"];
    words.iter().fold(line.to_owned(), |line, word| part(&line, word, "fold".len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_is_a_fold() {
        assert_eq!(guard("travis_fold:start:x"), "travis_fold :start:x");
        assert_eq!(guard("a travis_time:end:x:start=1"), "a travis_time :end:x:start=1");
        assert_eq!(guard("fold: a shirt"), "fold: a shirt");
    }
}
