//! Transfers that a signal ends.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Fault, FaultyProxy, Registry, Rule, run_ok, scratch};

use super::{command, digest, forge, raw, read_json, text, yadokari_ok};

/// So slow that it ends long after the test.
fn slow() -> Vec<Rule> {
    vec![Rule { method: "GET", contains: "/blobs/", times: 100, fault: Fault::Slow(50_000) }]
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every path below a directory.
fn paths(root: &Path) -> Vec<String> {
    let found = run_ok(Command::new("find").args([".", "-mindepth", "1"]).current_dir(root));
    let mut found: Vec<_> = found.lines().map(str::to_owned).collect();
    found.sort();
    found
}

fn start(words: &[&str]) -> Child {
    let mut command = command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

fn signalled(child: Child, signal: &str) {
    run_ok(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]));
    let start = Instant::now();
    let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(start.elapsed() < Duration::from_secs(3), "it went on: {stderr}");
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.ends_with(&format!("error: cancelled by SIG{signal}\n")), "{stderr}");
    assert_eq!(stderr.matches("error").count(), 1, "{stderr}");
}

fn ends_with_nothing(words: &[&str], signal: &str, out: &Path, under_way: impl Fn(&str) -> bool) {
    let before = paths(out);
    let child = start(words);
    wait_until("nothing comes", || paths(out).iter().any(|path| under_way(path)));
    signalled(child, signal);
    assert_eq!(paths(out), before, "{words:?}");
}

#[test]
fn a_signal_leaves_nothing_of_a_pull_or_a_bundle() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "app:1");
    let proxy = FaultyProxy::before(&registry, slow());
    let (image, out) = (proxy.reference("app:1"), scratch());
    let at = |name: &str| text(&out.path().join(name));
    let layout = format!("--oci-layout-path={}", at("new/deep/layout"));
    let archive = format!("--tar-path={}", at("image.tar"));
    let (bundle, empty) = (at("some/bundle"), at("empty"));
    fs::create_dir(&empty).expect("made");
    let commands: [(&[&str], &str); 5] = [
        (&["pull", &image, &layout], "TERM"),
        (&["pull", &image, &archive], "INT"),
        (&["copy", &image, &format!("oci:{}:1", at("copied"))], "TERM"),
        (&["unpack", &image, &bundle], "TERM"),
        (&["unpack", &image, &empty], "INT"),
    ];
    for (words, signal) in commands {
        ends_with_nothing(words, signal, out.path(), |p| {
            p.contains("/.writing-") || p.ends_with("rootfs/bin")
        });
    }
    proxy.set_rules(Vec::new());
    for (words, _) in commands {
        yadokari_ok(words);
    }
    assert!(out.path().join("empty/yadokari.json").exists());
    assert!(!paths(out.path()).iter().any(|path| path.contains(".writing-")));
}

#[test]
fn a_signal_leaves_a_layout_that_was_there_as_it_was() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "app:1");
    let proxy = FaultyProxy::before(&registry, slow());
    let out = scratch();
    let layout = out.path().join("layout");
    forge(&layout, "linux", "amd64");
    let index = read_json(&layout.join("index.json"));
    let before = paths(out.path());
    let image = proxy.reference("app:1");
    let child = start(&["pull", &image, "--oci-layout-path", &text(&layout)]);
    wait_until("nothing comes", || paths(out.path()).iter().any(|path| path.contains(".writing-")));
    signalled(child, "TERM");
    let after = paths(out.path());
    assert!(before.iter().all(|path| after.contains(path)), "{after:#?}");
    assert!(!after.iter().any(|path| path.contains(".writing-")), "{after:#?}");
    assert_eq!(read_json(&layout.join("index.json")), index);
}

/// Whether a process has a file without a name open.
fn spills(child: &Child) -> bool {
    let open = fs::read_dir(format!("/proc/{}/fd", child.id())).expect("it runs").flatten();
    let mut names = open.filter_map(|entry| fs::read_link(entry.path()).ok()).map(|path| text(&path));
    names.any(|name| name.ends_with(" (deleted)") && !name.starts_with("/memfd:"))
}

#[test]
fn a_signal_ends_a_push_that_waits() {
    let registry = Registry::open();
    // Of an archive that nobody writes, and of an answer that does not come.
    let child = start(&["push", "-", "-d", &registry.reference("app:1")]);
    wait_until("it does not get there", || spills(&child));
    signalled(child, "TERM");
    let proxy = FaultyProxy::before(&registry, Vec::new());
    proxy.start_anew(Duration::from_secs(60));
    let child = start(&["push", &text(&Base::Busybox.layout()), "-d", &proxy.reference("app:1")]);
    wait_until("it asks nothing", || !proxy.requests().is_empty());
    signalled(child, "INT");
    assert!(!registry.has_tag("app", "1"));
}

/// So slow an upload that it ends long after the test.
fn slow_upload() -> Vec<Rule> {
    vec![Rule { method: "PUT", contains: "/blobs/uploads/", times: 100, fault: Fault::SlowRequest(20_000) }]
}

fn is_sending(proxy: &FaultyProxy) -> bool {
    proxy.requests().iter().any(|request| request.starts_with("PUT ") && request.contains("/blobs/"))
}

/// The registry was asked to forget an upload that was under way.
fn is_cancelled(proxy: &FaultyProxy) {
    let requests = proxy.requests();
    let paths = |method: &'static str| {
        let of_it = requests.iter().filter(move |request| request.starts_with(method));
        of_it.filter_map(|request| request.split([' ', '?']).nth(1))
    };
    assert!(paths("PUT ").any(|put| paths("DELETE ").any(|path| path == put)), "{requests:#?}");
}

#[test]
fn a_signal_leaves_no_upload_at_a_registry() {
    let (from, to) = (Registry::open(), Registry::open());
    from.put(&Base::Busybox.layout(), "app:1");
    let layout = text(&Base::Busybox.layout());
    let image = from.reference("app:1");
    type Words<'a> = &'a dyn Fn(&str) -> Vec<String>;
    let commands: [Words<'_>; 3] = [
        &|to| vec!["push".into(), layout.clone(), "-d".into(), to.into()],
        &|to| vec!["copy".into(), image.clone(), to.into()],
        &|to| vec!["index".into(), "create".into(), "-d".into(), to.into(), image.clone()],
    ];
    for words in commands {
        let proxy = FaultyProxy::before(&to, slow_upload());
        let words = words(&proxy.reference("app:1"));
        let child = start(&words.iter().map(String::as_str).collect::<Vec<_>>());
        wait_until("nothing is sent", || is_sending(&proxy));
        signalled(child, "TERM");
        is_cancelled(&proxy);
        assert!(!to.has_tag("app", "1"));
    }
}

#[test]
fn a_signal_ends_the_index_of_a_job() {
    let (from, to) = (Registry::open(), Registry::open());
    from.put(&Base::Busybox.layout(), "app:1");
    let proxy = FaultyProxy::before(&to, slow_upload());
    let project = scratch();
    fs::create_dir(project.path().join("yadokari-digests")).expect("made");
    let image = format!("{}@{}", from.reference("app"), digest(&raw(&from.reference("app:1"))));
    fs::write(project.path().join("yadokari-digests/amd64"), image).expect("written");
    let mut command = command(&["ci", "gitlab", "index"]);
    command
        .current_dir(project.path())
        .env("GITLAB_CI", "true")
        .env("CI_PROJECT_DIR", project.path())
        .env("CI_COMMIT_REF_SLUG", "main")
        .env("CI_REGISTRY_IMAGE", proxy.reference("app"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_until("nothing is sent", || is_sending(&proxy));
    run_ok(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let start = Instant::now();
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let log = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(start.elapsed() < Duration::from_secs(3), "it went on: {log}");
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("cancelled by SIGTERM"), "{log}");
    is_cancelled(&proxy);
    assert!(!project.path().join("yadokari-index.env").exists());
}
