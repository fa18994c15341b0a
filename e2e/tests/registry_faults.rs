//! A registry that drops connections, is busy, or lies.

use pretty_assertions::assert_eq;
use yadokari_e2e::{
    Base, Build, Built, Fault, FaultyProxy, Page, Place, Registry, Rule, TokenServer, WebServer,
};

/// A build from a base in a registry to the same registry, all through a proxy with `rules`.
fn build_through(rules: Vec<Rule>) -> (Registry, FaultyProxy, Built) {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    let proxy = FaultyProxy::before(&registry, rules);
    let build = Build::new(&format!(
        "FROM {}\nRUN head -c 5000000 /dev/urandom > /random\nCOPY x /x\n",
        proxy.reference("base:1")
    ))
    .file("x", "x")
    .push_to(&proxy.reference("app:1"));
    let built = build.run(Place::Overlay);
    (registry, proxy, built)
}

/// The build must succeed in spite of every fault.
fn survives(rules: Vec<Rule>) -> FaultyProxy {
    let (registry, proxy, built) = build_through(rules);
    built.succeeded();
    let image = registry.image("app:1");
    assert_eq!(image.layer_count(), 3);
    image.layer(1).entry("random");
    image.layer(2).entry("x");
    proxy.all_faults_happened();
    proxy
}

#[test]
fn busy_answers_are_tried_again() {
    survives(vec![
        Rule { method: "GET", contains: "/manifests/", times: 1, fault: Fault::Status(503, None) },
        Rule { method: "GET", contains: "/blobs/", times: 2, fault: Fault::Status(500, None) },
        Rule { method: "POST", contains: "/uploads/", times: 2, fault: Fault::Status(429, Some(1)) },
        Rule { method: "PUT", contains: "/uploads/", times: 1, fault: Fault::Status(502, None) },
        Rule { method: "PUT", contains: "/manifests/", times: 2, fault: Fault::Status(504, None) },
    ]);
}

#[test]
fn a_wait_that_was_asked_for_is_kept() {
    let start = std::time::Instant::now();
    survives(vec![Rule {
        method: "PUT",
        contains: "/manifests/",
        times: 1,
        fault: Fault::Status(429, Some(2)),
    }]);
    assert!(start.elapsed().as_secs() >= 2, "it did not wait the 2 s of Retry-After");
}

#[test]
fn broken_downloads_go_on_where_they_broke() {
    let proxy = survives(vec![Rule {
        method: "GET",
        contains: "/blobs/",
        times: 3,
        fault: Fault::CutAnswer(200_000),
    }]);
    let ranges = proxy.requests().iter().filter(|request| request.contains("Range")).count();
    assert!(ranges >= 1, "no range was asked for: {:#?}", proxy.requests());
}

#[test]
fn broken_connections_before_an_answer() {
    survives(vec![
        Rule { method: "GET", contains: "/manifests/", times: 1, fault: Fault::CutAnswer(0) },
        Rule { method: "HEAD", contains: "/blobs/", times: 1, fault: Fault::CutAnswer(0) },
        Rule { method: "POST", contains: "/uploads/", times: 1, fault: Fault::CutAnswer(0) },
        Rule { method: "PUT", contains: "/manifests/", times: 1, fault: Fault::CutAnswer(0) },
    ]);
}

#[test]
fn broken_uploads_are_sent_again() {
    for method in ["PUT", "PATCH"] {
        let rule = Rule { method, contains: "/uploads/", times: 2, fault: Fault::CutRequest(100_000) };
        let (registry, proxy, built) = build_through(vec![rule]);
        built.succeeded();
        registry.image("app:1").layer(1).entry("random");
        let cut = proxy.requests().iter().filter(|r| r.contains("CutRequest")).count();
        let sends = proxy.requests().iter().any(|r| r.starts_with(method) && r.contains("/uploads/"));
        assert!(!sends || cut == 2, "{:#?}", proxy.requests());
    }
}

#[test]
fn a_corrupt_layer_is_never_built_upon() {
    let rule = Rule { method: "GET", contains: "/blobs/", times: 100, fault: Fault::Corrupt };
    let (registry, _, built) = build_through(vec![rule]);
    let error = built.failed(1);
    assert!(error.contains("sha256:"), "{error}");
    assert!(!registry.has_tag("app", "1"));
}

#[test]
fn the_layers_of_a_base_are_unpacked_again_where_that_is_wanted() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "base:1");
    for (place, step) in [
        (Place::Overlay, "RUN rm /bin/sh"),
        (Place::Chroot, "RUN rm /bin/sh"),
        (Place::Overlay, "COPY x /bin/"),
    ] {
        // The config is the first blob, and too short to be changed.
        let rule = Rule { method: "GET", contains: "/blobs/", times: 2, fault: Fault::Corrupt };
        let proxy = FaultyProxy::before(&registry, vec![rule.clone()]);
        let build = Build::new(&format!("FROM {}\n{step}\n", proxy.reference("base:1"))).file("x", "x");
        build.run(place).failed(1);
        proxy.set_rules(vec![rule]);
        let build = build.flag("--image-fs-extract-retry=2");
        let built = build.run(place);
        built.succeeded().said("reading the layers again in 1 s");
        assert_eq!(built.image().layer_count(), 2, "{place:?} {step}");
    }
}

#[test]
fn one_that_is_down_for_good_ends_the_build() {
    let rule = Rule { method: "GET", contains: "/manifests/", times: 1000, fault: Fault::Status(503, None) };
    let start = std::time::Instant::now();
    let (_, proxy, built) = build_through(vec![rule]);
    let error = built.failed(1);
    assert!(error.contains("503"), "{error}");
    let tries = proxy.requests().iter().filter(|r| r.contains("/manifests/")).count();
    assert!((2..=20).contains(&tries), "{tries} tries");
    assert!(start.elapsed().as_secs() < 120, "it took {:?}", start.elapsed());
}

#[test]
fn a_refusal_is_not_tried_again() {
    let rule = Rule { method: "PUT", contains: "/manifests/", times: 100, fault: Fault::Status(403, None) };
    let (_, proxy, built) = build_through(vec![rule]);
    built.failed(1);
    let tries = proxy.requests().iter().filter(|r| r.starts_with("PUT") && r.contains("/manifests/")).count();
    assert_eq!(tries, 1);
}

/// Always the same fault.
fn always(method: &'static str, contains: &'static str, fault: Fault) -> Rule {
    Rule { method, contains, times: 1000, fault }
}

#[test]
fn a_token_that_expires_before_the_upload_is_renewed() {
    let registry = Registry::with_tokens_of(TokenServer::forgetful());
    // Rights are tried at the start; when the layer is there their token is too old.
    let build = Build::new("FROM busybox\nRUN head -c 3000000 /dev/urandom > /random && sleep 4\n")
        .docker_config(&registry.docker_config())
        .push(&registry, "app:1");
    build.run(Place::Overlay).succeeded();
    assert!(registry.has_tag("app", "1"));
    let refused =
        registry.requests().iter().filter(|r| r.contains("\" 401 ") && !r.contains("/v2/ ")).count();
    assert!(refused > 0, "no token was too old: {:#?}", registry.requests());
    let pushes = registry.tokens().requested_scopes();
    let pushes = pushes.iter().filter(|scopes| scopes.iter().any(|s| s.contains("app:pull,push"))).count();
    assert!(pushes >= 2, "{pushes} tokens to push with");
}

#[test]
fn a_token_that_expires_in_an_upload_is_renewed() {
    for method in ["PUT", "PATCH"] {
        let registry = Registry::with_tokens();
        let rule = Rule { method, contains: "/uploads/", times: 1, fault: Fault::Anonymous };
        let proxy = FaultyProxy::before(&registry, vec![rule]);
        let config = registry.docker_config().replace(&registry.host(), &proxy.host());
        let build = Build::new("FROM busybox\nRUN head -c 3000000 /dev/urandom > /random\n")
            .docker_config(&config)
            .push_to(&proxy.reference("app:1"));
        build.run(Place::Overlay).succeeded();
        assert!(registry.has_tag("app", "1"), "{method}");
        registry.image("app:1").layer(1).entry("random");
        let anonymous = proxy.requests().iter().filter(|r| r.contains("Anonymous")).count();
        let sent =
            proxy.requests().iter().filter(|r| r.starts_with(method) && r.contains("/uploads/")).count();
        assert!(anonymous > 0 || sent == 0, "{method}: {:#?}", proxy.requests());
    }
}

#[test]
fn a_registry_that_refuses_what_it_may_refuse() {
    let refusal = || Fault::Answer(405, "", "{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"no\"}]}");
    let rules = || {
        vec![
            always("HEAD", "/", refusal()),
            always("PATCH", "/", refusal()),
            always("DELETE", "/", refusal()),
            always("POST", "mount=", refusal()),
        ]
    };
    let (registry, proxy, built) = build_through(rules());
    built.succeeded();
    let image = registry.image("app:1");
    assert_eq!(image.layer_count(), 3);
    image.layer(1).entry("random");
    assert!(proxy.requests().iter().any(|r| r.starts_with("HEAD") && r.contains("Answer")));
    // The cache and two repositories as well.
    let proxy = FaultyProxy::before(&registry, rules());
    let build = Build::new("FROM busybox\nRUN echo ran > /file\n")
        .push_to(&proxy.reference("one:1"))
        .push_to(&proxy.reference("two:1"))
        .flag("--cache");
    build.run(Place::Overlay).succeeded();
    std::fs::remove_dir_all(build.out().join("layout")).expect("removed");
    build.run(Place::Overlay).succeeded();
    assert_eq!(registry.image("one:1").digest, registry.image("two:1").digest);
}

#[test]
fn a_redirect_to_another_host_gets_no_password() {
    for registry in [Registry::with_password(), Registry::with_tokens()] {
        registry.put(&Base::Busybox.layout(), "base:1");
        let storage = WebServer::start();
        let blobs = Base::Busybox.layout().join("blobs/sha256");
        for blob in std::fs::read_dir(blobs).expect("a layout").flatten() {
            let path = format!("/storage/v2/base/blobs/sha256:{}", blob.file_name().display());
            storage.page(&path, Page::of(std::fs::read(blob.path()).expect("a blob")));
        }
        let redirect = Fault::Redirect(storage.url("/storage"));
        let proxy = FaultyProxy::before(&registry, vec![always("GET", "/blobs/", redirect)]);
        let config = registry.docker_config().replace(&registry.host(), &proxy.host());
        let build = Build::new(&format!("FROM {}\nRUN echo ran > /file\n", proxy.reference("base:1")));
        let build = build.docker_config(&config).flag("--verbosity=trace");
        let built = build.run(Place::Overlay);
        built.succeeded();
        let asked = storage.requests();
        assert!(asked.len() >= 2, "{asked:#?}");
        assert!(!asked.iter().any(|r| r.contains("Basic") || r.contains("Bearer")), "{asked:#?}");
        assert!(!built.finished.output().contains("correct horse"), "{}", built.finished.output());
    }
}

#[test]
fn connections_that_break_anywhere_in_a_blob() {
    let registry = Registry::open();
    let base = Build::new("FROM scratch\nCOPY x /x\n").file("x", "x").push(&registry, "base:1");
    base.run(Place::Overlay).succeeded();
    // Heads of requests and answers have about 200 to 500 bytes, the blobs as many.
    let positions: Vec<usize> = (0..24).map(|n| n * n * 2).collect();
    let (half, other) = positions.split_at(positions.len() / 2);
    let cut_at = |bytes: usize| {
        let rule = |method, contains, fault| Rule { method, contains, times: 1, fault };
        let rules = vec![
            rule("GET", "/blobs/", Fault::CutAnswer(bytes)),
            rule("PUT", "/blobs/", Fault::CutRequest(bytes.max(1))),
            rule("POST", "/blobs/", Fault::CutAnswer(bytes)),
            rule("PUT", "/manifests/", Fault::CutAnswer(bytes)),
        ];
        let proxy = FaultyProxy::before(&registry, rules);
        let tag = format!("app:{bytes}");
        let build = Build::new(&format!("FROM {}\nCOPY y /y\n", proxy.reference("base:1")))
            .file("y", format!("y{bytes}"))
            .push_to(&proxy.reference(&tag));
        build.run(Place::Overlay).succeeded();
        let image = registry.image(&tag);
        assert_eq!(image.layer_count(), 2, "{bytes}");
        assert_eq!(image.layer(1).entry("y").content(), format!("y{bytes}").as_bytes());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| half.iter().for_each(|bytes| cut_at(*bytes)));
        other.iter().for_each(|bytes| cut_at(*bytes));
    });
}
