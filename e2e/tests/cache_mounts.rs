//! Directories of `RUN --mount=type=cache` that are saved, and restored where nothing of earlier builds is.

use std::fs;
use std::time::Duration;

use pretty_assertions::assert_eq;
use yadokari_e2e::{
    Base, Build, Fault, FaultyProxy, Image, Kind, Place, Registry, Rule, everywhere, program, run, scratch,
};

everywhere!(a_fresh_build_begins_with_what_was_saved);

/// A package manager of sorts: what it has it does not make again.
const PACKAGES: &str = "FROM busybox\nARG N\n\
    RUN --mount=type=cache,id=packages,target=/c,uid=7,mode=0700 \
        for p in a b c; do \
          if [ -e /c/d/$p ]; then echo had >> /log; \
          else echo made >> /log; mkdir -p /c/d; head -c 200000 /dev/urandom > /c/d/$p; fi; \
        done; \
        if [ -e /c/last ]; then cat /c/last >> /log; stat -c '%u %h %a' /c/d/link >> /log; stat -c '%u %a' /c >> /log; readlink /c/s >> /log; ls -A /c | wc -l >> /log; fi; \
        echo $N > /c/last; rm -rf /c/old; mkdir /c/old-$N; ln -f /c/d/a /c/d/link; chown 5 /c/d/a; [ -L /c/s ] || ln -s d/a /c/s\n";

/// What the step wrote.
fn log(image: &Image) -> String {
    let layer = image.layer(-1);
    let Kind::File(content) = &layer.entry("log").kind else { panic!("no file") };
    String::from_utf8(content.clone()).expect("UTF-8")
}

/// A build with nothing of earlier ones but what is saved at `at`.
fn saving(dockerfile: &str, at: &str, n: &str) -> Build {
    let host = at.split('/').next().unwrap_or_default();
    Build::new(dockerfile)
        .flag(&format!("--build-arg=N={n}"))
        .flag(&format!("--cache-mounts-from=type=registry,ref={at}"))
        .flag(&format!("--cache-mounts-to=type=registry,ref={at}"))
        .flag(&format!("--insecure-registry={host}"))
}

/// Requests that read or send the bytes of layers.
fn transfers(proxy: &FaultyProxy) -> usize {
    let moves = |r: &&String| {
        (r.starts_with("GET ") && r.contains("/blobs/sha256"))
            || (r.starts_with("PUT ") && r.contains("/blobs/uploads/"))
    };
    proxy.requests().iter().filter(moves).count()
}

fn a_fresh_build_begins_with_what_was_saved(place: Place) {
    let registry = Registry::open();
    let proxy = FaultyProxy::before(&registry, Vec::new());
    let at = proxy.reference("app/mounts");
    let first = saving(PACKAGES, &at, "1").run(place);
    first.succeeded().said("the cache mount '/packages' is saved: 8 of its 8 files");
    assert_eq!(log(&first.image()), "made\nmade\nmade\n");

    proxy.start_anew(Duration::ZERO);
    let second = saving(PACKAGES, &at, "2").run(place);
    second.succeeded().said("begins with what was saved: 8 files, 586 KiB");
    assert_eq!(log(&second.image()), "had\nhad\nhad\n1\n5 2 644\n7 700\nd/a\n4\n");
    // Only what the step wrote is sent.
    second.said("the cache mount '/packages' is saved: 2 of its 9 files, 1 KiB");
    assert_eq!(transfers(&proxy), 2, "one layer comes, one goes: {:#?}", proxy.requests());

    let third = saving(PACKAGES, &at, "3").run(place);
    third.succeeded().said("begins with what was saved: 9 files");
    assert_eq!(log(&third.image()), "had\nhad\nhad\n2\n5 2 644\n7 700\nd/a\n5\n");
}

/// A step that changes nothing, one that the layer cache knows, and one of another scope.
#[test]
fn only_what_is_needed_is_moved() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let proxy = FaultyProxy::before(&registry, Vec::new());
    let at = proxy.reference("app/mounts");
    let dockerfile = format!(
        "FROM {}\nARG N\nRUN --mount=type=cache,target=/c [ -e /c/f ] && echo had-it || (echo made-it; echo x > /c/f)\n",
        proxy.reference("base:1")
    );
    let build = |n: &str| {
        saving(&dockerfile, &at, n).push_to(&proxy.reference("app:1")).flag("--cache").without_layout()
    };
    build("1").run(Place::Overlay).succeeded().said("made-it").said("saved: 1 of its 1 files");
    proxy.start_anew(Duration::ZERO);
    let known = build("1").run(Place::Overlay);
    known.succeeded().said("CACHED RUN");
    assert!(!proxy.requests().iter().any(|r| r.contains("ycm1-")), "{:#?}", proxy.requests());
    let same = build("2").run(Place::Overlay);
    same.succeeded().said("had-it");
    assert!(!same.finished.output().contains("is saved"), "{}", same.finished.output());
    let other = build("2").flag("--cache-scope=other").run(Place::Overlay);
    other.succeeded().said("made-it");
    let small = build("3").flag("--cache-mounts-limit=1").run(Place::Overlay);
    small.succeeded().said("more than --cache-mounts-limit allows").said("made-it");
    let list = |more: &[&str]| {
        let flags = [format!("--cache-repo={at}"), format!("--insecure-registry={}", proxy.host())];
        run(std::process::Command::new(program()).arg("cache").args(more).args(flags))
    };
    let listed = list(&["ls"]);
    assert_eq!(listed.stdout.matches("cache mount").count(), 2, "{}", listed.output());
    std::thread::sleep(Duration::from_millis(1100));
    let pruned = list(&["prune", "--unused-for=0s"]);
    assert!(
        pruned.stdout.contains("2 saved cache mounts") && pruned.stdout.contains("0 left"),
        "{}",
        pruned.output()
    );
    build("4").run(Place::Overlay).succeeded().said("made-it");
}

#[test]
fn jobs_of_others_read_and_do_not_save() {
    let registry = Registry::open();
    let at = registry.reference("app/mounts");
    saving(PACKAGES, &at, "1").run(Place::Overlay).succeeded();
    let fork = |n: &str| {
        let build = saving(PACKAGES, &at, n).env("GITHUB_ACTIONS", "true");
        build.env("GITHUB_EVENT_NAME", "pull_request")
    };
    let read = fork("2").run(Place::Overlay);
    read.succeeded().said("the cache is read and not written");
    assert!(log(&read.image()).starts_with("had\nhad\nhad\n1\n"));
    assert!(log(&saving(PACKAGES, &at, "3").run(Place::Overlay).image()).starts_with("had\nhad\nhad\n1\n"));
    fork("4").flag("--no-push-cache=false").run(Place::Overlay).succeeded().said("is saved: 2 of its");
}

#[test]
fn a_store_that_does_not_work_only_warns() {
    let registry = Registry::open();
    let faults = |fault: Fault| {
        let rule = |method| Rule { method, contains: "app/mounts", times: 1000, fault: fault.clone() };
        ["GET", "HEAD", "PUT", "POST", "PATCH"].map(rule).to_vec()
    };
    let proxy = FaultyProxy::before(&registry, faults(Fault::Status(404, None)));
    let at = proxy.reference("app/mounts");
    let built = saving(PACKAGES, &at, "1").run(Place::Overlay);
    built.succeeded().said("is not saved in");
    let gone = saving(PACKAGES, &format!("127.0.0.1:9/{}", "app/mounts"), "1").run(Place::Overlay);
    gone.succeeded().said("does not answer");

    let sound = registry.reference("app/mounts");
    saving(PACKAGES, &sound, "1").run(Place::Overlay).succeeded();
    for (fault, contains) in [
        (Fault::Garbage, "/manifests/ycm1-"),
        (Fault::Corrupt, "/blobs/sha256"),
        (Fault::Garbage, "/blobs/sha256"),
    ] {
        let rule = Rule { method: "GET", contains, times: 1000, fault };
        let proxy = FaultyProxy::before(&registry, vec![rule]);
        let built = saving(PACKAGES, &proxy.reference("app/mounts"), "2")
            .flag("--no-push-cache")
            .flag("--image-download-retry=0")
            .run(Place::Overlay);
        built.succeeded();
        assert_eq!(log(&built.image()), "made\nmade\nmade\n");
        assert!(
            built.finished.output().contains("WARN") || built.finished.output().contains("warning"),
            "{}",
            built.finished.output()
        );
    }
    let built = saving(PACKAGES, &sound, "3").run(Place::Overlay);
    assert!(log(&built.image()).starts_with("had"));
}

/// Directories as stores, several at once, and a machine that keeps its own caches.
#[test]
fn a_directory_is_a_store_too() {
    let store = scratch();
    let registry = Registry::open();
    let at = registry.reference("app/mounts");
    let oci = format!("oci:{}", store.path().join("c").display());
    let seeded = "FROM busybox AS seed\nRUN mkdir /s && echo seed > /s/f && echo s > /s/g && chown 5:6 /s\n\
        FROM busybox\nARG N\nRUN --mount=type=cache,from=seed,source=/s,target=/c \
        (cat /c/f; ls /c | wc -l; stat -c %u /c) > /log; echo $N > /c/f; rm -f /c/g\n";
    let build = |n: &str| {
        Build::new(seeded)
            .flag(&format!("--build-arg=N={n}"))
            .flag(&format!("--cache-mounts-from={oci}"))
            .flag(&format!("--cache-mounts-to=type=local,dest={}", store.path().join("c").display()))
            .flag(&format!("--cache-mounts-to={at}"))
            .flag(&format!("--insecure-registry={}", registry.host()))
    };
    let one = build("1").run(Place::Overlay);
    assert_eq!(log(&one.image()), "seed\n2\n5\n");
    let two = build("2").run(Place::Overlay);
    assert_eq!(log(&two.image()), "1\n1\n5\n", "what was deleted stays away");
    // One of the stores is lost: the other is enough, and it is filled again.
    fs::remove_dir_all(store.path().join("c")).expect("removed");
    let three = build("3").flag(&format!("--cache-mounts-from={at}")).run(Place::Overlay);
    assert_eq!(log(&three.image()), "2\n1\n5\n");
    assert_eq!(log(&build("4").run(Place::Overlay).image()), "3\n1\n5\n");
}

#[test]
fn a_machine_that_keeps_its_caches_restores_what_others_saved() {
    let (registry, kept) = (Registry::open(), scratch());
    let at = registry.reference("app/mounts");
    let here = |n: &str| {
        saving(PACKAGES, &at, n).flag(&format!("--cache-dir={}", kept.path().join("kept").display()))
    };
    assert_eq!(log(&here("1").run(Place::Overlay).image()), "made\nmade\nmade\n");
    let again = here("2").run(Place::Overlay);
    assert!(log(&again.image()).starts_with("had\nhad\nhad\n1\n"));
    assert!(!again.finished.output().contains("begins with"), "{}", again.finished.output());
    again.said("is saved: 2 of its 9 files");
    assert!(log(&saving(PACKAGES, &at, "3").run(Place::Overlay).image()).starts_with("had\nhad\nhad\n2\n"));
    let after = here("4").run(Place::Overlay);
    after.succeeded().said("begins with what was saved: 10 files");
    assert!(log(&after.image()).starts_with("had\nhad\nhad\n3\n"));
}
