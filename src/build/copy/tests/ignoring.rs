//! What the ignore file leaves to copy.

use super::*;

#[test]
fn ignore_rules_and_their_exceptions() {
    let tree = |c: Case| c.file("keep/a").file("node_modules/x/y").file("node_modules/keep/z");
    let plain = tree(case(&["."], "/t/")).ignoring("node_modules").made();
    assert_eq!(plain, ["t/ 755 0:0", "t/keep/ 755 0:0", "t/keep/a 644 0:0"]);
    let excepted = tree(case(&["."], "/t/")).ignoring("node_modules\n!node_modules/keep").made();
    assert!(excepted.contains(&"t/node_modules/keep/z 644 0:0".to_owned()), "{excepted:?}");
    assert!(!excepted.iter().any(|e| e.contains("node_modules/x")), "{excepted:?}");
}

#[test]
fn an_ignored_directory_is_there_only_for_what_is_below_it() {
    let tree = |c: Case| c.file("logs/x").file("logs/deep/y").mode("logs", 0o700);
    let none = tree(case(&["."], "/t/")).ignoring("logs\n!logs/keep*").made();
    assert_eq!(none, ["t/ 755 0:0"]);
    let some = tree(case(&["."], "/t/")).file("logs/keep/z").ignoring("logs\n!logs/keep*").made();
    let expected = ["t/ 755 0:0", "t/logs/ 700 0:0", "t/logs/keep/ 755 0:0", "t/logs/keep/z 644 0:0"];
    assert_eq!(some, expected);
    let named = tree(case(&["logs"], "/t/")).file("logs/keep/z").ignoring("logs\n!logs/keep*").made();
    assert_eq!(named, ["t/ 755 0:0", "t/keep/ 755 0:0", "t/keep/z 644 0:0"]);
    let error = tree(case(&["logs"], "/t/")).ignoring("logs\n!logs/keep*").error();
    assert!(error.contains("line 1 of .dockerignore ('logs') leaves it out"), "{error}");
    assert_eq!(tree(case(&["l*"], "/t/")).ignoring("logs\n!logs/keep*").made(), Vec::<String>::new());
    let deep = tree(case(&["."], "/t/")).ignoring("*\n!**/y").made();
    assert_eq!(deep, ["t/ 755 0:0", "t/logs/ 700 0:0", "t/logs/deep/ 755 0:0", "t/logs/deep/y 644 0:0"]);
}

#[test]
fn an_exception_for_a_directory_does_not_bring_back_what_is_ignored_in_it() {
    let tree = |c: Case| c.file("a/b/x").file("a/c").ignoring("a/b\n!a");
    assert_eq!(tree(case(&["."], "/t/")).made(), ["t/ 755 0:0", "t/a/ 755 0:0", "t/a/c 644 0:0"]);
    assert!(tree(case(&["a/b/x"], "/t/")).error().contains(".dockerignore leaves it out"));
}

/// A directory whose `closed` must not be looked into.
struct Closed(DirView);

impl View for Closed {
    fn node(&self, path: &[u8]) -> std::io::Result<Option<crate::layer::Node>> {
        self.0.node(path)
    }

    fn names(&self, path: &[u8]) -> std::io::Result<Vec<Vec<u8>>> {
        assert!(!path.starts_with(b"closed"), "{} was looked into", shown(path));
        self.0.names(path)
    }

    fn open(&self, path: &[u8]) -> std::io::Result<fs::File> {
        self.0.open(path)
    }

    fn entry(&self, path: &[u8]) -> std::io::Result<Option<crate::layer::SourceEntry>> {
        self.0.entry(path)
    }

    fn read(&self, path: &[u8], limit: u64) -> std::io::Result<Vec<u8>> {
        self.0.read(path, limit)
    }
}

#[test]
fn what_rules_cannot_include_again_is_not_walked() {
    let case = case(&["."], "/t/").file("closed/deep/a").file("open/a").file("open/b");
    let rules = IgnoreMatcher::parse("closed\nopen\n!open/a").unwrap();
    let made = copy_entries(&CopyJob {
        step: &case.step,
        source: Some(SourceTree {
            view: &Closed(DirView::at(case.context.path()).unwrap()),
            ignore: Some(&rules),
            ignore_file: None,
            keep_owner: false,
            modes: crate::config::ContextModes::Disk,
            name: "the build context".to_owned(),
        }),
        fetched: &[],
        destination: &case.image,
        now: Timestamp::default(),
        spool: &tempfile::tempfile,
        limits: crate::layer::Limits::default(),
        compat: false,
        warn: &|text| panic!("{text}"),
    });
    let shown: Vec<_> = made.unwrap().iter().map(shown_entry).collect();
    assert_eq!(shown, ["t/ 755 0:0", "t/open/ 755 0:0", "t/open/a 644 0:0"]);
}

#[test]
fn an_ignored_directory_is_there_for_an_exception_that_is_excluded_too() {
    let tree = |c: Case| c.file("logs/x").file("logs/keep/z").ignoring("logs\n!logs/keep");
    let copied = tree(case(&["."], "/t/")).with(|s| s.excludes = vec!["logs/keep".into()]).made();
    assert_eq!(copied, ["t/ 755 0:0", "t/logs/ 755 0:0"]);
}

#[test]
fn links_to_what_is_ignored_lead_nowhere() {
    let error = case(&["l"], "/t").file("secret").link("l", "secret").ignoring("*\n!l").error();
    assert!(
        error.ends_with("it is a link to 'secret', which line 1 of .dockerignore ('*') leaves out"),
        "{error}"
    );
    let error = case(&["deep/a/b"], "/t").file("deep/a/b").ignoring("# c\n\ndeep").error();
    assert!(error.ends_with("line 3 of .dockerignore ('deep') leaves it out"), "{error}");
}
