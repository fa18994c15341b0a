//! The action that is an image, run as the runner runs it: root in a container with Docker's defaults.

use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use yadokari_e2e::{Base, Container, entries, scratch};

use super::composite::action;

#[test]
fn the_container_action_builds_in_place() {
    let runs = action("github-action/container/action.yml")["runs"].clone();
    let image = runs["image"].as_str().expect("an image");
    assert!(image.starts_with("docker://ghcr.io/yadokari-build/yadokari"), "{image}");
    let entrypoint = runs["entrypoint"].as_str().expect("an entrypoint");
    let arguments: Vec<&str> =
        runs["args"].as_array().expect("words").iter().filter_map(|a| a.as_str()).collect();

    let host = scratch();
    for directory in ["workspace/app", "home", "file_commands", "workflow"] {
        fs::create_dir_all(host.path().join(directory)).expect("made");
    }
    let dockerfile =
        "FROM busybox\nWORKDIR /github/workspace/built\nCOPY file .\nRUN cat file && echo ::error::spoofed\n";
    fs::write(host.path().join("workspace/app/Dockerfile"), dockerfile).expect("written");
    fs::write(host.path().join("workspace/app/file"), "from the workspace\n").expect("written");
    fs::write(host.path().join("workflow/event.json"), "{}").expect("written");
    let mut container = Container::tiny().option("--workdir=/github/workspace");
    for directory in ["workspace", "home", "file_commands", "workflow"] {
        container = container.volume(&host.path().join(directory), &format!("/github/{directory}"));
    }
    for (name, value) in [
        ("HOME", "/github/home"),
        ("CI", "true"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_EVENT_PATH", "/github/workflow/event.json"),
        ("GITHUB_OUTPUT", "/github/file_commands/output"),
        ("GITHUB_REF", "refs/heads/main"),
        ("GITHUB_REPOSITORY", "octo/app"),
        ("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37"),
        ("GITHUB_STEP_SUMMARY", "/github/file_commands/summary"),
        ("GITHUB_WORKSPACE", "/github/workspace"),
        ("INPUT_BUILD-CONTEXTS", "busybox=oci-layout:///bases/busybox"),
        ("INPUT_CONTEXT", "app"),
        ("INPUT_IMAGES", "ghcr.io/octo/app"),
        ("INPUT_PUSH", "false"),
        ("INPUT_NO-CACHE", "false"),
        ("INPUT_SHM-SIZE", ""),
    ] {
        container = container.env(name, value);
    }
    let bases = Base::Busybox.layout();
    let container = container.read_only_volume(&bases, "/bases/busybox");
    let finished = container.run_command(entrypoint, &arguments);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stdout.contains("::stop-commands::"), "{}", finished.stdout);
    let read =
        |name: &str| fs::read_to_string(host.path().join("file_commands").join(name)).expect("readable");
    let outputs = entries(&read("output"));
    assert!(outputs["digest"].starts_with("sha256:"));
    assert_eq!(outputs["tags"], "ghcr.io/octo/app:main");
    assert!(read("summary").contains("Image built"));
    // The workspace is what it was.
    let left = fs::read_to_string(host.path().join("workspace/app/file")).expect("there");
    assert_eq!(left, "from the workspace\n");
    assert!(!Path::new(&host.path().join("workspace/built")).exists());
}
