use super::*;

fn matcher(patterns: &[&str]) -> IgnoreMatcher {
    IgnoreMatcher::new(&patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn one_pattern() {
    for (pattern, path, expected) in [
        ("**", "file", true),
        ("**", "dir/file", true),
        ("**/", "dir/file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("dir/**", "dir", false),
        ("dir", "dir/file", true),
        ("dir", "dir2/file", false),
        ("dir/", "dir/file", true),
        ("/dir", "dir", false),
        ("**/dir", "dir", true),
        ("**/dir", "a/b/dir/c", true),
        ("**/dir", "adir", false),
        ("**dir", "adir", true),
        ("**dir", "a/bdir", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2", false),
        ("**/dir2/**", "dir/dir2/dir2/file", true),
        ("**file", "dir/dir/file", true),
        ("**file", "file", true),
        ("**/*.txt", "a.txt", true),
        ("**/*.txt", "a/b/c.txt", true),
        ("**/*.txt", "a.txtx", false),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a/**/b", "ab", false),
        ("a**b", "a/x/yb", false),
        ("a**b", "a/x/y/b", true),
        ("a**b", "ab", true),
        ("a**", "abc/d", true),
        ("*", "a/b", true),
        ("*/*", "a", false),
        ("*/*/c", "a/b/c", true),
        ("*.go", "a.go", true),
        ("*.go", "a/b.go", false),
        ("a?c", "abc", true),
        ("a?c", "a/c", false),
        ("a?c", "aéc", true),
        ("a[b-d]e", "ace", true),
        ("a[^b-d]e", "ace", false),
        ("a[!b]c", "a!c", true),
        ("a\\*", "a*", true),
        ("a\\*", "ab", false),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        ("abc.def", "abcdef", false),
        ("abc.def", "abcZdef", false),
        ("a^b", "a^b", true),
        ("a^*", "a^b", false),
        ("a|b*", "axyz", true),
        ("a|b", "axyz", false),
        ("a|b", "a|b", true),
        ("*.{js,ts}", "x.{js,ts}", true),
        ("*.{js,ts}", "x.js", false),
        ("a{2}?", "aax", true),
        ("[*]", "a", false),
        ("[*]", "[]", true),
        ("\\d", "7", true),
        ("a b", "a b", true),
        ("  a  ", "a", true),
        ("a/../b", "b", true),
        ("./a", "a", true),
        (".git", ".gitignore", false),
        (".*", ".gitignore", true),
        ("**/.git", "sub/.git/config", true),
        ("é*", "éa", true),
        ("**", ".", false),
    ] {
        assert_eq!(matcher(&[pattern]).matches(path), expected, "{pattern} {path}");
    }
}

/// Go's cases for `filepath.Match`, as patternmatcher has them.
#[test]
fn as_go_matches() {
    for (pattern, path, expected) in [
        ("a*", "ab/c", true),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[^e-g]", "abc", true),
        ("a???b", "a☺b", false),
        ("a[^a]b", "a☺b", true),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("[\\]a]", "]", true),
        ("[\\-x]", "-", true),
        ("[x\\-]", "z", false),
        ("*x", "xxx", true),
        ("a\\\\", "a\\", true),
        ("a/*.txt**", "a/file.txt", true),
        // Only as far as "." matches is it checked as `filepath.Match` has it.
        ("b*/[-]", "b/-", true),
        ("b*/[a-]", "bc/-", true),
        ("b*/[]a]", "b/]", true),
        ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
    ] {
        assert_eq!(matcher(&[pattern]).matches(path), expected, "{pattern} {path}");
    }
    for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a["] {
        assert!(IgnoreMatcher::new(&[pattern.to_owned()]).is_err(), "{pattern}");
    }
}

#[test]
fn several_patterns() {
    for (patterns, path, expected) in [
        (&["a", "!a/b"][..], "a/b", false),
        (&["a", "!a/b"], "a/c", true),
        (&["a", "!a/b"], "a/b/c", false),
        (&["a", "!a/b", "a/b/c"], "a/b/c", true),
        (&["!a/b", "a"], "a/b", true),
        (&["**", "!docs"], "docs/x", false),
        (&["**", "!*.go"], "x.go", false),
        (&["**", "!*.go"], "a/x.go", true),
        (&["**", "!**/*.go"], "a/x.go", false),
        (&["*", "!dir/keep"], "dir/keep", false),
        (&["*", "!dir/keep"], "dir/other", true),
        (&["a/b", "!a"], "a/b", false),
        (&[], "a", false),
    ] {
        assert_eq!(matcher(patterns).matches(path), expected, "{patterns:?} {path}");
    }
}

/// Walks to a path from the top as a context is walked, and tells whether it is ignored.
fn walk(matcher: &IgnoreMatcher, path: &str) -> bool {
    let mut parent = ParentMatches::default();
    let mut ignored = false;
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        (ignored, parent) = matcher.matches_below(&path[..end], &parent);
    }
    ignored
}

#[test]
fn walks() {
    for (patterns, path, expected) in [
        (&["a", "!a/b"][..], "a/b/c", false),
        (&["a", "!a/b"], "a/c", true),
        (&["**", "!docs"], "docs/x", false),
        (&["a/b", "!a"], "a/b", true),
        (&["**/b", "!a"], "a/b/c", true),
        (&["*", "!dir/keep"], "dir/keep", false),
    ] {
        assert_eq!(walk(&matcher(patterns), path), expected, "{patterns:?} {path}");
    }
}

#[test]
fn reads_files() {
    let text =
        "\u{feff}# comment\ntest1\r\n/test2\n  /a/file/here/  \n\n #not a comment\n! /inverted/abs\n/\n";
    let matcher = IgnoreMatcher::parse(text).unwrap();
    let rules: Vec<_> =
        matcher.rules().iter().map(|rule| (rule.line, rule.negated, rule.pattern.as_str())).collect();
    assert_eq!(
        rules,
        [
            (2, false, "test1"),
            (3, false, "test2"),
            (4, false, "a/file/here"),
            (6, false, "#not a comment"),
            (7, true, "inverted/abs"),
            (8, false, "/"),
        ]
    );
    assert_eq!(matcher.rule_for("a/file/here/x").map(|rule| rule.line), Some(4));
    assert!(matcher.has_negations());
}

#[test]
fn refuses_bad_patterns() {
    for text in ["a\n!\n", "a\n! \n", "a\n[\n", "a\na[\n", "a\na\\\n", "a\n[]a]\n", "a\n\\q\n", "a\n*{2}\n"] {
        assert_eq!(IgnoreMatcher::parse(text).unwrap_err().line, 2, "{text:?}");
    }
}

#[test]
fn knows_where_negations_may_lead() {
    for (patterns, directory, expected) in [
        (&["a"][..], "a", false),
        (&["a", "!a/b/c"], "a", true),
        (&["a", "!a/b/c"], "a/b", true),
        (&["a", "!a/b/c"], "a/d", false),
        (&["a", "!a/b/**"], "a/b", true),
        (&["a", "!ab/c"], "a", false),
        (&["a", "!**/c"], "a/d", true),
        (&["a", "!*.c"], "a", true),
    ] {
        assert_eq!(matcher(patterns).may_include_below(directory), expected, "{patterns:?} {directory}");
    }
}

#[test]
fn paths_need_not_be_text() {
    assert!(matcher(&["a?b"]).matches(b"a\xffb"));
    assert!(matcher(&["a"]).matches(b"a/\xff\xfe"));
    assert!(!matcher(&["*b"]).matches(b"\xff/b"));
}
