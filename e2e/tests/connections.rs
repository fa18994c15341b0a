//! How registries are connected to: TLS with a private CA, certificates of ours, plain HTTP,
//! proxies, IPv6.

use std::path::Path;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Authority, Build, Built, ConnectProxy, Place, Registry};

/// A build that pushes a base, and one that pulls it and pushes again, each with these flags.
fn there_and_back(registry: &Registry, change: impl Fn(Build) -> Build, place: Place) {
    let push = |dockerfile: &str, name: &str| {
        let build = Build::new(dockerfile).file("x", "x").destination(&registry.reference(name));
        change(build).run(place).succeeded();
        assert!(registry.has_tag("some", name.split_once(':').expect("a tag").1), "{}", registry.host());
    };
    push("FROM busybox\nCOPY x /x\n", "some:base");
    push(&format!("FROM {}\nRUN echo ran > /file\n", registry.reference("some:base")), "some:app");
}

fn push_fails(registry: &Registry, change: impl Fn(Build) -> Build) -> Built {
    let build = Build::new("FROM scratch\nCOPY x /x\n").file("x", "x");
    let built = change(build.destination(&registry.reference("some:1"))).run(Place::Overlay);
    built.failed(1);
    built
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_private_ca() {
    let authority = Authority::new();
    let registry = Registry::with_tls(&authority);
    let ca = shown(&authority.certificate());
    let host = registry.host();
    let error = push_fails(&registry, |b| b).finished.stderr;
    for part in ["certificate", "--registry-certificate=", &host] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    push_fails(&registry, |b| b.flag(&format!("--registry-certificate=localhost:5000={ca}")));
    there_and_back(&registry, |b| b.flag(&format!("--registry-certificate={host}={ca}")), Place::Overlay);
    there_and_back(&registry, |b| b.env("SSL_CERT_FILE", &ca), Place::Overlay);
    // A directory holds other files too: the keys beside the certificates.
    let directory = shown(authority.directory());
    there_and_back(&registry, |b| b.env("SSL_CERT_DIR", &directory), Place::Overlay);
    let missing = push_fails(&registry, |b| b.flag(&format!("--registry-certificate={host}=/none.pem")));
    assert!(missing.finished.stderr.contains("/none.pem"), "{}", missing.finished.stderr);
}

#[test]
fn a_private_ca_in_kanikos_directory() {
    let authority = Authority::new();
    let registry = Registry::with_tls(&authority);
    let certificates = yadokari_e2e::scratch();
    std::fs::copy(authority.certificate(), certificates.path().join("extra.crt")).expect("copied");
    let mount = |b: Build| b.container(|c| c.read_only_volume(certificates.path(), "/kaniko/ssl/certs"));
    there_and_back(&registry, mount, Place::InPlace);
}

#[test]
fn certificates_that_are_not_checked() {
    let authority = Authority::new();
    let registry = Registry::with_tls(&authority);
    let host = registry.host();
    there_and_back(&registry, |b| b.flag("--skip-tls-verify"), Place::Overlay);
    let of = |host: &str| format!("--skip-tls-verify-registry={host}");
    there_and_back(&registry, |b| b.flag(&of(&host)), Place::Overlay);
    push_fails(&registry, |b| b.flag(&of("other.example")));
    push_fails(&registry, |b| b.flag("--skip-tls-verify-pull"));
    // Only pulling.
    let dockerfile = format!("FROM {}\nCOPY x /y\n", registry.reference("some:base"));
    let pull = || Build::new(&dockerfile).file("x", "x");
    pull().run(Place::Overlay).failed(1);
    pull().flag("--skip-tls-verify-pull").run(Place::Overlay).succeeded();
    pull().flag("--insecure-pull").run(Place::Overlay).failed(1);
}

/// Requests of each version of HTTP, as the registry's own log has them.
fn spoken(registry: &Registry, part: &str) -> (usize, usize) {
    let requests = registry.requests();
    let of = |version: &str| requests.iter().filter(|r| r.contains(part) && r.contains(version)).count();
    (of(" HTTP/2.0\""), of(" HTTP/1.1\""))
}

#[test]
fn questions_by_http2_and_blobs_by_connections_of_their_own() {
    let authority = Authority::new();
    let registry = Registry::with_tls(&authority);
    let ca = shown(&authority.certificate());
    there_and_back(&registry, |b| b.env("SSL_CERT_FILE", &ca), Place::Overlay);
    assert_eq!(spoken(&registry, "\"PUT /v2/some/blobs/").0, 0, "{:#?}", registry.requests());
    for question in ["\"GET /v2/ ", "\"HEAD /v2/some/blobs/", "\"POST ", "\"PUT /v2/some/manifests/"] {
        let (new, old) = spoken(&registry, question);
        assert!(new > 0 && old == 0, "{question}: {:#?}", registry.requests());
    }
    // Switched off, and not to be had.
    let registry = Registry::with_tls(&authority);
    let off = |b: Build| b.env("SSL_CERT_FILE", &ca).env("GODEBUG", "http2client=0");
    there_and_back(&registry, off, Place::Overlay);
    assert_eq!(spoken(&registry, "").0, 0, "{:#?}", registry.requests());
    let registry = Registry::with_old_tls(&authority);
    there_and_back(&registry, |b| b.env("SSL_CERT_FILE", &ca), Place::Overlay);
    assert_eq!(spoken(&registry, "").0, 0, "{:#?}", registry.requests());
}

#[test]
fn a_certificate_of_ours() {
    let authority = Authority::new();
    let registry = Registry::with_mutual_tls(&authority);
    let host = registry.host();
    let ca = format!("--registry-certificate={host}={}", shown(&authority.certificate()));
    let (certificate, key) = authority.client();
    let client = format!("--registry-client-cert={host}={},{}", shown(&certificate), shown(&key));
    there_and_back(&registry, |b| b.flag(&ca).flag(&client), Place::Overlay);
    there_and_back(&registry, |b| b.flag("--skip-tls-verify").flag(&client), Place::Overlay);
    let error = push_fails(&registry, |b| b.flag(&ca)).finished.stderr;
    assert!(error.contains("--registry-client-cert="), "{error}");
    let other = Authority::new().client();
    let wrong = format!("--registry-client-cert={host}={},{}", shown(&other.0), shown(&other.1));
    push_fails(&registry, |b| b.flag(&ca).flag(&wrong));
    let mixed = format!("--registry-client-cert={host}={},{}", shown(&certificate), shown(&other.1));
    push_fails(&registry, |b| b.flag(&ca).flag(&mixed));
}

#[test]
fn addresses_of_ipv6() {
    let registry = Registry::on_ipv6();
    assert!(registry.host().starts_with("[::1]:"));
    there_and_back(&registry, |b| b, Place::Overlay);
    let map = format!("--registry-map=other.invalid={}", registry.host());
    let build = Build::new("FROM other.invalid/some:base\nRUN echo ran > /file\n").flag(&map);
    build.run(Place::Overlay).succeeded();
}

#[test]
fn plain_http_where_it_is_allowed() {
    let registry = Registry::open();
    let proxy = ConnectProxy::before(registry.port());
    let name = "registry.invalid:5000";
    let through = |dockerfile: &str, tag: &str| {
        Build::new(dockerfile)
            .file("x", "x")
            .env("HTTP_PROXY", &proxy.url())
            .env("HTTPS_PROXY", &proxy.url())
            .destination(&format!("{name}/some:{tag}"))
            .flag("--push-retry=0")
    };
    let scratch = "FROM scratch\nCOPY x /x\n";
    through(scratch, "1").run(Place::Overlay).failed(1);
    assert!(proxy.requests().iter().all(|r| r.starts_with("CONNECT ")), "{:#?}", proxy.requests());
    through(scratch, "1").flag("--insecure-pull").run(Place::Overlay).failed(1);
    through(scratch, "1").flag("--insecure").run(Place::Overlay).succeeded();
    through(scratch, "2").flag(&format!("--insecure-registry={name}")).run(Place::Overlay).succeeded();
    assert!(registry.has_tag("some", "1") && registry.has_tag("some", "2"));
    assert!(proxy.requests().iter().any(|r| r.starts_with("PUT http://registry.invalid:5000/")));
    // Pulling is a permission of its own.
    let from = format!("FROM {name}/some:1\nCOPY x /y\n");
    through(&from, "3").flag("--insecure").run(Place::Overlay).failed(1);
    through(&from, "3").flag("--insecure").flag("--insecure-pull").run(Place::Overlay).succeeded();
    through(&from, "4").flag(&format!("--insecure-registry={name}")).run(Place::Overlay).succeeded();
}

#[test]
fn proxies_and_their_exceptions() {
    let authority = Authority::new();
    let registry = Registry::with_tls(&authority);
    let proxy = ConnectProxy::before(registry.port());
    let ca = shown(&authority.certificate());
    let build = |no_proxy: &str| {
        Build::new("FROM scratch\nCOPY x /x\n")
            .file("x", "x")
            .env("HTTPS_PROXY", &proxy.url())
            .env("NO_PROXY", no_proxy)
            .env("SSL_CERT_FILE", &ca)
            .destination("registry.invalid:5000/some:1")
    };
    build("").run(Place::Overlay).succeeded();
    let all = proxy.requests();
    assert!(!all.is_empty() && all.iter().all(|r| r == "CONNECT registry.invalid:5000"), "{all:#?}");
    assert!(spoken(&registry, "\"HEAD ").0 > 0, "through the tunnel: {:#?}", registry.requests());
    build("10.0.0.0/8,registry.invalid:5001").run(Place::Overlay).succeeded();
    let before = proxy.requests().len();
    for exception in ["registry.invalid", ".invalid", "*", "registry.invalid:5000", "a, invalid"] {
        build(exception).run(Place::Overlay).failed(1);
        assert_eq!(proxy.requests().len(), before, "{exception}");
    }
    // This machine is never asked for by way of a proxy.
    let local = Build::new("FROM scratch\nCOPY x /x\n").file("x", "x").env("HTTPS_PROXY", &proxy.url());
    let local = local.env("SSL_CERT_FILE", &ca).destination(&registry.reference("some:2"));
    local.run(Place::Overlay).succeeded();
    assert_eq!(proxy.requests().len(), before);
}
