//! A registry that drops connections, is busy, or lies.

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Build, Built, Fault, FaultyProxy, Place, Registry, Rule};

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
