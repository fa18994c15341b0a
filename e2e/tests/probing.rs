//! Machines that refuse one thing or another: it works all the same, or one sentence says what is
//! missing before anything is executed.

use std::fs;
use std::path::PathBuf;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, Built, Place};

/// A build that uses most of what can be refused.
fn thorough() -> Build {
    Build::new(
        "FROM busybox AS one\n\
         RUN mkdir -p /d/e && echo one > /d/e/one && ln /d/e/one /d/two && ln -s /d /l && chown 5:6 /d\n\
         FROM one\n\
         WORKDIR /app\n\
         COPY --chown=app file /l/copied\n\
         COPY --from=one /d /app/d\n\
         RUN cat /l/copied /app/d/e/one > /all && rm /d/two && mkfifo /pipe && touch /etc/passwd\n",
    )
    .file("file", "content\n")
    .prepare("touch -d @1600000000 file")
    .env("SOURCE_DATE_EPOCH", "1700000000")
}

/// Newer system calls, which profiles made before them refuse.
const NEWER: [&str; 14] = [
    "openat2",
    "statx",
    "clone3",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "close_range",
    "mount_setattr",
    "open_tree",
    "move_mount",
    "faccessat2",
    "fchmodat2",
    "copy_file_range",
    "renameat2",
];

/// Numbers of errors, the same on every architecture.
const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

/// A seccomp profile that allows everything but some calls, which fail with a number.
fn refusing(build: &Build, calls: &[&str], errno: i32) -> PathBuf {
    let profile = serde_json::json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": errno}],
    });
    let path = build.out().parent().expect("a parent").join("profile.json");
    fs::write(&path, profile.to_string()).expect("the profile is written");
    path
}

fn with_profile(build: Build, calls: &[&str], errno: i32) -> Build {
    let option = format!("--security-opt=seccomp={}", refusing(&build, calls, errno).display());
    build.container(|container| container.option(&option))
}

#[test]
fn older_seccomp_profiles_change_nothing() {
    let expected = thorough().run(Place::Overlay).image();
    for errno in [EPERM, ENOSYS] {
        for isolation in ["overlay", "chroot", "inplace"] {
            // The C library goes on without clone3 only where there is none: see below.
            let refused: Vec<&str> =
                NEWER.into_iter().filter(|call| errno == ENOSYS || *call != "clone3").collect();
            let build = with_profile(thorough().any_isolation(), &refused, errno);
            let image = build.flag(&format!("--isolation={isolation}")).run(Place::InPlace).image();
            for number in 1..expected.layer_count() as isize {
                let (ours, theirs) = (image.layer(number).listing(), expected.layer(number).listing());
                assert_eq!(ours, theirs, "layer {number}, {isolation}, error {errno}");
            }
            assert_eq!(image.digest, expected.digest, "{isolation}, error {errno}");
        }
    }
}

#[test]
fn an_engine_that_forbids_threads_is_named() {
    let build = with_profile(running().any_isolation(), &["clone3"], EPERM);
    let built = build.run(Place::InPlace);
    let error = built.failed(1);
    assert!(error.contains("thread") && error.contains("clone3"), "{error}");
}

#[test]
fn without_namespaces_it_goes_on_in_place() {
    for errno in [EPERM, ENOSYS] {
        let build = with_profile(thorough().any_isolation(), &["unshare", "mount"], errno);
        build.run(Place::InPlace).succeeded().said("steps run in place").said("not in an overlay");
    }
}

fn copying() -> Build {
    Build::new("FROM busybox\nWORKDIR /app\nCOPY file .\nENV A=b\n").file("file", "x")
}

fn running() -> Build {
    Build::new("FROM busybox\nRUN touch /must-not-run\n")
}

/// Copies work; a command is refused before it runs, with what is missing and a way out.
fn copies_only(options: &[&str], missing: &[&str]) {
    let prepare = |build: Build| {
        for path in [build.out(), build.context()] {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("the mode is set");
        }
        build.any_isolation().container(|container| {
            options.iter().fold(container, |container, option| container.option(option))
        })
    };
    let image = prepare(copying()).run(Place::InPlace).image();
    assert_eq!(image.layer(-1).listing(), "d 0755 0:0 app\nf 0644 0:0 app/file \"x\"\n", "{options:?}");
    let built: Built = prepare(running()).run(Place::InPlace);
    let error = built.failed(1);
    assert!(!error.contains("[stage-0"), "nothing may be executed with {options:?}:\n{error}");
    for part in missing.iter().chain(&["no command can be run here", "help:"]) {
        assert!(error.contains(part), "'{part}' is not said with {options:?}:\n{error}");
    }
}

#[test]
fn a_read_only_root_can_copy() {
    copies_only(&["--read-only", "--tmpfs=/tmp"], &["Read-only file system", "seccomp=unconfined"]);
}

#[test]
fn any_user_can_copy() {
    copies_only(&["--user=1000:1000"], &["user 1000", "user namespace", "run as root"]);
}

#[test]
fn without_capabilities_one_can_copy() {
    copies_only(&["--cap-drop=ALL"], &["CAP_CHOWN", "CAP_SETUID", "unshare"]);
}

#[test]
fn a_read_only_root_with_namespaces_can_run() {
    for directory in ["/tmpfs", "/yadokari/work"] {
        let build =
            thorough().any_isolation().flag(&format!("--work-dir={directory}")).container(|container| {
                let container = container.option("--read-only").option("--security-opt=seccomp=unconfined");
                container.option("--tmpfs=/tmpfs:exec,suid")
            });
        build.run(Place::InPlace).succeeded().said("steps run in an overlay");
    }
}

#[test]
fn without_setpcap_landlock_hides_us() {
    let build = || thorough().any_isolation().container(|c| c.option("--cap-drop=SETPCAP"));
    build().run(Place::InPlace).succeeded().said("no-new-privileges");
    let neither = with_profile(build(), &NEWER, ENOSYS);
    let option = "--security-opt=no-new-privileges";
    let built = neither.container(|c| c.option(option)).flag("--isolation=inplace").run(Place::InPlace);
    let error = built.failed(1);
    assert!(error.contains("CAP_SETPCAP") && error.contains("Landlock"), "{error}");
}

#[test]
fn a_user_in_a_container_that_allows_namespaces_can_run() {
    let build = Build::new("FROM busybox\nRUN id -u > /id\nRUN rm /usr/bin/vi\n").any_isolation();
    for path in [build.out(), build.context()] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("the mode is set");
    }
    let option = "--security-opt=seccomp=unconfined";
    let built = build.container(|c| c.option("--user=1000:1000").option(option)).run(Place::InPlace);
    built.succeeded().said("single id");
    assert_eq!(built.image().layer(1).listing(), "f 0644 0:0 id \"0\\n\"\n");
}
