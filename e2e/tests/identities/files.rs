//! Variables for single hosts, and files that are written anew while a build runs.

use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use yadokari_e2e::{Build, Internet, Registry, Reply};

use super::{basic, build, pushed, refused};

#[test]
fn variables_for_single_hosts() {
    let registry = Registry::with_password();
    let host = registry.host();
    let with = |name: &str, password: &str| {
        build(&host)
            .flag(&format!("--insecure-registry={host}"))
            .env(&format!("KANIKO_{name}_USER"), "builder")
            .env(&format!("KANIKO_{name}_PASSWORD"), password)
    };
    let port = host.rsplit(':').next().expect("a port");
    let right = "correct horse battery staple";
    for name in ["127_0_0_1".to_owned(), "0_1".to_owned(), format!("127_0_0_1_{port}")] {
        let said = pushed(&with(&name, right), &registry, &[right]);
        assert!(said.contains(&format!("KANIKO_{name}_USER")), "{said}");
    }
    // The longest name says most.
    let both = with("0_0_1", "wrong-password").env("KANIKO_127_0_0_1_USER", "builder");
    pushed(&both.env("KANIKO_127_0_0_1_PASSWORD", right), &registry, &[right]);
    let said = refused(&with("127_0_0_1", "wrong-password"), &["wrong-password"]);
    assert!(said.contains("credentials from KANIKO_127_0_0_1_USER"), "{said}");
    refused(&with("127_0_0_2", right), &[right]);
    refused(&with("127_0_0_1", right).flag("--credential-helpers=ecr"), &[right]);
    let said = refused(&with("127_0_0_1", right).flag("--credential-helpers=quay"), &[right]);
    assert!(said.contains("'quay' is unknown"), "{said}");
}

#[test]
fn the_variables_of_gitlab() {
    let registry = Registry::with_password();
    let host = registry.host();
    let right = "correct horse battery staple";
    let with = |registry: &str, password: &str| {
        build(&host)
            .flag(&format!("--insecure-registry={host}"))
            .env("CI_REGISTRY", registry)
            .env("CI_REGISTRY_USER", "builder")
            .env("CI_REGISTRY_PASSWORD", password)
    };
    let said = pushed(&with(&host, right), &registry, &[right]);
    assert!(said.contains("CI_REGISTRY_USER"), "{said}");
    pushed(&with(&host, right).flag("--credential-helpers=gitlab"), &registry, &[right]);
    let said = refused(&with(&host, "wrong-password"), &["wrong-password"]);
    assert!(said.contains("credentials from CI_REGISTRY_USER"), "{said}");
    refused(&with("registry.example", right), &[right]);
    refused(&with(&host, right).flag("--credential-helpers=env"), &[right]);
}

#[test]
fn a_file_that_an_agent_writes_anew() {
    let (host, registry) = ("registry.example", Registry::open());
    let internet = Internet::with(&[host]);
    let current = Arc::new(AtomicUsize::new(0));
    let (right, port) = (current.clone(), registry.port());
    internet.serve(host, move |request| {
        let right = basic("agent", &format!("token-{}", right.load(Ordering::SeqCst)));
        match request.header("authorization") {
            Some(shown) if shown == right => Reply::Forward(port),
            _ => Reply::new(401, "").header("WWW-Authenticate: Basic realm=\"r\""),
        }
    });
    let file = |n: usize| {
        format!("{{\"auths\":{{\"{host}\":{{\"username\":\"agent\",\"password\":\"token-{n}\"}}}}}}")
    };
    let build = Build::new("FROM busybox\nRUN echo started; sleep 4; echo x > /x\n")
        .push_securely_to(&format!("{host}/app:1"))
        .without_layout()
        .docker_config(&file(0));
    let build = internet.seen_by(build);
    let mut command = build.host_command();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut stderr = child.stderr.take().expect("piped");
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    while !seen.contains("started") {
        let read = stderr.read(&mut buffer).expect("readable");
        assert!(read > 0, "it ended early: {seen}");
        seen += &String::from_utf8_lossy(&buffer[..read]);
    }
    // What of the base goes to the registry at the start is there by now.
    std::thread::sleep(Duration::from_millis(1500));
    let _build = build.docker_config(&file(1));
    current.store(1, Ordering::SeqCst);
    stderr.read_to_string(&mut seen).expect("readable");
    let status = child.wait().expect("ends");
    assert!(status.success() && registry.has_tag("app", "1"), "{seen}");
}
