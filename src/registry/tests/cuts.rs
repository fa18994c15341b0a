//! Connections that break at any byte of a blob.

use super::fake::{Reply, reply};
use super::*;

/// Small, so that every position can be tried; not so small that it comes in one piece.
const LENGTH: usize = 700;

#[test]
fn a_download_survives_a_cut_at_every_byte() {
    let fake = Fake::start();
    let bytes = noise(LENGTH);
    let digest = fake.add_blob("a/b", &bytes);
    let bench = Bench::new();
    let from = reference(&fake, "a/b:1");
    for ranges in [true, false] {
        fake.state().ranges = ranges;
        for cut in 0..LENGTH {
            let broken = Reply { cut: Some(cut), ..reply(200).body(bytes.clone()) };
            fake.fault(|r| r.path().contains("/blobs/"), [broken]);
            let found = bench.pull(&from, &descriptor(&bytes));
            assert!(found.unwrap_or_else(|e| panic!("cut at {cut}: {e}")) == bytes, "cut at {cut}");
            let last = fake.state().log.pop().expect("a request");
            let begins = last.header("range").map(str::to_owned);
            let expected = (cut > 0).then(|| format!("bytes={cut}-"));
            assert_eq!(begins, expected, "{} asked for again", last.target);
            fake.state().log.clear();
        }
    }
    assert!(fake.blob("a/b", digest).is_some());
}

#[test]
fn an_upload_survives_a_cut_at_every_byte() {
    let fake = Fake::start();
    let bench = Bench::new();
    let bytes = noise(LENGTH);
    for cut in 0..LENGTH {
        fake.state().cut_upload = Some(cut);
        let to = reference(&fake, &format!("r{cut}:1"));
        let outcome = bench.run(bench.registry.put_blob(&to, &in_memory(&bytes), &[]));
        assert_eq!(outcome.unwrap_or_else(|e| panic!("cut at {cut}: {e}")), PushOutcome::Uploaded);
        assert!(fake.blob(&format!("r{cut}"), Digest::of(&bytes)) == Some(bytes.clone()), "cut at {cut}");
        assert!(fake.state().cut_upload.is_none(), "nothing was cut at {cut}");
    }
}
