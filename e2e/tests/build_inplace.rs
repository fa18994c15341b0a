//! Building in a plain container's own root: it is afterwards what it was before.

use std::fs;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Container, Place};

/// What a build in a container may leave: its own directories.
fn is_ours(line: &str) -> bool {
    let path = line.split_whitespace().nth(1).unwrap_or_default();
    // Docker makes mount points and its own files; they are there before the build.
    ["/yadokari", "/out", "/workspace", "/bases"]
        .iter()
        .any(|ours| path == *ours || path.starts_with(&format!("{ours}/")))
}

#[test]
fn the_container_is_as_before_and_its_shell_goes_on() {
    let build = Build::new(
        "FROM debian AS build\n\
         RUN echo built > /etc/built && rm /etc/issue && useradd -m bob\n\
         FROM busybox\n\
         COPY --from=build /etc/built /built\n\
         RUN cat /built && test ! -e /etc/issue && mkdir /made\n",
    );
    let script = format!(
        "mkdir -p /etc /home/me /made; echo mine > /etc/mine; echo home > /home/me/x; ln -s x /home/me/l; \
         (while :; do echo >> /yadokari/ticks; sleep 0.02; done) & loop=$!; \
         ls -laR /etc/mine /home /made > /yadokari/before; \
         yadokari {} || exit $?; \
         ls -laR /etc/mine /home /made > /yadokari/after; cmp /yadokari/before /yadokari/after; \
         a=$(wc -c < /yadokari/ticks); sleep 1; b=$(wc -c < /yadokari/ticks); [ \"$a\" != \"$b\" ] || exit 77; \
         kill $loop; [ \"$(cat /etc/mine)\" = mine ]; test ! -e /usr; test ! -e /built; ls /made | wc -l",
        build.arguments(Place::InPlace).join(" ")
    );
    let container = build.container_for(Place::InPlace);
    let finished = container.script(&script);
    assert_eq!(finished.code, 0, "{}", finished.output());
}

#[test]
fn an_ordinary_image_as_the_builders_container() {
    let build = Build::new(
        "FROM busybox\n\
         RUN echo x > /usr/bin/new && rm /usr/bin/vi && echo p >> /etc/passwd && ls -d /usr/share && exit 3 || true\n",
    )
    .container(|_| Container::debian());
    let container = build.container_for(Place::InPlace);
    let running = container.start("/yadokari/bin/yadokari", &build.arguments(Place::InPlace));
    let code = running.wait();
    assert_eq!(code, 0, "{}", running.logs());
    let left: Vec<_> = running.diff().into_iter().filter(|line| !is_ours(line)).collect();
    let changed: Vec<_> = left.iter().filter(|line| !line.starts_with("C ")).collect();
    assert!(changed.is_empty(), "the container was changed: {changed:#?}");
    let passwd = running.file("/etc/passwd").expect("/etc/passwd is back");
    assert!(String::from_utf8_lossy(&passwd).contains("www-data"));
    assert!(running.file("/usr/bin/new").is_none(), "the image's file stayed in the container");
}

#[test]
fn the_working_directory_is_the_mounted_context() {
    let build = Build::new(
        "FROM busybox\n\
         WORKDIR /workspace\n\
         COPY go.mod go.mod\n\
         COPY cmd/ cmd/\n\
         RUN ls > listing && cat cmd/main.go && echo built > manager && rm go.mod\n\
         FROM scratch\n\
         COPY --from=0 /workspace/manager /manager\n\
         COPY --from=0 /workspace/listing /listing\n",
    )
    .file("go.mod", "module m\n")
    .file("cmd/main.go", "package main\n")
    .file("not-copied", "x");
    let image = build.run(Place::InPlace).image();
    assert_eq!(image.layer(0).listing(), "f 0644 0:0 manager \"built\\n\"\n");
    assert_eq!(image.layer(1).listing(), "f 0644 0:0 listing \"cmd\\ngo.mod\\nlisting\\n\"\n");
    let mut left: Vec<_> =
        fs::read_dir(build.context()).expect("readable").map(|e| e.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["Dockerfile", "cmd", "go.mod", "not-copied"], "the user's own files are back");
    assert_eq!(fs::read_to_string(build.context().join("go.mod")).expect("readable"), "module m\n");
}

#[test]
fn mounts_on_a_mounted_volume() {
    let build = Build::new(
        "FROM busybox\n\
         WORKDIR /workspace\n\
         RUN --mount=target=. --mount=type=tmpfs,target=cmd/tmp --mount=type=cache,target=cache \
             ls . cmd > /listing && touch here cache/x cmd/tmp/x\n\
         RUN ls >> /listing; touch own\n\
         RUN --mount=type=secret,id=none --mount=source=go.mod,target=own cat own > /listing\n",
    )
    .file("go.mod", "module m\n")
    .file("cmd/main.go", "package main\n");
    let image = build.run(Place::InPlace).image();
    assert_eq!(image.layer(-3).paths(), ["listing"]);
    let listing =
        "f 0644 0:0 listing \".:\\nDockerfile\\ncache\\ncmd\\ngo.mod\\n\\ncmd:\\nmain.go\\ntmp\\n\"\n";
    assert_eq!(image.layer(-3).listing(), listing);
    assert_eq!(image.layer(-2).paths(), ["workspace", "workspace/own"]);
    assert_eq!(image.layer(-1).listing(), "f 0644 0:0 listing \"module m\\n\"\n");
    let mut left: Vec<_> =
        fs::read_dir(build.context()).expect("readable").map(|e| e.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["Dockerfile", "cmd", "go.mod"], "the user's own files are back");
}

#[test]
fn a_cache_on_the_containers_own_file_system_is_lent() {
    let build = Build::new(
        "FROM busybox\n\
         RUN --mount=type=cache,target=/root/.cache echo run >> /root/.cache/log && cat /root/.cache/log > /log\n\
         RUN --mount=type=cache,target=/c,id=/root/.cache test -s /c/log && rm -rf /c/log && ls -A /c > /gone\n\
         RUN --mount=type=cache,target=/c,id=/root/.cache echo again > /c/log\n",
    )
    .flag("--cache-dir=/yadokari/caches");
    let arguments = build.arguments(Place::InPlace).join(" ");
    let script = format!(
        "yadokari {arguments}; ls -i /yadokari/caches/mounts/*/0; rm -r /out/layout; yadokari {arguments}; cat /yadokari/caches/mounts/*/0/data/log"
    );
    let finished = build.container_for(Place::InPlace).script(&script);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stdout.ends_with("again\n"), "{}", finished.output());
    let image = yadokari_e2e::Image::from_layout(&build.out().join("layout"));
    assert_eq!(image.layer(-3).listing(), "f 0644 0:0 log \"again\\nrun\\n\"\n");
    assert_eq!(image.layer(-2).listing(), "f 0644 0:0 gone \"\"\n");
    assert_eq!(image.layer(-1).listing(), "");
}

#[test]
fn a_read_only_mount_in_the_way_is_named() {
    let build = Build::new("FROM busybox\nWORKDIR /taken/by\nRUN touch x\n");
    let mount = build.out();
    let build = build.container(|c| c.read_only_volume(&mount, "/taken"));
    let built = build.run(Place::InPlace);
    let error = built.failed(1);
    assert!(error.contains("/taken") && error.contains("read-only"), "{error}");
}

#[test]
fn a_mount_in_the_way_can_be_refused() {
    let build = Build::new("FROM busybox\nWORKDIR /workspace\nRUN touch x\n").flag("--mount-conflict=error");
    let built = build.run(Place::InPlace);
    let error = built.failed(1);
    assert!(error.contains("/workspace") && error.contains("mount"), "{error}");
}

#[test]
fn other_writable_mounts_get_a_warning() {
    let build = Build::new("FROM busybox\nRUN echo x > /elsewhere/x; touch /y\n");
    let mount = tempfile_beside(&build);
    let build = build.container(|c| c.volume(&mount, "/elsewhere"));
    let built = build.run(Place::InPlace);
    built.succeeded().said("/elsewhere");
    assert_eq!(built.image().layer(-1).paths(), ["y"]);
}

fn tempfile_beside(build: &Build) -> std::path::PathBuf {
    let path = build.out().parent().expect("a parent").join("mount");
    fs::create_dir(&path).expect("made");
    path
}

#[test]
fn copying_needs_nothing_at_all() {
    let build = Build::new(
        "FROM busybox\n\
         WORKDIR /app\n\
         COPY --chown=app:app file /bin/file\n\
         ENV X=y\n\
         FROM scratch\n\
         COPY --from=0 /etc/passwd /passwd\n\
         COPY file /file\n",
    )
    .file("file", "content\n")
    .flag("--target=0")
    .any_isolation()
    .container(|container| {
        container
            .option("--cap-drop=ALL")
            .option("--read-only")
            .option("--user=12345:12345")
            .option("--security-opt=no-new-privileges")
            .option("--tmpfs=/tmp:mode=1777")
    })
    .flag("--work-dir=/tmp");
    for path in [build.out(), build.context()] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("the mode is set");
    }
    let image = build.run(Place::InPlace).image();
    assert_eq!(
        image.layer(-1).listing(),
        "d 0755 0:0 usr\nd 0755 0:0 usr/bin\nf 0644 1000:1000 usr/bin/file \"content\\n\"\n"
    );
}

#[test]
fn several_builds_in_one_container() {
    let build = Build::new("FROM busybox\nRUN echo $RANDOM > /x && rm -rf /home\n");
    let command = format!("yadokari {}", build.arguments(Place::InPlace).join(" "));
    let script = format!(
        "for i in 1 2 3; do rm -rf /out/layout; {command}; done; ls /yadokari/stage 2>/dev/null | wc -l"
    );
    let finished = build.container_for(Place::InPlace).script(&script);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stdout.ends_with("0\n"), "stages are left: {}", finished.output());
}

#[test]
fn a_stage_changed_by_another_is_unpacked_anew() {
    let build = Build::new(
        "FROM busybox AS a\n\
         RUN echo a > /a\n\
         FROM busybox AS b\n\
         RUN chown -R 1000 / 2>/dev/null; echo b > /b\n\
         FROM a\n\
         COPY --from=b /b /b\n\
         RUN stat -c '%u:%g' /a /etc/passwd /usr/bin/busybox > /owners\n",
    );
    let image = build.run(Place::InPlace).image();
    let listing = image.layer(-1).listing();
    assert_eq!(listing, "f 0644 0:0 owners \"0:0\\n0:0\\n0:0\\n\"\n");
}

#[test]
fn kanikos_command_line_works_unchanged() {
    let build = Build::new("FROM busybox\nRUN echo hello > /x\n");
    let base = "--build-context=busybox=oci-layout:///bases/busybox";
    let script = format!(
        "ln -s /yadokari/bin/yadokari /kaniko/executor; \
         /kaniko/executor --context dir:///workspace --dockerfile Dockerfile --no-push {base} \
         --oci-layout-path /out/layout --digest-file /out/digest --snapshot-mode=redo --use-new-run \
         --cache=false --cleanup -v info"
    );
    let finished = build.container_for(Place::InPlace).script(&script);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(build.out().join("layout/index.json").exists());
}

#[test]
fn the_placement_is_chosen_by_probing() {
    let build = Build::new("FROM busybox\nRUN true\n").any_isolation();
    let built = build.run(Place::InPlace);
    built.succeeded();
    let said = built.finished.stderr.to_lowercase();
    assert!(said.lines().any(|l| l.contains("in place")), "{said}");
    let built = build.flag("--isolation=overlay").run(Place::InPlace);
    let error = built.failed(1);
    assert!(error.contains("overlay") && error.contains("help:"), "{error}");
}
