//! The layer cache: what is known is not done again, and moves no bytes.

use std::time::Duration;

use pretty_assertions::assert_eq;
use yadokari_e2e::{
    Base, Build, Built, Fault, FaultyProxy, Image, Place, Registry, Rule, everywhere, scratch,
};

/// What a build of these lines says of its cache.
fn totals(built: &Built) -> String {
    let output = built.succeeded().finished.output();
    let line = output.lines().find(|l| l.contains(" steps known, which saved ")).unwrap_or_default();
    let start = line.find("cache: ").map_or(0, |at| at + 7);
    line[start..].split(" known").next().unwrap_or_default().to_owned()
}

/// Requests that read or send the bytes of layers: all that move blobs, but those of the configs.
fn layer_transfers(proxy: &FaultyProxy, image: &Image) -> Vec<String> {
    let moves = |r: &String| {
        (r.starts_with("GET ") && r.contains("/blobs/sha256"))
            || ((r.starts_with("PUT ") || r.starts_with("PATCH ")) && r.contains("/blobs/uploads/"))
    };
    let configs = [config_digest(image), config_digest(&Image::from_layout(&Base::Busybox.layout()))];
    let config = |r: &String| configs.iter().any(|c| r.contains(c));
    proxy.requests().into_iter().filter(moves).filter(|r| !config(r)).collect()
}

/// The digits of a config's digest.
fn config_digest(image: &Image) -> String {
    let digest = image.manifest["config"]["digest"].as_str().expect("a manifest has a config");
    digest.trim_start_matches("sha256:").to_owned()
}

/// A build that pushes to `proxy` with the cache beside the image, and has no local state.
fn cached(proxy: &FaultyProxy, dockerfile: &str) -> Build {
    let dockerfile = dockerfile.replace("BASE", &proxy.reference("base:1"));
    Build::new(&dockerfile).push_to(&proxy.reference("app:1")).flag("--cache")
}

fn registry() -> (Registry, FaultyProxy) {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let proxy = FaultyProxy::before(&registry, Vec::new());
    (registry, proxy)
}

/// A fully known build opens no root filesystem and moves no layer.
fn nothing_is_done_twice(place: Place) {
    let (registry, proxy) = registry();
    let dockerfile =
        "FROM BASE\nWORKDIR /w\nRUN echo ran > /made && echo said-by-'the'-step\nCOPY a b/ /d/\nENV X=1\n";
    let build = || cached(&proxy, dockerfile).file("a", "1").file("b/c", "2").without_layout();
    let cold = build().run(place);
    cold.succeeded().said("said-by-the-step");
    assert_eq!(totals(&cold), "0 of 3 steps");
    let first = registry.image("app:1");

    proxy.start_anew(Duration::ZERO);
    let warm = build().run(place);
    warm.succeeded().said("CACHED RUN echo ran").said("no root filesystem");
    assert!(!warm.finished.output().contains("said-by-the-step"), "{}", warm.finished.output());
    assert_eq!(totals(&warm), "3 of 3 steps");
    let second = registry.image("app:1");
    assert_eq!(second.digest, first.digest, "the same image again");
    second.layer(1).entry("w");
    second.layer(2).entry("made");
    second.layer(3).entry("d/c");
    assert_eq!(layer_transfers(&proxy, &first), [""; 0], "{:#?}", proxy.requests());
}

const TWO_FILES: &str = "FROM BASE\nCOPY a /a\nRUN cat a > /from-a\nCOPY b /b\nRUN cat b > /from-b\n";

#[test]
fn a_changed_file_repeats_the_steps_that_read_it_and_those_after() {
    let (registry, proxy) = registry();
    let build = |b: &str| cached(&proxy, TWO_FILES).file("a", "1").file("b", b).without_layout();
    build("1").run(Place::Overlay).succeeded();
    let built = build("2").run(Place::Overlay);
    built.succeeded().said("[stage-0 4] COPY is not in the cache: file b changed");
    assert_eq!(totals(&built), "2 of 4 steps");
    let image = registry.image("app:1");
    assert_eq!(image.layer(-1).entry("from-b").content(), b"2");
    assert_eq!(image.layer(-3).entry("from-a").content(), b"1");
    // Going back is known too.
    assert_eq!(totals(&build("1").run(Place::Overlay)), "4 of 4 steps");
}

const STAGES: &str = "FROM BASE AS tools\nRUN echo tool > /tool\n\
    FROM BASE AS build\nCOPY src /src\nRUN grep -v '^#' /src/code > /program; echo built-'it'\n\
    FROM BASE\nCOPY --from=tools /tool /bin/\nCOPY --from=build /program /bin/\nRUN wc -c /bin/program > /size; echo sized-'it'\n";

/// A stage that makes the same from other sources ends the misses; one that nobody needs is not
/// opened.
fn stages_are_opened_as_far_as_somebody_needs_them(place: Place) {
    let (registry, proxy) = registry();
    let build = |code: &str| cached(&proxy, STAGES).file("src/code", code).without_layout();
    let cold = build("# one\nx\n").run(place);
    cold.succeeded().said("built-it").said("sized-it");
    let first = registry.image("app:1");

    proxy.start_anew(Duration::ZERO);
    let warm = build("# one\nx\n").run(place);
    warm.succeeded().said("the stage 'build' is not needed").said("no root filesystem");
    assert_eq!(totals(&warm), "6 of 6 steps");
    assert_eq!(layer_transfers(&proxy, &first), [""; 0]);
    assert_eq!(registry.image("app:1").digest, first.digest);

    let comment = build("# two\nx\n").run(place);
    comment.succeeded().said("built-it").said("the stage 'tools' is not needed");
    assert!(!comment.finished.output().contains("sized-it"), "{}", comment.finished.output());
    assert_eq!(registry.image("app:1").layer_digests(), first.layer_digests());

    let again = build("# two\nx\n").run(place);
    assert_eq!(totals(&again), "6 of 6 steps", "{}", again.finished.output());

    let other = build("# two\nyy\n").run(place);
    other.succeeded().said("built-it").said("sized-it");
    let image = registry.image("app:1");
    assert_eq!(image.layer(-2).entry("usr/bin/program").content(), b"yy\n");
    assert_eq!(image.layer(-1).entry("size").content(), b"3 /bin/program\n");
}

everywhere!(nothing_is_done_twice, stages_are_opened_as_far_as_somebody_needs_them);

#[test]
fn a_warm_build_is_few_requests_deep() {
    let (_registry, proxy) = registry();
    let build = || cached(&proxy, STAGES).file("src/code", "x\n").without_layout();
    build().run(Place::Overlay).succeeded();
    proxy.start_anew(Duration::from_millis(50));
    let warm = build().run(Place::Overlay);
    assert_eq!(totals(&warm), "6 of 6 steps");
    assert!(proxy.depth() <= 8, "{} deep: {:#?}", proxy.depth(), proxy.requests());
    // To a repository that has nothing yet: the layers are mounted.
    proxy.start_anew(Duration::from_millis(50));
    let repository = proxy.reference("app/cache");
    let elsewhere = cached(&proxy, STAGES).file("src/code", "x\n").without_layout();
    let elsewhere =
        elsewhere.push_to(&proxy.reference("other:1")).flag(&format!("--cache-repo={repository}"));
    assert_eq!(totals(&elsewhere.run(Place::Overlay)), "6 of 6 steps");
    let uploads = proxy.requests().iter().filter(|r| r.starts_with("PUT") && r.contains("/blobs/")).count();
    assert_eq!(uploads, 0, "all is mounted: {:#?}", proxy.requests());
}

#[test]
fn keys_know_neither_paths_nor_times_nor_umasks() {
    let (_registry, proxy) = registry();
    let dockerfile = "FROM BASE\nCOPY dir /dir\nARG A=1\nRUN echo $A > /a\n";
    let build = |script: &str| {
        let build = cached(&proxy, dockerfile).prepare(script).without_layout();
        build.flag("--context-modes=git").env("LANG", "de_DE.UTF-8")
    };
    let first = "umask 022; mkdir dir; echo 1 > dir/f; echo x > dir/run; chmod +x dir/run; ln -s f dir/l";
    let second = "umask 077; mkdir dir; echo x > dir/run; chmod u+x dir/run; echo 1 > dir/f; ln -s f dir/l; touch -d 2001-01-01 dir/f; chown 1000 dir/f";
    build(first).run(Place::Overlay).succeeded();
    let other = build(second).flag("--jobs=1").env("TZ", "Asia/Tokyo").run(Place::InPlace);
    assert_eq!(totals(&other), "2 of 2 steps", "{}", other.finished.output());
    // What matters does matter.
    let flagged = build(first).flag("--build-arg=A=2").run(Place::Overlay);
    flagged.succeeded().said("variable A changed");
    assert_eq!(totals(&flagged), "1 of 2 steps");
}

#[test]
fn a_directory_is_a_cache_too() {
    let directory = scratch();
    let dockerfile = "FROM busybox\nCOPY a /a\nRUN date +%N > /now\n";
    let build = || {
        let cache = directory.path().join("cache").display().to_string();
        Build::new(dockerfile).file("a", "1").flag("--cache").flag(&format!("--cache-repo=oci:{cache}"))
    };
    let first = build().run(Place::Overlay);
    assert_eq!(totals(&first), "0 of 2 steps");
    let second = build().run(Place::Overlay);
    assert_eq!(totals(&second), "2 of 2 steps");
    assert_eq!(second.image().digest, first.image().digest);
    // A layer that is not what its digest says is made again, and then known again.
    let layer = first.image().layer_digests().pop().expect("layers");
    let blob = directory.path().join("cache/blobs/sha256").join(layer.trim_start_matches("sha256:"));
    let mut bytes = std::fs::read(&blob).expect("the layer is there");
    std::fs::remove_file(&blob).expect("removed");
    *bytes.last_mut().expect("bytes") ^= 0xff;
    std::fs::write(&blob, bytes).expect("written");
    let third = build().run(Place::Overlay);
    third.succeeded().said("a layer from the cache cannot be used");
    third.image();
    assert_eq!(totals(&build().run(Place::Overlay)), "2 of 2 steps");
}

#[test]
fn what_is_not_wanted_is_not_looked_up() {
    let (_registry, proxy) = registry();
    let build =
        |flag: &str| cached(&proxy, TWO_FILES).file("a", "1").file("b", "1").without_layout().flag(flag);
    build("--cache").run(Place::Overlay).succeeded();
    for (flag, known) in [
        ("--cache", "4 of 4 steps"),
        ("--no-cache", "0 of 4 steps"),
        ("--cache-copy-layers=false", "2 of 4 steps"),
        ("--cache-run-layers=false", "2 of 4 steps"),
        ("--no-cache-filter=stage-0", "0 of 4 steps"),
        ("--cache-scope=other", "0 of 4 steps"),
        ("--cache-ttl=0s", "0 of 4 steps"),
        ("--compression=zstd", "0 of 4 steps"),
        ("--no-push-cache", "4 of 4 steps"),
    ] {
        if flag == "--cache-ttl=0s" {
            std::thread::sleep(Duration::from_millis(1100));
        }
        assert_eq!(totals(&build(flag).run(Place::Overlay)), known, "{flag}");
    }
}

#[test]
fn a_cache_that_misbehaves_fails_no_build() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let everything = |fault: Fault| {
        ["GET", "HEAD", "POST", "PUT", "PATCH"]
            .map(|method| Rule { method, contains: "/cached/", times: 100_000, fault: fault.clone() })
            .to_vec()
    };
    let layers =
        |fault: Fault| vec![Rule { method: "GET", contains: "/cached/blobs/", times: 100_000, fault }];
    let proxy = FaultyProxy::before(&registry, Vec::new());
    let dockerfile = format!(
        "FROM {}\nCOPY a /a\nRUN head -c 300000 /dev/urandom > /random\n",
        registry.reference("base:1")
    );
    let build = || {
        let build = Build::new(&dockerfile).file("a", "1").push(&registry, "app:1");
        build
            .flag("--cache")
            .flag(&format!("--cache-repo={}", proxy.reference("cached")))
            .flag(&format!("--insecure-registry={}", proxy.host()))
    };
    build().run(Place::Overlay).succeeded();
    for (rules, said) in [
        (everything(Fault::Status(500, None)), "the build goes on without it"),
        (everything(Fault::Garbage), "cache"),
        (everything(Fault::Slow(1000)), "a layer from the cache cannot be used"),
        (everything(Fault::CutAnswer(0)), "the build goes on without it"),
        (layers(Fault::Corrupt), "a layer from the cache cannot be used"),
        (layers(Fault::Status(404, None)), "a layer from the cache cannot be used"),
        (layers(Fault::Slow(1000)), "a layer from the cache cannot be used"),
    ] {
        proxy.set_rules(rules.clone());
        let built = build().run(Place::Overlay);
        built.succeeded().said(said);
        assert_eq!(built.image().layer(-1).entry("random").content().len(), 300_000, "{rules:?}");
    }
    // Nobody listens at all.
    let dead = build().flag("--cache-repo=127.0.0.1:1/dead").flag("--insecure-registry=127.0.0.1:1");
    dead.run(Place::Overlay).succeeded().said("the build goes on without it");
    proxy.set_rules(Vec::new());
    assert_eq!(totals(&build().run(Place::Overlay)), "2 of 2 steps");
}

#[test]
fn a_cache_that_may_not_be_written_is_named_before_the_first_step() {
    let (_registry, proxy) = registry();
    let refused = |status| Rule {
        method: "POST",
        contains: "/cached/blobs/uploads/",
        times: 1000,
        fault: Fault::Status(status, None),
    };
    for (status, flags) in [(403, vec!["--no-push"]), (404, vec![])] {
        proxy.set_rules(vec![refused(status)]);
        let build = Build::new("FROM busybox\nRUN sleep 1; echo the step ran\n")
            .flag("--cache")
            .flag(&format!("--cache-repo={}", proxy.reference("cached")))
            .flag(&format!("--insecure-registry={}", proxy.host()));
        let built = flags.iter().fold(build, |build, flag| build.flag(flag)).run(Place::Overlay);
        let log = &built.succeeded().finished.stderr;
        let named = log.find(&format!("nothing can be kept in the cache {}/cached", proxy.host()));
        let ran = log.find("the step ran\n");
        assert!(named.is_some() && named < ran, "{log}");
    }
    let skipping = Build::new("FROM busybox\nCOPY Dockerfile /\n")
        .flag("--cache")
        .flag("--skip-push-permission-check")
        .flag(&format!("--cache-repo={}", proxy.reference("cached")));
    let built = skipping.flag(&format!("--insecure-registry={}", proxy.host())).run(Place::Overlay);
    assert!(!built.succeeded().finished.stderr.contains("nothing can be kept"));
}

#[test]
fn a_step_that_fails_loses_nothing_that_was_made() {
    let cache = scratch();
    let build = |last: &str| {
        let dockerfile = format!("FROM busybox\nRUN echo 1 > /a\nRUN {last}\n");
        let flag = format!("--cache-repo=oci:{}", cache.path().join("c").display());
        Build::new(&dockerfile).flag("--cache").flag(&flag).run(Place::Overlay)
    };
    build("exit 3").failed(3);
    assert_eq!(totals(&build("cat /a > /b")), "1 of 2 steps");
    // A layer that is not what it should be, which a step needs.
    let blobs = cache.path().join("c/blobs/sha256");
    for blob in std::fs::read_dir(blobs).expect("blobs") {
        let path = blob.expect("a blob").path();
        let size = std::fs::metadata(&path).expect("a blob").len();
        std::fs::write(&path, vec![0; usize::try_from(size).expect("a small one")]).expect("written");
    }
    let repaired = build("cat /a > /c");
    repaired.succeeded().said("a layer from the cache cannot be used; building without");
    assert_eq!(repaired.image().layer(-1).entry("c").content(), b"1\n");
    assert_eq!(totals(&build("cat /a > /d")), "1 of 2 steps");
}

#[test]
fn a_base_that_is_kept_needs_no_registry() {
    let (registry, proxy) = registry();
    let directory = scratch();
    let dockerfile = format!("FROM {}\nCOPY a /a\nRUN cat /a /etc/passwd > /b\n", proxy.reference("base:1"));
    let build = |a: &str| {
        Build::new(&dockerfile)
            .file("a", a)
            .flag("--cache")
            .flag(&format!("--cache-dir={}", directory.path().join("kept").display()))
            .flag(&format!("--insecure-registry={}", proxy.host()))
    };
    build("1").run(Place::Overlay).succeeded();
    proxy.start_anew(Duration::ZERO);
    build("2").run(Place::Overlay).succeeded();
    assert_eq!(
        proxy.requests().iter().filter(|r| r.contains("/blobs/")).count(),
        0,
        "{:#?}",
        proxy.requests()
    );
    drop(registry);
    let offline = build("3").run(Place::Overlay);
    offline.succeeded().said("does not answer").said("is taken for sha256:");
    assert!(offline.image().layer(-1).entry("b").content().starts_with(b"3root"));
}

#[test]
fn a_stage_without_layers_uses_nothing_after_what_it_carried_out() {
    let (registry, proxy) = registry();
    let dockerfile = "FROM BASE AS tools\nRUN echo tool > /tool\n\
        FROM BASE AS build\nCOPY a /a\nRUN --mount=from=tools,target=/t cat /a /t/tool > /out\n\
        FROM BASE\nCOPY --from=build /out /out\n";
    let build = || cached(&proxy, dockerfile).file("a", "1\n").without_layout();
    build().run(Place::Overlay).succeeded();
    let first = registry.image("app:1");
    // Copies take no part, and nothing is kept: the stage has no layer for its COPY, and the known one
    // of its RUN has nothing to lie on.
    let again = build().flag("--cache-copy-layers=false").flag("--no-push-cache").run(Place::Overlay);
    again.succeeded();
    assert_eq!(registry.image("app:1").layer(-1).listing(), first.layer(-1).listing());
}

#[test]
fn the_capabilities_of_a_context_file_count() {
    let (_registry, proxy) = registry();
    let build = |script: &str| {
        cached(&proxy, "FROM BASE\nCOPY tool /tool\nCOPY --chown=1:1 tool /other/\n")
            .prepare(&format!("echo tool > tool; {script}"))
            .without_layout()
            .run(Place::Overlay)
    };
    let with = "setcap cap_net_bind_service=ep tool";
    assert_eq!(totals(&build(with)), "0 of 2 steps");
    assert_eq!(totals(&build("true")), "0 of 2 steps");
    assert_eq!(totals(&build(with)), "2 of 2 steps");
    assert_eq!(totals(&build("true")), "2 of 2 steps");
}
