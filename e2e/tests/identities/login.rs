//! `yadokari login` and `logout`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use yadokari_e2e::{Build, Place, Registry, program, scratch};

const PASSWORD: &str = "correct horse battery staple";

/// Runs a command with this docker directory; exit code and everything that was said.
fn run(docker: &Path, arguments: &[&str], input: &str) -> (i32, String) {
    let mut child = Command::new(program())
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("DOCKER_CONFIG", docker)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
    let output = child.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("no signal"), String::from_utf8_lossy(&said).into_owned())
}

fn config(docker: &Path) -> Value {
    serde_json::from_slice(&fs::read(docker.join("config.json")).expect("written")).expect("JSON")
}

#[test]
fn in_and_out() {
    for registry in [Registry::with_password(), Registry::with_tokens()] {
        let host = registry.host();
        let directory = scratch();
        let docker = directory.path().join("docker");
        let plain = format!("--insecure-registry={host}");
        let typed = ["login", &host, "-u", "builder", "--password-stdin", &plain];
        let (code, said) = run(&docker, &typed, "wrong\r\n");
        assert!(code == 1 && said.contains("log in to") && !docker.exists(), "{said}");
        let (code, said) = run(&docker, &typed, &format!("{PASSWORD}\n"));
        assert!(code == 0 && !said.contains(PASSWORD), "{said}");
        let mode = fs::metadata(docker.join("config.json")).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let build = Build::new("FROM scratch\nCOPY a /\n").file("a", "a").push(&registry, "app:1");
        build.env("DOCKER_CONFIG", &docker.display().to_string()).run(Place::Overlay).succeeded();
        assert!(registry.has_tag("app", "1"));
        let (code, said) = run(&docker, &["logout", &host], "");
        assert!(code == 0 && said.contains("removed"), "{said}");
        assert_eq!(config(&docker)["auths"], serde_json::json!({}));
        let (code, said) = run(&docker, &["logout", &host], "");
        assert!(code == 0 && said.contains("there are no credentials"), "{said}");
    }
}

#[test]
fn what_is_there_stays() {
    let registry = Registry::with_password();
    let host = registry.host();
    let docker = scratch();
    let path = docker.path().join("config.json");
    let other = serde_json::json!({"auths": {"other.example": {"auth": "dTpw"}}, "HttpHeaders": {"X": "y"}});
    fs::write(&path, other.to_string()).expect("written");
    let plain = format!("--insecure-registry={host}");
    let (code, said) = run(docker.path(), &["login", &host, "-u=builder", "-p", PASSWORD, &plain], "");
    assert!(code == 0, "{said}");
    let written = config(docker.path());
    assert_eq!(
        (&written["HttpHeaders"], &written["auths"]["other.example"]),
        (&other["HttpHeaders"], &other["auths"]["other.example"])
    );
    assert!(written["auths"][&host]["auth"].is_string());
    // A registry that a program serves is that program's.
    let helper = serde_json::json!({"credHelpers": {host.clone(): "pass"}});
    fs::write(&path, helper.to_string()).expect("written");
    let (code, said) = run(docker.path(), &["login", &host, "-u=builder", "-p", PASSWORD, &plain], "");
    assert!(code == 1 && said.contains("docker-credential-pass"), "{said}");
    assert_eq!(config(docker.path()), helper);
    for wrong in [
        vec!["login", &host],
        vec!["login", &host, "-u", "builder"],
        vec!["login", "h/path", "-u", "b", "-p", "x"],
    ] {
        let (code, said) = run(docker.path(), &wrong, "");
        assert!(code == 1 && said.contains("help:"), "{said}");
    }
}
