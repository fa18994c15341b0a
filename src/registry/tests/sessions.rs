//! Uploads that are open when nobody brings them to an end.

use std::sync::mpsc;
use std::time::Instant;

use super::fake::{reply, silence};
use super::*;

/// What the registry still holds open, by the requests that it saw.
fn left_open(fake: &Fake) -> usize {
    let posts = fake.requests("POST").len();
    posts - fake.count("DELETE") - fake.count("PUT")
}

#[test]
fn failed_attempts_leave_no_uploads() {
    for answer in [reply(500), reply(403), fake::hang_up()] {
        let fake = Fake::start();
        let bench = Bench::new();
        fake.fault(|r| r.method == "PUT", vec![answer.clone(); 3]);
        let to = reference(&fake, "a/b:1");
        bench.run(bench.registry.put_blob(&to, &in_memory(b"abc"), &[])).expect_err("refused");
        bench.run(bench.registry.close());
        assert_eq!(fake.count("POST"), fake.count("DELETE"), "{answer:?}: {:?}", fake.lines());
    }
}

#[test]
fn what_is_under_way_ends_with_the_build() {
    let fake = Fake::start();
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    // One that follows a file, and one whose body nobody takes.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("blob");
    std::fs::write(&path, noise(300_000)).expect("written");
    let file = GrowingFile::new(File::open(&path).expect("a file"));
    file.grow(300_000);
    let early = bench.registry.begin_upload(&to, &file);
    fake.fault(|r| r.method == "PUT", [silence()]);
    let (registry, blob) = (bench.registry.clone(), in_memory(b"abc"));
    let put = bench.network.spawn(async move { registry.put_blob(&to, &blob, &[]).await });
    fake.wait_for("PUT");
    let deadline = Instant::now() + Duration::from_secs(60);
    while fake.state().arriving < 300_000 {
        assert!(Instant::now() < deadline, "{:?}", fake.lines());
        std::thread::sleep(Duration::from_millis(2));
    }
    bench.run(bench.registry.close());
    assert_eq!(fake.count("DELETE /v2/a/b/blobs/uploads/"), 2, "{:?}", fake.lines());
    let end = put.wait().expect("not aborted").expect_err("ended");
    assert!(matches!(end, RegistryError::Stopped { .. }), "{end}");
    drop(early);
    // Nothing is opened after that.
    let late = bench.run(bench.registry.check_push(&reference(&fake, "late:1"))).expect_err("closed");
    assert!(matches!(late, RegistryError::Stopped { .. }), "{late}");
    assert_eq!(fake.count("POST /v2/late"), 0);
}

#[test]
fn an_upload_that_opens_while_nobody_waits_any_more_is_cancelled() {
    let fake = Fake::start();
    let bench = Bench::new();
    let (asked, was_asked) = mpsc::channel();
    let (answer, may_answer) = mpsc::channel::<()>();
    fake.manner(move |request, _| {
        if request.method == "POST" {
            asked.send(()).expect("the test waits");
            may_answer.recv().expect("the test answers");
        }
        None
    });
    let (registry, to, blob) = (bench.registry.clone(), reference(&fake, "a/b:1"), in_memory(b"abc"));
    let put = bench.network.spawn(async move { registry.put_blob(&to, &blob, &[]).await });
    was_asked.recv().expect("a request");
    put.abort();
    assert!(put.wait().is_none());
    let registry = bench.registry.clone();
    let closing = bench.network.spawn(async move { registry.close().await });
    answer.send(()).expect("the registry waits");
    closing.wait().expect("closed");
    assert_eq!(fake.count("DELETE /v2/a/b/blobs/uploads/1"), 1, "{:?}", fake.lines());
    assert_eq!(left_open(&fake), 0);
}

#[test]
fn a_registry_that_takes_no_leave_is_not_waited_for() {
    let fake = Fake::start();
    let bench = Bench::new();
    fake.fault(|r| r.method == "DELETE", vec![silence(); 3]);
    bench.run(bench.registry.check_push(&reference(&fake, "a/b:1"))).expect("allowed");
    fake.wait_for("DELETE");
    let start = Instant::now();
    bench.run(bench.registry.close());
    let waited = start.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(20)).contains(&waited), "{waited:?}");
    assert!(bench.said().contains("may stay open"), "{}", bench.said());
}
