//! What `COPY` and `ADD` make of real directories, by BuildKit's rules.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::layer::{DirView, Listing};
use crate::plan::{CopyFrom, Ownership};

struct Case {
    context: tempfile::TempDir,
    image: Listing,
    ignore: Option<IgnoreMatcher>,
    step: CopyStep,
}

fn case(sources: &[&str], destination: &str) -> Case {
    let step = CopyStep {
        add: false,
        from: CopyFrom::Context,
        sources: sources.iter().map(|s| CopySource::Path((*s).to_owned())).collect(),
        destination: destination.to_owned(),
        chown: None,
        chmod: None,
        excludes: Vec::new(),
        link: false,
        parents: false,
        unpack: None,
    };
    Case { context: tempfile::tempdir().unwrap(), image: Listing::new(), ignore: None, step }
}

impl Case {
    /// A file of the context; its content is its path.
    fn file(self, path: &str) -> Self {
        let at = self.context.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, path).unwrap();
        self
    }

    fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.context.path().join(path)).unwrap();
        self
    }

    fn mode(self, path: &str, mode: u32) -> Self {
        fs::set_permissions(self.context.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// An entry the image has.
    fn image(mut self, path: &str, kind: Kind, mode: u32) -> Self {
        let path = path.as_bytes().to_vec();
        let (mtime, xattrs, content) = (Timestamp { seconds: 7, nanoseconds: 0 }, Vec::new(), Content::None);
        let content = if path == b"etc/passwd" {
            Content::Bytes(b"root:x:0:0::/root:/bin/sh\nme:x:5:6::/:/bin/sh\n".as_slice().into())
        } else {
            content
        };
        self.image.insert(&Entry { path, kind, mode, uid: 0, gid: 0, mtime, xattrs, content }).unwrap();
        self
    }

    fn directory(self, path: &str, mode: u32) -> Self {
        self.image(path, Kind::Directory, mode)
    }

    fn with(mut self, change: impl FnOnce(&mut CopyStep)) -> Self {
        change(&mut self.step);
        self
    }

    fn ignoring(mut self, rules: &str) -> Self {
        self.ignore = Some(IgnoreMatcher::parse(rules).unwrap());
        self
    }

    fn entries(&self) -> Result<Vec<Entry>, CopyError> {
        let view = DirView::at(self.context.path()).unwrap();
        let source = SourceTree {
            view: &view,
            ignore: self.ignore.as_ref(),
            ignore_file: Some(Path::new(".dockerignore")),
            keep_owner: false,
            name: "the build context".to_owned(),
        };
        copy_entries(&CopyJob {
            step: &self.step,
            source: Some(source),
            fetched: &[],
            destination: &self.image,
            now: Timestamp { seconds: 99, nanoseconds: 0 },
            spool: &tempfile::tempfile,
        })
    }

    /// Entries as `path mode owner`, with a mark for the kind.
    fn made(&self) -> Vec<String> {
        self.entries().unwrap().iter().map(shown_entry).collect()
    }

    fn error(&self) -> String {
        self.entries().unwrap_err().to_string()
    }
}

fn shown_entry(e: &Entry) -> String {
    let path = shown(&e.path);
    let name = match &e.kind {
        Kind::Directory => format!("{path}/"),
        Kind::Symlink(target) => format!("{path} -> {}", shown(target)),
        Kind::HardLink(target) => format!("{path} = {}", shown(target)),
        _ => path,
    };
    format!("{name} {:o} {}:{}", e.mode, e.uid, e.gid)
}

#[test]
fn a_file_to_a_name_and_to_a_directory() {
    assert_eq!(case(&["a"], "/x").file("a").mode("a", 0o640).made(), ["x 640 0:0"]);
    assert_eq!(case(&["a"], "/d/").file("a").made(), ["d/ 755 0:0", "d/a 644 0:0"]);
    assert_eq!(case(&["a"], "/d").file("a").directory("d", 0o1777).made(), ["d/ 1777 0:0", "d/a 644 0:0"]);
    assert_eq!(case(&["a"], "/p/q/x").file("a").made(), ["p/ 755 0:0", "p/q/ 755 0:0", "p/q/x 644 0:0"]);
}

#[test]
fn a_directory_means_its_contents() {
    let copied = case(&["d"], "/t/").file("d/a").file("d/s/b").mode("d", 0o700).mode("d/s", 0o711).made();
    assert_eq!(copied, ["t/ 755 0:0", "t/a 644 0:0", "t/s/ 711 0:0", "t/s/b 644 0:0"]);
    let merged = case(&["d", "e"], "/t").file("d/a").file("e/a").file("e/b").directory("t", 0o750).made();
    assert_eq!(merged, ["t/ 750 0:0", "t/a 644 0:0", "t/b 644 0:0"]);
    assert_eq!(case(&["."], "/").file("a").made(), ["a 644 0:0"]);
}

#[test]
fn links_of_the_destination_are_followed_inside_the_image() {
    let on = |c: Case| {
        c.file("x").image("bin", Kind::Symlink(b"usr/bin".to_vec()), 0o777).directory("usr/bin", 0o755)
    };
    assert_eq!(on(case(&["x"], "/bin/x")).made(), ["usr/ 755 0:0", "usr/bin/ 755 0:0", "usr/bin/x 644 0:0"]);
    assert_eq!(on(case(&["x"], "/bin")).made(), ["usr/ 755 0:0", "usr/bin/ 755 0:0", "usr/bin/x 644 0:0"]);
    let up = case(&["x"], "/l/x").file("x").image("l", Kind::Symlink(b"/../../out".to_vec()), 0o777).made();
    assert_eq!(up, ["out/ 755 0:0", "out/x 644 0:0"]);
}

#[test]
fn links_of_the_source_are_followed_only_where_named() {
    let tree = |c: Case| c.file("d/a").link("l", "d").link("d/in", "a").link("f", "d/a");
    assert_eq!(tree(case(&["l"], "/t/")).made(), ["t/ 755 0:0", "t/a 644 0:0", "t/in -> a 777 0:0"]);
    assert_eq!(tree(case(&["f"], "/t/")).made(), ["t/ 755 0:0", "t/f 644 0:0"]);
    assert_eq!(
        case(&["esc/hosts"], "/t").link("esc", "/etc").error(),
        "'esc/hosts' is not in the build context"
    );
}

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
    assert!(ignored.error().contains("a rule of .dockerignore leaves it out"), "{}", ignored.error());
}

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
    assert!(error.contains("a rule of .dockerignore leaves it out"), "{error}");
    assert_eq!(tree(case(&["l*"], "/t/")).ignoring("logs\n!logs/keep*").made(), Vec::<String>::new());
    let deep = tree(case(&["."], "/t/")).ignoring("*\n!**/y").made();
    assert_eq!(deep, ["t/ 755 0:0", "t/logs/ 700 0:0", "t/logs/deep/ 755 0:0", "t/logs/deep/y 644 0:0"]);
}

#[test]
fn an_exception_for_a_directory_does_not_bring_back_what_is_ignored_in_it() {
    let tree = |c: Case| c.file("a/b/x").file("a/c").ignoring("a/b\n!a");
    assert_eq!(tree(case(&["."], "/t/")).made(), ["t/ 755 0:0", "t/a/ 755 0:0", "t/a/c 644 0:0"]);
    assert!(tree(case(&["a/b/x"], "/t/")).error().contains("a rule of .dockerignore"));
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
            name: "the build context".to_owned(),
        }),
        fetched: &[],
        destination: &case.image,
        now: Timestamp::default(),
        spool: &tempfile::tempfile,
    });
    let shown: Vec<_> = made.unwrap().iter().map(shown_entry).collect();
    assert_eq!(shown, ["t/ 755 0:0", "t/open/ 755 0:0", "t/open/a 644 0:0"]);
}

#[test]
fn owners_and_modes() {
    let owned = |spec: &str| {
        let spec = Ownership(spec.to_owned());
        case(&["a"], "/d/")
            .file("a")
            .image("etc/passwd", Kind::File { size: 0 }, 0o644)
            .with(|s| s.chown = Some(spec))
    };
    assert_eq!(owned("5").made(), ["d/ 755 5:5", "d/a 644 5:5"]);
    assert_eq!(owned("me").made(), ["d/ 755 5:6", "d/a 644 5:6"]);
    assert_eq!(owned("1:2").made(), ["d/ 755 1:2", "d/a 644 1:2"]);
    assert!(owned("nobody-here").error().contains("--chown=nobody-here"));
    let chmod = |mode: &str| case(&["d"], "/t/").file("d/s/a").with(|s| s.chmod = Some(mode.to_owned()));
    assert_eq!(chmod("4750").made(), ["t/ 750 0:0", "t/s/ 4750 0:0", "t/s/a 4750 0:0"]);
    assert_eq!(chmod("u=rwX,go=").made(), ["t/ 755 0:0", "t/s/ 700 0:0", "t/s/a 600 0:0"]);
    assert!(chmod("rwx").error().contains("--chmod=rwx"));
}

#[test]
fn hard_links_stay_together_in_one_source() {
    let tree = case(&["d"], "/t/").file("d/b");
    fs::hard_link(tree.context.path().join("d/b"), tree.context.path().join("d/a")).unwrap();
    assert_eq!(tree.made(), ["t/ 755 0:0", "t/a 644 0:0", "t/b = t/a 644 0:0"]);
}

#[test]
fn files_and_directories_do_not_replace_each_other() {
    let error = case(&["a"], "/d/").file("a").directory("d/a", 0o755).error();
    assert!(error.contains("cannot copy a file to '/d/a'"), "{error}");
    let error = case(&["d"], "/t/").file("d/x/a").image("t/x", Kind::File { size: 0 }, 0o644).error();
    assert!(error.contains("cannot copy a directory to '/t/x'"), "{error}");
    let replaced = case(&["a"], "/d/").file("a").image("d/a", Kind::Symlink(b"gone".to_vec()), 0o777).made();
    assert_eq!(replaced, ["d/ 755 0:0", "d/a 644 0:0"]);
}

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

fn tar_of(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o640);
        header.set_uid(3);
        header.set_gid(4);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name_literal(content).unwrap();
            header.set_size(0);
        } else {
            header.set_size(content.len() as u64);
        }
        header.set_cksum();
        let body = if header.size().unwrap() == 0 { "" } else { content };
        builder.append(&header, body.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn add(archive: &[u8], destination: &str) -> Case {
    let case = case(&["a.bin"], destination).with(|s| s.add = true);
    fs::write(case.context.path().join("a.bin"), archive).unwrap();
    case
}

#[test]
fn add_unpacks_archives_by_content() {
    use tar::EntryType as T;
    let tar = tar_of(&[("./d/", T::Directory, ""), ("d/f", T::Regular, "hello"), ("d/h", T::Link, "d/f")]);
    let expected = ["t/ 755 0:0", "t/d/ 640 3:4", "t/d/f 640 3:4", "t/d/h = t/d/f 640 3:4"];
    assert_eq!(add(&tar, "/t").made(), expected);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    assert_eq!(add(&gzip.finish().unwrap(), "/t").made(), expected);
    assert_eq!(add(&zstd::encode_all(&tar[..], 1).unwrap(), "/t").made(), expected);
    assert_eq!(add(b"no archive", "/t/").made(), ["t/ 755 0:0", "t/a.bin 644 0:0"]);
    assert_eq!(add(&tar, "/t/").with(|s| s.unpack = Some(false)).made(), ["t/ 755 0:0", "t/a.bin 644 0:0"]);
    assert!(add(b"BZh91AY&SY", "/t").error().contains("compression is not supported"));
}

#[test]
fn add_refuses_archives_that_leave_their_place() {
    use tar::EntryType as T;
    for entries in [
        vec![("../x", T::Regular, "evil")],
        vec![("a/../../x", T::Regular, "evil")],
        vec![("h", T::Link, "../../etc/passwd")],
    ] {
        let error = add(&tar_of(&entries), "/t/").error();
        assert!(error.contains("leaves the directory"), "{error}");
    }
    // A link of the archive leads nowhere but inside the image.
    let through = tar_of(&[("l", T::Symlink, "/../../etc"), ("l/x", T::Regular, "in")]);
    assert_eq!(
        add(&through, "/t/").made(),
        ["etc/ 755 0:0", "etc/x 640 3:4", "t/ 755 0:0", "t/l -> /../../etc 777 3:4"]
    );
}

#[test]
fn files_in_memory_are_copied_with_owners_links_and_capabilities() {
    let entry = |path: &str, kind: Kind, content: Content| Entry {
        path: path.into(),
        kind,
        mode: 0o4711,
        uid: 8,
        gid: 9,
        mtime: Timestamp { seconds: 5, nanoseconds: 0 },
        xattrs: Vec::new(),
        content,
    };
    let file = entry("d/b", Kind::File { size: 2 }, Content::Bytes(b"hi".as_slice().into()));
    let capability = (crate::layer::CAPABILITY.into(), vec![1, 2]);
    let mut tree = Listing::with_contents(tempfile::tempfile().unwrap()).unwrap();
    for entry in [
        Entry { xattrs: vec![capability.clone()], ..file },
        entry("d/a", Kind::HardLink(b"d/b".to_vec()), Content::None),
        entry("d/l", Kind::Symlink(b"a".to_vec()), Content::None),
        entry("d/p", Kind::Fifo, Content::None),
    ] {
        tree.insert(&entry).unwrap();
    }
    let case = case(&["d"], "/t/");
    let (view, name): (&dyn View, _) = (&tree, "the stage 'lib'".to_owned());
    let source = SourceTree { view, ignore: None, ignore_file: None, keep_owner: true, name };
    let made = copy_entries(&CopyJob {
        step: &case.step,
        source: Some(source),
        fetched: &[],
        destination: &case.image,
        now: Timestamp::default(),
        spool: &tempfile::tempfile,
    })
    .unwrap();
    let shown: Vec<_> = made.iter().map(shown_entry).collect();
    let links = ["t/b = t/a 4711 8:9", "t/l -> a 777 8:9", "t/p 4711 8:9"];
    assert_eq!(shown, [["t/ 755 0:0", "t/a 4711 8:9"].as_slice(), &links].concat());
    let Content::Bytes(bytes) = &made[1].content else { panic!("{:?}", made[1].content) };
    assert_eq!((&**bytes, &made[1].xattrs[..]), (b"hi".as_slice(), [capability].as_slice()));
}
