//! Blobs that are sent while they grow.

use std::io::Write;
use std::time::Instant;

use super::chunked::Chunked;
use super::fake::{hang_up, reply};
use super::*;
use crate::event::TransferEnd::{Existed, Moved};

/// A file that grows, and its bytes when it is complete.
struct Growth {
    _directory: tempfile::TempDir,
    file: File,
    growing: GrowingFile,
    blob: Blob,
    bytes: Vec<u8>,
    written: usize,
}

impl Growth {
    fn new(length: usize) -> Growth {
        let bytes = noise(length);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("blob");
        let open = File::options().read(true).write(true).create_new(true).open(&path);
        let file = open.expect("a file");
        let growing = GrowingFile::new(file.try_clone().expect("a descriptor"));
        let blob = Blob { descriptor: descriptor(&bytes), content: BlobContent::Path(path) };
        Growth { _directory: directory, file, growing, blob, bytes, written: 0 }
    }

    fn grow_to(&mut self, length: usize) {
        self.file.write_all(&self.bytes[self.written..length]).expect("written");
        self.written = length;
        self.growing.grow(length as u64);
    }

    /// Grows to the end and finishes the upload.
    fn end(mut self, bench: &Bench, upload: EarlyUpload) -> Result<PushOutcome, RegistryError> {
        self.grow_to(self.bytes.len());
        self.growing.complete();
        bench.run(bench.registry.end_upload(upload, &self.blob, &[]))
    }
}

/// Waits until the registry has so many bytes of a body that has not ended.
fn wait_until_arrived(fake: &Fake, bytes: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while fake.state().arriving < bytes {
        assert!(Instant::now() < deadline, "only {} bytes came: {:?}", fake.state().arriving, fake.lines());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn bytes_are_sent_before_the_end_is_known() {
    let fake = Fake::start();
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    let mut growth = Growth::new(1_500_000);
    let upload = bench.registry.begin_upload(&to, &growth.growing);
    for length in [1, 700_000, 1_000_000] {
        growth.grow_to(length);
        wait_until_arrived(&fake, length);
    }
    let (bytes, digest) = (growth.bytes.clone(), growth.blob.descriptor.digest);
    assert_eq!(growth.end(&bench, upload).expect("sent"), PushOutcome::Uploaded);
    assert!(fake.blob("a/b", digest) == Some(bytes));
    let expected = [
        "POST /v2/a/b/blobs/uploads/".to_owned(),
        format!("HEAD /v2/a/b/blobs/{digest}"),
        "PATCH /v2/a/b/blobs/uploads/1?_state=a+b".to_owned(),
        // The answer to PATCH moved the upload.
        format!("PUT /v2/a/b/blobs/uploads/1?_state=c+d&digest={digest}"),
    ];
    let mut lines = fake.lines();
    // The fake notes a request when its body has come.
    lines.sort_by_key(|line| expected.iter().position(|e| e == line));
    assert_eq!(lines, expected);
    assert_eq!(bench.ends(), [Moved]);
    assert!(bench.said().contains("TransferProgress { id: TransferId(0), bytes: 1500000 }"));
}

#[test]
fn what_is_there_already_is_not_committed() {
    let fake = Fake::start();
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    let mut growth = Growth::new(400_000);
    fake.add_blob("a/b", &growth.bytes);
    let upload = bench.registry.begin_upload(&to, &growth.growing);
    growth.grow_to(300_000);
    wait_until_arrived(&fake, 300_000);
    assert_eq!(growth.end(&bench, upload).expect("there"), PushOutcome::Existed);
    fake.wait_for("DELETE /v2/a/b/blobs/uploads/1");
    assert_eq!(fake.count("PUT"), 0, "{:?}", fake.lines());
    assert_eq!(bench.ends(), [Existed]);
}

#[test]
fn uploads_of_what_is_never_completed_are_cancelled() {
    let fake = Fake::start();
    let bench = Bench::new();
    let mut growth = Growth::new(400_000);
    let upload = bench.registry.begin_upload(&reference(&fake, "a/b:1"), &growth.growing);
    growth.grow_to(300_000);
    wait_until_arrived(&fake, 300_000);
    drop(growth);
    drop(upload);
    fake.wait_for("DELETE /v2/a/b/blobs/uploads/1");
    assert_eq!(fake.count("PUT"), 0);
    assert!(fake.state().blobs.is_empty());
}

/// Whatever happens to the stream, the blob arrives, in a session of its own.
#[test]
fn every_fault_is_mended_from_the_file() {
    let chunked = [
        Chunked::Refuse(reply(411)),
        Chunked::Refuse(reply(405)),
        Chunked::Refuse(hang_up()),
        Chunked::CutAfter(100_000),
        Chunked::CutAfter(400_000),
    ];
    for fault in chunked {
        let fake = Fake::start();
        fake.state().chunked = Some(fault.clone());
        mended(&fake, &format!("{fault:?}"));
    }
    let answers = [
        reply(401),
        reply(403),
        reply(404),
        reply(416).with("Range", "0-0"),
        reply(429),
        reply(500),
        reply(503),
        reply(307).with("Location", "ftp://nowhere.example/"),
        reply(202).with("Location", "http://"),
        hang_up(),
    ];
    for method in ["POST", "PATCH", "PUT"] {
        for answer in &answers {
            let fake = Fake::start();
            fake.fault(move |r| r.method == method, [answer.clone()]);
            mended(&fake, &format!("{method} {answer:?}"));
        }
    }
    for claim in [reply(201).with("Docker-Content-Digest", Digest::of(b"other")), reply(400)] {
        let fake = Fake::start();
        fake.fault(|r| r.method == "PUT", [claim.clone()]);
        mended(&fake, &format!("{claim:?}"));
    }
}

fn mended(fake: &Fake, fault: &str) {
    let bench = Bench::new();
    let mut growth = Growth::new(400_000);
    let upload = bench.registry.begin_upload(&reference(fake, "a/b:1"), &growth.growing);
    growth.grow_to(200_000);
    fake.wait_for("POST");
    let (bytes, digest) = (growth.bytes.clone(), growth.blob.descriptor.digest);
    let outcome = growth.end(&bench, upload);
    assert_eq!(outcome.expect(fault), PushOutcome::Uploaded, "{fault}");
    assert!(fake.blob("a/b", digest) == Some(bytes), "{fault}");
    let sent_whole = fake.requests("PUT").iter().any(|r| r.header("content-length") == Some("400000"));
    assert!(sent_whole, "{fault}: {:?}", fake.lines());
    assert_eq!(bench.ends(), [Moved], "{fault}");
    assert!(bench.said().contains("sending the layer again from its file"), "{fault}: {}", bench.said());
}

#[test]
fn a_redirected_stream_is_followed() {
    let (fake, storage) = (Fake::start(), Fake::start());
    let bench = Bench::new();
    let growth = Growth::new(400_000);
    let elsewhere = format!("http://{}/v2/a/b/blobs/uploads/9", storage.address);
    fake.state().chunked = Some(Chunked::Refuse(reply(307).with("Location", elsewhere)));
    let upload = bench.registry.begin_upload(&reference(&fake, "a/b:1"), &growth.growing);
    fake.wait_for("POST");
    let (bytes, digest) = (growth.bytes.clone(), growth.blob.descriptor.digest);
    assert_eq!(growth.end(&bench, upload).expect("sent"), PushOutcome::Uploaded);
    assert!(storage.blob("a/b", digest) == Some(bytes), "{:?}", storage.lines());
}

#[test]
fn a_stale_token_is_renewed() {
    let fake = Fake::start();
    fake.state().door = fake::Door::Token(None);
    let bench = Bench::new();
    let to = reference(&fake, "a/b:1");
    bench.run(bench.registry.check_push(&to)).expect("allowed");
    fake.wait_for("DELETE");
    // As if the token of that check had ended since.
    fake.state().revoked.insert("token-0".to_owned());
    let growth = Growth::new(300_000);
    let (bytes, digest) = (growth.bytes.clone(), growth.blob.descriptor.digest);
    let upload = bench.registry.begin_upload(&to, &growth.growing);
    // That of the check, and those of the stream.
    let deadline = Instant::now() + Duration::from_secs(60);
    while fake.count("POST /v2/a/b/blobs/uploads/") < 3 {
        assert!(Instant::now() < deadline, "{:?}", fake.lines());
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(growth.end(&bench, upload).expect("sent"), PushOutcome::Uploaded);
    assert!(fake.blob("a/b", digest) == Some(bytes));
    assert_eq!(fake.requests("PUT")[0].header("content-length"), Some("0"));
}

#[test]
fn silence_ends_the_stream_not_the_push() {
    let fake = Fake::start();
    let (config, keychain) = (RegistryConfig::default(), KeychainConfig::default());
    let bench = Bench::with_silence(config, keychain, Duration::from_secs(2));
    fake.fault(|r| r.method == "PATCH", [fake::silence()]);
    let growth = Growth::new(300_000);
    let (bytes, digest) = (growth.bytes.clone(), growth.blob.descriptor.digest);
    let upload = bench.registry.begin_upload(&reference(&fake, "a/b:1"), &growth.growing);
    fake.wait_for("POST");
    assert_eq!(growth.end(&bench, upload).expect("sent"), PushOutcome::Uploaded);
    assert!(fake.blob("a/b", digest) == Some(bytes));
}

/// Four streams take all turns of uploads; what waits for one is sent when it is complete.
#[test]
fn an_upload_without_a_turn_is_an_ordinary_one() {
    let fake = Fake::start();
    let bench = Bench::new();
    let mut others: Vec<Growth> = (0..4).map(|n| Growth::new(1000 + n)).collect();
    let begin = |growth: &Growth, repository: &str| {
        bench.registry.begin_upload(&reference(&fake, repository), &growth.growing)
    };
    let uploads: Vec<EarlyUpload> = others.iter().map(|growth| begin(growth, "busy:1")).collect();
    for growth in &mut others {
        growth.grow_to(500);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while fake.count("POST") < 4 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(2));
    }
    let late = Growth::new(5000);
    let digest = late.blob.descriptor.digest;
    let upload = begin(&late, "late:1");
    std::thread::scope(|scope| {
        let (bench, fake) = (&bench, &fake);
        let ending = scope.spawn(move || late.end(bench, upload));
        // Asked for before the others leave a turn free, so that it is no stream any more.
        while fake.count("HEAD /v2/late/") == 0 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(2));
        }
        for (growth, upload) in others.into_iter().zip(uploads) {
            assert_eq!(growth.end(bench, upload).expect("sent"), PushOutcome::Uploaded);
        }
        assert_eq!(ending.join().expect("no panic").expect("sent"), PushOutcome::Uploaded);
        assert!(fake.blob("late", digest).is_some());
        assert_eq!(fake.count("PATCH /v2/late/"), 0, "{:?}", fake.lines());
    });
    assert_eq!(fake.count("PATCH /v2/busy/"), 4);
}
