use std::fs::File;

use super::fake::{Reply, hang_up, reply};
use super::*;
use crate::event::TransferEnd;

#[test]
fn a_blob_is_sent_once() {
    let fake = Fake::start();
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    let bytes = noise(1_500_000);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("blob");
    std::fs::write(&path, &bytes).expect("written");
    let open = BlobContent::File(Arc::new(File::open(&path).expect("there")), path.clone());
    for content in [BlobContent::Path(path), open] {
        fake.state().blobs.clear();
        let blob = Blob { descriptor: descriptor(&bytes), content };
        let put = || bench.run(bench.registry.put_blob(&to, &blob, &[])).expect("sent");
        assert_eq!(put(), PushOutcome::Uploaded);
        assert!(fake.blob("a/b", blob.descriptor.digest) == Some(bytes.clone()));
        assert_eq!(put(), PushOutcome::Existed);
    }
    let sent = fake.requests("PUT /v2/a/b/blobs/uploads/");
    assert_eq!(sent.len(), 2);
    // What the registry put into its Location comes back as it was.
    assert_eq!(sent[0].query("_state"), ["a+b"]);
    assert_eq!(sent[0].header("content-length"), Some("1500000"));
    use TransferEnd::{Existed, Moved};
    assert_eq!(bench.ends(), [Moved, Existed, Moved, Existed]);
    assert!(
        bench.said().contains("TransferProgress { id: TransferId(0), bytes: 1500000 }"),
        "{}",
        bench.said()
    );
}

#[test]
fn a_blob_that_several_want_there_is_sent_once() {
    let fake = Fake::start();
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    let blob = in_memory(b"wanted by all");
    let put = || bench.registry.put_blob(&to, &blob, &[]);
    let ends = bench.run(async { futures_util::join!(put(), put(), put()) });
    let mut ends = [ends.0, ends.1, ends.2].map(|end| format!("{:?}", end.expect("it is there")));
    ends.sort();
    assert_eq!(ends, ["Existed", "Existed", "Uploaded"]);
}

#[test]
fn an_upload_that_fails_starts_anew() {
    for fault in [
        reply(503),
        reply(429).with("Retry-After", "0"),
        hang_up(),
        reply(404).body(r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
        reply(400).body(r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"blob upload invalid"}]}"#),
        reply(416).body(r#"{"errors":[{"code":"RANGE_INVALID","message":"invalid content range"}]}"#),
    ] {
        let fake = Fake::start();
        let bench = Bench::new();
        let bytes = noise(700_000);
        fake.fault(|r| r.method == "PUT", [fault.clone(), fault.clone()]);
        let to = reference(&fake, "a/b:1");
        let outcome = bench.run(bench.registry.put_blob(&to, &in_memory(&bytes), &[]));
        assert_eq!(outcome.expect("the third time"), PushOutcome::Uploaded, "{fault:?}");
        assert!(fake.blob("a/b", Digest::of(&bytes)) == Some(bytes));
        let sessions: Vec<String> = fake.requests("PUT").iter().map(|r| r.path().to_owned()).collect();
        let expected: Vec<String> = (1..=3).map(|n| format!("/v2/a/b/blobs/uploads/{n}")).collect();
        assert_eq!(sessions, expected);
    }
}

#[test]
fn uploads_that_are_refused() {
    let fake = Fake::start();
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    let put = |blob: &Blob| bench.run(bench.registry.put_blob(&to, blob, &[])).expect_err("refused");

    fake.fault(|r| r.method == "PUT", [reply(413).body("<html>too large</html>")]);
    let error = put(&in_memory(b"abc"));
    assert!(matches!(error, RegistryError::Status { status: 413, .. }), "{error}");
    assert!(error.help().is_some_and(|h| h.contains("proxy")));

    fake.fault(|r| r.method == "PUT", [reply(201).with("Docker-Content-Digest", Digest::of(b"other"))]);
    let error = put(&in_memory(b"abc"));
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");

    fake.fault(|r| r.method == "POST", [reply(202)]);
    let error = put(&in_memory(b"abc"));
    assert!(error.to_string().contains("without a Location"), "{error}");

    let missing = Blob { descriptor: descriptor(b"abc"), content: BlobContent::Path("/nowhere/blob".into()) };
    let error = put(&missing);
    assert!(error.to_string().contains("cannot read /nowhere/blob"), "{error}");

    // A file that lost bytes since it was packed.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("blob");
    std::fs::write(&path, b"ab").expect("written");
    let error = put(&Blob { descriptor: descriptor(b"abc"), content: BlobContent::Path(path.clone()) });
    assert!(matches!(&error, RegistryError::File { path: named, .. } if *named == path), "{error}");
    assert_eq!(bench.ends(), [TransferEnd::Failed; 5]);
}

#[test]
fn mounts() {
    let bytes = noise(1000);
    let digest = Digest::of(&bytes);
    for (mounting, expected) in [(true, PushOutcome::Mounted), (false, PushOutcome::Uploaded)] {
        let fake = Fake::start();
        fake.add_blob("base", &bytes);
        fake.state().mounting = mounting;
        let bench = Bench::new();
        let to = reference(&fake, "a/b:1");
        let elsewhere: Reference = "other.example/base:1".parse().expect("a reference");
        let from = [elsewhere, to.clone(), reference(&fake, "base:1")];
        let outcome = bench.run(bench.registry.put_blob(&to, &in_memory(&bytes), &from));
        assert_eq!(outcome.expect("there"), expected);
        assert!(fake.blob("a/b", digest).is_some());
        let posts = fake.requests("POST");
        // One request: a refused mount goes on as an upload in the session it opened.
        assert_eq!(posts.len(), 1, "{:?}", fake.lines());
        assert_eq!(posts[0].query("mount"), [digest.to_string()]);
        assert_eq!(posts[0].query("from"), ["base"]);
        assert_eq!(fake.count("PUT /v2/a/b/blobs/uploads/1"), usize::from(!mounting));
    }
}

#[test]
fn of_several_mounts_one_session_stays_open() {
    let bytes = noise(1000);
    let fake = Fake::start();
    fake.state().mounting = false;
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    let from = ["x:1", "y:1", "z:1"].map(|r| reference(&fake, r));
    fake.fault(|r| r.query("from") == ["z"], [reply(405)]);
    let outcome = bench.run(bench.registry.put_blob(&to, &in_memory(&bytes), &from));
    assert_eq!(outcome.expect("sent"), PushOutcome::Uploaded);
    assert_eq!(fake.count("DELETE /v2/a/b/blobs/uploads/1"), 1, "{:?}", fake.lines());
    assert_eq!(fake.count("PUT /v2/a/b/blobs/uploads/2"), 1, "{:?}", fake.lines());
    assert_eq!(fake.count("DELETE"), 1);
}

#[test]
fn a_forbidden_mount_is_no_failure() {
    let bytes = noise(1000);
    let fake = Fake::start();
    fake.fault(|r| !r.query("mount").is_empty(), [reply(403).body("{}")]);
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    let outcome = bench.run(bench.registry.put_blob(&to, &in_memory(&bytes), &[reference(&fake, "base:1")]));
    assert_eq!(outcome.expect("sent"), PushOutcome::Uploaded);
}

#[test]
fn blobs_go_from_registry_to_registry() {
    let bytes = noise(2_000_000);
    let (source, target) = (Fake::start(), Fake::start());
    source.add_blob("base", &bytes);
    // The source breaks off, and the target does at its first attempt.
    source.fault(
        |r| r.method == "GET" && r.path().contains("/blobs/"),
        [Reply { cut: Some(900_000), ..reply(200).body(bytes.clone()) }],
    );
    target.fault(|r| r.method == "PUT", [hang_up()]);
    let bench = Bench::new();
    let (from, to) = (reference(&source, "base:1"), reference(&target, "a/b:1"));
    let copy = || bench.run(bench.registry.copy_blob(&from, &to, &descriptor(&bytes))).expect("copied");
    assert_eq!(copy(), PushOutcome::Uploaded);
    assert!(target.blob("a/b", Digest::of(&bytes)) == Some(bytes.clone()));
    assert_eq!(copy(), PushOutcome::Existed);
    // Within one registry nothing is sent.
    let near = reference(&target, "c:1");
    assert_eq!(
        bench.run(bench.registry.copy_blob(&to, &near, &descriptor(&bytes))).expect("copied"),
        PushOutcome::Mounted
    );
}

#[test]
fn a_blob_that_cannot_be_read_is_not_copied() {
    let bytes = noise(500_000);
    let (source, target) = (Fake::start(), Fake::start());
    let mut wrong = bytes.clone();
    wrong[0] ^= 1;
    source.fault(|r| r.path().contains("/blobs/"), [reply(200).body(wrong)]);
    let bench = Bench::new();
    let (from, to) = (reference(&source, "base:1"), reference(&target, "a/b:1"));
    let error =
        bench.run(bench.registry.copy_blob(&from, &to, &descriptor(&bytes))).expect_err("wrong bytes");
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
    assert!(target.state().blobs.is_empty());
}

#[test]
fn the_right_to_push_is_tried_without_traces() {
    let fake = Fake::start();
    let bench = Bench::new();
    bench.run(bench.registry.check_push(&reference(&fake, "a/b:1"))).expect("allowed");
    fake.wait_for("DELETE");
    assert_eq!(fake.lines(), ["POST /v2/a/b/blobs/uploads/", "DELETE /v2/a/b/blobs/uploads/1?_state=a+b"]);
    fake.fault(|r| r.method == "DELETE", [reply(405)]);
    bench.run(bench.registry.check_push(&reference(&fake, "a/b:1"))).expect("allowed all the same");
    fake.fault(
        |r| r.method == "POST",
        [reply(403).body(r#"{"errors":[{"code":"DENIED","message":"read only"}]}"#)],
    );
    let error = bench.run(bench.registry.check_push(&reference(&fake, "a/b:1"))).expect_err("denied");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot push to {}/a/b: ", fake.address)), "{text}");
    assert!(text.contains("DENIED: read only"), "{text}");
    assert!(error.help().is_some_and(|h| h.contains("docker login")));
}

#[test]
fn manifests_are_put() {
    let bytes = b"{}".to_vec();
    let digest = Digest::of(&bytes);
    let fake = Fake::start();
    let bench = Bench::new();
    let kind = MediaType::from(MediaType::OCI_MANIFEST);
    let put =
        |rest: &str| bench.run(bench.registry.put_manifest(&reference(&fake, rest), bytes.clone(), &kind));
    fake.fault(|r| r.method == "PUT", [reply(503), hang_up()]);
    assert_eq!(put("a/b:1").expect("the third time"), digest);
    let unknown = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
    fake.fault(|r| r.method == "PUT", [reply(400).body(unknown)]);
    assert_eq!(put("a/b:1").expect("the second time"), digest);
    let invalid = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}"#;
    fake.fault(|r| r.method == "PUT", [reply(400).body(invalid)]);
    put("a/b:1").expect_err("that stays");
    fake.state().no_content_digest = true;
    assert_eq!(put(&format!("a/b@{digest}")).expect("put"), digest);
    let stored = fake.state().manifests.clone();
    for version in ["1".to_owned(), digest.to_string()] {
        let expected = (MediaType::OCI_MANIFEST.to_owned(), bytes.clone());
        assert_eq!(stored.get(&("a/b".to_owned(), version)), Some(&expected));
    }
    let other = Digest::of(b"other");
    assert!(matches!(put(&format!("a/b@{other}")), Err(RegistryError::Digest { .. })));
    fake.fault(|r| r.method == "PUT", [reply(201).with("Docker-Content-Digest", other)]);
    let error = put("a/b:1").expect_err("something else was stored");
    assert!(error.to_string().contains(&other.to_string()), "{error}");
}

#[test]
fn tags_that_cannot_be_moved() {
    let google = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"cannot update tag 1. The repository has enabled tag immutability"}]}"#;
    let amazon =
        "The image tag '1' already exists in the 'a' repository and cannot be overwritten because the";
    let old =
        format!(r#"{{"errors":[{{"code":"TAG_INVALID","message":"{amazon} repository is immutable."}}]}}"#);
    let new = format!(r#"{{"errors":[{{"code":"TAG_INVALID","message":"{amazon} tag is immutable."}}]}}"#);
    let harbor = r#"{"errors":[{"code":"PRECONDITION","message":"Failed to process request due to 'a:1' configured as immutable."}]}"#;
    let other = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"it is not valid"}]}"#;
    let (ours, theirs) = (b"{}".as_slice(), b"{ }".as_slice());
    let kind = MediaType::from(MediaType::OCI_MANIFEST);
    for (status, answer) in [(400, google), (400, &old), (400, &new), (412, harbor), (400, other)] {
        for (ignore, there) in [(false, ours), (true, ours), (true, theirs)] {
            let fake = Fake::start();
            fake.state().manifests.insert(("a".to_owned(), "1".to_owned()), (kind.0.clone(), there.to_vec()));
            fake.fault(
                |r| r.method == "PUT" && r.path().ends_with("/manifests/1"),
                [reply(status).body(answer)],
            );
            let config = RegistryConfig { ignore_immutable_tags: ignore, ..RegistryConfig::default() };
            let bench = Bench::with(config, KeychainConfig::default());
            let put = bench.run(bench.registry.put_manifest(&reference(&fake, "a:1"), ours, &kind));
            if !ignore || answer == other {
                let help = put.expect_err("refused").help();
                let known = help.is_some_and(|h| h.contains("--push-ignore-immutable-tag-errors"));
                assert_eq!(known, answer != other, "{answer}");
                continue;
            }
            let digest = put.expect("ignored");
            assert_eq!(digest, Digest::of(ours));
            let by_digest = fake.count(&format!("PUT /v2/a/manifests/{digest}"));
            assert_eq!(by_digest, usize::from(there == theirs), "what is reported must be there");
            let said = bench.said();
            let warned =
                said.lines().any(|l| l.starts_with("Warning") && l.contains(&Digest::of(theirs).to_string()));
            assert_eq!(warned, there == theirs, "{said}");
        }
    }
}

#[test]
fn a_location_on_another_host_gets_no_credentials() {
    let (fake, storage) = (Fake::start(), Fake::start());
    fake.state().door = fake::Door::Basic("u:p".to_owned());
    let bench = Bench::with_entry(&fake.address.to_string(), r#"{"username":"u","password":"p"}"#);
    let elsewhere = format!("http://{}/v2/x/blobs/uploads/7?sig=s3cret", storage.address);
    fake.fault(|r| r.method == "POST", [reply(202).with("Location", elsewhere)]);
    let bytes = noise(1000);
    let outcome = bench.run(bench.registry.put_blob(&reference(&fake, "a/b:1"), &in_memory(&bytes), &[]));
    assert_eq!(outcome.expect("sent"), PushOutcome::Uploaded);
    assert!(fake.requests("POST")[0].header("authorization").is_some());
    let put = &storage.requests("PUT")[0];
    assert_eq!((put.header("authorization"), put.query("sig")), (None, vec!["s3cret"]));

    // What went wrong there is told without the signature.
    let elsewhere = format!("http://{}/v2/x/blobs/uploads/7?sig=s3cret", storage.address);
    fake.fault(|r| r.method == "POST", [reply(202).with("Location", elsewhere)]);
    storage.fault(|r| r.method == "PUT", [reply(403)]);
    let error = bench
        .run(bench.registry.put_blob(&reference(&fake, "a/b:1"), &in_memory(b"new"), &[]))
        .expect_err("refused there");
    let text = error.to_string();
    assert!(text.contains(&storage.address.to_string()) && !text.contains("s3cret"), "{text}");
}
