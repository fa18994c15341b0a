//! Pushing: what is sent and what is not, who may, and in which order.

use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Build, Fault, FaultyProxy, Place, Registry, Rule, podman_run, skopeo_inspect};

/// Uploads that carried a blob's bytes, by the registry's log.
fn finished_uploads(registry: &Registry) -> usize {
    let requests = registry.requests();
    let puts = requests.iter().filter(|r| r.contains("\"PUT /v2/") && r.contains("/blobs/uploads/"));
    puts.filter(|r| r.contains("\" 201 ")).count()
}

#[test]
fn others_pull_and_run_what_was_pushed() {
    for place in Place::ALL {
        let registry = Registry::open();
        let build = Build::new("FROM busybox\nRUN echo pushed > /file\nCMD [\"cat\", \"/file\"]\n")
            .push(&registry, "some/app:1.0");
        build.run(place).succeeded();
        let image = registry.image("some/app:1.0");
        let digest = fs::read_to_string(build.out().join("digest")).expect("the digest file");
        assert_eq!(digest, image.digest);

        let reference = registry.reference("some/app:1.0");
        let inspected = skopeo_inspect(&format!("docker://{reference}"));
        assert_eq!(inspected["Digest"], image.digest);
        let finished = podman_run(&reference, &[]);
        assert_eq!((finished.code, finished.stdout.as_str()), (0, "pushed\n"), "{}", finished.stderr);
        let finished = yadokari_e2e::Container::of(&reference).run_command("/bin/cat", &["/file"]);
        assert!(finished.stdout.ends_with("pushed\n"), "docker: {}", finished.output());
    }
}

#[test]
fn only_missing_blobs_are_sent() {
    let registry = Registry::open();
    let build = Build::new("FROM busybox\nCOPY x /x\n")
        .file("x", "x")
        .push(&registry, "app:1")
        .env("SOURCE_DATE_EPOCH", "1700000000");
    build.run(Place::Overlay).succeeded();
    assert_eq!(finished_uploads(&registry), 3, "the base's layer, ours, the config");
    fs::remove_dir_all(build.out().join("layout")).expect("removed");
    let built = build.run(Place::Overlay);
    built.succeeded();
    assert_eq!(finished_uploads(&registry), 3, "the second time nothing:\n{:#?}", registry.requests());
}

#[test]
fn several_destinations_in_order() {
    let (one, two) = (Registry::open(), Registry::open());
    let build = Build::new("FROM busybox\nCOPY x /x\n")
        .file("x", "x")
        .push(&one, "app:1")
        .push(&one, "app:latest")
        .push(&one, "elsewhere/app:1")
        .push(&two, "app:1")
        .flag("--image-name-with-digest-file={out}/names");
    build.run(Place::Overlay).succeeded();
    let digest = one.image("app:1").digest;
    assert_eq!(one.image("app:latest").digest, digest);
    assert_eq!(one.image("elsewhere/app:1").digest, digest);
    assert_eq!(two.image("app:1").digest, digest);
    // Within a registry blobs are mounted, not sent again.
    assert_eq!(finished_uploads(&one), 3, "{:#?}", one.requests());
    let names = fs::read_to_string(build.out().join("names")).expect("the names");
    let lines: Vec<_> = names.lines().collect();
    assert_eq!(lines.len(), 4, "{names}");
    assert_eq!(lines[0], format!("{}@{digest}", one.reference("app")));

    fs::remove_dir_all(build.out().join("layout")).expect("removed");
    let build = build.flag("--image-name-tag-with-digest-file={out}/tags");
    build.run(Place::Overlay).succeeded();
    let digest = fs::read_to_string(build.out().join("digest")).expect("the digest");
    let tags = fs::read_to_string(build.out().join("tags")).expect("written");
    let lines: Vec<_> = tags.lines().collect();
    assert_eq!(lines[2], format!("{}@{digest}", one.reference("elsewhere/app:1")));
    assert_eq!(lines[3], format!("{}@{digest}", two.reference("app:1")));
}

#[test]
fn the_layers_of_a_base_are_mounted() {
    let registry = Registry::with_tokens();
    registry.put(&Base::Busybox.layout(), "bases/busybox:1");
    let before = finished_uploads(&registry);
    let build = Build::new(&format!("FROM {}\nCOPY x /bin/x\n", registry.reference("bases/busybox:1")))
        .file("x", "x")
        .docker_config(&registry.docker_config())
        .push(&registry, "apps/mine:1");
    build.run(Place::Overlay).succeeded();
    assert_eq!(finished_uploads(&registry) - before, 2, "our layer and the config");
    let mounts: Vec<_> = registry
        .requests()
        .into_iter()
        .filter(|request| request.contains("POST") && request.contains("mount="))
        .collect();
    assert!(
        mounts.iter().any(|m| m.contains("from=bases") && m.contains("\" 201 ")),
        "no mount succeeded: {mounts:#?}"
    );
    let both = registry.tokens().requested_scopes().into_iter().any(|scopes| {
        let has = |repository: &str, action: &str| {
            scopes.iter().any(|s| s.starts_with(&format!("repository:{repository}:")) && s.contains(action))
        };
        has("apps/mine", "push") && has("bases/busybox", "pull")
    });
    assert!(both, "no token had both scopes: {:#?}", registry.tokens().requested_scopes());
    registry.image("apps/mine:1").tree().node("usr/bin/x");
}

#[test]
fn where_mounting_is_denied_bytes_are_streamed() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "bases/busybox:1");
    let rule = Rule { method: "POST", contains: "mount=", times: 100, fault: Fault::DenyMount };
    let proxy = FaultyProxy::before(&registry, vec![rule]);
    let build = Build::new(&format!("FROM {}\nCOPY x /bin/x\n", proxy.reference("bases/busybox:1")))
        .file("x", "x")
        .push_to(&proxy.reference("apps/mine:1"));
    build.run(Place::Overlay).succeeded();
    registry.image("apps/mine:1").tree().node("usr/bin/x");
    // The upload that a denied mount opened is the one that is used.
    let opened = proxy.requests().iter().filter(|r| r.starts_with("POST")).count();
    let used = proxy.requests().iter().filter(|r| r.starts_with("PUT") && r.contains("uploads")).count();
    let checks = proxy.requests().iter().filter(|r| r.starts_with("DELETE")).count();
    assert_eq!(opened, used + checks, "{:#?}", proxy.requests());
}

#[test]
fn passwords_and_tokens() {
    for registry in [Registry::with_password(), Registry::with_tokens()] {
        registry.put(&Base::Busybox.layout(), "base:1");
        let dockerfile = format!("FROM {}\nRUN echo ran > /x\n", registry.reference("base:1"));
        let build = || Build::new(&dockerfile).push(&registry, "app:1");
        let config = registry.docker_config();
        build().docker_config(&config).run(Place::Overlay).succeeded();
        assert_eq!(registry.image("app:1").layer(-1).paths(), ["x"]);
        // The same from a variable, in a container.
        build().env("DOCKER_AUTH_CONFIG", &config).run(Place::InPlace).succeeded();
        // And from a file that is named, which comes before the variable.
        let named = build().env("DOCKER_AUTH_CONFIG", &registry.docker_config_for("builder:wrong"));
        fs::write(named.out().join("auth.json"), &config).expect("written");
        named.flag("--authfile={out}/auth.json").run(Place::Overlay).succeeded();
    }
}

#[test]
fn credential_helpers() {
    let registry = Registry::with_password();
    let build = Build::new("FROM scratch\nCOPY x /x\n").file("x", "x").push(&registry, "app:1");
    let bin = build.out().join("bin");
    fs::create_dir(&bin).expect("made");
    let helper = "#!/bin/sh\n[ \"$1\" = get ] && host=$(cat) && \
                  echo \"{\\\"ServerURL\\\":\\\"$host\\\",\\\"Username\\\":\\\"builder\\\",\\\"Secret\\\":\\\"correct horse battery staple\\\"}\"\n";
    fs::write(bin.join("docker-credential-e2e"), helper).expect("written");
    make_executable(&bin.join("docker-credential-e2e"));
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let config = format!("{{\"credHelpers\":{{\"{}\":\"e2e\"}}}}", registry.host());
    build.docker_config(&config).env("PATH", &path).run(Place::Overlay).succeeded();
    assert!(registry.has_tag("app", "1"));
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("the mode is set");
}

#[test]
fn rights_are_tried_before_the_first_step() {
    for registry in [Registry::with_password(), Registry::with_tokens()] {
        let build = Build::new("FROM busybox\nRUN echo the step ran\n").push(&registry, "app:1");
        let built = build.run(Place::Overlay);
        let error = built.failed(1).to_owned();
        assert!(!built.finished.output().contains("the step ran\n"), "{error}");
        for part in [registry.host().as_str(), "app", "config.json"] {
            assert!(error.contains(part), "'{part}' is not in:\n{error}");
        }
        assert!(!build.out().join("digest").exists());

        let wrong = registry.docker_config_for("builder:wrong");
        let build = Build::new("FROM busybox\nRUN true\n").push(&registry, "app:1").docker_config(&wrong);
        build.run(Place::Overlay).failed(1);

        let late = Build::new("FROM busybox\nRUN echo the step ran\n").push(&registry, "app:1");
        let late = late.flag("--skip-push-permission-check").run(Place::Overlay);
        assert!(late.failed(1).contains(&registry.host()), "{}", late.finished.stderr);
        assert!(late.finished.output().contains("the step ran\n"), "{}", late.finished.output());
    }
}

#[test]
fn nobody_there() {
    let build = Build::new("FROM scratch\nCOPY x /x\n").file("x", "").push_to("127.0.0.1:1/app:1");
    let built = build.run(Place::Overlay);
    assert!(built.failed(1).contains("127.0.0.1:1"), "{}", built.finished.stderr);
}

#[test]
fn a_failed_push_leaves_products_but_no_result() {
    let registry = Registry::open();
    let rule = Rule { method: "PUT", contains: "/manifests/", times: 100, fault: Fault::Status(403, None) };
    let proxy = FaultyProxy::before(&registry, vec![rule]);
    let build = Build::new("FROM busybox\nCOPY x /x\n")
        .file("x", "x")
        .push_to(&proxy.reference("app:1"))
        .flag("--tar-path={out}/image.tar")
        .flag("--image-name-with-digest-file={out}/names");
    fs::write(build.out().join("names"), "as before\n").expect("written");
    let built = build.run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("403"), "{error}");
    assert!(!registry.has_tag("app", "1"));
    assert!(!build.out().join("digest").exists(), "a digest file in spite of a failed push");
    let names = fs::read_to_string(build.out().join("names")).expect("the file that was there");
    assert_eq!(names, "as before\n");
    assert!(build.out().join("layout/index.json").exists(), "the layout is a product");
    assert!(build.out().join("image.tar").exists(), "the archive is a product");
}

#[test]
fn uploads_start_while_later_steps_run() {
    let registry = Registry::open();
    let build = Build::new("FROM busybox\nRUN head -c 3000000 /dev/urandom > /early\nRUN sleep 3\n")
        .push(&registry, "app:1");
    let mut command = build.host_command();
    let mut child = command.stderr(std::process::Stdio::null()).spawn().expect("the program starts");
    let start = std::time::Instant::now();
    while finished_uploads(&registry) == 0 {
        assert!(child.try_wait().expect("asked").is_none(), "nothing was uploaded while it ran");
        assert!(start.elapsed().as_secs() < 60, "no upload");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let running = child.try_wait().expect("asked").is_none();
    assert!(child.wait().expect("it ends").success());
    assert!(running, "the first upload came after the last step");
}

#[test]
fn manifests_come_after_all_blobs() {
    let registry = Registry::open();
    let build = Build::new("FROM busybox\nCOPY x /x\n").file("x", "x").push(&registry, "app:1");
    build.run(Place::Overlay).succeeded();
    let requests = registry.requests();
    let manifest = requests.iter().position(|r| r.contains("\"PUT /v2/app/manifests/")).expect("pushed");
    let last_blob = requests.iter().rposition(|r| r.contains("\"PUT /v2/app/blobs/")).expect("pushed");
    assert!(last_blob < manifest, "{requests:#?}");
    let tag = requests.iter().rposition(|r| r.contains("\"PUT /v2/app/manifests/1 ")).expect("tagged");
    assert_eq!(tag, requests.iter().rposition(|r| r.contains("\"PUT ")).expect("a put"), "the tag is last");
}

#[test]
fn compressions() {
    let registry = Registry::open();
    let text = "some text that compresses well\n".repeat(100_000);
    let build = |flags: &[&str]| {
        let mut build = Build::new("FROM scratch\nCOPY text /\n")
            .file("text", &text)
            .push(&registry, "app:1")
            .env("SOURCE_DATE_EPOCH", "1");
        for flag in flags {
            build = build.flag(flag);
        }
        build.run(Place::Overlay).succeeded();
        registry.image("app:1").layer(0)
    };
    let gzip = build(&[]);
    assert_eq!(gzip.media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
    let best = build(&["--compression=gzip", "--compression-level=9"]);
    assert!(best.compressed <= gzip.compressed);
    let zstd = build(&["--compression=zstd"]);
    assert_eq!(zstd.media_type, "application/vnd.oci.image.layer.v1.tar+zstd");
    assert!(zstd.tar == gzip.tar, "the archive inside is the same");
}

#[test]
fn a_tag_that_cannot_be_moved() {
    let registry = Registry::open();
    let refusal = "{\"errors\":[{\"code\":\"TAG_INVALID\",\"message\":\"The image tag '1' already exists in the \
                   'app' repository and cannot be overwritten because the tag is immutable.\"}]}";
    let rule = Rule {
        method: "PUT",
        contains: "/manifests/1",
        times: 100,
        fault: Fault::Answer(400, "Content-Type: application/json\r\n", refusal),
    };
    let proxy = FaultyProxy::before(&registry, vec![rule]);
    let build = |file: &str| {
        Build::new("FROM scratch\nCOPY x /x\n").file("x", file).push_to(&proxy.reference("app:1"))
    };
    Build::new("FROM scratch\nCOPY x /x\n")
        .file("x", "old")
        .push(&registry, "app:1")
        .run(Place::Overlay)
        .succeeded();
    let old = registry.image("app:1").digest;
    let refused = build("new").run(Place::Overlay);
    assert!(refused.failed(1).contains("--push-ignore-immutable-tag-errors"), "{}", refused.finished.stderr);
    let build = build("new").flag("--push-ignore-immutable-tag-errors");
    let built = build.run(Place::Overlay);
    built.succeeded().said(&old);
    // The tag is what it was, and what is reported can be pulled.
    assert_eq!(registry.image("app:1").digest, old);
    let digest = fs::read_to_string(build.out().join("digest")).expect("the digest file");
    assert_ne!(digest, old);
    skopeo_inspect(&format!("docker://{}@{digest}", registry.reference("app")));
}
