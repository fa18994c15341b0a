//! `yadokari migrate` and `yadokari init`: what they write is what the platforms take.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::Value;
use tempfile::TempDir;
use yadokari_e2e::{Finished, program, run, run_ok, scratch};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

fn yadokari(directory: &Path, words: &[&str]) -> Finished {
    run(Command::new(program()).args(words).current_dir(directory).env("HOME", directory))
}

/// A directory with one of the inputs.
fn input(name: &str) -> TempDir {
    let directory = scratch();
    fs::copy(repository().join("testdata/migrate").join(name), directory.path().join(name)).expect("copied");
    directory
}

/// Migrates in place; the file afterwards, and the remarks.
fn migrated(name: &str) -> (String, String, TempDir) {
    let directory = input(name);
    let before = fs::read_to_string(directory.path().join(name)).expect("readable");
    let shown = yadokari(directory.path(), &["migrate", name]);
    assert_eq!(shown.code, 0, "{}", shown.output());
    assert_eq!(fs::read_to_string(directory.path().join(name)).expect("readable"), before, "only shown");
    let written = yadokari(directory.path(), &["migrate", name, "--write"]);
    assert_eq!((written.code, &written.stdout), (0, &shown.stdout));
    let after = fs::read_to_string(directory.path().join(name)).expect("readable");
    // patch(1)'s format: what is shown is what is done.
    let expected: usize =
        shown.stdout.lines().filter(|l| l.starts_with('+') && !l.starts_with("+++")).count();
    let new = after.lines().filter(|line| !before.lines().any(|old| old == *line)).count();
    assert!(new <= expected, "{}", shown.stdout);
    let again = yadokari(directory.path(), &["migrate", name]);
    assert_eq!(again.code, 1, "there is nothing left: {}", again.output());
    (after, shown.stderr, directory)
}

/// Checks each document against a schema of ours, by its kind.
fn check_tekton(text: &str) {
    let directory = scratch();
    for (number, document) in text.split("\n---\n").enumerate() {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind: ")).expect("a kind");
        let file = directory.path().join(format!("{number}.yaml"));
        fs::write(&file, document).expect("written");
        let schema = repository().join(format!("testdata/schemas/tekton-{}-v1.json", kind.to_lowercase()));
        run_ok(Command::new("check-jsonschema").arg("--schemafile").arg(schema).arg(&file));
    }
}

fn check_builtin(schema: &str, file: &Path) {
    run_ok(Command::new("check-jsonschema").args(["--builtin-schema", schema]).arg(file));
}

#[test]
fn a_kaniko_pod_gets_another_image() {
    let directory = input("pod.yaml");
    let finished = yadokari(directory.path(), &["migrate", "pod.yaml"]);
    let expected = fs::read_to_string(repository().join("testdata/migrate/pod.diff")).expect("readable");
    assert_eq!(finished.stdout, expected.replace("VERSION", env!("CARGO_PKG_VERSION")));
    assert!(finished.stderr.starts_with("pod.yaml:11: --dryrun is not supported"), "{}", finished.stderr);
}

#[test]
fn catalog_tasks_are_referred_to_as_ours() {
    let (after, remarks, _directory) = migrated("tekton.yaml");
    check_tekton(&after);
    assert!(after.contains("  # the catalog's\n  taskRef:\n    resolver: git\n    params:\n"), "{after}");
    assert_eq!(
        after.matches("pathInRepo, value: tekton/task/yadokari/0.1/yadokari.yaml").count(),
        2,
        "{after}"
    );
    for gone in ["BUILDER_IMAGE", "STORAGE_DRIVER", "BUILD_EXTRA_ARGS", "buildah", "kaniko-project"] {
        assert!(!after.contains(gone), "{gone} is left in:\n{after}");
    }
    assert!(after.contains("    - name: EXTRA_ARGS\n      value: [--cache=true]\n"), "{after}");
    assert!(after.contains("        - name: SKIP_PUSH\n          value: \"false\"\n"), "{after}");
    for line in [
        "tekton.yaml:12: BUILDER_IMAGE",
        "tekton.yaml:43: STORAGE_DRIVER",
        "tekton.yaml:45: BUILD_EXTRA_ARGS",
    ] {
        assert!(remarks.contains(line), "{line} is not in:\n{remarks}");
    }
}

#[test]
fn a_gitlab_job_keeps_its_script_and_loses_its_login() {
    let (after, remarks, directory) = migrated("gitlab-ci.yml");
    check_builtin("vendor.gitlab-ci", &directory.path().join("gitlab-ci.yml"));
    let image = format!(
        "    name: ghcr.io/yadokari-build/yadokari:v{}-debug\n    entrypoint: [\"\"]\n",
        env!("CARGO_PKG_VERSION")
    );
    assert!(after.contains(&image), "{after}");
    assert!(!after.contains("before_script") && !after.contains("PASSWORD"), "{after}");
    let script =
        "  # one command\n  script:\n    - /kaniko/executor\n      --context \"${CI_PROJECT_DIR}\"\n";
    assert!(after.contains(script) && after.contains("  image: alpine\n"), "{after}");
    assert!(remarks.contains("gitlab/templates/build"), "{remarks}");
}

#[test]
fn a_workflow_uses_our_action() {
    let (after, remarks, directory) = migrated("workflow.yml");
    check_builtin("vendor.github-workflows", &directory.path().join("workflow.yml"));
    assert!(
        after.contains(
            "      # the image\n      - name: Build and push\n        uses: yadokari-build/yadokari/"
        ),
        "{after}"
    );
    for gone in ["setup-buildx", "Set up Docker", "builder:"] {
        assert!(!after.contains(gone), "{gone} is left in:\n{after}");
    }
    for kept in ["uses: docker/login-action@v3", "uses: docker/setup-qemu-action@v3"] {
        assert!(after.contains(kept), "{kept} is gone from:\n{after}");
    }
    for part in ["setup-qemu-action stays", "type=gha does nothing", "pin the action"] {
        assert!(remarks.contains(part), "{part} is not in:\n{remarks}");
    }
}

#[test]
fn nothing_to_migrate_is_an_error() {
    let directory = scratch();
    fs::write(directory.path().join("a.yaml"), "apiVersion: v1\nkind: ConfigMap\n").expect("written");
    let finished = yadokari(directory.path(), &["migrate", "a.yaml"]);
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("nothing that can be rewritten"), "{}", finished.stderr);
    fs::write(directory.path().join("b.yaml"), "a: [\n").expect("written");
    assert!(yadokari(directory.path(), &["migrate", "b.yaml"]).stderr.contains("b.yaml: line "));
}

/// A repository with a Dockerfile and an origin.
fn project(dockerfile: &str, origin: &str) -> TempDir {
    let directory = scratch();
    let path = directory.path().join(dockerfile);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, "FROM scratch\n").expect("written");
    let git = |words: &[&str]| run_ok(Command::new("git").args(words).current_dir(directory.path()));
    git(&["init", "--quiet", "--initial-branch=trunk"]);
    git(&["remote", "add", "origin", origin]);
    directory
}

#[test]
fn a_workflow_for_a_new_repository() {
    let project = project("Dockerfile", "git@github.com:Acme/App.git");
    let finished = yadokari(project.path(), &["init", "github"]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let file = project.path().join(".github/workflows/image.yml");
    let text = fs::read_to_string(&file).expect("written");
    check_builtin("vendor.github-workflows", &file);
    run_ok(Command::new("action-validator").arg(&file));
    assert!(
        text.contains("images: \"ghcr.io/acme/app\"") && text.contains("branches: [\"trunk\"]"),
        "{text}"
    );
    assert!(text.contains("packages: write") && text.contains("${{ secrets.GITHUB_TOKEN }}"), "{text}");
    let workflow: Value = serde_saphyr::from_str(&text).expect("YAML");
    let steps = workflow["jobs"]["image"]["steps"].as_array().expect("steps");
    let with = steps.iter().find(|step| step["id"] == "build").expect("the build")["with"].clone();
    let action = fs::read_to_string(repository().join("github-action/action.yml")).expect("readable");
    let action: Value = serde_saphyr::from_str(&action).expect("YAML");
    for name in with.as_object().expect("inputs").keys() {
        assert!(action["inputs"].get(name).is_some(), "the action has no input {name}");
    }
    let again = yadokari(project.path(), &["init", "github"]);
    assert!(again.code == 1 && again.stderr.contains("is there already"), "{}", again.stderr);
    let shown = yadokari(project.path(), &["init", "github", "--stdout"]);
    assert_eq!((shown.code, shown.stdout), (0, text));
}

#[test]
fn a_gitlab_pipeline_for_a_new_repository() {
    let project = project("app/Dockerfile", "https://oauth2:glpat-secret@gitlab.example.com/group/app.git");
    let finished = yadokari(project.path(), &["init", "gitlab"]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let file = project.path().join(".gitlab-ci.yml");
    check_builtin("vendor.gitlab-ci", &file);
    let text = fs::read_to_string(&file).expect("written");
    assert!(
        text.contains("    inputs:\n      context: \"app\"\n      dockerfile: \"app/Dockerfile\"\n"),
        "{text}"
    );
    assert!(
        !text.contains("      image:") && !text.contains("glpat") && !finished.output().contains("glpat"),
        "{text}"
    );
    let github = yadokari(project.path(), &["init", "github", "--stdout"]);
    assert!(github.stdout.contains("registry.gitlab.example.com/group/app"), "{}", github.stdout);
    assert!(github.stderr.contains("REGISTRY_USERNAME"), "{}", github.stderr);
}

#[test]
fn a_pipeline_run_for_a_new_repository() {
    let project = project("Dockerfile", "ssh://git@git.example.com:2222/team/app.git");
    let finished = yadokari(project.path(), &["init", "tekton"]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let text = fs::read_to_string(project.path().join("tekton/image.yaml")).expect("written");
    check_tekton(&text);
    assert!(text.contains("value: \"https://git.example.com/team/app.git\""), "{text}");
    assert!(
        text.contains("value: \"git.example.com/team/app:latest\"") && text.contains("value: \"trunk\""),
        "{text}"
    );
    // The Pipeline that it names is there, and has these parameters.
    let pipeline = repository().join("tekton/pipeline/yadokari-build/0.1/yadokari-build.yaml");
    let pipeline = fs::read_to_string(pipeline).expect("the Pipeline is there");
    for name in ["url", "revision", "image", "dockerfile", "context", "source", "dockerconfig"] {
        assert!(pipeline.contains(&format!("    - name: {name}\n")), "the Pipeline has no {name}");
    }
}

#[test]
fn init_needs_one_dockerfile() {
    let empty = scratch();
    let finished = yadokari(empty.path(), &["init", "tekton"]);
    assert!(finished.code == 1 && finished.stderr.contains("no Dockerfile"), "{}", finished.stderr);
    let several = project("a/Dockerfile", "git@github.com:acme/app.git");
    fs::create_dir(several.path().join("b")).expect("made");
    fs::write(several.path().join("b/Dockerfile"), "FROM scratch\n").expect("written");
    let finished = yadokari(several.path(), &["init", "github", "--stdout"]);
    assert!(finished.stderr.contains("a/Dockerfile, b/Dockerfile"), "{}", finished.stderr);
    let named = yadokari(several.path(), &["init", "github", "--stdout", "--dockerfile=b/Dockerfile"]);
    assert!(
        named.stdout.contains("file: \"b/Dockerfile\"") && named.stdout.contains("context: \"b\""),
        "{}",
        named.stdout
    );
}
