use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fake::{Door, reply};
use super::*;

fn with_blob(door: Door) -> (Fake, Vec<u8>) {
    let fake = Fake::start();
    let bytes = noise(1000);
    fake.add_blob("a/b", &bytes);
    fake.state().door = door;
    (fake, bytes)
}

#[test]
fn basic() {
    let (fake, bytes) = with_blob(Door::Basic("u:p:q".to_owned()));
    let from = reference(&fake, "a/b:1");
    let entry = format!(r#"{{"auth":"{}"}}"#, STANDARD.encode("u:p:q"));
    let bench = Bench::with_entry(&fake.address.to_string(), &entry);
    assert!(bench.pull(&from, &descriptor(&bytes)).expect("allowed") == bytes);
    assert_eq!(fake.count("GET /v2/a/b/blobs"), 1);

    let wrong = Bench::with_entry(&fake.address.to_string(), r#"{"username":"u","password":"s3cret"}"#);
    let error = wrong.pull(&from, &descriptor(&bytes)).expect_err("wrong password");
    let text = error.to_string();
    assert!(text.contains("answered 401") && text.contains("credentials from the test's file"), "{text}");
    assert!(!format!("{error:?} {}", wrong.said()).contains("s3cret"));
    assert!(error.help().is_some_and(|h| h.contains("the test's file")), "{:?}", error.help());

    let error = Bench::new().pull(&from, &descriptor(&bytes)).expect_err("no password");
    assert!(error.to_string().contains("tried with no credentials"), "{error}");
}

#[test]
fn a_registry_that_asks_only_for_some_requests() {
    let (fake, bytes) = with_blob(Door::Basic("u:p".to_owned()));
    fake.fault(|r| r.path() == "/v2/", [reply(200)]);
    let bench = Bench::with_entry(&fake.address.to_string(), r#"{"username":"u","password":"p"}"#);
    assert!(bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect("allowed") == bytes);
    // The first answer taught it.
    assert_eq!(fake.count("GET /v2/a/b/blobs"), 2);
}

#[test]
fn tokens_for_everybody() {
    let (fake, bytes) = with_blob(Door::Token(None));
    let bench = Bench::new();
    let from = reference(&fake, "a/b:1");
    for _ in 0..3 {
        assert!(bench.pull(&from, &descriptor(&bytes)).expect("allowed") == bytes);
    }
    let asked = fake.requests("GET /token");
    assert_eq!(asked.len(), 1, "{:?}", fake.lines());
    assert_eq!(asked[0].query("scope"), ["repository:a/b:pull"]);
    assert_eq!(asked[0].query("service"), ["fake"]);
    assert_eq!(asked[0].header("authorization"), None);
    assert_eq!(fake.count("GET /v2/a/b/blobs"), 3);
}

#[test]
fn tokens_for_passwords() {
    let shown = format!("Basic {}", STANDARD.encode("u:p"));
    let (fake, bytes) = with_blob(Door::Token(Some(shown)));
    let bench = Bench::with_entry(&fake.address.to_string(), r#"{"username":"u","password":"p"}"#);
    let to = reference(&fake, "a/b:1");
    assert!(bench.pull(&to, &descriptor(&bytes)).expect("allowed") == bytes);
    assert_eq!(fake.requests("GET /token")[0].query("account"), ["u"]);
    assert_eq!(
        bench.run(bench.registry.put_blob(&to, &in_memory(b"new"), &[])).expect("allowed"),
        PushOutcome::Uploaded
    );
    assert_eq!(fake.requests("GET /token")[1].query("scope"), ["repository:a/b:pull,push"]);

    let wrong = Bench::with_entry(&fake.address.to_string(), r#"{"username":"u","password":"s3cret"}"#);
    let error = wrong.pull(&to, &descriptor(&bytes)).expect_err("wrong password");
    let text = error.to_string();
    assert!(text.contains("it answered 401: incorrect username or password"), "{text}");
    assert!(text.contains("credentials from the test's file") && !text.contains("s3cret"), "{text}");
}

#[test]
fn identity_and_registry_tokens() {
    let (fake, bytes) = with_blob(Door::Token(Some("r3fresh".to_owned())));
    let from = reference(&fake, "a/b:1");
    let bench = Bench::with_entry(&fake.address.to_string(), r#"{"identitytoken":"r3fresh"}"#);
    assert!(bench.pull(&from, &descriptor(&bytes)).expect("allowed") == bytes);
    let asked = &fake.requests("POST /token")[0];
    let form = String::from_utf8_lossy(&asked.body).into_owned();
    for field in
        ["grant_type=refresh_token", "service=fake", "client_id=yadokari", "scope=repository%3Aa%2Fb%3Apull"]
    {
        assert!(form.contains(field), "{form}");
    }
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));

    // The identity token is a secret: no redirect carries it away.
    let other = Fake::start();
    fake.fault(
        |r| r.path() == "/token",
        [reply(307).with("Location", format!("http://{}/token", other.address))],
    );
    let bench = Bench::with_entry(&fake.address.to_string(), r#"{"identitytoken":"r3fresh"}"#);
    let error = bench.pull(&from, &descriptor(&bytes)).expect_err("redirected");
    assert!(matches!(error, RegistryError::Protocol { .. }), "{error}");
    assert!(other.lines().is_empty());

    let bench = Bench::with_entry(&fake.address.to_string(), r#"{"registrytoken":"token-0"}"#);
    assert!(bench.pull(&from, &descriptor(&bytes)).expect("the first token is still good") == bytes);
    assert_eq!(fake.count("POST /token"), 2);
}

#[test]
fn a_token_server_without_post() {
    // base64 of ":r3fresh"
    let (fake, bytes) = with_blob(Door::Token(Some("Basic OnIzZnJlc2g=".to_owned())));
    for status in [400, 401, 404, 405] {
        fake.fault(|r| r.method == "POST" && r.path() == "/token", [reply(status)]);
        let bench = Bench::with_entry(&fake.address.to_string(), r#"{"identitytoken":"r3fresh"}"#);
        assert!(bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect("allowed") == bytes);
    }
    let bench = Bench::with_entry(&fake.address.to_string(), r#"{"identitytoken":"other"}"#);
    let error = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect_err("refused");
    assert!(error.to_string().contains("it answered 401: incorrect username or password"), "{error}");
}

#[test]
fn many_callers_ask_for_one_token() {
    let (fake, bytes) = with_blob(Door::Token(None));
    let bench = Bench::new();
    let from = reference(&fake, "a/b:1");
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (registry, from, digest) = (bench.registry.clone(), from.clone(), Digest::of(&bytes));
            bench.network.spawn(async move { registry.has_blob(&from, &digest, Direction::Pull).await })
        })
        .collect();
    for task in tasks {
        assert!(task.wait().expect("it ran").expect("allowed"));
    }
    assert_eq!(fake.count("GET /token"), 1);
    assert_eq!(fake.requests("GET /v2/").iter().filter(|r| r.target == "/v2/").count(), 1);
}

#[test]
fn a_stale_token_is_renewed_once() {
    let (fake, bytes) = with_blob(Door::Token(None));
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    bench.pull(&to, &descriptor(&bytes)).expect("allowed");
    fake.state().revoked.insert("token-0".to_owned());
    bench.pull(&to, &descriptor(&bytes)).expect("with a new token");
    assert_eq!(fake.count("GET /token"), 2);

    // In the middle of an upload too: the body is sent again.
    bench.run(bench.registry.check_push(&to)).expect("allowed");
    let new = noise(300_000);
    let revoke = fake.clone();
    fake.fault(
        |r| r.method == "PUT",
        [reply(401).with(
            "WWW-Authenticate",
            format!("Bearer realm=\"http://{}/token\",service=\"fake\"", fake.address),
        )],
    );
    assert_eq!(
        bench.run(bench.registry.put_blob(&to, &in_memory(&new), &[])).expect("sent"),
        PushOutcome::Uploaded
    );
    assert!(revoke.blob("a/b", Digest::of(&new)) == Some(new));

    // But not for ever.
    fake.fault(
        |r| r.path().contains("/blobs/"),
        vec![reply(401).body(r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#); 9],
    );
    let before = fake.count("GET /token");
    let error = bench.pull(&to, &descriptor(&bytes)).expect_err("refused");
    assert!(matches!(error, RegistryError::Status { status: 401, .. }), "{error}");
    assert!(fake.count("GET /token") - before <= 1);
}

#[test]
fn a_mount_has_one_token_for_both_repositories() {
    let (fake, bytes) = with_blob(Door::Token(None));
    let bench = Bench::new();
    let (from, to) = (reference(&fake, "a/b:1"), reference(&fake, "c:1"));
    let outcome = bench.run(bench.registry.put_blob(&to, &in_memory(&bytes), std::slice::from_ref(&from)));
    assert_eq!(outcome.expect("mounted"), PushOutcome::Mounted);
    let both = ["repository:c:pull,push", "repository:a/b:pull"];
    assert!(fake.requests("GET /token").iter().any(|r| r.query("scope") == both), "{:?}", fake.lines());

    // A mount that is denied goes on as an upload.
    fake.state().mounting = false;
    let outcome = bench.run(bench.registry.copy_blob(&from, &reference(&fake, "d:1"), &descriptor(&bytes)));
    assert_eq!(outcome.expect("sent"), PushOutcome::Uploaded);
    assert_eq!(fake.count("POST /v2/d/"), 1, "{:?}", fake.lines());
    assert!(fake.blob("d", Digest::of(&bytes)) == Some(bytes.clone()));

    // Where the source is none of ours, the blob is sent.
    fake.state().blobs.remove(&("c".to_owned(), Digest::of(&bytes).to_string()));
    fake.state().denied.insert("repository:a/b:pull".to_owned());
    let bench = Bench::new();
    let outcome = bench.run(bench.registry.put_blob(&to, &in_memory(&bytes), &[from]));
    assert_eq!(outcome.expect("sent"), PushOutcome::Uploaded);
}

#[test]
fn a_token_server_that_is_down_is_asked_again() {
    let (fake, bytes) = with_blob(Door::Token(None));
    fake.fault(|r| r.path() == "/token", [reply(503), reply(429)]);
    let bench = Bench::new();
    bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect("the third time");
    assert_eq!(fake.count("GET /token"), 3);
    fake.fault(|r| r.path() == "/token", [reply(200).body("{}")]);
    let error = Bench::new().pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect_err("no token");
    assert!(error.to_string().contains("holds no token"), "{error}");
}

#[test]
fn a_redirect_to_another_host_gets_no_credentials() {
    let (fake, bytes) = with_blob(Door::Basic("u:p".to_owned()));
    let storage = Fake::start();
    let digest = storage.add_blob("s", &bytes);
    let elsewhere = format!("http://{}/v2/s/blobs/{digest}?sig=s3cret", storage.address);
    fake.fault(|r| r.path().contains("/blobs/"), [reply(307).with("Location", &elsewhere)]);
    let bench = Bench::with_entry(&fake.address.to_string(), r#"{"username":"u","password":"p"}"#);
    assert!(bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect("there") == bytes);
    assert!(fake.requests("GET /v2/a/b")[0].header("authorization").is_some());
    assert_eq!(storage.requests("GET")[0].header("authorization"), None);

    // A 401 from there is no question to us, and its token server is none of ours.
    for door in [Door::Basic("u:p".to_owned()), Door::Token(None)] {
        storage.state().door = door;
        fake.fault(|r| r.path().contains("/blobs/"), [reply(307).with("Location", &elsewhere)]);
        let error = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect_err("refused there");
        let text = error.to_string();
        assert!(text.contains(&storage.address.to_string()) && !text.contains("s3cret"), "{text}");
        assert!(storage.requests("GET").iter().all(|r| r.header("authorization").is_none()));
        assert_eq!(storage.count("GET /token"), 0);
    }

    let circle = fake.clone();
    fake.fault(
        |r| r.path().contains("/blobs/"),
        vec![reply(302).with("Location", format!("http://{}/v2/a/b/blobs/x", circle.address)); 20],
    );
    let error = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect_err("a circle");
    assert!(error.to_string().contains("redirects"), "{error}");
}
