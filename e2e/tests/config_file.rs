//! `yadokari.yaml`: one or several images, from the command line and from a platform.

use std::fs;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::Value;
use tempfile::TempDir;
use yadokari_e2e::{Base, Container, Finished, Registry, program, run, scratch};

/// Two images on a common target, a third that fails, and variables.
const FILE: &str = r#"
variables:
  GREETING: hello
targets:
  _common:
    dockerfile: Dockerfile
    insecure-registries: ["${HOST}"]
    build-args:
      GREETING: "${GREETING}"
      WHO: nobody
  app:
    inherits: _common
    image: ${HOST}/team/app
    tags: [1.20, latest]
    build-args: { WHO: app }
  worker:
    inherits: [_common]
    destinations: ["${HOST}/team/worker:1"]
    labels: { role: worker }
  broken:
    inherits: _common
    image: ${HOST}/team/broken
    target: broken
groups:
  default: [app, worker]
  all: [app, broken, worker]
"#;

fn project(registry: &Registry) -> TempDir {
    registry.put(&Base::Busybox.layout(), "bases/busybox:1");
    let directory = scratch();
    let dockerfile = format!(
        "FROM {} AS broken\nRUN exit 7\nFROM {0}\nARG GREETING WHO\nRUN sleep 1; echo $GREETING $WHO > /said\n",
        registry.reference("bases/busybox:1")
    );
    fs::write(directory.path().join("Dockerfile"), dockerfile).expect("written");
    fs::write(directory.path().join("yadokari.yaml"), FILE).expect("written");
    directory
}

fn yadokari(directory: &Path, registry: &Registry, words: &[&str]) -> Finished {
    let mut command = Command::new(program());
    let work = directory.join(".work");
    command.args(words).current_dir(directory).env("HOST", registry.host());
    command.env("HOME", directory).env_remove("SOURCE_DATE_EPOCH");
    command.arg(format!("--work-dir={}", work.display()));
    run(&mut command)
}

fn said(registry: &Registry, name: &str) -> String {
    registry.image(name).layer(-1).listing()
}

#[test]
fn targets_are_built_side_by_side_and_reported_together() {
    let registry = Registry::open();
    let project = project(&registry);
    let words = [
        "build",
        "--config=yadokari.yaml",
        "--isolation=overlay",
        "--jobs=2",
        "--metadata-file=meta.json",
        "--env-file=env",
    ];
    let finished = yadokari(project.path(), &registry, &words);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert_eq!(said(&registry, "team/app:1.20"), "f 0644 0:0 said \"hello app\\n\"\n");
    assert_eq!(said(&registry, "team/worker:1"), "f 0644 0:0 said \"hello nobody\\n\"\n");
    let app = registry.image("team/app:latest");
    let worker = registry.image("team/worker:1");
    assert_eq!(worker.config["config"]["Labels"]["role"], "worker");
    let text = fs::read_to_string(project.path().join("meta.json")).expect("written");
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(metadata["app"]["containerimage.digest"], app.digest.as_str());
    assert_eq!(metadata["worker"]["containerimage.descriptor"]["digest"], worker.digest.as_str());
    let names = format!("{},{}", registry.reference("team/app:1.20"), registry.reference("team/app:latest"));
    assert_eq!(metadata["app"]["image.name"], names);
    let env = fs::read_to_string(project.path().join("env")).expect("written");
    assert!(env.contains(&format!("IMAGE_DIGEST_app={}\n", app.digest)), "{env}");
    let reference = format!("IMAGE_REF_worker={}@{}\n", registry.reference("team/worker"), worker.digest);
    assert!(env.contains(&reference), "{env}");
    // Both RUNs had started before one of them ended.
    let output = finished.output();
    assert!(output.contains("2 images side by side: app, worker"), "{output}");
    let place = |text: &str| output.find(text).unwrap_or_else(|| panic!("no {text} in:\n{output}"));
    let starts = [place("[app/stage-1 3/3] RUN"), place("[worker/stage-1 3/3] RUN")];
    let ends = [place("app: pushed"), place("worker: pushed")];
    assert!(starts.iter().max() < ends.iter().min(), "{output}");
}

#[test]
fn a_target_that_fails_lets_the_others_finish() {
    let registry = Registry::open();
    let project = project(&registry);
    let words = ["build", "all", "--config=yadokari.yaml", "--isolation=chroot", "--metadata-file=meta.json"];
    let finished = yadokari(project.path(), &registry, &words);
    assert_eq!(finished.code, 7, "the failing command's own code: {}", finished.output());
    assert!(finished.output().contains("1 of 3 images failed: broken"), "{}", finished.output());
    assert!(registry.has_tag("team/worker", "1") && registry.has_tag("team/app", "latest"));
    assert!(!registry.has_tag("team/broken", "latest"));
    let text = fs::read_to_string(project.path().join("meta.json")).expect("written");
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(metadata.as_object().expect("an object").keys().collect::<Vec<_>>(), ["app", "worker"]);
}

#[test]
fn what_is_typed_counts_more_than_the_file() {
    let registry = Registry::open();
    let project = project(&registry);
    let destination = format!("--destination={}", registry.reference("mine:2"));
    let words = [
        "build",
        "--config=yadokari.yaml",
        "app",
        "--isolation=overlay",
        "--build-arg=WHO=me",
        destination.as_str(),
        "--digest-file=digest",
        "--output-file=image-ref=out/ref",
        "--output-file=IMAGE_TAGS=out/tags",
    ];
    let finished = yadokari(project.path(), &registry, &words);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert_eq!(said(&registry, "mine:2"), "f 0644 0:0 said \"hello me\\n\"\n");
    assert!(!registry.has_tag("team/app", "latest"), "the file's own place is displaced");
    let digest = fs::read_to_string(project.path().join("digest")).expect("written");
    assert_eq!(digest, registry.image("mine:2").digest);
    let out = |name: &str| fs::read_to_string(project.path().join("out").join(name)).expect("written");
    assert_eq!(out("ref"), format!("{}@{digest}", registry.reference("mine")));
    assert_eq!(out("tags"), registry.reference("mine:2"));

    let refused =
        yadokari(project.path(), &registry, &["build", "--config=yadokari.yaml", "--digest-file=digest"]);
    assert_eq!(refused.code, 1);
    assert!(refused.output().contains("app and worker both write digest"), "{}", refused.output());
    let words = ["build", "--config=yadokari.yaml", "--context=-", "--isolation=overlay"];
    let refused = yadokari(project.path(), &registry, &words);
    assert_eq!(refused.code, 1);
    let said =
        "target app: the context comes from standard input, which one build can read, and 2 are asked for";
    assert!(refused.output().contains(said), "{}", refused.output());
    let refused = yadokari(project.path(), &registry, &["build", "--config=yadokari.yaml", "worke"]);
    assert!(refused.output().contains("did you mean worker?"), "{}", refused.output());
    fs::write(project.path().join("bad.yaml"), "image: a\npush: 7\n").expect("written");
    let refused = yadokari(project.path(), &registry, &["build", "--config=bad.yaml"]);
    assert!(refused.output().contains("bad.yaml:2"), "{}", refused.output());
}

#[test]
fn in_place_targets_are_built_one_after_the_other() {
    let registry = Registry::open();
    let project = project(&registry);
    let container = Container::tiny()
        .volume(project.path(), "/workspace")
        .option("--workdir=/workspace")
        .option("--volume=/yadokari/work")
        .env("HOST", &registry.host());
    let words =
        ["build", "--config=yadokari.yaml", "--metadata-file=/workspace/meta.json"].map(str::to_owned);
    let finished = container.run_command("yadokari", &words);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.output().contains("one after the other"), "{}", finished.output());
    assert_eq!(said(&registry, "team/app:1.20"), "f 0644 0:0 said \"hello app\\n\"\n");
    assert_eq!(said(&registry, "team/worker:1"), "f 0644 0:0 said \"hello nobody\\n\"\n");
    assert!(project.path().join("meta.json").exists());
}

fn gitlab(directory: &Path, registry: &Registry, words: &[&str], inputs: &[(&str, &str)]) -> Finished {
    let mut command = Command::new(program());
    command.args(["ci", "gitlab"]).args(words).current_dir(directory).env_clear();
    command.env("HOST", registry.host()).env("HOME", directory).env("PATH", "/usr/bin:/bin");
    command.env("GITLAB_CI", "true").env("CI_PROJECT_DIR", directory);
    command.env("CI_REGISTRY_IMAGE", registry.reference("group/project")).env("CI_COMMIT_REF_SLUG", "main");
    command.env("CI_REGISTRY", registry.host()).env("CI_REGISTRY_USER", "builder");
    command.env("CI_REGISTRY_PASSWORD", "correct horse battery staple");
    command.env("YADOKARI_CONTEXT", ".").env("YADOKARI_DOCKERFILE", "Dockerfile");
    run(command.envs(inputs.iter().copied()))
}

#[test]
fn a_platform_picks_the_file_up_and_its_inputs_count_more() {
    let registry = Registry::with_password();
    let project = project(&registry);
    let inputs = [("YADOKARI_BUILD_ARGS", "GREETING=bonjour"), ("YADOKARI_ISOLATION", "overlay")];
    let finished = gitlab(project.path(), &registry, &[], &inputs);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert_eq!(said(&registry, "team/app:latest"), "f 0644 0:0 said \"bonjour app\\n\"\n");
    assert!(!registry.has_tag("group/project", "main"), "the file names the places");
    let report = fs::read_to_string(project.path().join("yadokari.env")).expect("written");
    let app = registry.image("team/app:latest").digest;
    assert!(report.contains(&format!("IMAGE_DIGEST_app={app}\n")), "{report}");
    assert!(report.contains("IMAGE_REF_worker="), "{report}");
}

#[test]
fn an_explanation_says_who_said_what_and_builds_nothing() {
    let registry = Registry::with_password();
    let project = project(&registry);
    let inputs = [
        ("YADOKARI_TARGETS", "app"),
        ("YADOKARI_TAGS", "2"),
        ("YADOKARI_BUILD_ARGS", "API_TOKEN=hunter2hunter2"),
        ("YADOKARI_REGISTRY_AUTHS", "registry=r.io,username=u,password=swordfish"),
        ("YADOKARI_SECRET_VALUES", "npm=open sesame"),
    ];
    let finished = gitlab(project.path(), &registry, &["--explain"], &inputs);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let shown: Vec<String> =
        finished.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let app = format!("image = {}/team/app (yadokari.yaml:13)", registry.host());
    let push = format!("push to {}", registry.reference("team/app:2"));
    let report = project.path().join("yadokari.env").display().to_string();
    let dotenv = |line: &String| line.starts_with("dotenv report: IMAGE_DIGEST") && line.ends_with(&report);
    assert!(shown.iter().any(dotenv), "{}", finished.stdout);
    for line in [
        "platform: gitlab",
        "target app",
        "tags = 2 (input tags (variable YADOKARI_TAGS))",
        "build-args = GREETING=hello (yadokari.yaml:9)",
        "build-args = WHO=app (yadokari.yaml:15)",
        "build-args = API_TOKEN=*** (input build-args (variable YADOKARI_BUILD_ARGS))",
        "registry-auths = *** (input registry-auths (variable YADOKARI_REGISTRY_AUTHS))",
        "credentials from CI_REGISTRY_USER",
        "secret of steps npm",
        app.as_str(),
        push.as_str(),
    ] {
        assert!(shown.iter().any(|l| l == line), "'{line}' is not in:\n{}", finished.stdout);
    }
    for secret in ["hunter2", "swordfish", "sesame", "battery"] {
        assert!(!finished.output().contains(secret), "{secret}:\n{}", finished.output());
    }
    assert!(!project.path().join("yadokari.env").exists() && !registry.has_tag("team/app", "2"));
}
