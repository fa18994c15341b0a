//! Without being root: a plain user with and without subordinate ids.

use std::os::unix::fs::chown;
use std::process::Command;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Build, run};

/// The build's command as the user `yadokari`, whom `./test` made.
fn as_plain_user(build: &Build, path: &str) -> Command {
    let directory = build.out().parent().expect("a parent").to_owned();
    let mut give = Command::new("chown");
    give.args(["-R", "yadokari:"]).arg(&directory);
    assert_eq!(run(&mut give).code, 0);
    let mut open = Command::new("chmod");
    open.args(["0755"]).arg(&directory);
    assert_eq!(run(&mut open).code, 0);
    let host = build.host_command();
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--reuid=yadokari", "--regid=yadokari", "--init-groups", "--inh-caps=-all"]);
    command.arg(host.get_program()).args(host.get_args());
    command.env_clear().env("PATH", path).env("HOME", directory.join("home")).current_dir(&directory);
    command
}

#[test]
fn a_plain_user_is_told_what_is_missing() {
    let build = Build::new("FROM busybox\nRUN touch /x\n").any_isolation();
    let finished = run(&mut as_plain_user(&build, "/usr/bin:/bin:/usr/sbin:/sbin"));
    assert_eq!(finished.code, 1, "{}", finished.output());
    let said = finished.output();
    assert!(said.contains("overlay") && said.contains("root"), "{said}");
    assert!(!build.out().join("layout").exists());
}

#[test]
fn copies_need_no_namespace() {
    let build = Build::new("FROM busybox\nCOPY f /bin/f\n").file("f", "f").any_isolation();
    let file = build.context().join("f");
    chown(&file, Some(12345), Some(12345)).expect("given away");
    let finished = run(&mut as_plain_user(&build, "/usr/bin:/bin"));
    assert_eq!(finished.code, 0, "{}", finished.output());
    let image = yadokari_e2e::Image::from_layout(&build.out().join("layout"));
    assert_eq!(image.layer(-1).entry("usr/bin/f").to_string(), "f 0644 0:0 usr/bin/f \"f\"");
}
