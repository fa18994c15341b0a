//! Large layers, which are sent while they are packed.

use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};
use yadokari_e2e::{Build, Fault, FaultyProxy, Place, Registry, Rule};

/// Larger, compressed, than what is sent only when it is complete.
const LARGE: usize = 40_000_000;

/// A build whose one layer is large; the same at each call but for `seed`.
fn large(seed: u64) -> Build {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let bytes: Vec<u8> = (0..LARGE / 8).flat_map(|_| next()).collect();
    Build::new("FROM scratch\nCOPY large /large\n")
        .file("large", bytes)
        .env("SOURCE_DATE_EPOCH", "1700000000")
}

fn count(requests: &[String], parts: &[&str]) -> usize {
    requests.iter().filter(|request| parts.iter().all(|part| request.contains(part))).count()
}

/// What a pulling program gets is whole: skopeo checks every digest.
fn has_the_layer(registry: &Registry, name: &str) {
    let image = registry.image(name);
    assert_eq!(image.layer_count(), 1);
    image.layer(0).entry("large");
}

#[test]
fn one_stream_for_each_registry() {
    let (one, two) = (Registry::open(), Registry::open());
    let build = || {
        large(1)
            .push(&one, "app:1")
            .push(&one, "app:latest")
            .push(&one, "elsewhere/app:1")
            .push(&two, "app:1")
    };
    build().run(Place::Overlay).succeeded();
    for (registry, name) in [(&one, "app:1"), (&one, "elsewhere/app:1"), (&two, "app:1")] {
        has_the_layer(registry, name);
    }
    for registry in [&one, &two] {
        let requests = registry.requests();
        assert_eq!(count(&requests, &["\"PATCH /v2/app/", "\" 202 "]), 1, "{requests:#?}");
        assert_eq!(count(&requests, &["\"PATCH "]), 1, "{requests:#?}");
    }
    let mounted = count(&one.requests(), &["\"POST /v2/elsewhere/app/", "mount=", "\" 201 "]);
    assert_eq!(mounted, 2, "layer and config: {:#?}", one.requests());

    // The second time the stream is given up: the layer is there.
    let before = count(&one.requests(), &["\"PUT ", "/blobs/uploads/"]);
    build().run(Place::Overlay).succeeded();
    let requests = one.requests();
    assert_eq!(count(&requests, &["\"PUT ", "/blobs/uploads/"]), before, "{requests:#?}");
    has_the_layer(&one, "app:1");
}

#[test]
fn what_a_command_writes_is_streamed_in_every_place() {
    for place in Place::ALL {
        let registry = Registry::with_tokens();
        let build = Build::new(&format!("FROM busybox\nRUN head -c {LARGE} /dev/urandom > /large\n"))
            .push(&registry, "app:1");
        let config = registry.docker_config();
        build.docker_config(&config).run(place).succeeded();
        let requests = registry.requests();
        assert_eq!(count(&requests, &["\"PATCH ", "\" 202 "]), 1, "{place:?}: {requests:#?}");
        registry.image("app:1").layer(1).entry("large");
    }
}

#[test]
fn a_registry_that_takes_no_stream_gets_the_file() {
    let fault = |method, fault| Rule { method, contains: "/blobs/uploads/", times: 1, fault };
    let faults = [
        fault("PATCH", Fault::Status(405, None)),
        fault("PATCH", Fault::Status(411, None)),
        fault("PATCH", Fault::Status(416, None)),
        fault("PATCH", Fault::Status(503, None)),
        fault("PATCH", Fault::CutRequest(1_000_000)),
        fault("PATCH", Fault::CutRequest(30_000_000)),
        fault("PATCH", Fault::CutAnswer(0)),
        fault("PUT", Fault::Status(404, None)),
        fault("PUT", Fault::Status(500, None)),
        fault("PUT", Fault::CutAnswer(0)),
    ];
    for (seed, rule) in faults.into_iter().enumerate() {
        let registry = Registry::open();
        let text = format!("{rule:?}");
        let proxy = FaultyProxy::before(&registry, vec![rule]);
        let build = large(seed as u64 + 2).push_to(&proxy.reference("app:1"));
        let built = build.run(Place::Overlay);
        assert_eq!(built.finished.code, 0, "{text}:\n{}", built.finished.output());
        proxy.all_faults_happened();
        has_the_layer(&registry, "app:1");
    }
}

#[test]
fn a_layer_that_cannot_be_packed_fails_the_build() {
    let registry = Registry::open();
    // A name that deletes in layers, met when most of the layer is on its way.
    let build = large(50)
        .file("Dockerfile", "FROM scratch\nCOPY large z /\n")
        .file("z/.wh.x", "")
        .push(&registry, "app:1");
    let built = build.run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains(".wh."), "{error}");
    assert!(!registry.has_tag("app", "1"));
    assert_eq!(count(&registry.requests(), &["\"PUT "]), 0, "{:#?}", registry.requests());
}

#[test]
fn a_signal_in_the_middle_ends_it() {
    let registry = Registry::open();
    let build = large(99).push(&registry, "app:1");
    let mut child = build.host_command().spawn().expect("the program starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    // The first upload only tries the right to push.
    while count(&registry.requests(), &["\"POST ", "/blobs/uploads/"]) < 2 {
        assert!(child.try_wait().expect("asked").is_none(), "it ended before a stream began");
        assert!(Instant::now() < deadline, "no stream began: {:#?}", registry.requests());
        std::thread::sleep(Duration::from_millis(2));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("signalled");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(!registry.has_tag("app", "1"));
    assert!(!build.out().join("digest").exists());
    // Each upload that is no blob is cancelled; the registry itself refuses that for those it has bytes of.
    let requests = registry.requests();
    let open = count(&requests, &["\"POST ", "\" 202 "]) - count(&requests, &["\"PUT ", "\" 201 "]);
    // One that became a blob while its request broke off is asked for all the same.
    assert!(count(&requests, &["\"DELETE "]) >= open, "{requests:#?}");
}

#[test]
fn an_error_in_the_middle_leaves_no_upload() {
    let registry = Registry::open();
    let slow =
        Rule { method: "PATCH", contains: "/blobs/uploads/", times: 1, fault: Fault::SlowRequest(1_000_000) };
    let proxy = FaultyProxy::before(&registry, vec![slow]);
    let build = large(7)
        .file("Dockerfile", "FROM busybox\nCOPY large /\nRUN exit 3\n")
        .push_to(&proxy.reference("app:1"));
    build.run(Place::Overlay).failed(3);
    proxy.all_faults_happened();
    let requests = proxy.requests();
    let path = |method: &str| {
        let found = requests.iter().rev().find(|request| request.starts_with(method));
        found.and_then(|request| request.split([' ', '?']).nth(1))
    };
    assert!(path("PATCH ").is_some() && path("PATCH ") == path("DELETE "), "{requests:#?}");
}

#[test]
fn the_upload_that_tries_the_right_to_push_is_never_left() {
    let registry = Registry::open();
    Build::new("FROM busybox\nRUN exit 3\n").push(&registry, "app:1").run(Place::Overlay).failed(3);
    let requests = registry.requests();
    assert!(count(&requests, &["\"POST ", "\" 202 "]) > 0, "{requests:#?}");
    assert_eq!(registry.open_uploads(), Vec::<String>::new());
}
