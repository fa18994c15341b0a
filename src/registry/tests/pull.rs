use std::io::Read as _;

use super::fake::{Reply, hang_up, reply, silence};
use super::*;
use crate::event::TransferEnd;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;

fn with_manifest(kind: &str) -> Fake {
    let fake = Fake::start();
    let manifest = (kind.to_owned(), MANIFEST.as_bytes().to_vec());
    fake.state().manifests.insert(("a/b".to_owned(), "1".to_owned()), manifest.clone());
    let digest = Digest::of(MANIFEST.as_bytes()).to_string();
    fake.state().manifests.insert(("a/b".to_owned(), digest), manifest);
    fake
}

#[test]
fn manifests_by_tag_and_digest() {
    for no_content_digest in [false, true] {
        let fake = with_manifest("application/vnd.oci.image.manifest.v1+json; charset=utf-8");
        fake.state().no_content_digest = no_content_digest;
        let bench = Bench::new();
        let digest = Digest::of(MANIFEST.as_bytes());
        for rest in ["a/b:1".to_owned(), format!("a/b@{digest}"), format!("a/b:other@{digest}")] {
            let found = bench.run(bench.registry.manifest(&reference(&fake, &rest), Direction::Pull));
            let found = found.expect("there");
            assert_eq!(found.bytes, MANIFEST.as_bytes());
            assert_eq!(found.digest, digest);
            assert_eq!(found.media_type.as_str(), MediaType::OCI_MANIFEST);
        }
        let accept = fake.requests("GET /v2/a/b")[0].header("accept").map(str::to_owned).expect("types");
        assert!(accept.contains(MediaType::DOCKER_LIST) && accept.contains(MediaType::OCI_INDEX), "{accept}");
    }
}

#[test]
fn a_useless_content_type_is_replaced_by_the_documents_own() {
    let fake = with_manifest("text/plain");
    let bench = Bench::new();
    let found =
        bench.run(bench.registry.manifest(&reference(&fake, "a/b:1"), Direction::Pull)).expect("there");
    assert_eq!(found.media_type.as_str(), MediaType::OCI_MANIFEST);
}

#[test]
fn manifests_that_are_refused() {
    let fake = with_manifest(MediaType::OCI_MANIFEST);
    let bench = Bench::new();
    let get = |rest: &str| bench.run(bench.registry.manifest(&reference(&fake, rest), Direction::Pull));

    let other = Digest::of(b"other");
    fake.fault(
        |r| r.path().ends_with("/manifests/1"),
        [reply(200).with("Docker-Content-Digest", other).body(MANIFEST)],
    );
    let error = get("a/b:1").expect_err("a wrong header");
    assert!(matches!(&error, RegistryError::Digest { expected, .. } if *expected == other), "{error}");

    fake.state().manifests.insert(("a/b".to_owned(), other.to_string()), (String::new(), MANIFEST.into()));
    fake.state().no_content_digest = true;
    let error = get(&format!("a/b@{other}")).expect_err("other bytes than asked for");
    assert!(matches!(&error, RegistryError::Digest { expected, .. } if *expected == other), "{error}");

    fake.state()
        .manifests
        .insert(("a/b".to_owned(), "big".to_owned()), (String::new(), vec![b' '; (4 << 20) + 1]));
    let error = get("a/b:big").expect_err("too large");
    assert!(matches!(error, RegistryError::TooLarge { limit: 4_194_304, .. }), "{error}");

    let error = get(&format!("a/b@sha512:{}", "0".repeat(128))).expect_err("unknown algorithm");
    assert!(matches!(error, RegistryError::Algorithm { .. }), "{error}");

    let error = get("a/b:none").expect_err("not there");
    let (text, host) = (error.to_string(), fake.address.to_string());
    let expected = format!(
        "cannot pull the manifest of {host}/a/b:none: {host} answered 404 to GET /v2/a/b/manifests/none: \
         MANIFEST_UNKNOWN: manifest unknown (tried with no credentials)"
    );
    assert_eq!(text, expected);
    assert!(error.help().is_some_and(|h| h.contains("names")));
    // None of these was worth a second try.
    assert_eq!(fake.count("GET /v2/a/b/manifests/none"), 1);
    assert_eq!(fake.count("GET /v2/a/b/manifests/1"), 1);
}

#[test]
fn what_passes_is_tried_again() {
    for fault in [
        reply(503),
        reply(500).body("<html>"),
        reply(429).with("Retry-After", "0"),
        reply(522),
        hang_up(),
        Reply { cut: Some(7), ..reply(200).body(MANIFEST) },
    ] {
        let fake = with_manifest(MediaType::OCI_MANIFEST);
        let bench = Bench::new();
        fake.fault(|r| r.path().contains("/manifests/"), [fault.clone(), fault.clone()]);
        let found = bench.run(bench.registry.manifest(&reference(&fake, "a/b:1"), Direction::Pull));
        assert_eq!(found.expect("the third time").bytes, MANIFEST.as_bytes());
        assert_eq!(bench.said().matches("trying again in").count(), 2, "{}", bench.said());
    }
    let fake = with_manifest(MediaType::OCI_MANIFEST);
    fake.fault(|r| r.path().contains("/manifests/"), vec![reply(503).body("later\u{1b}[2J"); 9]);
    let bench = Bench::new();
    let error =
        bench.run(bench.registry.manifest(&reference(&fake, "a/b:1"), Direction::Pull)).expect_err("down");
    assert_eq!(fake.count("GET /v2/a/b/manifests/1"), 3);
    let text = error.to_string();
    assert!(text.contains("answered 503 to GET /v2/a/b/manifests/1: later [2J (tried"), "{text}");
}

#[test]
fn the_limit_of_a_hub_is_named() {
    let fake = with_manifest(MediaType::OCI_MANIFEST);
    let words =
        "You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit";
    let body = format!(r#"{{"errors":[{{"code":"TOOMANYREQUESTS","message":"{words}"}}]}}"#);
    let limited = || reply(429).with("ratelimit-limit", "100;w=21600").with("Retry-After", "21600");
    fake.fault(|r| r.path().contains("/manifests/"), (0..9).map(|_| limited().body(body.clone())));
    let bench = Bench::new();
    let error = bench.run(bench.registry.manifest(&reference(&fake, "a/b:1"), Direction::Pull));
    let error = error.expect_err("limited");
    let text = error.to_string();
    for part in [words, "100 requests in 6 h", "come back in 6 h", "no credentials"] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    assert!(error.help().is_some_and(|h| h.contains("limits pulls: give credentials")), "{:?}", error.help());
}

#[test]
fn a_pause_asked_for_is_kept_within_bounds() {
    let fake = with_manifest(MediaType::OCI_MANIFEST);
    fake.fault(|r| r.path().contains("/manifests/"), [reply(429).with("Retry-After", "3600")]);
    let bench = Bench::new();
    let start = std::time::Instant::now();
    bench.run(bench.registry.manifest(&reference(&fake, "a/b:1"), Direction::Pull)).expect("the second time");
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(bench.said().contains("trying again in 0.2 s"), "{}", bench.said());
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    for ranges in [true, false] {
        let bytes = noise(3_000_000);
        let fake = Fake::start();
        fake.state().ranges = ranges;
        fake.add_blob("a/b", &bytes);
        // More breaks than attempts: each got somewhere.
        let whole = bytes.clone();
        let cut = move |from: usize, length: usize| Reply { cut: Some(length), ..part(&whole, from, ranges) };
        let first = if ranges { 0 } else { 400_000 };
        let second = if ranges { 0 } else { 800_000 };
        let cuts = [cut(0, 400_000), cut(400_000, 400_000 + first), cut(800_000, 400_000 + second)];
        fake.fault(|r| r.method == "GET" && r.path().contains("/blobs/"), cuts);
        let bench = Bench::new();
        let found = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect("complete");
        assert!(found == bytes, "ranges: {ranges}");
        let asked: Vec<bool> =
            fake.requests("GET /v2/a/b/blobs").iter().map(|r| r.header("range").is_some()).collect();
        assert_eq!(asked, [false, true, true, true]);
        assert_eq!(bench.ends(), [TransferEnd::Moved]);
    }
}

fn part(bytes: &[u8], from: usize, ranges: bool) -> Reply {
    if from == 0 || !ranges {
        return reply(200).body(bytes);
    }
    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    reply(206).with("Content-Range", range).body(&bytes[from..])
}

#[test]
fn a_download_that_gets_nowhere_ends() {
    let bytes = noise(100_000);
    let fake = Fake::start();
    fake.add_blob("a/b", &bytes);
    fake.fault(
        |r| r.method == "GET" && r.path().contains("/blobs/"),
        vec![Reply { cut: Some(0), ..reply(200).body(bytes.clone()) }; 9],
    );
    let bench = Bench::new();
    let error = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect_err("nowhere");
    assert!(matches!(error, RegistryError::Connection { kind: ConnectionKind::Network, .. }), "{error}");
    assert_eq!(fake.count("GET /v2/a/b/blobs"), 3);
    assert_eq!(bench.ends(), [TransferEnd::Failed]);
}

#[test]
fn blobs_that_are_refused() {
    let bytes = noise(500_000);
    let digest = Digest::of(&bytes);
    let mut wrong = bytes.clone();
    wrong[499_999] ^= 1;
    let chunked = |body: Vec<u8>| Reply { headers: vec![], ..reply(200).body(body) };
    let cases: [(&str, Reply); 5] = [
        ("wrong bytes", chunked(wrong)),
        ("too short", chunked(bytes[..499_000].to_vec())),
        ("too long", chunked([&bytes[..], b"x"].concat())),
        ("an unasked range", part(&bytes, 1, true)),
        ("a page", reply(404).body("<html>")),
    ];
    for (case, reply) in cases {
        let fake = Fake::start();
        fake.fault(|r| r.path().contains("/blobs/"), [reply]);
        let bench = Bench::new();
        let got = Mutex::new(0);
        let sink = |piece: Bytes| {
            *got.lock().expect("unpoisoned") += piece.len();
            std::future::ready(true)
        };
        let wanted = Descriptor::new(MediaType::from("x"), digest, 500_000);
        let ended = bench.run(bench.registry.blob(&reference(&fake, "a/b:1"), &wanted, sink));
        let error = ended.expect_err(case);
        let right = match case {
            "wrong bytes" => matches!(error, RegistryError::Digest { expected, .. } if expected == digest),
            "too short" | "too long" => matches!(error, RegistryError::Size { expected: 500_000, .. }),
            "an unasked range" => matches!(error, RegistryError::Protocol { .. }),
            _ => matches!(error, RegistryError::Status { status: 404, .. }),
        };
        assert!(right, "{case}: {error}");
        assert!(*got.lock().expect("unpoisoned") < 500_000, "{case}: the last piece was handed on");
        assert_eq!(fake.count("GET /v2/a/b/blobs"), 1, "{case}");
    }
}

#[test]
fn an_empty_blob() {
    let fake = Fake::start();
    fake.add_blob("a/b", b"");
    let bench = Bench::new();
    assert_eq!(bench.pull(&reference(&fake, "a/b:1"), &descriptor(b"")).expect("empty"), b"");
    let lie = Descriptor::new(MediaType::from("x"), Digest::of(b"x"), 0);
    fake.fault(|r| r.path().contains("/blobs/"), [reply(200)]);
    assert!(matches!(bench.pull(&reference(&fake, "a/b:1"), &lie), Err(RegistryError::Digest { .. })));
}

#[test]
fn readers_read_all_or_fail() {
    let bytes = noise(2_000_000);
    let fake = Fake::start();
    fake.add_blob("a/b", &bytes);
    let bench = Bench::new();
    let from = reference(&fake, "a/b:1");
    // More than may be under way at once, none of them read before all are made.
    let readers: Vec<_> = (0..7).map(|_| bench.registry.reader(&from, &descriptor(&bytes))).collect();
    for mut reader in readers {
        let mut found = Vec::new();
        reader.read_to_end(&mut found).expect("complete");
        assert!(found == bytes);
    }
    let mut wrong = bytes.clone();
    wrong[1_000_000] ^= 1;
    let wrong_one = descriptor(&wrong);
    fake.fault(|r| r.path().contains("/blobs/"), [reply(200).body(bytes)]);
    let mut found = Vec::new();
    let error = bench.registry.reader(&from, &wrong_one).read_to_end(&mut found).expect_err("wrong digest");
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<RegistryError>());
    assert!(matches!(inner, Some(RegistryError::Digest { .. })), "{error}");
    // A reader that is dropped frees its place.
    for _ in 0..5 {
        drop(bench.registry.reader(&from, &descriptor(&noise(2_000_000))));
    }
    let mut last = bench.registry.reader(&from, &descriptor(&noise(2_000_000)));
    assert_eq!(std::io::copy(&mut last, &mut std::io::sink()).expect("complete"), 2_000_000);
}

#[test]
fn four_blobs_are_under_way_at_most() {
    let bytes = noise(1000);
    let fake = Fake::start();
    fake.fault(|r| r.path().contains("/blobs/"), vec![silence(); 9]);
    let bench = Bench::new();
    let from = reference(&fake, "a/b:1");
    let readers: Vec<_> = (0..7).map(|_| bench.registry.reader(&from, &descriptor(&bytes))).collect();
    while fake.count("GET /v2/a/b/blobs") < 4 {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(fake.count("GET /v2/a/b/blobs"), 4);
    drop(readers);
}

#[test]
fn silence_is_a_broken_connection() {
    let bytes = noise(900_000);
    let fake = Fake::start();
    fake.add_blob("a/b", &bytes);
    let half = Reply { cut: Some(500_000), silent: true, ..reply(200).body(bytes.clone()) };
    fake.fault(|r| r.method == "GET" && r.path().contains("/blobs/"), [silence(), half]);
    fake.fault(|r| r.method == "PUT", [silence()]);
    let limit = Duration::from_millis(500);
    let bench = Bench::with_silence(RegistryConfig::default(), KeychainConfig::default(), limit);
    let from = reference(&fake, "a/b:1");
    assert!(bench.pull(&from, &descriptor(&bytes)).expect("the third time") == bytes);
    assert_eq!(bench.said().matches("timeout; trying again").count(), 2, "{}", bench.said());
    let put = bench.run(bench.registry.put_blob(&from, &in_memory(b"new"), &[]));
    assert_eq!(put.expect("the second time"), PushOutcome::Uploaded);
}

#[test]
fn nobody_listens() {
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let bench = Bench::new();
    let reference: Reference = format!("{closed}/a/b:1").parse().expect("a reference");
    let error = bench.run(bench.registry.manifest(&reference, Direction::Pull)).expect_err("closed");
    let text = error.to_string();
    assert!(text.contains(&format!("no answer from {closed}: cannot connect")), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert_eq!(bench.said().matches("trying again").count(), 2);
}
