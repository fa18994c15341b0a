//! `--chown` and `--chmod`.

use super::*;

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
    let chmod = |mode: &str| case(&["d"], "/t/").file("d/s/a").with(|s| s.chmod = Chmod::parse(mode));
    assert_eq!(chmod("4750").made(), ["t/ 750 0:0", "t/s/ 4750 0:0", "t/s/a 4750 0:0"]);
    assert_eq!(chmod("u=rwX,go=").made(), ["t/ 755 0:0", "t/s/ 700 0:0", "t/s/a 600 0:0"]);
}

#[test]
fn owners_as_written() {
    let image = |c: Case| {
        let file = Kind::File { size: 0 };
        let c = c.file("a").image("etc/passwd", file, 0o644);
        let group = Entry {
            path: b"etc/group".to_vec(),
            kind: Kind::File { size: 0 },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: Vec::new(),
            content: Content::Bytes(b"root:x:0:\nstaff:x:50:me\n7:x:77:\n".as_slice().into()),
        };
        let mut c = c;
        c.image.insert(&group).unwrap();
        c
    };
    let owned = |spec: &str| image(case(&["a"], "/a")).with(|s| s.chown = Some(Ownership(spec.to_owned())));
    for (spec, owner) in [
        ("5", "5:5"),
        ("+5", "5:5"),
        ("root", "0:0"),
        ("me", "5:6"),
        ("me:staff", "5:50"),
        ("me:8", "5:8"),
        // A number is never a name.
        ("me:7", "5:7"),
        ("9:staff", "9:50"),
        ("1:2", "1:2"),
        (":staff", "0:50"),
        (":3", "0:3"),
        ("me:", "5:0"),
        ("9:", "9:0"),
        ("me:root", "5:0"),
        ("2147483647", "2147483647:2147483647"),
    ] {
        assert_eq!(owned(spec).made(), [format!("a 644 {owner}")], "{spec}");
    }
    for (spec, part) in [
        ("nobody-here", "no user 'nobody-here' in /etc/passwd"),
        ("me:nogroup", "no group 'nogroup' in /etc/group"),
        ("2147483648", "ids go from 0 to 2147483647"),
        ("-1", "ids go from 0"),
        ("me:staff:x", "no group 'staff:x'"),
    ] {
        let error = owned(spec).error();
        assert!(error.starts_with(&format!("--chown={spec}: ")) && error.contains(part), "{error}");
    }
    for (spec, owner) in [
        ("nobody-here", "0:0"),
        ("nobody-here:staff", "0:50"),
        ("me:nogroup", "5:6"),
        ("9:nogroup", "9:9"),
        ("4294967296", "0:0"),
        ("9:2147483648", "9:9"),
    ] {
        let mut compat = owned(spec);
        compat.compat = true;
        assert_eq!(compat.made(), [format!("a 644 {owner}")], "{spec}");
    }
    let linked = owned("me").with(|s| s.link = true).error();
    assert!(linked.contains("a linked copy knows nothing of the image"), "{linked}");
    let linked = owned("1:staff").with(|s| s.link = true).error();
    assert!(linked.contains("'staff'"), "{linked}");
    assert_eq!(owned("9:8").with(|s| s.link = true).made(), ["a 644 9:8"]);
}

#[test]
fn a_working_directory_belongs_to_the_user_as_chown_reads_it() {
    let made = |user: &str, compat: bool| {
        let case = case(&[], "/").image("etc/passwd", Kind::File { size: 0 }, 0o644);
        let now = Timestamp { seconds: 99, nanoseconds: 0 };
        let entries = workdir_entries(&case.image, "/w/x", user, compat, now);
        entries.map(|e| e.iter().map(shown_entry).collect::<Vec<_>>().join(" ")).map_err(|e| e.to_string())
    };
    for (user, owner) in [
        ("", "0:0"),
        ("me", "5:6"),
        ("me:", "5:0"),
        ("me:9", "5:9"),
        ("5", "5:5"),
        ("7", "7:7"),
        (":8", "0:8"),
    ] {
        assert_eq!(made(user, false), Ok(format!("w/ 755 {owner} w/x/ 755 {owner}")), "{user}");
    }
    let error = made("stranger", false).unwrap_err();
    assert!(error.starts_with("USER stranger: the image has no user 'stranger'"), "{error}");
    assert_eq!(made("stranger", true), Ok("w/ 755 0:0 w/x/ 755 0:0".to_owned()));
}

#[test]
fn directories_below_one_with_the_setgid_bit_inherit_it() {
    let shared = |c: Case| {
        let mut c = c.file("d/s/a").directory("g", 0o2775);
        let node = c.image.node(b"g").unwrap().unwrap();
        c.image.insert(&Entry::directory(b"g", &crate::layer::Node { gid: 8, ..node })).unwrap();
        c
    };
    assert_eq!(
        shared(case(&["d"], "/g/n/t")).made(),
        ["g/ 2775 0:8", "g/n/ 2755 0:8", "g/n/t/ 2755 0:8", "g/n/t/s/ 755 0:0", "g/n/t/s/a 644 0:0"]
    );
    let owned = shared(case(&["d/s/a"], "/g/n/")).with(|s| s.chown = Some(Ownership("5".to_owned())));
    assert_eq!(owned.made(), ["g/ 2775 0:8", "g/n/ 2755 5:5", "g/n/a 644 5:5"]);
    let octal = shared(case(&["d"], "/g/t")).with(|s| s.chmod = Chmod::parse("750"));
    assert_eq!(octal.made(), ["g/ 2775 0:8", "g/t/ 2750 0:8", "g/t/s/ 750 0:0", "g/t/s/a 750 0:0"]);
}

#[test]
fn modes_of_what_is_made_and_what_is_there() {
    let tree = |c: Case| c.file("d/s/a").file("d/s/x").mode("d/s/x", 0o700).mode("d/s", 0o2750);
    let chmod = |c: Case, mode: &str| tree(c).with(|s| s.chmod = Chmod::parse(mode)).made();
    // Octal: as it is for files and directories, without special bits for parents.
    assert_eq!(
        chmod(case(&["d"], "/p/t/"), "6640"),
        ["p/ 640 0:0", "p/t/ 640 0:0", "p/t/s/ 6640 0:0", "p/t/s/a 6640 0:0", "p/t/s/x 6640 0:0"]
    );
    assert_eq!(
        chmod(case(&["d"], "/p/t/"), "a=rX,u+w"),
        ["p/ 755 0:0", "p/t/ 755 0:0", "p/t/s/ 755 0:0", "p/t/s/a 644 0:0", "p/t/s/x 755 0:0"]
    );
    // What is there keeps its own, except directories that the copy brings, too.
    let there = case(&["d"], "/t").directory("t", 0o711).directory("t/s", 0o500);
    assert_eq!(chmod(there, "go-rwx"), ["t/ 711 0:0", "t/s/ 2700 0:0", "t/s/a 600 0:0", "t/s/x 700 0:0"]);
    let links = case(&["l"], "/t/").file("l/f").link("l/to", "f").with(|s| s.chmod = Chmod::parse("600"));
    assert_eq!(links.made(), ["t/ 600 0:0", "t/f 600 0:0", "t/to -> f 777 0:0"]);
}
