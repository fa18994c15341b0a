//! Builds that are cut short, and the one after them.

use super::*;

/// Stops a build at every single movement, and puts the container back as after a kill.
#[test]
fn a_kill_at_any_moment_is_undone() {
    let movements = killed_at_every_movement(|place, one, two| {
        one.enter(&[]).and_then(|_| two.enter(&[])).and_then(|_| one.enter(&[]))?;
        place.finish()
    });
    assert!(movements > 50, "only {movements} movements were tried");
}

/// A tree that is left in place goes as well, when it was put there wholly and when in part.
#[test]
fn a_kill_while_a_tree_is_left_in_place_is_undone() {
    let movements = killed_at_every_movement(|place, one, two| {
        one.enter(&[]).and_then(|_| two.enter(&[]))?;
        place.leave()?;
        two.materialize()?;
        place.finish()
    });
    assert!(movements > 50, "only {movements} movements were tried");
}

/// How many movements what is done has.
fn killed_at_every_movement(
    work: impl Fn(&Inplace, &mut dyn Rootfs, &mut dyn Rootfs) -> Result<(), RootfsError>,
) -> usize {
    let scenario = |container: &Container, fuse_at: usize| -> bool {
        let before = container.snapshot();
        let place = container.open();
        let mut one = image(&place, 0, &["etc/image", "work/app", "usr/lib/x"]);
        let mut two = image(&place, 1, &["etc/two", "bin/x"]);
        fuse::set(fuse_at);
        let outcome = work(&place, &mut *one, &mut *two);
        let burnt = fuse::clear();
        assert_eq!(outcome.is_err(), burnt, "movement {fuse_at}: {outcome:?}");
        // Killed: nothing more is done, and the lock goes with the process.
        std::mem::forget((one, two, place));
        fs::remove_file(container.path("yadokari/lock")).expect("the lock");
        restore_at(container.site(), &container.events).unwrap_or_else(|e| panic!("movement {fuse_at}: {e}"));
        assert_eq!(container.snapshot(), before, "movement {fuse_at}");
        assert!(!container.path("yadokari/journal").exists());
        burnt
    };
    let mut movements = 0;
    loop {
        let mut container =
            Container::new(&["etc/passwd", "etc/hosts", "usr/x", "work/Dockerfile", "work/sub/y"])
                .mount("work", false)
                .mount("etc/hosts", true);
        container.unmovable = vec!["etc"];
        if !scenario(&container, movements) {
            break;
        }
        movements += 1;
    }
    movements
}

#[test]
fn a_tree_is_left_in_place_and_put_away() {
    let mut container =
        Container::new(&["etc/passwd", "usr/x", "work/Dockerfile", "a/mounted/x", "b/mounted/x"])
            .mount("work", false)
            .mount("a/mounted", false)
            .mount("b/mounted", false);
    container.unmovable = vec!["etc"];
    let before = container.snapshot();
    let place = container.open();
    let mut other = image(&place, 0, &["other"]);
    let mut tree = image(&place, 1, &["etc/image", "work/app", "b>etc", "usr/y"]);
    step(&mut *other, || ());
    place.leave().expect("all is back");
    tree.materialize().expect("left in place");
    place.finish().expect("nothing to do");
    drop((other, tree, place));
    for path in ["etc/image", "usr/y", "work/Dockerfile", "a/mounted/x", "b/image"] {
        assert!(container.path(path).exists(), "{path}");
    }
    for path in ["etc/passwd", "usr/x", "work/app", "other", "yadokari/stage/0"] {
        assert!(!container.path(path).exists(), "{path}");
    }
    let heard = container.heard();
    for part in ["/work is mounted", "image has no directory at /b: it is at", "own now"] {
        assert!(heard.iter().any(|text| text.contains(part)), "{part}: {heard:?}");
    }
    assert_eq!(restore_at(container.site(), &container.events).expect("restored"), Restored::Files);
    assert_eq!(container.snapshot(), before);
    assert_eq!(restore_at(container.site(), &container.events).expect("nothing"), Restored::Nothing);
}

#[test]
fn trees_that_were_kept_are_removed() {
    let container = Container::new(&OWN);
    let before = container.snapshot();
    let place = container.open();
    step(&mut *image(&place, 0, &["other"]), || ());
    place.keep();
    place.finish().expect("all is back");
    drop(place);
    assert_eq!(container.snapshot(), before);
    assert_eq!(restore_at(container.site(), &container.events).expect("removed"), Restored::Trees);
    assert!(!container.path("yadokari/stage").exists());
}

#[test]
fn two_builds_do_not_share_a_root() {
    let container = Container::new(&OWN);
    let _first = container.open();
    let text = container.try_open(&[]).err().expect("refused").to_string();
    assert!(text.contains("another build"), "{text}");
}
