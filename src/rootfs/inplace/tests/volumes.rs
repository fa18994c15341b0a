//! Mounted volumes at paths of an image.

use super::*;

#[test]
fn a_volume_at_a_path_of_the_image() {
    let container = Container::new(&["work/Dockerfile", "work/src/main", "other/x", "cache/y", "etc/z"])
        .mount("work", false)
        .mount("cache", false)
        .mount("other", true);
    let before = container.snapshot();
    let place = container.open();
    let context = container.path("work/src");
    assert_eq!(place.locate(&context), context);
    let mut tree = image(&place, 0, &["work/app/bin", "etc/image"]);
    let mut plain = image(&place, 1, &["etc/image"]);
    let root = container.directory.path();
    let changed = step(&mut *tree, || {
        let names: Vec<_> =
            fs::read_dir(root.join("work")).expect("work").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names.len(), 2, "app and our own directory: {names:?}");
        write_all(root, &["work/app/made", "cache/new"], "step");
    });
    assert_eq!(changed, ["work/", "work/app/", "work/app/made"]);
    assert_eq!(fs::read_to_string(place.locate(&context).join("main")).expect("the context"), "own");
    assert_eq!(fs::read_to_string(place.locate(&container.path("etc/z"))).expect("a file"), "own");
    let heard = container.heard();
    assert!(heard.iter().any(|t| t.contains("/cache") && !t.contains("/other")), "{heard:?}");
    assert_eq!(step(&mut *plain, || assert!(!root.join("work/app").exists())), [""; 0]);
    assert!(plain.view().node(b"work").expect("looked").is_none());
    assert_eq!(tree.view().names(b"").expect("names"), [b"etc".to_vec(), b"work".to_vec()]);
    assert_eq!(tree.view().read(b"work/app/made", 9).expect("text"), b"step", "idle, on the volume");
    tree.apply(&[directory("work"), file("work/copied")]).expect("written, idle, on the volume");
    plain.apply(&[directory("work"), file("work/copied")]).expect("written in place");
    let changed = step(&mut *plain, || write_all(root, &["work/made"], "step"));
    assert_eq!(changed, ["work/", "work/made"]);
    assert_eq!(step(&mut *tree, || assert!(root.join("work/copied").exists())), [""; 0]);
    assert_eq!(fs::read_to_string(place.locate(&context).join("main")).expect("the context"), "own");
    fs::remove_file(root.join("cache/new")).expect("the step's own");
    place.finish().expect("all is back");
    let (mut before, mut after) = (before, container.snapshot());
    before.remove("cache");
    after.remove("cache");
    assert_eq!(after, before);
}

#[test]
fn a_workdir_on_a_volume_is_known_once_it_is_copied_to() {
    let container = Container::new(&["work/Dockerfile"]).mount("work", false);
    let before = container.snapshot();
    let place = container.open();
    let mut tree = image(&place, 0, &["etc/x"]);
    tree.apply(&[directory("work")]).expect("WORKDIR /work");
    let root = container.directory.path();
    let changed = step(&mut *tree, || {
        assert!(!root.join("work/Dockerfile").exists());
        write_all(root, &["work/made"], "step");
    });
    assert_eq!(changed, ["work/", "work/made"]);
    tree.apply(&[directory("work"), file("work/copied")]).expect("written in place");
    assert_eq!(step(&mut *tree, || ()), [""; 0]);
    place.finish().expect("all is back");
    assert_eq!(container.snapshot(), before);
}
