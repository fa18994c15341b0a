//! What a step changed.

use std::sync::Arc;

use yadokari::layer::{Content, Entry, Kind, Timestamp};
use yadokari::rootfs::{Base, Placement, Rootfs};

use crate::fixture::{AS_ROOT, Fixture, WAYS, lines, root, shell, step};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("changes::new_and_deleted_files_are_found", new_and_deleted_files_are_found),
    ("changes::touching_is_no_change", touching_is_no_change),
    ("changes::a_replaced_directory_deletes_what_it_had", a_replaced_directory_deletes_what_it_had),
    ("changes::names_of_one_file_stay_together", names_of_one_file_stay_together),
    ("changes::mount_points_are_in_no_layer", mount_points_are_in_no_layer),
    ("changes::applied_entries_are_no_changes", applied_entries_are_no_changes),
    ("changes::forks_go_their_own_ways", forks_go_their_own_ways),
    ("changes::abandoned_builds_are_cleaned_up", abandoned_builds_are_cleaned_up),
];

/// A stage with the identity of each of [`WAYS`].
fn everywhere(test: impl Fn(&mut dyn Rootfs)) {
    for way in WAYS {
        let fixture = Fixture::new(way);
        test(&mut *fixture.stage());
        fixture.placement.finish().expect("finish");
        fixture.placement.finish().expect("finish again");
    }
}

fn new_and_deleted_files_are_found() {
    everywhere(|tree| {
        let (_, first) = step(
            tree,
            "echo new > data/new; ln -s new data/link; busybox mkfifo -m 600 data/pipe; \
             rm data/file; rm -r data/sub; mkdir -p a/b; chmod 2711 a/b; ln data/new data/new2; \
             chown 5:6 data/new",
        );
        assert_eq!(
            lines(&first),
            [
                "d a 755",
                "d a/b 2711",
                "d data 755",
                "w data/file",
                "l data/link -> new",
                "f data/new 4",
                "h data/new2 = data/new",
                "p data/pipe",
                "w data/sub",
            ]
        );
        let new = first.iter().find(|e| e.path == b"data/new").expect("data/new");
        assert_eq!((new.uid, new.gid, new.mode), (5, 6, 0o644));
        assert!(matches!(new.content, Content::Below(_)));
        let (seen, second) = step(tree, "cat data/new2; ls data; ls -d a/b; echo 'more' >> data/new");
        assert_eq!(seen, ["new", "link", "new", "new2", "pipe", "twin-a", "twin-b", "a/b"]);
        assert_eq!(lines(&second), ["d data 755", "f data/new 9", "h data/new2 = data/new"]);
        let (_, third) = step(tree, "mkdir data/sub; touch data/sub/one; rm -r a");
        assert_eq!(lines(&third), ["w a", "d data 755", "d data/sub 755", "f data/sub/one 0"]);
        assert_eq!(tree.view().names(b"data/sub").expect("names"), [b"one".to_vec()]);
        assert!(tree.view().node(b"data/sub/two").expect("node").is_none());
        assert!(tree.view().node(b"a/b").expect("node").is_none());
        assert_eq!(tree.view().read(b"data/new", 100).expect("read"), b"new\nmore\n");
    });
}

fn touching_is_no_change() {
    everywhere(|tree| {
        let (_, changes) = step(
            tree,
            "exec 3<>data/file; exec 3<&-; chmod 644 data/twin-a; chown 0:0 data/sub; \
             touch -r data/sub/one /tmp/t; mv data/sub/two /tmp/two; mv /tmp/two data/sub/two; rm /tmp/t",
        );
        assert_eq!(lines(&changes), [""; 0]);
        let (_, changes) = step(tree, "touch -d 2001-02-03 data/file; chmod 600 data/sub/one");
        assert_eq!(lines(&changes), ["d data 755", "f data/file 8", "d data/sub 755", "f data/sub/one 2"]);
    });
}

fn a_replaced_directory_deletes_what_it_had() {
    everywhere(|tree| {
        let (_, changes) = step(
            tree,
            "mv data/sub/one /tmp/one; rm -r data/sub; mkdir data/sub; echo 3 > data/sub/three; \
             mv /tmp/one data/sub/one; rm data/file; mkdir data/file",
        );
        let expected =
            ["d data 755", "d data/file 755", "d data/sub 755", "f data/sub/three 2", "w data/sub/two"];
        assert_eq!(lines(&changes), expected);
        let (seen, changes) =
            step(tree, "ls data/sub; rm -r data/file; echo > data/file; rm -r data/sub; ln -s / data/sub");
        assert_eq!(seen, ["one", "three"]);
        assert_eq!(lines(&changes), ["d data 755", "f data/file 1", "l data/sub -> /"]);
    });
}

fn names_of_one_file_stay_together() {
    everywhere(|tree| {
        let (seen, changes) = step(tree, "echo more >> data/twin-b; cat data/twin-a");
        assert_eq!(seen, ["twin", "more"]);
        let both = ["d data 755", "f data/twin-a 10", "h data/twin-b = data/twin-a"];
        assert_eq!(lines(&changes), both);
        let (seen, changes) = step(tree, "cat data/twin-a; chmod 600 data/twin-a; stat -c %a%h data/twin-b");
        assert_eq!(seen, ["twin", "more", "6002"]);
        assert_eq!(lines(&changes), both);
        let (_, changes) = step(tree, "mv data/twin-a data/twin-c");
        assert_eq!(
            lines(&changes),
            ["d data 755", "w data/twin-a", "f data/twin-b 10", "h data/twin-c = data/twin-b"]
        );
        let (_, changes) = step(tree, "rm data/twin-c");
        assert_eq!(lines(&changes), ["d data 755", "w data/twin-c"]);
    });
    everywhere(|tree| {
        let place = tree.enter(&[]).expect("enter");
        shell(&place, &root(), "echo more >> data/twin-b").expect("run");
        tree.forget().expect("forget");
        assert_eq!(tree.view().read(b"data/twin-a", 100).expect("read"), b"twin\nmore\n");
        let (directory, path) = tree.view().locate(b"data/twin-a").expect("locate").expect("there");
        let found = rustix::fs::statat(&directory, &path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        assert_eq!(found.expect("stat").st_nlink, 2);
    });
}

fn mount_points_are_in_no_layer() {
    everywhere(|tree| {
        let before = tree.view().node(b"etc").expect("node");
        let (seen, changes) = step(
            tree,
            "test -s /etc/hosts; test -c /dev/null; test -d /proc/self/fd; test -d /sys; ls /dev/pts/ptmx; \
             echo x > /dev/shm/x; (echo x >> /etc/hosts) 2>/dev/null || echo read-only; busybox hostname",
        );
        assert_eq!(seen, ["/dev/pts/ptmx", "read-only", "yadokari"]);
        assert_eq!(lines(&changes), [""; 0]);
        assert_eq!(tree.view().node(b"etc").expect("node"), before);
        assert!(tree.view().node(b"proc").expect("node").is_none());
    });
}

fn file(path: &str, text: &str) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind: Kind::File { size: text.len() as u64 },
        mode: 0o640,
        uid: 7,
        gid: 8,
        mtime: Timestamp { seconds: 1_000_000_000, nanoseconds: 5 },
        xattrs: Vec::new(),
        content: Content::Bytes(Arc::from(text.as_bytes())),
    }
}

fn applied_entries_are_no_changes() {
    everywhere(|tree| {
        let before = tree.view().node(b"data/sub").expect("node");
        tree.apply(&[file("data/sub/copied", "text"), file("tmp/x/y", "deep")]).expect("apply");
        tree.apply(&[file("data/file", "replaced")]).expect("apply");
        assert_eq!(tree.view().node(b"data/sub").expect("node"), before);
        let (seen, changes) = step(
            tree,
            "stat -c %u:%g:%a:%Y data/sub/copied; cat data/file; stat -c %a tmp tmp/x; cat tmp/x/y",
        );
        assert_eq!(seen, ["7:8:640:1000000000", "replaced1777", "755", "deep"]);
        assert_eq!(lines(&changes), [""; 0]);
        let (_, changes) = step(tree, "rm data/sub/copied; rm -r tmp/x");
        assert_eq!(
            lines(&changes),
            ["d data 755", "d data/sub 755", "w data/sub/copied", "d tmp 1777", "w tmp/x"]
        );
    });
}

fn forks_go_their_own_ways() {
    everywhere(|tree| {
        tree.apply(&[file("common", "x")]).expect("apply");
        let mut fork = tree.fork().expect("a fork").expect("made");
        tree.apply(&[file("here", "x")]).expect("apply");
        fork.apply(&[file("there", "x")]).expect("apply");
        let (seen, _) = step(tree, "ls / | busybox grep ere; echo > from-here");
        assert_eq!(seen, ["here"]);
        let (seen, _) = step(&mut *fork, "ls / | busybox grep -e ere -e common");
        assert_eq!(seen, ["common", "there"]);
    });
}

fn abandoned_builds_are_cleaned_up() {
    let fixture = Fixture::new(WAYS[0]);
    let abandoned = fixture.work.join("overlay/build-gone");
    std::fs::create_dir_all(abandoned.join("s0/u/deep")).expect("create");
    std::fs::write(abandoned.join("lock"), "").expect("write");
    let mut living = fixture.stage();
    let other = yadokari::rootfs::overlay::Overlay::open(&fixture.work, AS_ROOT).expect("open");
    assert!(!abandoned.exists());
    let scratch = other.create(0, Base::Scratch).expect("scratch");
    assert_eq!(scratch.view().names(b"").expect("names"), Vec::<Vec<u8>>::new());
    let (seen, _) = step(&mut *living, "echo alive");
    assert_eq!(seen, ["alive"]);
    other.finish().expect("finish");
    fixture.placement.finish().expect("finish");
    assert_eq!(std::fs::read_dir(fixture.work.join("overlay")).expect("list").count(), 1, "the lock only");
}
