//! What keeps a cache useful between builds: `yadokari warm`, `yadokari cache`.

use std::process::Command;
use std::time::Duration;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Build, FaultyProxy, Finished, Place, Registry, program, run, scratch};

/// The program with these arguments, on this machine.
fn yadokari(arguments: &[&str]) -> Finished {
    run(Command::new(program()).args(arguments))
}

#[test]
fn a_warmed_directory_is_enough_for_an_offline_build() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    registry.put(&Base::Busybox.layout(), "tools:1");
    let proxy = FaultyProxy::before(&registry, Vec::new());
    let directory = scratch();
    let kept = directory.path().join("kept").display().to_string();
    let dockerfile = format!(
        "ARG TAG=none\nFROM {base}\nCOPY --from={tools} /etc/passwd /copied\nRUN cat /copied > /read\n",
        base = proxy.reference("base:$TAG"),
        tools = proxy.reference("tools:1"),
    );
    let build = Build::new(&dockerfile)
        .flag("--build-arg=TAG=1")
        .flag("--cache")
        .flag(&format!("--cache-dir={kept}"))
        .flag(&format!("--insecure-registry={}", proxy.host()));
    let file = build.context().join("Dockerfile").display().to_string();
    let insecure = format!("--insecure-registry={}", proxy.host());
    let arguments = ["warm", "-d", &file, "--build-arg=TAG=1", "-c", &kept, &insecure];
    // Several at once do not get into each other's way.
    let outcomes: Vec<Finished> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..3).map(|_| scope.spawn(|| yadokari(&arguments))).collect();
        running.into_iter().map(|r| r.join().expect("no panic")).collect()
    });
    for finished in outcomes {
        assert_eq!(finished.code, 0, "{}", finished.output());
        assert!(finished.output().contains("2 images are in"), "{}", finished.output());
    }
    proxy.start_anew(Duration::ZERO);
    drop(registry);
    let built = build.run(Place::Overlay);
    built.succeeded().said("does not answer");
    assert!(built.image().layer(-1).entry("read").content().starts_with(b"root"));
    let none = yadokari(&["warm", "-i", &proxy.reference("missing:1"), "-c", &kept, &insecure]);
    assert_eq!(none.code, 1, "{}", none.output());
}

#[test]
fn results_are_listed_and_removed() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let local = scratch();
    let oci = format!("oci:{}", local.path().join("c").display());
    let repository = registry.reference("app/cache");
    let insecure = format!("--insecure-registry={}", registry.host());
    for cache in [repository.as_str(), oci.as_str()] {
        let dockerfile = format!("FROM {}\nCOPY a /a\nRUN date +%N > /now\n", registry.reference("base:1"));
        let build = || {
            Build::new(&dockerfile)
                .file("a", "1")
                .push(&registry, "app:1")
                .flag("--cache")
                .flag(&format!("--cache-repo={cache}"))
        };
        build().run(Place::Overlay).succeeded();
        let flag = format!("--cache-repo={cache}");
        let list = || yadokari(&["cache", "ls", &flag, &insecure]);
        let listed = list();
        assert_eq!(listed.code, 0, "{}", listed.output());
        let lines: Vec<&str> = listed.stdout.lines().collect();
        assert_eq!(lines.len(), 3, "{}", listed.output());
        assert!(lines.iter().any(|l| l.contains("stage-0 3") && l.contains("RUN")), "{}", listed.output());

        let prune = |more: &str| yadokari(&["cache", "prune", &flag, &insecure, more]);
        assert!(prune("--older-than=1h").output().contains("0 results"), "{cache}");
        std::thread::sleep(Duration::from_millis(1100));
        let dry = yadokari(&["cache", "prune", &flag, &insecure, "--unused-for=0s", "--dry-run"]);
        assert!(dry.output().contains("2 results"), "{}", dry.output());
        assert_eq!(list().stdout.lines().count(), 3);
        let pruned = prune("--unused-for=0s");
        assert!(
            pruned.output().contains("2 results") && pruned.output().contains("0 left"),
            "{}",
            pruned.output()
        );
        assert_eq!(list().stdout.lines().count(), 1, "{}", list().output());
        build().run(Place::Overlay).succeeded().said("0 of 2 steps");
    }
    let nothing = yadokari(&["cache", "prune", "--cache-dir=/nowhere", "--unused-for=1h"]);
    assert_eq!(nothing.code, 1);
    assert!(nothing.stderr.contains("holds no cache"), "{}", nothing.output());
}

#[test]
fn removing_asks_for_the_right_to_remove() {
    let registry = Registry::with_tokens();
    let tokens = registry.tokens();
    let insecure = format!("--insecure-registry={}", registry.host());
    let build = Build::new("FROM scratch\nCOPY a /a\n")
        .file("a", "1")
        .docker_config(&registry.docker_config())
        .push(&registry, "app:1")
        .flag("--cache");
    build.run(Place::Overlay).succeeded();
    std::thread::sleep(Duration::from_millis(1100));
    let repository = registry.reference("app/cache");
    let home = scratch();
    std::fs::create_dir(home.path().join(".docker")).expect("made");
    std::fs::write(home.path().join(".docker/config.json"), registry.docker_config()).expect("written");
    let pruned = run(Command::new(program())
        .args(["cache", "prune", "--unused-for=0s", &insecure, &format!("--cache-repo={repository}")])
        .env("HOME", home.path()));
    assert!(
        pruned.output().contains("1 results") && !pruned.output().contains("removes nothing"),
        "{}",
        pruned.output()
    );
    let asked = tokens.requested_scopes();
    assert!(asked.iter().flatten().any(|s| s == "repository:app/cache:pull,push,delete"), "{asked:?}");
}
