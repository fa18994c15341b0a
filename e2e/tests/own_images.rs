//! Our own images, built by the program itself, and what they build.

use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Container, Image, Place, Registry, program, run_ok, scratch};

/// Builds one of our images and loads it into the engine; gives its name there.
fn load(target: &str) -> (String, Image) {
    let out = scratch();
    let name = format!("example.com/yadokari-e2e-own-{target}:{}", std::process::id());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../images/build");
    let mut build = Command::new(script);
    build
        .arg(program())
        .arg(target)
        .args(["--no-push", "--isolation=overlay"])
        .arg(format!("--destination={name}"));
    for (flag, file) in [("--tar-path", "tar"), ("--oci-layout-path", "layout"), ("--work-dir", "work")] {
        build.arg(format!("{flag}={}", out.path().join(file).display()));
    }
    run_ok(&mut build);
    run_ok(Command::new("docker").args(["load", "--quiet", "--input"]).arg(out.path().join("tar")));
    (name, Image::from_layout(&out.path().join("layout")).keeping_directory(out))
}

fn unload(name: &str) {
    run_ok(Command::new("docker").args(["rmi", "--force", name]));
}

#[test]
fn the_program_is_small_and_static() {
    let size = std::fs::metadata(program()).expect("there").len();
    assert!(size < 15_000_000, "{size} bytes");
    let output = yadokari_e2e::run(Command::new("ldd").arg(program())).output();
    assert!(output.contains("statically linked") || output.contains("not a dynamic executable"), "{output}");
}

#[test]
fn the_plain_image_builds_as_kaniko_does() {
    let (name, image) = load("plain");
    let config = &image.config["config"];
    assert_eq!(config["Entrypoint"], serde_json::json!(["/kaniko/executor"]));
    assert_eq!(config["WorkingDir"], "/workspace");
    for entry in image.tree().nodes.keys() {
        let top = entry.split('/').next().expect("a path has a first name");
        assert!(["yadokari", "kaniko", "workspace"].contains(&top), "/{entry} could not be moved aside");
    }

    let build = Build::new("FROM debian\nRUN rm -rf /usr/share/doc && echo built > /etc/built\n")
        .container(|_| Container::of(&name));
    let base = "--build-context=debian=oci-layout:///bases/debian";
    let finished = build.container_for(Place::InPlace).run_command(
        "/kaniko/executor",
        &[
            "--context=/workspace",
            "--no-push",
            base,
            "--oci-layout-path=/out/layout",
            "--digest-file=/out/digest",
        ],
    );
    assert_eq!(finished.code, 0, "{}", finished.output());
    let built = Image::from_layout(&build.out().join("layout"));
    assert_eq!(built.layer(-1).entry("etc/built").to_string(), "f 0644 0:0 etc/built \"built\\n\"");
    unload(&name);
}

#[test]
fn the_debug_image_has_a_shell_that_outlives_a_build() {
    let (name, _) = load("debug");
    let build = Build::new("FROM debian\nRUN rm -rf /var && echo built > /built\n")
        .container(|_| Container::of(&name));
    let arguments = build.arguments(Place::InPlace).join(" ");
    let script = format!("echo before > /mine; yadokari {arguments} && cat /mine && ls /busybox/ls");
    let finished = build.container_for(Place::InPlace).script(&script);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stdout.ends_with("before\n/busybox/ls\n"), "{}", finished.output());
    unload(&name);
}

#[test]
fn kanikos_script_builds_with_docker() {
    let (name, _) = load("plain");
    let registry = Registry::with_password();
    let out = scratch();
    let file = |name: &str, content: &str, mode: u32| {
        let path = out.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("set");
        path
    };
    file("context/sub/Dockerfile", "FROM scratch\nCOPY x /x\n", 0o644);
    file("context/x", "of the script\n", 0o644);
    let config = file("home/.docker/config.json", &registry.docker_config(), 0o600);
    // The registry listens on this machine's own loopback interface only.
    let docker = which("docker");
    let wrapper = format!("#!/bin/sh\nshift\nexec {docker} run --network=host \"$@\"\n");
    let wrapper = file("bin/docker", &wrapper, 0o755);
    let path = format!("{}:/usr/bin:/bin", wrapper.parent().expect("a directory").display());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../run_in_docker.sh");
    let destination = registry.reference("app:1");
    let mut build = Command::new(script);
    build.args(["sub/Dockerfile", "context", &destination]).current_dir(out.path());
    build
        .env("HOME", out.path().join("home"))
        .env("PATH", path)
        .env("YADOKARI_IMAGE", &name)
        .env_remove("DOCKER_CONFIG");
    let finished = yadokari_e2e::run(&mut build);
    unload(&name);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let image = registry.image("app:1");
    assert_eq!(image.layer(0).entry("x").content(), b"of the script\n");
    assert_eq!(std::fs::read_to_string(config).expect("still there"), registry.docker_config());
    let finished = yadokari_e2e::run(Command::new(script).args(["a", "b"]));
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.starts_with("Usage: run_in_docker.sh"), "{}", finished.stderr);
}

fn which(program: &str) -> String {
    run_ok(Command::new("sh").args(["-c", &format!("command -v {program}")])).trim().to_owned()
}
