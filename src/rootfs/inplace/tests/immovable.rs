//! What cannot be renamed or placed.

use super::*;

#[test]
fn a_directory_that_cannot_be_renamed_lends_itself() {
    let mut container =
        Container::new(&["etc/passwd", "etc/hosts", "etc/apt/list", "usr/x"]).mount("etc/hosts", false);
    container.unmovable = vec!["etc", "etc/apt"];
    fs::set_permissions(container.path("etc"), fs::Permissions::from_mode(0o711)).expect("a mode");
    let before = container.snapshot();
    let place = container.open();
    let mut with = image(&place, 0, &["etc/passwd", "etc/hosts", "etc/apt/other"]);
    let mut without = image(&place, 1, &["bin/sh"]);
    let changed = step(&mut *with, || {
        assert_eq!(fs::read_to_string(container.path("etc/passwd")).expect("text"), "image");
        assert_eq!(fs::read_to_string(container.path("etc/hosts")).expect("text"), "own", "mounted");
        assert!(container.path("etc/apt/other").exists() && !container.path("etc/apt/list").exists());
        let mode = fs::metadata(container.path("etc")).expect("metadata").mode();
        assert_eq!(mode & 0o777, 0o755, "the image's");
        fs::remove_file(container.path("etc/apt/other")).expect("removed");
    });
    assert_eq!(changed, ["etc/", "etc/apt/", "-etc/apt/other"]);
    assert_eq!(with.view().read(b"etc/hosts", 99).expect("text"), b"image", "the image's, wherever it is");
    let changed = step(&mut *without, || {
        assert_eq!(fs::read_dir(container.path("etc")).expect("etc").count(), 1, "only the mounted file");
    });
    assert_eq!(changed, [""; 0], "a directory of the container is no part of an image without it");
    assert_eq!(without.view().names(b"").expect("names"), [b"bin".to_vec()]);
    assert!(without.view().node(b"etc").expect("looked").is_none());
    let changed = step(&mut *without, || write_all(container.directory.path(), &["etc/made"], ""));
    assert_eq!(changed, ["etc/", "etc/made"]);
    assert_eq!(step(&mut *with, || ()), [""; 0]);
    assert_eq!(without.view().names(b"etc").expect("names"), [b"made".to_vec()]);
    place.finish().expect("all is back");
    assert_eq!(container.snapshot(), before);
}

#[test]
fn a_directory_that_can_be_removed_once_empty_is_no_obstacle() {
    let mut container = Container::new(&["usr/bin/tool", "usr/lib/x", "bin/own"]);
    container.unmovable = vec!["usr", "usr/bin", "bin"];
    fs::set_permissions(container.path("usr/bin"), fs::Permissions::from_mode(0o711)).expect("a mode");
    let before = container.snapshot();
    let place = container.open();
    let mut tree = image(&place, 0, &["bin>usr/bin", "usr/bin/sh"]);
    assert_eq!(step(&mut *tree, || assert!(container.path("bin/sh").exists())), [""; 0]);
    assert_eq!(place.locate(&container.path("usr/bin/tool")), container.path("yadokari/own/usr/bin/tool"));
    place.finish().expect("all is back");
    assert_eq!(container.snapshot(), before);
}

#[test]
fn what_cannot_be_placed_is_refused_by_name() {
    let refusal = |container: &Container, files: &'static [&'static str]| {
        let before = container.snapshot();
        let place = container.open();
        let outcome = create(&place, 0, files).and_then(|mut tree| tree.enter(&[]).map(|_| ()));
        let text = outcome.expect_err("refused").to_string();
        place.finish().expect("all is back");
        assert_eq!(container.snapshot(), before);
        text
    };
    let mut container = Container::new(&[&OWN[..], &["etc/hosts"]].concat());
    container.unmovable = vec!["etc"];
    container = container.mount("etc/hosts", false);
    let text = refusal(&container, &["etc>usr/etc"]);
    assert!(text.contains("a symbolic link at /etc"), "{text}");
    let text = refusal(&container, &["busybox/sh"]);
    assert!(text.contains("/busybox"), "{text}");
    let text = refusal(&container, &["yadokari/x"]);
    assert!(text.contains("/yadokari"), "{text}");
    let volume = Container::new(&["work/x"]).mount("work", true);
    let text = refusal(&volume, &["work/y"]);
    assert!(text.contains("/work") && text.contains("read-only"), "{text}");
    let mut volume = Container::new(&["work/x"]).mount("work", false);
    volume.conflict = MountConflict::Error;
    let text = refusal(&volume, &["work/y"]);
    assert!(text.contains("/work"), "{text}");
    let text = refusal(&volume, &["work"]);
    assert!(text.contains("a file at /work"), "{text}");
    let place = container.open();
    let mut tree = image(&place, 0, &["a"]);
    let error = tree.apply(&[directory("busybox"), file("busybox/x")]).expect_err("refused");
    assert!(error.to_string().contains("/busybox"), "{error}");
}
