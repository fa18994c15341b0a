//! Patterns in sources, and sources that are not there.

use super::*;

#[test]
fn wildcards() {
    let tree = |c: Case| c.file("a1").file("a2").file("b1").file("d/a3");
    assert_eq!(tree(case(&["a*"], "/t/")).made(), ["t/ 755 0:0", "t/a1 644 0:0", "t/a2 644 0:0"]);
    assert_eq!(tree(case(&["?/a[0-9]"], "/t/")).made(), ["t/ 755 0:0", "t/a3 644 0:0"]);
    assert_eq!(tree(case(&["none*"], "/t/")).made(), Vec::<String>::new());
    assert_eq!(case(&["[[]x"], "/t").file("[x").made(), ["t 644 0:0"]);
}

#[test]
fn missing_sources_are_errors_that_help() {
    assert!(
        case(&["packge.json"], "/").file("package.json").error().contains("did you mean 'package.json'?")
    );
    let ignored = case(&["secret"], "/").file("secret").ignoring("secret");
    assert!(
        ignored.error().ends_with("line 1 of .dockerignore ('secret') leaves it out"),
        "{}",
        ignored.error()
    );
}

#[test]
fn patterns_match_whole_paths_as_gos_filepath_match() {
    let tree =
        |c: Case| c.file("a/b/c.go").file("a/x.go").file("b.go").file(".h.go").file("a-b").link("l", "a");
    for (pattern, found) in [
        ("*/*.go", &["t/x.go"][..]),
        ("**/*.go", &["t/x.go"]),
        ("*.go", &["t/.h.go", "t/b.go"]),
        ("a/*/c.go", &["t/c.go"]),
        ("l/*.go", &["t/x.go"]),
        ("a?b", &["t/a-b"]),
        // A bracket may stand for a slash.
        ("a[^x]x.go", &["t/x.go"]),
        ("[^z]/b/[a-c].go", &["t/c.go"]),
        // Links are followed only before the first part with a wildcard.
        ("?/x.go", &["t/x.go"]),
        ("*/b", &["t/c.go"]),
    ] {
        let made = tree(case(&[pattern], "/t/")).made();
        let files: Vec<_> = made.iter().skip(1).map(|e| e.split(' ').next().unwrap()).collect();
        assert_eq!(files, found, "{pattern}");
    }
}

#[test]
fn a_pattern_that_matches_nothing_is_told() {
    let nothing = case(&["*.go", "a"], "/t/").file("a");
    assert_eq!(nothing.warned(), "", "of the context a check says it");
    assert_eq!(case(&["a*"], "/t/").file("a").warned(), "");
    // What is before the wildcard must be there, as in BuildKit.
    let error = case(&["sorce/*.go"], "/t/").file("source/a.go").error();
    assert_eq!(error, "'sorce' is not in the build context: did you mean 'source'?");
    for compat in [false, true] {
        let mut malformed = case(&["a/[x"], "/t/").file("a/x");
        malformed.compat = compat;
        let error = malformed.error();
        assert!(error.contains("'a/[x' is not a valid pattern"), "{error}");
    }
}

#[test]
fn what_is_wrong_in_a_path_is_named() {
    let tree = |c: Case| c.file("src/main/app.yml").file("README.md").link("gone", "nowhere/x");
    for (source, hint) in [
        ("src/mian/app.yml", ": did you mean 'src/main/app.yml'?"),
        ("src/main/app.yaml", ": did you mean 'src/main/app.yml'?"),
        ("srcc/other", ": did you mean 'src'?"),
        ("Readme.md", ": did you mean 'README.md'?"),
        ("gone", ": it is a link to 'nowhere/x', which is not there"),
        ("g*", ": it is a link to 'nowhere/x', which is not there"),
        ("entirely-different", ""),
    ] {
        let error = tree(case(&[source], "/t/")).error();
        let named = if source == "g*" { "gone" } else { source };
        assert_eq!(error, format!("'{named}' is not in the build context{hint}"));
    }
    let secret = case(&["secre"], "/").file("secret").ignoring("secret").error();
    assert_eq!(secret, "'secre' is not in the build context", "what is ignored is not suggested");
}
