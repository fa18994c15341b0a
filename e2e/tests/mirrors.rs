//! Pulling through mirrors, good and bad ones.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Build, Fault, FaultyProxy, Place, Registry, Rule};

/// The registry that images are named by; nobody could ask it.
const NOWHERE: &str = "registry.invalid:5000";

fn with_base(name: &str) -> Registry {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), name);
    registry
}

fn build_from(image: &str) -> Build {
    Build::new(&format!("FROM {image}\nRUN echo ran > /file\n"))
}

fn manifests(registry: &Registry) -> usize {
    registry.requests().iter().filter(|r| r.contains("\"GET ") && r.contains("/manifests/")).count()
}

#[test]
fn maps_and_mirrors_in_every_place() {
    let mirror = with_base("proxy/hub/library/base:1");
    let map = format!("--registry-map=other.invalid=x.invalid;index.docker.io={}/proxy/hub", mirror.host());
    for place in Place::ALL {
        let built = build_from("base:1").flag(&map).flag("--skip-default-registry-fallback").run(place);
        built.succeeded();
        built.image().tree().node("file");
        assert!(!built.finished.stderr.contains("cannot be had"), "{place:?}: {}", built.finished.stderr);
    }
}

#[test]
fn flags_and_variables() {
    let mirror = with_base("library/base:1");
    let one = format!("--registry-mirror={}", mirror.host());
    build_from("docker.io/library/base:1").flag(&one).run(Place::Overlay).succeeded();
    build_from("base:1").env("KANIKO_REGISTRY_MIRROR", &mirror.host()).run(Place::Overlay).succeeded();
    let map = format!("{NOWHERE}={}/library", mirror.host());
    build_from(&format!("{NOWHERE}/base:1")).env("KANIKO_REGISTRY_MAP", &map).run(Place::Overlay).succeeded();
    // A COPY --from takes the same way.
    let dockerfile = format!("FROM scratch\nCOPY --from={NOWHERE}/base:1 /bin/sh /sh\n");
    Build::new(&dockerfile).env("KANIKO_REGISTRY_MAP", &map).run(Place::Overlay).succeeded();
}

#[test]
fn the_next_one_is_asked_and_the_first_one_named() {
    let (broken, good) = (with_base("base:1"), with_base("base:1"));
    for (words, fault) in [
        ("404", Fault::Status(404, None)),
        ("401", Fault::Status(401, None)),
        ("503", Fault::Status(503, Some(600))),
        ("no answer", Fault::CutAnswer(0)),
    ] {
        let rule = Rule { method: "GET", contains: "/manifests/", times: 100, fault };
        let proxy = FaultyProxy::before(&broken, vec![rule]);
        let map = format!("{NOWHERE}={};{NOWHERE}={}", proxy.host(), good.host());
        let before = manifests(&good);
        let built = build_from(&format!("{NOWHERE}/base:1"))
            .flag(&format!("--registry-map={map}"))
            .run(Place::Overlay);
        built.succeeded();
        let stderr = &built.finished.stderr;
        let named = stderr.lines().any(|l| l.contains(&proxy.host()) && l.contains(words));
        assert!(named, "{words}: {stderr}");
        assert!(manifests(&good) > before);
        assert!(!proxy.requests().iter().any(|r| r.contains("/blobs/")), "{:#?}", proxy.requests());
    }
    // One that nobody listens at.
    let map = format!("{NOWHERE}=127.0.0.1:1;{NOWHERE}={}", good.host());
    let built =
        build_from(&format!("{NOWHERE}/base:1")).flag("--registry-map").flag(&map).run(Place::Overlay);
    built.succeeded();
    assert!(built.finished.stderr.contains("127.0.0.1:1"), "{}", built.finished.stderr);
}

#[test]
fn a_mirror_that_lies_changes_nothing() {
    let (registry, lying) = (with_base("base:1"), with_base("base:1"));
    let corrupt = |contains| Rule { method: "GET", contains, times: 100, fault: Fault::Corrupt };
    let proxy = FaultyProxy::before(&lying, vec![corrupt("/blobs/")]);
    let map = format!("--registry-map={}={}", registry.host(), proxy.host());
    let steps = ["RUN echo ran > /file", "COPY x /bin/x"];
    for (place, step) in [(Place::Overlay, 0), (Place::Chroot, 0), (Place::InPlace, 0), (Place::Overlay, 1)] {
        let dockerfile = format!("FROM {}\n{}\n", registry.reference("base:1"), steps[step]);
        let build = Build::new(&dockerfile).file("x", "x");
        let honest = build.run(place);
        honest.succeeded();
        let build = Build::new(&dockerfile).file("x", "x").flag(&map).push(&registry, "app:1");
        let built = build.run(place);
        built.succeeded();
        let stderr = &built.finished.stderr;
        assert!(stderr.contains(&proxy.host()) && stderr.contains("sha256:"), "{place:?}: {stderr}");
        assert_eq!(built.image().tree(), honest.image().tree(), "{place:?} {step}");
        assert_eq!(registry.image("app:1").tree(), honest.image().tree(), "{place:?} {step}");
    }
}

#[test]
fn when_all_fail_each_is_named() {
    let empty = Registry::open();
    let map = format!("--registry-map={NOWHERE}={};{NOWHERE}=127.0.0.1:1", empty.host());
    let build = || build_from(&format!("{NOWHERE}/base:1")).flag(&map);
    let built = build().run(Place::Overlay);
    let error = built.failed(1);
    for part in [empty.host().as_str(), "404", "127.0.0.1:1", "registry.invalid"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    let built = build().flag("--skip-default-registry-fallback").run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("127.0.0.1:1") && !error.contains("registry.invalid: "), "{error}");
}

#[test]
fn pushes_and_the_cache_know_no_mirrors() {
    let (registry, mirror) = (Registry::open(), Registry::open());
    let map = format!("--registry-map={}={}", registry.host(), mirror.host());
    let build = Build::new("FROM busybox\nRUN echo ran > /file\n").flag(&map).flag("--cache");
    let build = build.push(&registry, "app:1");
    build.run(Place::Overlay).succeeded();
    std::fs::remove_dir_all(build.out().join("layout")).expect("removed");
    let built = build.run(Place::Overlay);
    built.succeeded();
    assert!(built.finished.stderr.contains("CACHED"), "{}", built.finished.stderr);
    assert!(registry.has_tag("app", "1"));
    assert_eq!(mirror.requests(), Vec::<String>::new());
}

#[test]
fn a_private_mirror_gets_its_own_password() {
    let (mirror, registry) = (Registry::with_password(), Registry::with_tokens());
    for registry in [&mirror, &registry] {
        registry.put(&Base::Busybox.layout(), "base:1");
    }
    let map = format!("--registry-map={}={}", registry.host(), mirror.host());
    let build = || build_from(&registry.reference("base:1")).flag(&map);
    let before = manifests(&registry);
    build().docker_config(&mirror.docker_config()).run(Place::Overlay).succeeded();
    assert_eq!(manifests(&registry), before, "the registry itself was not needed");
    // The registry's password is of no use at the mirror.
    let built = build().docker_config(&registry.docker_config()).run(Place::Overlay);
    built.succeeded();
    assert!(built.finished.stderr.contains("401"), "{}", built.finished.stderr);
}

#[test]
fn warm_pulls_through_mirrors() {
    let mirror = with_base("library/base:1");
    let directory = yadokari_e2e::scratch();
    let mut command = std::process::Command::new(yadokari_e2e::program());
    command
        .args(["warm", "--image=base:1", "--skip-default-registry-fallback"])
        .arg(format!("--registry-mirror={}", mirror.host()))
        .arg(format!("--cache-dir={}", directory.path().display()));
    let finished = yadokari_e2e::run(&mut command);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(
        directory.path().join("index.json").exists()
            || directory.path().read_dir().is_ok_and(|d| d.count() > 0)
    );
}
