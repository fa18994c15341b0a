//! The first thing it must do: build on this machine, as root, with overlays.

use std::fs;
use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Place, Registry, podman_run, program, run, run_ok, scratch, umoci_unpack};

#[test]
fn a_dockerfile_becomes_an_image() {
    let build = Build::new(
        "FROM busybox\n\
         ENV GREETING=hello\n\
         WORKDIR /app\n\
         COPY greet.sh .\n\
         RUN ./greet.sh > greeting && mkdir /data\n\
         CMD [\"cat\", \"/app/greeting\"]\n",
    )
    .file_with_mode("greet.sh", 0o755, "#!/bin/sh\necho $GREETING, world\n");
    let image = build.run(Place::Overlay).image();
    assert_eq!(image.layer_count(), 4, "the base, WORKDIR, COPY, RUN");
    assert_eq!(image.layer(1).listing(), "d 0755 0:0 app\n");
    assert_eq!(
        image.layer(2).listing(),
        "d 0755 0:0 app\n\
         f 0755 0:0 app/greet.sh \"#!/bin/sh\\necho $GREETING, world\\n\"\n"
    );
    assert_eq!(
        image.layer(3).listing(),
        "d 0755 0:0 app\n\
         f 0644 0:0 app/greeting \"hello, world\\n\"\n\
         d 0755 0:0 data\n"
    );
    assert_eq!(image.config["config"]["Cmd"], serde_json::json!(["cat", "/app/greeting"]));
    assert_eq!(image.config["config"]["WorkingDir"], "/app");
}

#[test]
fn umoci_and_podman_unpack_and_run_it() {
    let build = Build::new(
        "FROM busybox\n\
         RUN echo made by yadokari > /made && ln /made /again && mkfifo /pipe && rm /bin/vi\n\
         CMD [\"cat\", \"/made\"]\n",
    );
    let image = build.run(Place::Overlay).image();
    let layout = build.out().join("layout");

    let bundle = scratch();
    let root = umoci_unpack(&layout, "latest", bundle.path());
    let unpacked = yadokari_e2e::Tree::from_disk(&root);
    let differences = image.tree().differences(&unpacked);
    assert!(differences.is_empty(), "what umoci unpacked differs:\n{differences}");
    let output = run_ok(Command::new("chroot").arg(&root).args(["/bin/cat", "/again"]));
    assert_eq!(output, "made by yadokari\n");

    let registry = Registry::open();
    registry.put(&layout, "made:1");
    let finished = podman_run(&registry.reference("made:1"), &[]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "made by yadokari\n"));
}

#[test]
fn stages_by_name_and_number() {
    let build = Build::new(
        "FROM busybox AS tools\n\
         RUN echo tool > /tool\n\
         FROM busybox\n\
         RUN echo number > /number\n\
         FROM scratch\n\
         COPY --from=tools /tool /from-name\n\
         COPY --from=1 /number /from-number\n",
    );
    let image = build.run(Place::Overlay).image();
    assert_eq!(image.layer_count(), 2);
    assert_eq!(image.layer(0).listing(), "f 0644 0:0 from-name \"tool\\n\"\n");
    assert_eq!(image.layer(1).listing(), "f 0644 0:0 from-number \"number\\n\"\n");
}

#[test]
fn a_stage_nobody_needs_is_not_built() {
    let build = Build::new(
        "FROM busybox AS unneeded\n\
         RUN false\n\
         FROM busybox AS wanted\n\
         RUN echo wanted > /wanted\n\
         FROM busybox\n\
         RUN false\n",
    )
    .flag("--target=wanted");
    let image = build.run(Place::Overlay).image();
    assert_eq!(image.layer(-1).listing(), "f 0644 0:0 wanted \"wanted\\n\"\n");
}

#[test]
fn the_placement_is_said_with_its_reason() {
    let build = Build::new("FROM busybox\nRUN true\n").any_isolation();
    let built = build.run(Place::MayMount);
    built.succeeded();
    let said = built.finished.stderr.to_lowercase();
    let line = said.lines().find(|line| line.contains("overlay"));
    let line = line.unwrap_or_else(|| panic!("no line names the placement:\n{said}"));
    assert!(line.contains("mount namespace"), "the reason is not in: {line}");
}

#[test]
fn doctor_names_every_placement_and_what_it_lacks() {
    let finished = run(Command::new(program()).arg("doctor"));
    assert_eq!(finished.code, 0, "{}", finished.output());
    let text = finished.output();
    for placement in ["overlay", "chroot", "in place"] {
        assert!(text.contains(placement), "'{placement}' is not in:\n{text}");
    }
}

#[test]
fn nothing_is_left_behind() {
    let build = Build::new("FROM busybox\nRUN echo x > /x\nRUN rm /x\n");
    build.run(Place::Overlay).succeeded();
    let work = build.out().parent().expect("out has a parent").join("work");
    let left: Vec<_> = fs::read_dir(&work).expect("readable").flatten().collect();
    assert!(left.is_empty(), "left in the work directory: {left:?}");
    let mounts = fs::read_to_string("/proc/self/mounts").expect("readable");
    let work = work.display().to_string();
    assert!(!mounts.contains(&work), "mounts are left:\n{mounts}");
}

#[test]
fn packages_of_debian_install_and_run() {
    let build = Build::new(
        "FROM debian\n\
         RUN useradd --create-home --uid 1234 bob && echo 'bob:x' | chpasswd\n\
         USER bob\n\
         RUN id -un > ~/me && cd / && cat ~/me | grep bob\n\
         USER root\n\
         RUN su bob -c 'touch ~/by-su'\n",
    );
    let image = build.run(Place::Overlay).image();
    let entry = image.layer(-1).entry("home/bob/by-su").to_string();
    assert_eq!(entry, "f 0644 1234:1234 home/bob/by-su \"\"");
}
