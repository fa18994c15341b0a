//! The GitHub Action, executed as its platform does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::Value;
use tempfile::TempDir;
use yadokari_e2e::{Base, Registry, program, run, scratch};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

fn read_yaml(path: &str) -> Value {
    let text = fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A source directory with a Dockerfile on a base of `registry`.
fn source(registry: &Registry) -> TempDir {
    registry.put(&Base::Busybox.layout(), "bases/busybox:1");
    let directory = scratch();
    let dockerfile = format!(
        "FROM {} AS first\nARG GREETING=none\nRUN echo $GREETING > /greeting\nLABEL from=dockerfile\n\
         FROM first AS last\nRUN false\n",
        registry.reference("bases/busybox:1")
    );
    fs::create_dir(directory.path().join("app")).expect("made");
    fs::write(directory.path().join("app/Dockerfile"), dockerfile).expect("written");
    directory
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

/// A directory with `yadokari` in it, to be put on a PATH.
fn program_directory() -> TempDir {
    let directory = scratch();
    std::os::unix::fs::symlink(program(), directory.path().join("yadokari")).expect("linked");
    directory
}

/// What a file of the runner's holds, by its rules: `name=value`, or `name<<MARK`, lines, `MARK`.
fn file_command(path: &Path) -> BTreeMap<String, String> {
    let content = fs::read_to_string(path).expect("the runner's file is there");
    let mut values = BTreeMap::new();
    let mut lines = content.lines();
    while let Some(line) = lines.next() {
        if let Some((name, mark)) = line.split_once("<<").filter(|(name, _)| !name.contains('=')) {
            let value: Vec<_> = lines.by_ref().take_while(|line| *line != mark).collect();
            values.insert(name.to_owned(), value.join("\n"));
        } else if let Some((name, value)) = line.split_once('=') {
            values.insert(name.to_owned(), value.to_owned());
        }
    }
    values
}

/// Runs the composite's steps as the runner does: inputs over defaults, expressions replaced,
/// each `run` a script of its shell.
fn run_action(
    given: &[(&str, String)],
    workspace: &Path,
    files: &Path,
    path: &str,
) -> yadokari_e2e::Finished {
    let action = read_yaml("github-action/action.yml");
    let mut inputs = BTreeMap::new();
    for (name, declared) in action["inputs"].as_object().expect("inputs") {
        let given = given.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        inputs.insert(name.clone(), given.unwrap_or_else(|| text(&declared["default"]).to_owned()));
    }
    let known = inputs.keys().map(String::as_str).collect::<Vec<_>>();
    for (name, _) in given {
        assert!(known.contains(name), "the action has no input {name}");
    }
    let expand = |word: &str| {
        let mut result = word.to_owned();
        for (name, value) in &inputs {
            result = result.replace(&format!("${{{{ inputs.{name} }}}}"), value);
        }
        let result = result.replace("${{ github.token }}", "ghs_of_the_job");
        assert!(!result.contains("${{"), "an expression is left in {result}");
        result
    };
    assert_eq!(action["runs"]["using"], "composite");
    let steps = action["runs"]["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 1);
    let step = &steps[0];
    assert_eq!(text(&step["shell"]), "bash");
    let script = files.join("script.sh");
    let body = text(&step["run"]);
    assert!(!body.contains("${{"), "an expression in a script is an injection");
    fs::write(&script, body).expect("written");
    for name in ["output", "summary", "env"] {
        fs::write(files.join(name), "").expect("written");
    }
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(&script).current_dir(workspace);
    command.env_clear().env("PATH", path).env("HOME", files).env("CI", "true").env("GITHUB_ACTIONS", "true");
    command.env("GITHUB_WORKSPACE", workspace).env("GITHUB_ACTION_PATH", "").env("RUNNER_TEMP", files);
    command.env("GITHUB_OUTPUT", files.join("output")).env("GITHUB_STEP_SUMMARY", files.join("summary"));
    command.env("GITHUB_ENV", files.join("env"));
    for (name, value) in step["env"].as_object().expect("variables") {
        command.env(name, expand(text(value)));
    }
    run(&mut command)
}

#[test]
fn a_github_action_builds_and_sets_outputs() {
    let registry = Registry::with_password();
    let workspace = source(&registry);
    let files = scratch();
    let programs = program_directory();
    let path = format!("{}:/usr/bin:/bin", programs.path().display());
    let tags = format!("{}\n{}", registry.reference("team/app:1"), registry.reference("team/app:latest"));
    let given = [
        ("context", "app".to_owned()),
        ("tags", tags),
        ("push", "true".to_owned()),
        ("target", "first".to_owned()),
        ("build-args", "GREETING=hello from github".to_owned()),
        ("username", "builder".to_owned()),
        ("password", "correct horse battery staple".to_owned()),
        ("insecure-registries", registry.host()),
        ("extra-args", "--isolation=overlay".to_owned()),
    ];
    let finished = run_action(&given, workspace.path(), files.path(), &path);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let output = finished.output();
    let shown = output.lines().find(|l| l.contains("battery staple") && !l.starts_with("::add-mask::"));
    assert_eq!(shown, None, "the password is shown");
    let image = registry.image("team/app:1");
    assert_eq!(registry.image("team/app:latest").digest, image.digest);
    assert_eq!(image.layer(-1).listing(), "f 0644 0:0 greeting \"hello from github\\n\"\n");
    let outputs = file_command(&files.path().join("output"));
    assert_eq!(outputs["digest"], image.digest);
    assert_eq!(outputs["image"], registry.reference("team/app:1"));
    assert_eq!(outputs["image-ref"], format!("{}@{}", registry.reference("team/app"), image.digest));
    let summary = fs::read_to_string(files.path().join("summary")).expect("written");
    for part in [image.digest.as_str(), "team/app:1", "RUN echo $GREETING"] {
        assert!(summary.contains(part), "'{part}' is not in:\n{summary}");
    }
    let declared = read_yaml("github-action/action.yml");
    for (name, output) in declared["outputs"].as_object().expect("outputs") {
        assert!(outputs.contains_key(name), "the output {name} ({output}) is not set");
    }

    let failing = [
        ("context", "app".to_owned()),
        ("extra-args", "--isolation=overlay".to_owned()),
        ("insecure-registries", registry.host()),
        ("tags", registry.reference("team/app:2")),
        ("username", "builder".to_owned()),
        ("password", "correct horse battery staple".to_owned()),
    ];
    let finished = run_action(&failing, workspace.path(), files.path(), &path);
    assert_eq!(finished.code, 1, "RUN false: {}", finished.output());
    assert!(finished.output().contains("::error"), "no annotation: {}", finished.output());
    assert!(file_command(&files.path().join("output")).is_empty());
}
