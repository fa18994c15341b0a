//! Stages taking turns in the root.

use super::*;

#[test]
fn a_stage_takes_the_place_of_the_container_and_goes_again() {
    let container = Container::new(&OWN);
    symlink("usr/bin", container.path("bin")).expect("a link");
    fs::set_permissions(container.path("root"), fs::Permissions::from_mode(0o700)).expect("a mode");
    let before = container.snapshot();
    let place = container.open();
    let mut tree = image(&place, 0, &["etc/passwd", "usr/lib/x", "lib>usr/lib", "proc/device"]);
    assert_eq!(container.snapshot(), before, "nothing moves before the first step");
    let changed = step(&mut *tree, || {
        let there = |path: &str| container.path(path).exists();
        assert!(there("usr/lib/x") && there("lib/x") && there("busybox/sh") && there("proc/1"));
        assert!(!there("usr/bin") && !there("bin") && !there(".dockerenv") && !there("root"));
        assert_eq!(fs::read_to_string(container.path("etc/passwd")).expect("text"), "image");
        write_all(container.directory.path(), &["new/deep/file", "etc/added", "proc/2"], "step");
        fs::remove_dir_all(container.path("usr")).expect("removed");
    });
    assert_eq!(changed, ["etc/", "etc/added", "new/", "new/deep/", "new/deep/file", "-usr"]);
    fs::remove_file(container.path("proc/2")).expect("not ours to clear");
    write_all(container.directory.path(), &["proc/1"], "own");
    place.finish().expect("all is back");
    let mut after = container.snapshot();
    for (path, look) in &before {
        if path.starts_with("proc") {
            after.insert(path.clone(), look.clone());
        }
    }
    assert_eq!(after, before);
    place.finish().expect("nothing to do");
    let left: Vec<_> =
        fs::read_dir(container.path("yadokari")).expect("home").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn stages_take_turns_and_keep_their_changes() {
    let container = Container::new(&OWN);
    let before = container.snapshot();
    let place = container.open();
    let (mut one, mut two) = (image(&place, 0, &["etc/one", "a"]), image(&place, 1, &["etc/two", "a"]));
    let root = container.directory.path();
    assert_eq!(step(&mut *one, || write_all(root, &["etc/first"], "1")), ["etc/", "etc/first"]);
    let names = one.view().names(b"etc").expect("names");
    assert_eq!(names, [b"first".to_vec(), b"one".to_vec()]);
    assert_eq!(step(&mut *two, || fs::remove_file(root.join("a")).expect("removed")), ["-a"]);
    assert_eq!(one.view().names(b"etc").expect("names"), names, "the same while idle");
    assert_eq!(one.view().read(b"etc/first", 9).expect("text"), b"1");
    assert!(one.view().node(b"a").expect("looked").is_some());
    assert!(two.view().node(b"a").expect("looked").is_none());
    one.apply(&[directory("etc"), file("etc/copied")]).expect("written while idle");
    one.packed(&[(b"etc/copied".to_vec(), xxhash_rust::xxh3::xxh3_128(b"copied"))]);
    let changed = step(&mut *one, || {
        write_all(root, &["etc/second"], "2");
        let owner = fs::metadata(root.join("etc/copied")).expect("metadata").uid();
        std::os::unix::fs::chown(root.join("etc/copied"), Some(owner), None).expect("chown");
    });
    assert_eq!(changed, ["etc/", "etc/second"], "neither the rename nor the copy is a change");
    assert_eq!(container.heard(), [""; 0], "nobody disturbed anybody");
    drop((one, two));
    drop(place);
    assert_eq!(container.snapshot(), before, "dropping puts back");
}

#[test]
fn what_copy_writes_between_steps_is_no_change_of_a_step() {
    let container = Container::new(&OWN);
    let place = container.open();
    let mut tree = place.create(0, Base::Scratch).expect("an empty tree");
    tree.apply(&[directory("app"), file("app/main")]).expect("written");
    assert_eq!(step(&mut *tree, || ()), [""; 0]);
    tree.apply(&[directory("app"), directory("app/sub"), file("app/sub/x")]).expect("written");
    let root = container.directory.path();
    assert_eq!(step(&mut *tree, || write_all(root, &["app/sub/y"], "")), ["app/", "app/sub/", "app/sub/y"]);
    assert_eq!(tree.view().names(b"").expect("names"), [b"app".to_vec()]);
    tree.enter(&[]).expect("entered");
    write_all(root, &["cache/x", "kept", "cached"], "");
    assert_eq!(listed(&tree.changes(&[b"cache".to_vec()]).expect("changes")), ["cached", "kept"]);
    assert_eq!(step(&mut *tree, || ()), [""; 0], "what is ignored stays ignored");
}

#[test]
fn credentials_are_out_of_sight_during_a_step() {
    let container =
        Container::new(&["root/.docker/config.json", "kaniko/.docker/config.json", "ro/config.json"])
            .mount("ro", true);
    let files = ["root/.docker/config.json", "kaniko/.docker/config.json", "ro/config.json", "missing"];
    let files: Vec<PathBuf> = files.iter().map(|f| container.path(f)).collect();
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o640)).expect("a mode");
    let shown = |path: &Path| fs::metadata(path).map(|m| (m.mode(), m.mtime(), m.mtime_nsec(), m.uid())).ok();
    let before = (shown(&files[0]), shown(&files[1]));
    let place = container.try_open(&files).expect("opens");
    let heard = container.heard();
    assert!(
        heard.len() == 1 && heard[0].contains("ro/config.json") && heard[0].contains("read-only"),
        "{heard:?}"
    );
    let mut tree = image(&place, 0, &["etc/x"]);
    let moved = container.path("yadokari/own/root/.docker/config.json");
    step(&mut *tree, || {
        assert!(!files[1].exists() && !moved.exists() && moved.parent().expect("parent").exists())
    });
    assert!(files[1].exists() && moved.exists(), "back between steps");
    tree.enter(&[]).expect("entered");
    place.finish().expect("all is back");
    assert_eq!((shown(&files[0]), shown(&files[1])), before);
    drop(tree);
    drop(place);
    let mut strict = container;
    strict.require_hidden = true;
    let text = strict.try_open(&files).err().expect("refused").to_string();
    assert!(text.contains("ro/config.json"), "{text}");
}
