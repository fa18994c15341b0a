//! Git repositories as contexts: who may read them, and what of them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Built, Internet, Place, Reply, WebServer, run_ok, scratch};

/// A build of a repository's `Dockerfile`.
fn build(context: &str) -> Build {
    Build::new("FROM scratch\n").flag(&format!("--context={context}")).flag("--dockerfile=Dockerfile")
}

/// A repository with a file `a` that holds 1, and 2 in the references that forges have for proposals.
fn repository(server: &WebServer) -> String {
    let script = "printf 'FROM scratch\nCOPY a /\n' > Dockerfile; echo 1 > a; git add .; git commit -qm 1\n\
                  git checkout -qb proposed; echo 2 > a; git commit -qam 2; git checkout -q main\n";
    let url = server.repository("r.git", script);
    for reference in ["refs/pull/7/head", "refs/merge-requests/7/head"] {
        let mut git = Command::new("git");
        git.arg("-C").arg(server.repository_path("r.git"));
        run_ok(git.args(["-c", "safe.directory=*", "update-ref", reference, "proposed"]));
    }
    url
}

fn holds(built: &Built, number: &str) {
    assert_eq!(built.succeeded().image().layer(-1).entry("a").content(), format!("{number}\n").as_bytes());
}

#[test]
fn with_a_name_and_a_password() {
    let server = WebServer::with_password("me:git-password-canary");
    let url = repository(&server).replace("http://", "git://");
    let with = |user: &str, password: &str| {
        let build = build(&url).env("GIT_PULL_METHOD", "http").flag("-v=trace");
        build.env("GIT_USERNAME", user).env("GIT_PASSWORD", password).run(Place::Overlay)
    };
    let built = with("me", "git-password-canary");
    holds(&built, "1");
    assert!(!built.finished.output().contains("git-password-canary"), "{}", built.finished.output());
    let built = with("me", "other-password");
    let said = built.failed(1);
    assert!(said.contains("GIT_TOKEN") && !said.contains("other-password"), "{said}");
}

#[test]
fn what_was_proposed() {
    let server = WebServer::start();
    let url = repository(&server);
    let own = url.replace("http://", "git://");
    for context in [format!("{own}#refs/pull/7/head"), format!("{own}#refs/merge-requests/7/head")] {
        holds(&build(&context).env("GIT_PULL_METHOD", "http").run(Place::Overlay), "2");
    }
    holds(&build(&format!("{url}#refs/pull/7/head")).run(Place::Overlay), "2");
}

#[test]
fn over_ssh() {
    let server = WebServer::start();
    repository(&server);
    // What an ssh server does: the last argument is a command of its shell.
    let directory = scratch();
    let ssh = directory.path().join("ssh");
    let log = directory.path().join("log");
    let script =
        format!("#!/bin/sh\necho \"$@\" >> {}\nfor c; do :; done\nexec sh -c \"$c\"\n", log.display());
    std::fs::write(&ssh, script).expect("written");
    std::fs::set_permissions(&ssh, Permissions::from_mode(0o755)).expect("executable");
    let path = server.repository_path("r.git");
    for context in [
        format!("ssh://git@forge.example:2222{}", path.display()),
        format!("git@forge.example:{}", path.display()),
    ] {
        let build = build(&context).env("GIT_SSH_COMMAND", &ssh.display().to_string());
        holds(&build.run(Place::Overlay), "1");
    }
    let log = std::fs::read_to_string(log).expect("ssh ran");
    assert!(log.contains("-p 2222 git@forge.example git-upload-pack"), "{log}");
}

#[test]
fn submodules_as_far_as_they_are_wanted() {
    let server = WebServer::start();
    server.repository("inner.git", "echo 3 > b; git add .; git commit -qm inner\n");
    let inner = server.repository_path("inner.git").display().to_string();
    let script = format!(
        "printf 'FROM scratch\nCOPY . /\n' > Dockerfile; git add .\n\
         git -c protocol.file.allow=always submodule --quiet add {inner} lib\n\
         git config -f .gitmodules submodule.lib.url ../inner.git; git commit -qam outer\n"
    );
    let context = server.repository("outer.git", &script).replace("http://", "git://");
    for (flag, there) in [("true", true), ("false", false)] {
        let with = build(&context).env("GIT_PULL_METHOD", "http");
        let built = with.flag(&format!("--git=recurse-submodules={flag}")).run(Place::Overlay);
        let layer = built.succeeded().image().layer(-1);
        let paths = layer.paths();
        assert_eq!(paths.contains(&"lib/b"), there, "{flag}: {paths:?}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for() {
    let server = WebServer::start();
    let url = repository(&server).replace(&format!("http://{}", server.host()), "git://git.example");
    let port = server.host().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let internet = Internet::with(&["git.example"]);
    internet.serve("git.example", move |_| Reply::Forward(port));
    let build = || build(&url).env("HTTPS_PROXY", &internet.proxy());
    let refused = build().run(Place::Overlay);
    assert!(refused.failed(1).contains("certificate"), "{}", refused.finished.output());
    holds(&build().flag("--git=insecure-skip-tls=true").run(Place::Overlay), "1");
}
