use super::fake::{Door, reply};
use super::*;
use crate::config::CloudConfig;

const CA: &str = include_str!("ca.pem");

fn with_blob() -> (Fake, Vec<u8>) {
    let fake = Fake::start_tls();
    let bytes = noise(300_000);
    fake.add_blob("a/b", &bytes);
    (fake, bytes)
}

fn pull(config: RegistryConfig) -> Result<(), RegistryError> {
    let (fake, bytes) = with_blob();
    let bench = Bench::with(config, KeychainConfig::default());
    bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).map(|found| assert!(found == bytes))
}

#[test]
fn a_configured_ca_is_trusted() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, CA).expect("written");
    for path in [file, directory.path().to_owned()] {
        pull(RegistryConfig { ca_paths: vec![path], ..RegistryConfig::default() }).expect("trusted");
    }
}

#[test]
fn the_roots_of_one_registry_are_of_no_use_at_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, CA).expect("written");
    let (fake, bytes) = with_blob();
    for (name, trusted) in [(fake.address.to_string(), true), ("r.example".to_owned(), false)] {
        let certificates = vec![(name, file.clone())];
        let config = RegistryConfig { certificates, ..RegistryConfig::default() };
        let bench = Bench::with(config, KeychainConfig::default());
        let pulled = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes));
        assert_eq!(pulled.is_ok(), trusted, "{pulled:?}");
    }
}

#[test]
fn files_of_certificates_are_checked_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("ca.pem"), CA).expect("written");
    std::fs::write(path("leaf.pem"), include_str!("leaf.pem")).expect("written");
    std::fs::write(path("leaf.key"), include_str!("leaf.key")).expect("written");
    std::fs::write(path("text"), "s3cret\n").expect("written");
    let network = Network::new().expect("threads");
    let problem = |config: &RegistryConfig| {
        let clouds =
            Clouds::new(&CloudConfig::default(), &RegistryConfig::default(), &network, Events::none());
        let keychain = Keychain::new(&KeychainConfig::default(), clouds, Events::none()).expect("a keychain");
        Registry::new(config, keychain, Events::none(), &network).err().map(|e| e.to_string())
    };
    for wrong in ["none", "text"] {
        let certificates = vec![("r.example".to_owned(), path(wrong))];
        let text = problem(&RegistryConfig { certificates, ..RegistryConfig::default() }).expect(wrong);
        assert!(text.contains(&path(wrong).display().to_string()) && !text.contains("s3cret"), "{text}");
    }
    let pairs = [("leaf.pem", "leaf.key", true), ("ca.pem", "leaf.key", false), ("leaf.pem", "text", false)];
    for (certificate, key, right) in pairs {
        let (certificate, key) = (path(certificate), path(key));
        let shown = crate::config::ClientCertificate { registry: "r.example".to_owned(), certificate, key };
        let client_certificates = vec![shown];
        let text = problem(&RegistryConfig { client_certificates, ..RegistryConfig::default() });
        assert_eq!(text.is_none(), right, "{text:?}");
        assert!(!text.unwrap_or_default().contains("s3cret"));
    }
}

#[test]
fn an_unknown_ca_is_not_trusted() {
    let (fake, bytes) = with_blob();
    let bench = Bench::new();
    let error = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect_err("unknown");
    assert!(matches!(&error, RegistryError::Connection { kind: ConnectionKind::Certificate, .. }), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let way_out = format!("--skip-tls-verify-registry={}", fake.address);
    assert!(error.help().is_some_and(|help| help.contains(&way_out)));
    // That does not pass by itself.
    assert!(!bench.said().contains("trying again"), "{}", bench.said());
}

#[test]
fn checks_are_skipped_where_that_is_wanted() {
    pull(RegistryConfig { skip_tls_verify_pull: true, ..RegistryConfig::default() }).expect("skipped");
    let (fake, bytes) = with_blob();
    let named = vec![fake.address.to_string()];
    let config = RegistryConfig { skip_tls_verify_registries: named, ..RegistryConfig::default() };
    let bench = Bench::with(config, KeychainConfig::default());
    bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect("skipped");
    // Skipping for pushes says nothing about pulls.
    let error =
        pull(RegistryConfig { skip_tls_verify: true, ..RegistryConfig::default() }).expect_err("checked");
    assert!(matches!(error, RegistryError::Connection { kind: ConnectionKind::Certificate, .. }), "{error}");
}

#[test]
fn plain_http_is_recognised() {
    let fake = Fake::start();
    let bench = Bench::new();
    let client = &bench.registry.client;
    let url: reqwest::Url = format!("https://{}/v2/", fake.address).parse().expect("a URL");
    let http = client.transport.client(&url).expect("TLS");
    let error = bench.run(http.get(url).send()).expect_err("no TLS");
    assert_eq!(crate::transport::kind(&error), ConnectionKind::NotTls, "{error:?}");
}

#[test]
fn credentials_do_not_go_to_a_token_server_in_plain_http() {
    let (fake, bytes) = with_blob();
    let realm = "http://tokens.example/token";
    fake.fault(
        |r| r.path() == "/v2/",
        [fake::reply(401).with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))],
    );
    let text = format!(r#"{{"auths":{{"{}":{{"username":"u","password":"p"}}}}}}"#, fake.address);
    let location = CredentialLocation::Inline(text);
    let sources = vec![CredentialSource { name: "the test's file".to_owned(), location }];
    let config = RegistryConfig { skip_tls_verify_pull: true, ..RegistryConfig::default() };
    let bench = Bench::with(config, KeychainConfig { sources, ..KeychainConfig::default() });
    let error = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect_err("not sent");
    assert!(error.to_string().contains("plain HTTP"), "{error}");
}

#[test]
fn on_this_machine_plain_http_comes_first() {
    let fake = Fake::start();
    let bytes = noise(1000);
    fake.add_blob("a/b", &bytes);
    let bench = Bench::new();
    for _ in 0..2 {
        bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes)).expect("plain");
    }
    assert_eq!(fake.state().handshakes, 0);
    assert_eq!(fake.requests("GET /v2/").iter().filter(|r| r.target == "/v2/").count(), 1);
}

#[test]
fn elsewhere_https_comes_first() {
    let fake = Fake::start();
    let bytes = noise(1000);
    fake.add_blob("a/b", &bytes);
    // Local, and so plain HTTP will do, but not by its address.
    let elsewhere = format!("r.localhost:{}/a/b:1", fake.address.port());
    let elsewhere: Reference = elsewhere.parse().expect("a reference");
    Bench::new().pull(&elsewhere, &descriptor(&bytes)).expect("plain after all");
    assert_eq!(fake.state().handshakes, 1);
}

#[test]
fn on_this_machine_tls_is_found_out() {
    let go = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let moved = "HTTP/1.1 301 Moved Permanently\r\nLocation: https://localhost/\r\nContent-Length: 0\r\n\r\n";
    for to_plain in [None, Some(""), Some(go), Some(moved), Some("SSH-2.0-OpenSSH\r\n")] {
        let (fake, bytes) = with_blob();
        fake.state().door = Door::Basic("u:p".to_owned());
        fake.state().to_plain = to_plain;
        let text = format!(r#"{{"auths":{{"{}":{{"username":"u","password":"p"}}}}}}"#, fake.address);
        let location = CredentialLocation::Inline(text);
        let sources = vec![CredentialSource { name: "the test's file".to_owned(), location }];
        let config = RegistryConfig { skip_tls_verify_pull: true, ..RegistryConfig::default() };
        let bench = Bench::with(config, KeychainConfig { sources, ..KeychainConfig::default() });
        let found = bench.pull(&reference(&fake, "a/b:1"), &descriptor(&bytes));
        assert!(found.unwrap_or_else(|e| panic!("{to_plain:?}: {e}")) == bytes);
        // Credentials wait for the right scheme.
        let plain = fake.state().plain.to_ascii_lowercase();
        assert!(plain.starts_with("get /v2/") && !plain.contains("authorization"), "{plain}");
        assert!(fake.requests("GET /v2/a/b")[0].header("authorization").is_some());
    }
}

#[test]
fn a_plain_registry_that_fails_is_not_taken_for_tls() {
    let fake = Fake::start();
    fake.fault(|r| r.path() == "/v2/", vec![reply(503); 9]);
    let error = Bench::new().pull(&reference(&fake, "a/b:1"), &descriptor(b"x")).expect_err("down");
    assert!(matches!(error, RegistryError::Status { status: 503, .. }), "{error}");
    assert_eq!(fake.state().handshakes, 0);
}

#[test]
fn only_what_is_checked_comes_by_plain_http() {
    let (fake, bytes) = with_blob();
    let storage = Fake::start();
    let digest = storage.add_blob("a/b", &bytes);
    let elsewhere = |path: String| reply(307).with("Location", format!("http://{}{path}", storage.address));
    fake.fault(|r| r.path().contains("/blobs/"), [elsewhere(format!("/v2/a/b/blobs/{digest}"))]);
    fake.fault(|r| r.path().contains("/manifests/"), [elsewhere("/v2/a/b/manifests/1".to_owned())]);
    let config = RegistryConfig { skip_tls_verify_pull: true, ..RegistryConfig::default() };
    let bench = Bench::with(config, KeychainConfig::default());
    let from = reference(&fake, "a/b:1");
    assert!(bench.pull(&from, &descriptor(&bytes)).expect("by its digest") == bytes);
    let error = bench.run(bench.registry.manifest(&from, Direction::Pull)).expect_err("not followed");
    assert!(error.to_string().contains("redirects"), "{error}");
    assert_eq!(storage.count("GET /v2/a/b/manifests"), 0, "{:?}", storage.lines());
}
