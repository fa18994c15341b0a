//! Secrets of every kind stay where they belong: they are in no argument, in no environment of what
//! we start, in no log, and in nothing that comes out.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Build, Near, Registry, Reply, Signed, WebServer, program, scratch, sigv4_is_right};

const CLOUD: [&str; 2] = ["cloud-key-canary", "cloud-session-canary"];

/// All of them, as they are and as a header has them.
fn canaries() -> Vec<String> {
    let mut all: Vec<String> = [
        "correct horse battery staple",
        "identity-token-of-the-builder",
        "git-token-canary",
        "step-secret-canary",
        "inline-password-canary",
        "kaniko-password-canary",
        // base64 of name and password: of the registry, of git, of what is inline
        "YnVpbGRlcjpjb3JyZWN0IGhvcnNlIGJhdHRlcnkgc3RhcGxl",
        "eC1hY2Nlc3MtdG9rZW46Z2l0LXRva2VuLWNhbmFyeQ",
        "dTppbmxpbmUtcGFzc3dvcmQtY2FuYXJ5",
    ]
    .map(str::to_owned)
    .to_vec();
    all.extend(CLOUD.map(str::to_owned));
    all
}

fn seen<'c>(text: &[u8], canaries: &'c [String]) -> Vec<&'c str> {
    let text = String::from_utf8_lossy(text);
    canaries.iter().filter(|canary| text.contains(canary.as_str())).map(String::as_str).collect()
}

fn script(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("executable");
}

/// Arguments and environment of everything that a process starts, looked at until it ends; and its own
/// arguments.
fn watch(child: &mut Child) -> Vec<u8> {
    let mut ours = BTreeSet::from([child.id()]);
    let mut found = BTreeSet::new();
    let read = |pid: u32, file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    while child.try_wait().expect("a child").is_none() {
        let own = read(child.id(), "cmdline");
        let names = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.file_name());
        for pid in names.filter_map(|name| name.to_str()?.parse::<u32>().ok()) {
            if !ours.contains(&pid) && parent(&read(pid, "stat")).is_some_and(|p| ours.contains(&p)) {
                ours.insert(pid);
            }
        }
        for pid in &ours {
            let arguments = read(*pid, "cmdline");
            // Before it starts its program a child is a copy of who makes it.
            if arguments != own {
                found.insert(read(*pid, "environ"));
            }
            found.insert(arguments);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    found.into_iter().collect::<Vec<_>>().concat()
}

/// The parent in a process's `stat`: the second word after the name, which ends in a parenthesis.
fn parent(stat: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(stat);
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn no_secret_is_where_others_look() {
    let (base, target) = (Registry::with_password(), Registry::with_tokens());
    base.put(&Base::Busybox.layout(), "base:1");
    let git = WebServer::with_password("x-access-token:git-token-canary");
    let repository = git.repository("r.git", "echo 1 > f\ngit add .\ngit commit -qm one");
    let dockerfile = format!(
        "FROM {}\nADD {repository} /src\n\
         RUN --mount=type=secret,id=step grep -q canary /run/secrets/step && \
             {{ cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ > /seen 2>/dev/null; test -s /seen; }}\n",
        base.reference("base:1")
    );
    let packed = Build::new(&dockerfile).prepare("tar -cf ../context.tar . && mv ../context.tar .");
    let bytes = std::fs::read(packed.context().join("context.tar")).expect("packed");
    let keys = Signed::with("AKIDEXAMPLE", CLOUD[0], Some(CLOUD[1]));
    let bucket = Near::serve(move |request| match sigv4_is_right(request, &keys, "us-east-1", "s3") {
        true => Reply::new(200, bytes.clone()),
        false => Reply::new(403, ""),
    });
    let spy = scratch();
    let log = spy.path().join("log");
    let record = format!("{{ echo \"$@\"; env; }} >> {}", log.display());
    script(&spy.path().join("git"), &format!("#!/bin/sh\n{record}\nexec /usr/bin/git \"$@\"\n"));
    let helper = spy.path().join("docker-credential-spy");
    let answer = "{\"Username\":\"builder\",\"Secret\":\"correct horse battery staple\"}";
    std::fs::write(spy.path().join("answer"), answer).expect("written");
    script(&helper, &format!("#!/bin/sh\n{record}-helper\ncat {}/answer\n", spy.path().display()));
    for (name, value) in [("git-token", "git-token-canary"), ("step", "step-secret-canary")] {
        std::fs::write(spy.path().join(name), value).expect("written");
    }
    let identity = target.identity_config();
    let config = identity.replacen('{', &format!("{{\"credHelpers\":{{\"{}\":\"spy\"}},", base.host()), 1);
    let file = |name: &str| spy.path().join(name).display().to_string();
    let build = Build::new(&dockerfile)
        .docker_config(&config)
        .push(&target, "app:1")
        .flag("--context=s3://bucket")
        .flag("--dockerfile=Dockerfile")
        .flag(&format!("--insecure-registry={}", base.host()))
        .flag(&format!("--secret=id=GIT_AUTH_TOKEN,src={}", file("git-token")))
        .flag(&format!("--secret=id=step,src={}", file("step")))
        .flag("--cache")
        .flag("--cache-repo=oci:{out}/cache")
        .flag("--digest-file={out}/digest")
        .flag("--metadata-file={out}/metadata")
        .flag("--tar-path={out}/image.tar")
        .flag("-v=trace")
        .env("PATH", &format!("{}:/usr/bin:/bin", spy.path().display()))
        .env("S3_ENDPOINT", &bucket.url(""))
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", CLOUD[0])
        .env("AWS_SESSION_TOKEN", CLOUD[1])
        .env("KANIKO_OTHER_EXAMPLE_USER", "u")
        .env("KANIKO_OTHER_EXAMPLE_PASSWORD", "kaniko-password-canary")
        .env(
            "DOCKER_AUTH_CONFIG",
            "{\"auths\":{\"other.example\":{\"auth\":\"dTppbmxpbmUtcGFzc3dvcmQtY2FuYXJ5\"}}}",
        );
    let said = spy.path().join("said");
    let output = std::fs::File::create(&said).expect("made");
    let mut command = build.host_command();
    command.stdin(Stdio::null()).stdout(output.try_clone().expect("a file")).stderr(output);
    let mut child = command.spawn().expect("it starts");
    let children = watch(&mut child);
    let said = std::fs::read(&said).expect("what it said");
    let status = child.wait().expect("a child");
    assert!(status.success(), "{}", String::from_utf8_lossy(&said));

    let all = canaries();
    assert_eq!(seen(&said, &all), [""; 0], "in the log");
    let recorded = std::fs::read(&log).expect("git ran");
    assert!(String::from_utf8_lossy(&recorded).contains("ls-remote"), "git was recorded");
    assert_eq!(seen(&recorded, &all), [""; 0], "given to git");
    // What a cloud's own helper needs every helper gets.
    let others: Vec<String> = all.iter().filter(|c| !CLOUD.contains(&c.as_str())).cloned().collect();
    let recorded = std::fs::read(spy.path().join("log-helper")).expect("the helper ran");
    assert!(String::from_utf8_lossy(&recorded).contains("AWS_SECRET_ACCESS_KEY"), "the helper was recorded");
    assert_eq!(seen(&recorded, &others), [""; 0], "given to a helper");
    assert!(String::from_utf8_lossy(&children).contains("yadokari-supervisor"), "children were looked at");
    assert_eq!(seen(&children, &others), [""; 0], "in a child's arguments or environment");
    let image = target.image("app:1");
    assert!(!image.layer(-1).entry("seen").content().is_empty(), "a step looked around");
    for layer in image.layers_above(0) {
        assert_eq!(seen(&layer.tar, &all), [""; 0], "in a layer");
    }
    for text in [image.manifest.to_string(), image.config.to_string()] {
        assert_eq!(seen(text.as_bytes(), &all), [""; 0], "in the manifest or the config");
    }
    let records = build.out().join("cache/yadokari/records");
    for record in std::fs::read_dir(records).expect("records").flatten() {
        let bytes = std::fs::read(record.path()).expect("a record");
        assert_eq!(seen(&bytes, &all), [""; 0], "in {}", record.path().display());
    }
    for name in ["digest", "metadata", "image.tar"] {
        let bytes = std::fs::read(build.out().join(name)).expect(name);
        assert_eq!(seen(&bytes, &all), [""; 0], "in {name}");
    }
}

#[test]
fn the_memory_of_the_program_is_nobodys() {
    // As a plain user: what belongs to root anyway would tell nothing.
    let script = format!(
        "exec 3<{}; exec setpriv --reuid=12345 --regid=12345 --clear-groups /proc/self/fd/3 build \
         --isolation=overlay --no-push --context=tar://stdin --work-dir=/tmp/none",
        program().display()
    );
    let mut command = Command::new("sh");
    command.args(["-euc", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let owner = |file: &str| std::fs::metadata(format!("/proc/{}/{file}", child.id())).map(|m| m.uid());
    let start = Instant::now();
    let user = |field: &str| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(field)).map(str::to_owned);
        line.unwrap_or_default().split_whitespace().nth(1).map(str::to_owned).unwrap_or_default()
    };
    while user("Uid:") != "12345" || user("Threads:") == "1" {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not get there");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The kernel gives the files of a process that it never dumps to root (proc(5)).
    let owners = ["environ", "mem", "fd"].map(|file| owner(file).expect("it runs"));
    let ended = child.kill().and_then(|()| child.wait());
    assert!(ended.is_ok() && owners == [0, 0, 0], "owned by {owners:?}");
}
