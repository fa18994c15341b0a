//! `--exclude` and `--parents`.

use super::*;

#[test]
fn excludes_are_relative_to_the_source() {
    let tree = case(&["d"], "/t/").file("d/a.md").file("d/b.go").file("d/s/c.md");
    assert_eq!(
        tree.with(|s| s.excludes = vec!["**/*.md".into()]).made(),
        ["t/ 755 0:0", "t/b.go 644 0:0", "t/s/ 755 0:0"]
    );
}

#[test]
fn an_excluded_directory_is_there_only_for_what_is_included_again() {
    let tree = |c: Case| c.file("d/s/a").file("d/s/keep").file("d/b").mode("d/s", 0o711);
    let excludes = |c: Case, patterns: &[&str]| {
        c.with(|s| s.excludes = patterns.iter().map(|p| (*p).to_owned()).collect())
    };
    let kept = excludes(tree(case(&["d"], "/t/")), &["s", "!s/keep"]).made();
    assert_eq!(kept, ["t/ 755 0:0", "t/b 644 0:0", "t/s/ 711 0:0", "t/s/keep 644 0:0"]);
    let none = excludes(tree(case(&["d"], "/t/")), &["s", "!s/other"]).made();
    assert_eq!(none, ["t/ 755 0:0", "t/b 644 0:0"]);
}

fn excluding(sources: &[&str], to: &str, patterns: &[&str]) -> Case {
    let c = case(sources, to).file("d/a.md").file("d/s/b.md").file("d/s/c.go").file("d/s/t/d.md");
    c.with(|s| s.excludes = patterns.iter().map(|p| (*p).to_owned()).collect())
}

#[test]
fn exclude_patterns() {
    let paths = |c: Case| -> Vec<String> {
        let made = c.entries().unwrap();
        made.iter().skip(1).map(|e| shown(&e.path).strip_prefix("t/").unwrap().to_owned()).collect()
    };
    for (patterns, left) in [
        (&["*.md"][..], &["s", "s/b.md", "s/c.go", "s/t", "s/t/d.md"][..]),
        (&["**/*.md"], &["s", "s/c.go", "s/t"]),
        (&["s"], &["a.md"]),
        (&["s/t", "a.md"], &["s", "s/b.md", "s/c.go"]),
        (&["**", "!s/c.go"], &["s", "s/c.go"]),
        (&["s", "!s/t"], &["a.md", "s", "s/t", "s/t/d.md"]),
        (&["**/*.md", "!**/d.md"], &["s", "s/c.go", "s/t", "s/t/d.md"]),
        (&["!a.md"], &["a.md", "s", "s/b.md", "s/c.go", "s/t", "s/t/d.md"]),
        (&["d/*.md"], &["a.md", "s", "s/b.md", "s/c.go", "s/t", "s/t/d.md"]),
    ] {
        assert_eq!(paths(excluding(&["d"], "/t/", patterns)), left, "{patterns:?}");
        assert_eq!(paths(excluding(&["d"], "/t/", patterns).with(|s| s.add = true)), left, "{patterns:?}");
    }
    // A file that is itself the source is not asked about.
    assert_eq!(paths(excluding(&["d/a.md"], "/t/", &["*.md"])), ["a.md"]);
    assert_eq!(paths(excluding(&["d/*"], "/t/", &["*.md"])), ["a.md", "c.go", "t", "t/d.md"]);
    assert!(excluding(&["d"], "/t/", &["[", "x"]).error().contains("is not a valid pattern"));
    assert!(excluding(&["d"], "/t/", &["!"]).error().contains("followed by no pattern"));
}

#[test]
fn a_directory_that_only_an_exception_needs_is_left_as_it_is_but_for_its_mode() {
    let tree = excluding(&["d"], "/t/", &["s", "!s/t"]).mode("d/s", 0o2700);
    let there = tree.with(|s| s.chmod = Chmod::parse("750")).directory("t", 0o755).directory("t/s", 0o711);
    assert_eq!(
        there.made(),
        ["t/ 755 0:0", "t/a.md 750 0:0", "t/s/ 2700 0:0", "t/s/t/ 750 0:0", "t/s/t/d.md 750 0:0"]
    );
}

#[test]
fn parents_are_kept() {
    let tree = |sources: &[&str]| {
        let c = case(sources, "/t/").file("a/b/c.go").file("a/b/d.md").file("a/x/c.go").file("top.go");
        c.mode("a", 0o750).mode("a/b", 0o711).link("l", "a").with(|s| s.parents = true)
    };
    let names = |c: &Case| -> Vec<String> {
        let made = c.entries().unwrap();
        made.iter().skip(1).map(|e| shown(&e.path).strip_prefix("t/").unwrap().to_owned()).collect()
    };
    for (sources, kept) in [
        (&["a/b/c.go"][..], &["a", "a/b", "a/b/c.go"][..]),
        (&["./a/b/c.go", "top.go"], &["a", "a/b", "a/b/c.go", "top.go"]),
        (&["a/b"], &["a", "a/b", "a/b/c.go", "a/b/d.md"]),
        (&["a/b/"], &["a", "a/b", "a/b/c.go", "a/b/d.md"]),
        (&["a/*/c.go"], &["a", "a/b", "a/b/c.go", "a/x", "a/x/c.go"]),
        (&["**/*.md"], &["a", "a/b", "a/b/d.md"]),
        (&["**"], &["a", "a/b", "a/b/c.go", "a/b/d.md", "a/x", "a/x/c.go", "l", "top.go"]),
        (&["*.go"], &["top.go"]),
        (&["a/./b/c.go"], &["b", "b/c.go"]),
        (&["/a/./b"], &["b", "b/c.go", "b/d.md"]),
        (&["a/./*/c.go"], &["b", "b/c.go", "x", "x/c.go"]),
        (&["a/*/./c.go"], &["c.go"]),
        // Links are followed left of the pivot only.
        (&["l/./b/c.go"], &["b", "b/c.go"]),
        (&["../a/b/../b/c.go"], &["a", "a/b", "a/b/c.go"]),
    ] {
        assert_eq!(names(&tree(sources)), kept, "{sources:?}");
        assert_eq!(*tree(sources).warnings.borrow(), [""; 0]);
    }
    let made = tree(&["a/b/c.go"]).with(|s| s.chown = Some(Ownership("7".into()))).made();
    assert_eq!(made, ["t/ 755 7:7", "t/a/ 750 7:7", "t/a/b/ 711 7:7", "t/a/b/c.go 644 7:7"]);
    let made = tree(&["a/b/c.go"]).with(|s| s.chmod = Chmod::parse("700")).made();
    assert_eq!(made, ["t/ 700 0:0", "t/a/ 700 0:0", "t/a/b/ 700 0:0", "t/a/b/c.go 700 0:0"]);
    // A parent that is there gets the mode and keeps the rest.
    let there = tree(&["a/b/c.go"]).directory("t", 0o700).directory("t/a", 0o701);
    let made = there.with(|s| s.chown = Some(Ownership("7".into()))).made();
    assert_eq!(made, ["t/ 700 0:0", "t/a/ 750 0:0", "t/a/b/ 711 7:7", "t/a/b/c.go 644 7:7"]);
    let excluded = tree(&["a"]).with(|s| s.excludes = vec!["a/x".into(), "**/*.md".into()]);
    assert_eq!(names(&excluded), ["a", "a/b", "a/b/c.go"]);
}

#[test]
fn parents_of_what_is_not_there() {
    let tree =
        |source: &str| case(&[source], "/t/").file("a/b/c.go").link("l", "a").with(|s| s.parents = true);
    let error = tree("a/d/c.go").error();
    assert_eq!(error, "'a/d/c.go' is not in the build context: did you mean 'a/b/c.go'?");
    assert!(tree("a/./x").error().starts_with("'a/x' is not in"));
    assert!(tree("x/./*").error().starts_with("'x' is not in"));
    for (source, part) in [
        ("z*/y", "'z*/y': nothing matches"),
        (".", "'.': it names no file or directory below itself"),
        ("a/./", "'a/./': it names no file"),
        ("l/b/c.go", "'l/b/c.go': a part of it is a link"),
    ] {
        let warned = tree(source).warned();
        assert!(warned.starts_with("--parents keeps nothing of ") && warned.contains(part), "{warned}");
        assert_eq!(tree(source).made(), ["t/ 755 0:0"]);
    }
}

/// The cases of fsutil's own test of its include and exclude patterns.
#[test]
fn patterns_on_one_tree() {
    let all = ["bar", "bar/baz", "bar/baz/foo3", "bar/foo", "foo2"];
    let (bar, foo, foo3) = (&all[..4], &["bar", "bar/foo"][..], &all[..3]);
    for (include, exclude, kept) in [
        ("bar", &[][..], bar),
        ("*", &[], &all[..]),
        ("bar/foo", &[], foo),
        ("b*", &[], bar),
        ("bar/f*", &[], foo),
        ("bar/g*", &[], &[]),
        ("b*/f*", &[], foo),
        ("b*/foo", &[], foo),
        ("b*/", &[], bar),
        ("bar/*/foo3", &[], foo3),
        ("**/foo3", &[], foo3),
        ("**/baz", &[], foo3),
        ("**/bar", &[], bar),
        ("", &["bar*", "!bar/baz"], &["bar", "bar/baz", "bar/baz/foo3", "foo2"]),
        ("", &["**", "!bar/baz"], foo3),
        ("", &["**", "!bar/baz", "bar/baz/foo3"], &["bar", "bar/baz"]),
        ("", &["bar/baz"], &["bar", "bar/foo", "foo2"]),
        ("bar", &["bar/baz"], foo),
        ("bar", &["**/foo3"], &["bar", "bar/baz", "bar/foo"]),
    ] {
        let parents = !include.is_empty();
        let copied = case(&[if parents { include } else { "." }], "/")
            .file("bar/foo")
            .file("bar/baz/foo3")
            .file("foo2")
            .with(|s| s.parents = parents)
            .with(|s| s.excludes = exclude.iter().map(|p| (*p).to_owned()).collect());
        let paths: Vec<_> = copied.entries().unwrap().iter().map(|e| shown(&e.path)).collect();
        assert_eq!(paths, kept, "{include} without {exclude:?}");
    }
}
