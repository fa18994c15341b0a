use pretty_assertions::assert_eq;

use super::fake::{Door, Reply, hang_up, reply};
use super::*;
use crate::config::Mirror;

const MANIFEST: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;

/// Two mirrors and the registry; the last mirror keeps its images below a prefix.
struct Places {
    mirrors: [Fake; 2],
    origin: Fake,
    bytes: Vec<u8>,
}

impl Places {
    fn new() -> Self {
        let places =
            Places { mirrors: [Fake::start(), Fake::start()], origin: Fake::start(), bytes: noise(500_000) };
        for (fake, prefix) in places.all() {
            let repository = format!("{prefix}a/b");
            fake.add_blob(&repository, &places.bytes);
            let kind = MediaType::OCI_MANIFEST.to_owned();
            for version in ["1".to_owned(), Digest::of(MANIFEST).to_string()] {
                let key = (repository.clone(), version);
                fake.state().manifests.insert(key, (kind.clone(), MANIFEST.to_vec()));
            }
        }
        places
    }

    fn all(&self) -> [(&Fake, &'static str); 3] {
        [(&self.mirrors[0], ""), (&self.mirrors[1], "proxy/hub/"), (&self.origin, "")]
    }

    fn config(&self, only: bool) -> RegistryConfig {
        let mirror = |at: usize| Mirror {
            of: self.origin.address.to_string(),
            host: self.mirrors[at].address.to_string(),
            prefix: self.all()[at].1.to_owned(),
        };
        RegistryConfig {
            mirrors: vec![mirror(0), mirror(1)],
            mirrors_only: only,
            ..RegistryConfig::default()
        }
    }

    fn bench(&self, only: bool) -> Bench {
        Bench::with(self.config(only), KeychainConfig::default())
    }

    fn image(&self, rest: &str) -> Reference {
        reference(&self.origin, rest)
    }

    /// Requests that each got, but for `/v2/`.
    fn counts(&self) -> [usize; 3] {
        self.all().map(|(fake, _)| fake.lines().len())
    }
}

fn manifest(bench: &Bench, image: &Reference) -> Result<Vec<u8>, RegistryError> {
    bench.run(bench.registry.manifest(image, Direction::Pull)).map(|m| m.bytes)
}

#[test]
fn a_mirror_serves_manifests_and_blobs() {
    let places = Places::new();
    let bench = places.bench(false);
    let image = places.image("a/b:1");
    assert_eq!(manifest(&bench, &image).expect("there"), MANIFEST);
    assert!(bench.pull(&image, &descriptor(&places.bytes)).expect("there") == places.bytes);
    assert_eq!(places.counts(), [2, 0, 0]);
    assert!(!bench.said().contains("Warning"), "{}", bench.said());
    // What is written, and what was written, is the registry's own.
    let direct = bench.registry.without_mirrors();
    bench.run(direct.blob_bytes(&image, &descriptor(&places.bytes), u64::MAX)).expect("there");
    let blob = in_memory(b"mine");
    bench.run(bench.registry.put_blob(&image, &blob, &[])).expect("sent");
    bench.run(bench.registry.manifest(&image, Direction::Push)).expect("there");
    assert_eq!(places.counts()[..2], [2, 0]);
}

#[test]
fn what_a_mirror_cannot_do_the_next_one_does() {
    let is_manifest = |r: &fake::Request| r.path().contains("/manifests/");
    type Fault = (&'static str, fn() -> Reply);
    let faults: [Fault; 7] = [
        ("404", || reply(404)),
        ("401", || reply(401)),
        ("403", || reply(403)),
        ("500", || reply(500)),
        ("429", || reply(429).with("Retry-After", 3600)),
        ("no answer", hang_up),
        ("digest", || reply(200).body("something else")),
    ];
    let digest = Digest::of(MANIFEST);
    for (words, fault) in faults {
        let places = Places::new();
        let image = places.image(&format!("a/b@{digest}"));
        let bench = places.bench(false);
        places.mirrors[0].fault(is_manifest, (0..9).map(|_| fault()));
        assert_eq!(manifest(&bench, &image).expect(words), MANIFEST);
        let said = bench.said();
        let warning = said.lines().find(|l| l.starts_with("Warning")).expect(words);
        assert!(warning.contains(&places.mirrors[0].address.to_string()), "{words}: {warning}");
        assert!(warning.contains(words), "{words}: {warning}");
        assert_eq!(places.counts()[2], 0, "the registry itself is the last: {words}");
        // The blob is not asked of the first one before it is of the second.
        assert!(bench.pull(&image, &descriptor(&places.bytes)).expect(words) == places.bytes);
        assert_eq!(places.mirrors[0].count("GET /v2/a/b/blobs"), 0, "{words}");
        assert_eq!(places.mirrors[1].count("GET /v2/proxy/hub/a/b/blobs"), 1, "{words}");
    }
}

#[test]
fn where_nobody_has_it_everybody_is_named() {
    for only in [false, true] {
        let places = Places::new();
        let image = places.image("a/b:none");
        let bench = places.bench(only);
        let error = manifest(&bench, &image).expect_err("nowhere");
        let text = error.to_string();
        for (at, (fake, _)) in places.all().iter().enumerate() {
            assert_eq!(text.contains(&format!("{}: ", fake.address)), at < 2 || !only, "{text}");
        }
        assert_eq!(places.counts()[2], usize::from(!only));
        assert!(!error.is_silence());
        let blob = descriptor(b"nowhere");
        assert!(matches!(bench.pull(&image, &blob), Err(RegistryError::Nowhere { .. })));
    }
    // One that is down is only asked when nobody else is left, and that is no answer.
    let places = Places::new();
    for (fake, _) in places.all() {
        fake.fault(|r| r.path().starts_with("/v2/"), (0..99).map(|_| hang_up()));
    }
    let error = manifest(&places.bench(false), &places.image("a/b:1")).expect_err("down");
    assert!(error.is_silence() && error.to_string().matches("no answer").count() == 3, "{error}");
}

#[test]
fn credentials_stay_with_their_host() {
    let places = Places::new();
    places.mirrors[0].state().door = Door::Basic("m:mirror".to_owned());
    places.origin.state().door = Door::Basic("o:origin".to_owned());
    let text = format!(
        r#"{{"auths":{{"{}":{{"username":"m","password":"mirror"}},"{}":{{"username":"o","password":"origin"}}}}}}"#,
        places.mirrors[0].address, places.origin.address
    );
    let location = CredentialLocation::Inline(text);
    let sources = vec![CredentialSource { name: "the test's file".to_owned(), location }];
    let keychain = KeychainConfig { sources, ..KeychainConfig::default() };
    let bench = Bench::with(places.config(false), keychain);
    let image = places.image("a/b:1");
    assert_eq!(manifest(&bench, &image).expect("there"), MANIFEST);
    assert_eq!(places.counts(), [1, 0, 0]);
    // Without a password of its own the mirror refuses, and does not see the registry's.
    let bench = places.bench(false);
    assert_eq!(manifest(&bench, &image).expect("there"), MANIFEST);
    assert!(bench.said().contains("401"), "{}", bench.said());
    assert_eq!(places.counts()[2], 0);
    let shown = places.mirrors[1]
        .requests("GET")
        .iter()
        .filter_map(|r| r.header("authorization").map(str::to_owned))
        .count();
    assert_eq!(shown, 0);
}

#[test]
fn a_blob_goes_on_where_another_has_it() {
    let places = Places::new();
    let is_blob = |r: &fake::Request| r.path().contains("/blobs/");
    let cut = Reply { cut: Some(200_000), ..reply(200).body(places.bytes.clone()) };
    places.mirrors[0].fault(is_blob, [vec![cut], (0..99).map(|_| reply(503)).collect()].concat());
    let bench = places.bench(false);
    let image = places.image("a/b:1");
    assert!(bench.pull(&image, &descriptor(&places.bytes)).expect("there") == places.bytes);
    let rest = &places.mirrors[1].requests("GET /v2/proxy/hub/a/b/blobs")[0];
    assert!(rest.header("range").is_some_and(|range| range != "bytes=0-"), "{rest:?}");
}

#[test]
fn a_mirror_that_sends_other_bytes_is_not_asked_again() {
    let places = Places::new();
    let wrong: Vec<u8> = places.bytes.iter().map(|b| b ^ 1).collect();
    let is_blob = |r: &fake::Request| r.path().contains("/blobs/");
    places.mirrors[0].fault(is_blob, (0..9).map(|_| reply(200).body(wrong.clone())));
    let bench = places.bench(false);
    let image = places.image("a/b:1");
    let lies = bench.registry.lies();
    // Whoever took pieces must begin anew.
    let sink = |_| std::future::ready(true);
    let error = bench.run(bench.registry.blob(&image, &descriptor(&places.bytes), sink)).expect_err("wrong");
    assert!(matches!(error, RegistryError::Mirror { .. }), "{error}");
    assert!(error.to_string().contains(&places.mirrors[0].address.to_string()), "{error}");
    assert_eq!(bench.registry.lies(), lies + 1);
    bench.run(bench.registry.blob(&image, &descriptor(&places.bytes), sink)).expect("right");
    assert_eq!(places.counts(), [1, 1, 0]);
    // Where all of it is held that is done here, and for a copy to another registry too.
    let bench = places.bench(false);
    assert!(bench.pull(&image, &descriptor(&places.bytes)).expect("right") == places.bytes);
    let (bench, target) = (places.bench(false), Fake::start());
    let (to, blob) = (reference(&target, "t:1"), descriptor(&places.bytes));
    let copied = bench.run(bench.registry.copy_blob(&image, &to, &blob));
    assert_eq!(copied.expect("copied"), PushOutcome::Uploaded);
    assert!(target.blob("t", Digest::of(&places.bytes)) == Some(places.bytes.clone()));
    assert_eq!(places.mirrors[0].count("GET /v2/a/b/blobs"), 3);
}

#[test]
fn a_base_of_a_mirror_is_mounted_there() {
    let places = Places::new();
    let bench = places.bench(false);
    let image = places.image("a/b:1");
    manifest(&bench, &image).expect("there");
    let to = reference(&places.mirrors[0], "mine:1");
    let copied = bench.run(bench.registry.copy_blob(&image, &to, &descriptor(&places.bytes)));
    assert_eq!(copied.expect("copied"), PushOutcome::Mounted);
}
