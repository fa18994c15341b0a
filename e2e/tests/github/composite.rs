//! The composite action's script, as the runner executes it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;
use serde_json::Value;
use sha2::{Digest, Sha256};
use yadokari_e2e::{Base, Runner, Step, program, scratch};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the repository").to_owned()
}

pub(super) fn action(path: &str) -> Value {
    let text = fs::read_to_string(repository().join(path)).expect("readable");
    serde_saphyr::from_str(&text).expect("YAML")
}

fn script() -> String {
    let action = action("github-action/action.yml");
    action["runs"]["steps"][0]["run"].as_str().expect("a script").to_owned()
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(fs::read(path).expect("readable"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs the script as `shell: bash` does.
fn run(runner: &Runner) -> Step {
    let path = runner.workspace().join("../temp/step.sh");
    fs::write(&path, script()).expect("written");
    let path = path.display().to_string();
    runner.run(Path::new("/bin/bash"), &["--noprofile", "--norc", "-e", "-o", "pipefail", &path])
}

const FAKE: &str =
    "#!/bin/sh\n[ \"$1\" = version ] && echo fake || echo \"ran $* as ${WHO:-me} with $INPUT_BUILD_ARGS\"\n";

/// A step in which this many programs come first on the path.
fn with_programs(programs: &[(&str, &str)]) -> Runner {
    let runner = Runner::new();
    let bin = runner.workspace().join("../temp/bin");
    fs::create_dir(&bin).expect("made");
    for (name, text) in programs {
        executable(&bin.join(name), text);
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("set"));
    runner.variable("PATH", &path)
}

const NAME: &str = "yadokari-linux-amd64";

#[test]
fn both_actions_take_and_give_the_same() {
    let (composite, container) =
        (action("github-action/action.yml"), action("github-action/container/action.yml"));
    assert_eq!(composite["inputs"], container["inputs"]);
    let names = |action: &Value| -> Vec<String> {
        action["outputs"].as_object().expect("outputs").keys().cloned().collect()
    };
    assert_eq!(names(&composite), names(&container));
    let environment = composite["runs"]["steps"][0]["env"].as_object().expect("env");
    for input in composite["inputs"].as_object().expect("inputs").keys() {
        let variable = format!("INPUT_{}", input.to_uppercase().replace('-', "_"));
        assert_eq!(environment[&variable], format!("${{{{ inputs.{input} }}}}"));
    }
    for output in composite["outputs"].as_object().expect("outputs") {
        assert_eq!(output.1["value"], format!("${{{{ steps.build.outputs.{} }}}}", output.0));
    }
}

/// The program knows every input by the name that the action gives it, and its default changes nothing.
#[test]
fn the_program_takes_every_input_of_the_action() {
    let inputs = action("github-action/container/action.yml")["inputs"].clone();
    let mut runner =
        Runner::new().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n").input("isolation", "overlay");
    for (name, input) in inputs.as_object().expect("inputs") {
        let default =
            input["default"].as_str().expect("a default").replace("${{ github.token }}", "ghs_token");
        if name != "isolation" {
            runner = runner.input(name, &default);
        }
    }
    let step = runner.run(&program(), &["ci", "github"]).succeeded();
    assert_eq!(step.log.of("notice").len(), 0);
    assert!(step.outputs()["digest"].starts_with("sha256:"));
}

#[test]
fn a_binary_beside_the_action_is_checked_and_builds() {
    let action = scratch();
    let binary = action.path().join(NAME);
    fs::copy(program(), &binary).expect("copied");
    fs::write(action.path().join(format!("{NAME}.sha256")), format!("{}  {NAME}\n", sha256(&binary)))
        .expect("written");
    let runner = Runner::new()
        .variable("GITHUB_ACTION_PATH", &action.path().display().to_string())
        .file("Dockerfile", "FROM busybox\nARG A\nRUN echo $A > /a\n")
        .variable(
            "INPUT_BUILD_CONTEXTS",
            &format!("busybox=oci-layout://{}", Base::Busybox.layout().display()),
        )
        .variable("INPUT_BUILD_ARGS", "A=two words")
        .variable("INPUT_ISOLATION", "overlay");
    let step = run(&runner).succeeded();
    assert!(step.outputs()["digest"].starts_with("sha256:"));

    fs::write(action.path().join(format!("{NAME}.sha256")), format!("{}  {NAME}\n", "0".repeat(64)))
        .expect("written");
    let refused = run(&runner);
    assert_eq!(refused.finished.code, 1);
    assert!(refused.log.of("error")[0].message.contains("not what its .sha256 says"));
    fs::remove_file(action.path().join(format!("{NAME}.sha256"))).expect("removed");
    assert_eq!(run(&runner).finished.code, 1);
}

#[test]
fn without_root_sudo_is_used_where_it_asks_nothing() {
    let sudo = "#!/bin/sh\nshift\n[ \"$1\" = true ] && exit 0\n[ \"$1\" = --preserve-env ] || exit 9\nshift\nWHO=root exec \"$@\"\n";
    let runner = with_programs(&[("id", "#!/bin/sh\necho 1000\n"), ("sudo", sudo), ("yadokari", FAKE)]);
    let step = run(&runner.variable("INPUT_BUILD_ARGS", "A=x y")).succeeded();
    assert_eq!(step.log.lines, ["fake", "ran ci github as root with A=x y"]);
}

#[test]
fn without_sudo_a_restriction_of_user_namespaces_is_explained() {
    let runner = with_programs(&[
        ("id", "#!/bin/sh\necho 1000\n"),
        ("sudo", "#!/bin/sh\nexit 1\n"),
        ("yadokari", FAKE),
    ])
    .file("sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
    let sysctls = runner.workspace().join("sys").display().to_string();
    let step = run(&runner.variable("YADOKARI_SYSCTLS", &sysctls)).succeeded();
    let warning = &step.log.of("warning")[0].message;
    assert!(warning.contains("sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"), "{warning}");
    assert_eq!(step.log.lines, ["fake", "ran ci github as me with "]);
}

#[test]
fn without_any_binary_the_step_says_so() {
    let runner = Runner::new().variable("PATH", "/usr/bin:/bin");
    let step = run(&runner);
    assert_eq!(step.finished.code, 1);
    assert!(step.log.of("error")[0].message.contains("neither beside the action nor on PATH"));
}
