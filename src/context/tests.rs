//! Contexts that are named in many ways.

use super::git::source;
use crate::config::GitContext;
use crate::fetch::{GitSource, History};

fn context(url: &str, clone: bool) -> GitContext {
    GitContext { url: url.to_owned(), clone, ..GitContext::default() }
}

#[test]
fn kanikos_repositories_are_clones() {
    let clone = GitSource {
        history: History::All,
        keep_git_dir: Some(true),
        submodules: Some(false),
        ..GitSource::new("https://h/r")
    };
    let commit = "a".repeat(40);
    for (url, reference) in [
        ("https://h/r".to_owned(), None),
        ("https://h/r#refs/heads/main".to_owned(), Some("refs/heads/main")),
        ("https://h/r#refs/pull/1/head".to_owned(), Some("refs/pull/1/head")),
        (format!("https://h/r#refs/heads/main#{commit}"), Some(commit.as_str())),
        (format!("https://h/r##{commit}"), Some(commit.as_str())),
    ] {
        let expected = GitSource { reference: reference.map(str::to_owned), ..clone.clone() };
        assert_eq!(source(&context(&url, true)).expect(&url), expected, "{url}");
    }
    let given = GitContext {
        branch: Some("v1".to_owned()),
        depth: Some(3),
        submodules: Some(true),
        skip_tls_verify: true,
        ..context("https://h/r#main", true)
    };
    let expected = GitSource {
        reference: Some("v1".to_owned()),
        history: History::Depth(3),
        submodules: Some(true),
        skip_tls_verify: true,
        ..clone.clone()
    };
    assert_eq!(source(&given).expect("right"), expected);
    let single = GitContext { single_branch: true, ..context("https://h/r", true) };
    assert_eq!(source(&single).expect("right"), GitSource { history: History::Branch, ..clone });
}

#[test]
fn buildkits_repositories_are_trees() {
    let tree = |reference: Option<&str>, subdir: Option<&str>| GitSource {
        reference: reference.map(str::to_owned),
        subdir: subdir.map(str::to_owned),
        ..GitSource::new("https://h/r.git")
    };
    for (url, expected) in [
        ("https://h/r.git", tree(None, None)),
        ("https://h/r.git#main:sub", tree(Some("main"), Some("sub"))),
        ("https://h/r.git#main#abc", tree(Some("abc"), None)),
    ] {
        assert_eq!(source(&context(url, false)).expect(url), expected, "{url}");
    }
    let kept = GitContext { keep_git_dir: Some(true), ..context("https://h/r.git", false) };
    assert_eq!(source(&kept).expect("right").keep_git_dir, Some(true));
}

#[test]
fn what_names_no_repository() {
    for (url, clone, words) in [
        ("https://h/r#-x", true, "is no branch"),
        ("https://h/r#a b", true, "is no branch"),
        ("https://u:p@h/r", false, "it is no URL of a git repository"),
        ("https://u:p@h/r.git?x=secret", false, "is not known"),
        ("https://h/r.git#main#", false, "no commit after"),
    ] {
        let error = source(&context(url, clone)).expect_err(url).to_string();
        assert!(error.contains(words) && !error.contains("u:p@") && !error.contains("secret"), "{error}");
    }
}
