//! Where files land, and what is in their way.

use super::*;

#[test]
fn a_file_to_a_name_and_to_a_directory() {
    assert_eq!(case(&["a"], "/x").file("a").mode("a", 0o640).made(), ["x 640 0:0"]);
    assert_eq!(case(&["a"], "/d/").file("a").made(), ["d/ 755 0:0", "d/a 644 0:0"]);
    assert_eq!(case(&["a"], "/d/.").file("a").made(), ["d/ 755 0:0", "d/a 644 0:0"]);
    assert_eq!(case(&["d"], "/.").file("d/a").made(), ["a 644 0:0"]);
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
fn files_and_directories_do_not_replace_each_other() {
    let error = case(&["a"], "/d/").file("a").directory("d/a", 0o755).error();
    assert!(error.contains("cannot copy a file to '/d/a'"), "{error}");
    let error = case(&["d"], "/t/").file("d/x/a").image("t/x", Kind::File { size: 0 }, 0o644).error();
    assert!(error.contains("cannot copy a directory to '/t/x'"), "{error}");
    let replaced = case(&["a"], "/d/").file("a").image("d/a", Kind::Symlink(b"gone".to_vec()), 0o777).made();
    assert_eq!(replaced, ["d/ 755 0:0", "d/a 644 0:0"]);
}

#[test]
fn several_files_for_one_place() {
    let tree = |c: Case| c.file("a").file("b").file("d/c");
    let error = tree(case(&["a", "b"], "/x")).error();
    assert!(error.contains("several files would become '/x'") && error.contains("--compat"), "{error}");
    assert!(tree(case(&["[ab]"], "/x")).error().contains("several files"));
    let mut last = tree(case(&["a", "b"], "/x"));
    last.compat = true;
    let made = last.entries().unwrap();
    assert_eq!((made.len(), format!("{:?}", made[0].content).contains("\"b\"")), (1, true), "{made:?}");
    // A directory there takes them all, whoever made it.
    assert_eq!(tree(case(&["a", "b"], "/x")).directory("x", 0o755).made().len(), 3);
    assert_eq!(tree(case(&["d", "a"], "/x")).made(), ["x/ 755 0:0", "x/a 644 0:0", "x/c 644 0:0"]);
    assert_eq!(tree(case(&["a", "b"], "/")).made(), ["a 644 0:0", "b 644 0:0"]);
}

#[test]
fn heredocs_are_files_like_others() {
    let heredoc = |names: &[&str], to: &str| {
        let inline =
            |name: &&str| CopySource::Inline { name: (*name).to_owned(), content: "text".to_owned() };
        case(&[], to).with(|s| s.sources = names.iter().map(inline).collect())
    };
    assert_eq!(heredoc(&["EOF"], "/x").made(), ["x 644 0:0"]);
    assert_eq!(heredoc(&["a", "b"], "/d/").made(), ["d/ 755 0:0", "d/a 644 0:0", "d/b 644 0:0"]);
    assert!(heredoc(&["a", "b"], "/x").error().contains("several files"));
    for name in ["a/b", "..", "."] {
        assert!(heredoc(&[name], "/d/").error().contains("cannot be the name of a file"), "{name}");
    }
    let owned = heredoc(&["s"], "/bin/s")
        .with(|s| (s.chown, s.chmod) = (Some(Ownership("7".into())), Chmod::parse("u+x,g=u")));
    assert_eq!(owned.made(), ["bin/ 755 7:7", "bin/s 774 7:7"]);
    assert_eq!(owned.entries().unwrap()[1].mtime.seconds, 99);
}

#[test]
fn a_linked_copy_knows_nothing_of_what_is_below() {
    let on = |c: Case| {
        let c = c.file("x").file("d/x").image("bin", Kind::Symlink(b"usr/bin".to_vec()), 0o777);
        c.directory("tmp", 0o1777).with(|s| s.link = true)
    };
    assert_eq!(on(case(&["x"], "/bin/x")).made(), ["bin/ 755 0:0", "bin/x 644 0:0"]);
    assert_eq!(on(case(&["x"], "/tmp")).made(), ["tmp 644 0:0"]);
    assert_eq!(on(case(&["d"], "/tmp")).made(), ["tmp/ 755 0:0", "tmp/x 644 0:0"]);
    let owned = on(case(&["x"], "/tmp/x")).with(|s| s.chown = Some(Ownership("5:6".into())));
    assert_eq!(owned.made(), ["tmp/ 755 5:6", "tmp/x 644 5:6"]);
    // With --chmod it is a plain copy in BuildKit.
    let plain =
        on(case(&["x"], "/bin/x")).directory("usr/bin", 0o711).with(|s| s.chmod = Chmod::parse("755"));
    assert_eq!(plain.made(), ["usr/ 755 0:0", "usr/bin/ 711 0:0", "usr/bin/x 755 0:0"]);
}

#[test]
fn the_times_of_directories() {
    let tree = case(&["d"], "/p/t").file("d/s/a").directory("p", 0o755);
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000);
    for path in ["d/s", "d"] {
        fs::File::open(tree.context.path().join(path)).unwrap().set_modified(old).unwrap();
    }
    let times: Vec<_> = tree.entries().unwrap().iter().map(|e| e.mtime.seconds).collect();
    // The parent keeps its own, the directory copied to and those in it have the source's.
    assert_eq!(times[..3], [7, 1000, 1000]);
}
