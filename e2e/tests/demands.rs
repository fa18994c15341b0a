//! What steps ask for beyond files: network, names, rights; and what a place cannot give is said
//! before anything is executed.

use std::time::Instant;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Built, Kind, Place};

/// The places whose steps have namespaces of their own.
const NAMESPACED: [Place; 3] = [Place::Overlay, Place::Chroot, Place::UserNamespace];

fn written(built: &Built) -> String {
    let image = built.image();
    let layer = image.layer(-1);
    let Kind::File(content) = &layer.entry("result").kind else { panic!("/result is no file") };
    String::from_utf8(content.clone()).expect("UTF-8")
}

fn refused(build: &Build, said: &[&str]) {
    let built = build.run(Place::InPlace);
    let error = built.failed(1).to_owned();
    for text in said {
        assert!(error.contains(text), "'{text}' is not in:\n{error}");
    }
    assert!(!built.finished.output().contains("EXECUTED"), "{}", built.finished.output());
}

#[test]
fn no_network_but_a_loopback_device() {
    let look = "(grep : /proc/net/dev | cut -d: -f1; ip -o link show lo | grep -o UP | head -n 1; \
                ping -c 1 -w 2 127.0.0.1 >/dev/null && echo local) > /result";
    for place in NAMESPACED {
        let of_the_step = Build::new(&format!("FROM busybox\nRUN --network=none {look}\n"));
        assert_eq!(written(&of_the_step.run(place)), "    lo\nUP\nlocal\n", "{place:?}");
        let of_the_build = Build::new(&format!("FROM busybox\nRUN {look}\n")).flag("--network=none");
        assert_eq!(written(&of_the_build.run(place)), "    lo\nUP\nlocal\n", "{place:?}");
    }
}

#[test]
fn the_network_is_the_builders() {
    let look = "readlink /proc/self/ns/net > /result";
    let built = Build::new(&format!("FROM busybox\nRUN --network=host {look}\n")).run(Place::Overlay);
    let ours = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    assert_eq!(written(&built).trim(), ours.to_str().expect("text"));
}

#[test]
fn names_are_what_was_asked_for() {
    for place in NAMESPACED {
        let build = Build::new(
            "FROM busybox\n\
             RUN (hostname; grep -c mine /etc/hosts; grep -e ' db$' -e '\tdb$' /etc/hosts; echo x >> /etc/hosts) > /result 2>&1; true\n",
        )
        .flag("--hostname=mine")
        .flag("--add-host=db:10.11.12.13");
        let built = build.run(place);
        let result = written(&built);
        assert!(result.starts_with("mine\n1\n10.11.12.13\tdb\n"), "{place:?}: {result}");
        assert!(result.contains("Read-only"), "{place:?}: {result}");
        assert_eq!(built.image().layer(-1).paths(), ["result"], "{place:?}");
    }
    let build = Build::new("FROM busybox\nRUN hostname > /result\n")
        .flag("--build-arg=BUILDKIT_SANDBOX_HOSTNAME=buildkitsandbox");
    assert_eq!(written(&build.run(Place::Overlay)), "buildkitsandbox\n");
}

#[test]
fn what_in_place_cannot_give_is_refused_before_anything_is_executed() {
    let step = |options: &str| {
        Build::new(&format!("FROM busybox\nRUN echo executed | tr a-z A-Z\nRUN {options} true\n"))
            .file("f", "")
    };
    refused(&step("--network=none"), &["--network=none", "Dockerfile:3", "network namespace", "doctor"]);
    refused(&step("--mount=target=/c,ro"), &["/c cannot be read-only", "Dockerfile:3", "doctor"]);
    refused(&step("--mount=type=tmpfs,target=/t,size=1m"), &["/t cannot have a size", "doctor"]);
    refused(&step("--mount=type=cache,target=/t,readonly"), &["/t cannot be read-only"]);
    refused(&step("").flag("--network=none"), &["--network=none"]);
    refused(&step("").flag("--hostname=x"), &["--hostname", "docker run"]);
    refused(&step("").flag("--add-host=x:1.2.3.4"), &["--add-host", "docker run"]);
}

#[test]
fn insecure_is_not_granted_unasked() {
    for place in Place::ALL {
        let built =
            Build::new("FROM busybox\nRUN echo executed | tr a-z A-Z\nRUN --security=insecure true\n")
                .run(place);
        let error = built.failed(1).to_owned();
        assert!(error.contains("--security=insecure is not allowed"), "{error}");
        assert!(!built.finished.output().contains("EXECUTED"), "{}", built.finished.output());
    }
}

/// Two stages, side by side, with a cache that one at a time may use, or all.
fn together(sharing: &str) -> (Built, f64) {
    let stage = |name: &str| {
        format!(
            "FROM busybox AS {name}\n\
             RUN --mount=type=cache,target=/c,sharing={sharing} mkdir /c/in-use && sleep 1 && rmdir /c/in-use && touch /{name}\n"
        )
    };
    let text = format!("{}{}FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n", stage("a"), stage("b"));
    let build = Build::new(&text);
    let start = Instant::now();
    let built = build.run(Place::Overlay);
    (built, start.elapsed().as_secs_f64())
}

#[test]
fn sharing_of_caches_is_what_was_asked_for() {
    let (locked, seconds) = together("locked");
    locked.succeeded();
    assert!(seconds > 2.0, "one waits for the other: {seconds}");
    together("private").0.succeeded();
    // Both are in one directory at the same time.
    let error = together("shared").0;
    assert!(error.failed(1).contains("exited with code"), "{}", error.finished.stderr);
}
