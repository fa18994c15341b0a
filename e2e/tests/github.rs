//! Steps of GitHub Actions, read as the runner reads them.

mod composite;
mod container;
mod index;
mod several;

use pretty_assertions::assert_eq;
use serde_json::Value;
use yadokari_e2e::{Base, Registry, Runner, Step, program};

/// A step that builds what the workspace holds, in an overlay.
pub(crate) fn step() -> Runner {
    Runner::new()
        .input("build-contexts", &format!("busybox=oci-layout://{}", Base::Busybox.layout().display()))
        .input("isolation", "overlay")
        .variable("SOURCE_DATE_EPOCH", "1700000000")
}

pub(crate) fn run(runner: &Runner) -> Step {
    runner.run(&program(), &["ci", "github"])
}

#[test]
fn rules_make_tags_labels_and_outputs() {
    let registry = Registry::with_password();
    let account = "builder";
    let password = "correct horse battery staple";
    let event = r#"{"repository": {"name": "app", "description": "It's <great>", "default_branch": "main",
        "html_url": "https://github.com/octo/app", "license": {"spdx_id": "MIT"}}}"#;
    let runner = step()
        .file("app/Dockerfile", "FROM busybox\nARG DOCKER_METADATA_OUTPUT_VERSION\nRUN echo $DOCKER_METADATA_OUTPUT_VERSION > /version\n")
        .file("event.json", event);
    let event = runner.workspace().join("event.json");
    let runner = runner
        .variable("GITHUB_REF", "refs/tags/v1.2.3")
        .variable("GITHUB_EVENT_PATH", &event.display().to_string())
        .input("context", "app")
        .input("images", &format!("{}\nname=off.example/x,enable=false", registry.reference("Octo/App")))
        .input("tags", "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\ntype=sha")
        .input("labels", "com.example.team=a=b\norg.opencontainers.image.title=Other")
        .input("build-args", "DOCKER_METADATA_OUTPUT_VERSION")
        .input("insecure-registries", &registry.host())
        .input("username", account)
        .input("password", password)
        .input("artifacts", "true")
        .input("push", "true");
    let step = run(&runner).succeeded();
    let outputs = step.outputs();
    let image = registry.image("octo/app:1.2.3");
    let repository = registry.reference("octo/app");
    let tags = ["1.2.3", "1.2", "sha-860c190", "latest"];
    for tag in tags {
        assert_eq!(registry.image(&format!("octo/app:{tag}")).digest, image.digest, "{tag}");
    }
    assert_eq!(outputs["tags"], tags.map(|tag| format!("{repository}:{tag}")).join("\n"));
    assert_eq!(outputs["tag-names"], tags.join("\n"));
    assert_eq!(outputs["version"], "1.2.3");
    assert_eq!(outputs["digest"], image.digest);
    assert_eq!(outputs["image-ref"], format!("{repository}@{}", image.digest));
    assert_eq!(outputs["repository"], repository);
    assert_eq!(outputs["platform-digests"], format!(r#"{{"linux/amd64":"{}"}}"#, image.digest));
    let metadata: Value = serde_json::from_str(&outputs["metadata"]).expect("JSON");
    assert_eq!(metadata["containerimage.digest"], image.digest.as_str());
    assert_eq!(metadata["containerimage.config.digest"], outputs["imageid"]);

    let labels = &image.config["config"]["Labels"];
    for (key, value) in [
        ("com.example.team", "a=b"),
        ("org.opencontainers.image.title", "Other"),
        ("org.opencontainers.image.description", "It's <great>"),
        ("org.opencontainers.image.created", "2023-11-14T22:13:20.000Z"),
        ("org.opencontainers.image.licenses", "MIT"),
        ("org.opencontainers.image.version", "1.2.3"),
    ] {
        assert_eq!(labels[key], value, "{key}");
        assert!(outputs["labels"].lines().any(|line| line == format!("{key}={value}")), "{key}");
    }
    let json: Value = serde_json::from_str(&outputs["json"]).expect("JSON");
    assert_eq!(json["labels"], *labels);
    assert_eq!(step.exports()["DOCKER_METADATA_OUTPUT_JSON"], outputs["json"]);
    assert_eq!(image.layer(-1).listing(), "f 0644 0:0 version \"1.2.3\\n\"\n");

    assert_eq!(step.artifacts(), format!("oci://{repository}@{}\n", image.digest));
    assert!(step.log.of("add-mask").iter().any(|command| command.message == password));
    assert!(!step.log.lines.concat().contains("horse"));
    for part in ["Image pushed", image.digest.as_str(), "linux/amd64", "#### Layers", "#### Steps", "█"] {
        assert!(step.summary().contains(part), "{part} is not in the summary:\n{}", step.summary());
    }
}

#[test]
fn a_digest_is_there_without_a_push() {
    let step = run(&step().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")).succeeded();
    let outputs = step.outputs();
    assert!(outputs["digest"].starts_with("sha256:"));
    assert!(!outputs.contains_key("image") && !outputs.contains_key("tags"), "{outputs:?}");
    assert_eq!(step.artifacts(), "");
    assert!(step.summary().contains("Image built"));
}

#[test]
fn what_a_command_prints_is_obeyed_by_nobody() {
    let hostile = concat!(
        "FROM busybox\n",
        "RUN --mount=type=secret,id=S printf '::error::owned\\n##[error]owned\\n::add-mask::a\\n::set-output name=digest::owned\\n",
        "  ::warning file=x::owned\\nx\\r::error::owned\\n\\033[2J\\033]0;owned\\007\\n::stop-commands::owned\\n::owned::\\n::error::owned\\n' ",
        "&& cat /run/secrets/S && printf '::group::owned' >&2 && echo '##[group]owned'\n",
        "LABEL owned=\"##[error]owned\"\n",
    );
    let runner = step().file("Dockerfile", hostile).input("secrets", "S=hunter22 % \"quoted\"");
    let step = run(&runner).succeeded();
    let allowed = ["add-mask", "group", "endgroup", "notice"];
    for command in &step.log.commands {
        let quoted = command.name == "group" && command.message.contains("RUN --mount");
        assert!(allowed.contains(&command.name.as_str()), "{command:?}");
        assert!(
            quoted || !command.message.contains("owned") || command.message.contains("LABEL"),
            "{command:?}"
        );
    }
    assert!(step.log.of("add-mask").iter().any(|command| command.message == "hunter22 % \"quoted\""));
    assert!(!step.finished.output().contains(['\u{1b}', '\u{7}']));
    assert!(
        step.finished
            .stdout
            .lines()
            .skip(1)
            .all(|line| line.starts_with("::add-mask::") || !line.contains("hunter22"))
    );
    assert!(!step.summary().contains("hunter22"));
    let depth = step.log.of("group").len();
    assert_eq!(depth, step.log.of("endgroup").len());
}

#[test]
fn a_failure_is_at_its_line_and_in_the_summary() {
    let runner = step()
        .file("app/Dockerfile", "FROM busybox\nRUN true\nRUN echo why >&2; exit 7\n")
        .input("context", "app");
    let step = run(&runner);
    assert_eq!(step.finished.code, 7);
    let errors = step.log.of("error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].properties["file"], "app/Dockerfile");
    assert_eq!(errors[0].properties["line"], "3");
    assert!(step.summary().contains("### Build failed"), "{}", step.summary());
    assert!(step.summary().contains("exit 7"), "{}", step.summary());
    assert_eq!(step.outputs().len(), 0);
}

#[test]
fn findings_beyond_ten_are_in_the_summary_only() {
    let lines: String = (0..14).map(|n| format!("ENV A{n}_PASSWORD=x\n")).collect();
    let runner = step().file("Dockerfile", &format!("FROM scratch\n{lines}COPY Dockerfile /\n"));
    let found = run(&runner).succeeded();
    assert_eq!(found.log.of("warning").len(), 10);
    let rows = found.summary().lines().filter(|line| line.starts_with("| warning |")).count();
    assert_eq!(rows, 14, "{}", found.summary());

    let quiet = run(&runner.variable("DOCKER_BUILD_CHECKS_ANNOTATIONS", "false")).succeeded();
    assert_eq!(quiet.log.of("warning").len(), 0);
    let none = run(&step_without_summary()).succeeded();
    assert_eq!(none.summary(), "");
}

fn step_without_summary() -> Runner {
    step().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n").variable("DOCKER_BUILD_SUMMARY", "false")
}

#[test]
fn an_input_that_no_image_differs_by_is_a_notice() {
    let runner = step().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n").input("shm-size", "2g");
    let step = run(&runner).succeeded();
    let notices = step.log.of("notice");
    assert!(notices.len() == 1 && notices[0].message.contains("shm-size"), "{notices:?}");
}
