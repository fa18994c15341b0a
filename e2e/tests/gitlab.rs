//! What we ship for GitLab CI/CD, run by gitlab-ci-local.

mod project;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::Value;
use yadokari_e2e::{Page, Registry, WebServer, run, run_ok, scratch};

use project::Project;

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

/// An include of one of our components, with inputs of this machine.
fn include(how: &str, registry: &Registry, inputs: &str) -> String {
    format!(
        "  - {how}\n    inputs:\n      insecure-registries: {}\n{}",
        registry.host(),
        inputs.lines().map(|line| format!("      {line}\n")).collect::<String>()
    )
}

const COMPONENT: &str = "component: $CI_SERVER_FQDN/team/app/build@$CI_COMMIT_SHA";
const APP: &str = "context: app\ndockerfile: app/Dockerfile\nextra-args: --isolation=overlay";

/// GitLab's rules for dotenv reports, which gitlab-ci-local does not enforce; the variables.
fn dotenv(text: &str) -> Vec<(String, String)> {
    assert!(text.len() <= 5 * 1024 && text.is_ascii(), "{text}");
    let variables: Vec<(String, String)> = text
        .lines()
        .map(|line| line.split_once('=').unwrap_or_else(|| panic!("'{line}' is no variable")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(variables.len() <= 20, "{} variables", variables.len());
    for (n, (name, value)) in variables.iter().enumerate() {
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        assert!(!value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic()), "{name}={value:?}");
        assert!(!value.contains(['"', '\'', '$', '#']), "{name}={value:?}");
        assert!(variables[..n].iter().all(|(other, _)| other != name), "{name} is there twice");
    }
    variables
}

fn value<'a>(variables: &'a [(String, String)], name: &str) -> &'a str {
    variables.iter().find(|(n, _)| n == name).map_or_else(|| panic!("no {name}"), |(_, value)| value)
}

#[test]
fn a_component_builds_and_hands_on_its_results() {
    let registry = Registry::with_password();
    let instructions = "ARG GREETING=none\nRUN echo $GREETING > /greeting\nfrom scratch as Last\nRUN false\n";
    let inputs = format!(
        "{APP}\ntarget: \"0\"\ntags: \"1, latest\"\nbuild-args: |\n  GREETING=hello, \"gitlab\"\n  OTHER=x\nlabels: '[\"a=two words\"]'"
    );
    let project = Project::new(&registry, instructions).with_account().pipeline(&format!(
        "include:\n{}use:\n  stage: deploy\n  needs: [yadokari-build]\n  script:\n    - env | grep IMAGE > used\n\
         \x20 artifacts:\n    paths: [used]\n",
        include(COMPONENT, &registry, &inputs)
    ));
    let finished = project.run();
    assert_eq!(finished.code, 0, "{}", finished.output());
    let image = registry.image("team/app:1");
    assert_eq!(registry.image("team/app:latest").digest, image.digest);
    assert_eq!(image.layer(-1).listing(), "f 0644 0:0 greeting \"hello, \\\"gitlab\\\"\\n\"\n");
    let labels = &image.config["config"]["Labels"];
    assert_eq!(labels["a"], "two words");
    let commit = run_ok(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(project.path()));
    assert_eq!(labels["org.opencontainers.image.revision"], commit.trim());
    // gitlab-ci-local takes the present for the commit's time.
    assert_eq!(image.config["created"], labels["org.opencontainers.image.created"], "the commit's time");

    let variables = dotenv(&project.artifact("yadokari-build", "yadokari.env"));
    let reference = format!("{}@{}", registry.reference("team/app"), image.digest);
    assert_eq!(value(&variables, "IMAGE_DIGEST"), image.digest);
    assert_eq!(value(&variables, "IMAGE_REF"), reference);
    assert_eq!(value(&variables, "docker_image_digest"), reference);
    let used = project.artifact("use", "used");
    assert!(used.contains(&format!("IMAGE_REF={reference}\n")), "{used}");

    assert!(!finished.output().contains("horse"), "the password is in the log");
}

#[test]
fn a_local_include_takes_tags_of_the_branch_and_by_rules() {
    let registry = Registry::with_password();
    let local = "local: templates/build/template.yml";
    let rules = format!(
        "{APP}\njob-prefix: \"second-\"\nstage: test\ntag-rules: |\n  type=ref,event=branch,prefix=b-\n  type=sha"
    );
    let first = format!("{APP}\njob-prefix: \"first-\"");
    let project = Project::new(&registry, "COPY Dockerfile /\n").with_account().pipeline(&format!(
        "include:\n{}{}",
        include(local, &registry, &first),
        include(local, &registry, &rules)
    ));
    let finished = project.run();
    assert_eq!(finished.code, 0, "{}", finished.output());
    let commit =
        run_ok(Command::new("git").args(["rev-parse", "--short=7", "HEAD"]).current_dir(project.path()));
    for tag in ["main", "b-main", &format!("sha-{}", commit.trim())] {
        assert!(registry.has_tag("team/app", tag), "no {tag}: {}", finished.output());
    }
}

/// As from a release: one file from a web server, and the targets of a file in the project.
#[test]
fn a_remote_include_builds_targets_of_a_file() {
    let registry = Registry::with_password();
    let server = WebServer::start();
    let template = fs::read(repository().join("gitlab/templates/build/template.yml")).expect("readable");
    server.page("/build.yml", Page::of(template));
    let file = format!(
        "targets:\n  _base: {{ context: app }}\n  one: {{ inherits: _base, image: {0}/team/one, tags: 1 }}\n  \
         two: {{ inherits: _base, image: {0}/team/two, tags: 1 }}\n  other: {{ image: {0}/team/other }}\n",
        registry.host()
    );
    let inputs = "config: yadokari.yaml\ntargets: one, two\npull: true\nextra-args: --isolation=overlay";
    let remote = format!("remote: {}", server.url("/build.yml"));
    let project = Project::new(&registry, "COPY Dockerfile /\n").with_account();
    fs::write(project.path().join("yadokari.yaml"), file).expect("written");
    let project = project.pipeline(&format!("include:\n{}", include(&remote, &registry, inputs)));
    let finished = project.run();
    assert_eq!(finished.code, 0, "{}", finished.output());
    let variables = dotenv(&project.artifact("yadokari-build", "yadokari.env"));
    for name in ["one", "two"] {
        let digest = registry.image(&format!("team/{name}:1")).digest;
        assert_eq!(value(&variables, &format!("IMAGE_DIGEST_{name}")), digest);
    }
    assert!(!registry.has_tag("team/other", "main"), "it is no target that was asked for");
}

#[test]
fn inputs_are_validated() {
    let registry = Registry::open();
    for (input, wrong) in
        [("format", "squashfs"), ("push", "perhaps"), ("image", "a b"), ("dotenv", "../x;y")]
    {
        let inputs = format!("{APP}\n{input}: \"{wrong}\"");
        let pipeline = format!("include:\n{}", include(COMPONENT, &registry, &inputs));
        let project = Project::new(&registry, "COPY Dockerfile /\n").pipeline(&pipeline);
        let finished = project.local(&["--preview"]);
        assert_ne!(finished.code, 0, "{input}: {wrong} is taken:\n{}", finished.output());
    }
}

/// What GitLab makes of includes is a valid pipeline by its own schema.
#[test]
fn the_expanded_pipeline_is_valid() {
    let registry = Registry::open();
    let index = "component: $CI_SERVER_FQDN/team/app/index@$CI_COMMIT_SHA";
    let pipeline = format!(
        "include:\n{}{}yadokari-build:\n  parallel:\n    matrix:\n      - PLATFORM: [linux/amd64, linux/arm64]\n",
        include(COMPONENT, &registry, &format!("{APP}\nplatform: $PLATFORM")),
        include(index, &registry, "tags: a")
    );
    let project = Project::new(&registry, "COPY Dockerfile /\n").pipeline(&pipeline);
    let finished = project.local(&["--preview"]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let directory = scratch();
    let file = directory.path().join(".gitlab-ci.yml");
    fs::write(&file, &finished.stdout).expect("written");
    let checked =
        run(Command::new("check-jsonschema").args(["--builtin-schema", "vendor.gitlab-ci"]).arg(&file));
    assert_eq!(checked.code, 0, "{}\n{}", checked.output(), finished.stdout);
}

/// `parallel:matrix` with the index job, as the README has it.
#[test]
fn a_matrix_is_joined_in_an_index() {
    let registry = Registry::with_password();
    let index = "component: $CI_SERVER_FQDN/team/app/index@$CI_COMMIT_SHA";
    let pipeline = format!(
        "include:\n{}{}yadokari-build:\n  parallel:\n    matrix:\n      - PLATFORM: [linux/amd64, linux/arm64]\n\
         use:\n  stage: deploy\n  needs: [yadokari-build, yadokari-index]\n  script:\n    - env | grep IMAGE > used\n\
         \x20 artifacts:\n    paths: [used]\n",
        include(COMPONENT, &registry, &format!("{APP}\nplatform: $PLATFORM\ntags: v1")),
        include(index, &registry, "tags: v1, latest")
    );
    let project = Project::new(&registry, "").with_account().pipeline("x: {script: [true]}\n");
    fs::write(project.path().join("app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").expect("written");
    let project = project.pipeline(&pipeline);
    let finished = project.run();
    assert_eq!(finished.code, 0, "{}", finished.output());
    let raw = registry.raw("team/app:v1");
    assert_eq!(registry.raw("team/app:latest"), raw);
    let read: Value = serde_json::from_str(&raw).expect("JSON");
    let mut architectures: Vec<&str> = Vec::new();
    for manifest in read["manifests"].as_array().expect("an index") {
        architectures.extend(manifest["platform"]["architecture"].as_str());
    }
    architectures.sort_unstable();
    assert_eq!(architectures, ["amd64", "arm64"]);
    let used = project.artifact("use", "used");
    let digest = yadokari_e2e::sha256(raw.as_bytes());
    assert!(used.contains(&format!("IMAGE_REF={}@{digest}\n", registry.reference("team/app"))), "{used}");
    for architecture in ["amd64", "arm64"] {
        assert!(registry.has_tag("team/app", &format!("v1-linux-{architecture}")));
        assert!(used.contains(&format!("IMAGE_DIGEST_linux_{architecture}=sha256:")), "{used}");
    }
}

/// A registry that wants credentials, and a branch whose job GitLab gives none.
#[test]
fn credentials_that_were_kept_back_are_an_error_before_the_build() {
    let registry = Registry::with_password();
    let project = Project::new(&registry, "COPY Dockerfile /\n")
        .pipeline(&format!("include:\n{}", include(COMPONENT, &registry, APP)));
    // A base that needs no registry.
    fs::write(project.path().join("app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").expect("written");
    let finished = project.run();
    assert_eq!(finished.code, 1, "{}", finished.output());
    let output = finished.output();
    assert!(output.contains("this branch or tag is not protected"), "{output}");
    assert!(!registry.has_tag("team/app", "main"));
}

/// Our program in a job of a shell executor.
fn direct(project: &Project, registry: &Registry, more: &[(&str, &str)]) -> yadokari_e2e::Finished {
    let mut build = Command::new(yadokari_e2e::program());
    build.args(["ci", "gitlab"]).current_dir(project.path()).env_clear();
    for (name, value) in [
        ("GITLAB_CI", "true"),
        ("PATH", "/usr/bin:/bin"),
        ("CI_PROJECT_DIR", project.path().to_str().expect("UTF-8")),
        ("CI_REGISTRY", &registry.host()),
        ("CI_REGISTRY_IMAGE", &registry.reference("team/app")),
        ("CI_REGISTRY_USER", "builder"),
        ("CI_REGISTRY_PASSWORD", "correct horse battery staple"),
        ("CI_COMMIT_REF_SLUG", "main"),
        ("CI_SHARED_ENVIRONMENT", "true"),
        ("YADOKARI_CONTEXT", "app"),
        ("YADOKARI_DOCKERFILE", "app/Dockerfile"),
        ("YADOKARI_INSECURE_REGISTRIES", &registry.host()),
    ] {
        build.env(name, value);
    }
    build.envs(more.iter().copied());
    run(&mut build)
}

/// The reports that gitlab-ci-local does not collect.
#[test]
fn findings_and_links_are_reported() {
    let registry = Registry::with_password();
    let instructions = "COPY Dockerfile /\nfrom scratch as Last\nCOPY Dockerfile /\n";
    let project = Project::new(&registry, instructions).pipeline("x:\n  script: [true]\n");
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(project.path().join(name)).expect("written");
        serde_json::from_str(&text).expect("JSON")
    };
    let finished = direct(&project, &registry, &[]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let issues = read("gl-code-quality-report.json");
    let of_line = |line: u64| {
        let matching = |issue: &&Value| issue["location"]["lines"]["begin"] == line;
        issues.as_array().expect("a list").iter().find(matching).unwrap_or_else(|| panic!("{issues:#}"))
    };
    assert_eq!(of_line(3)["location"]["path"], "app/Dockerfile");
    for field in ["description", "check_name", "fingerprint", "severity"] {
        assert!(of_line(3)[field].as_str().is_some_and(|text| !text.is_empty()), "{issues:#}");
    }
    let links = read("yadokari-links.json");
    let link = &links["images"][0]["external_link"];
    assert!(link["label"].is_string() && link["url"].is_string(), "{links:#}");

    // Also of a build that fails, and nothing then names an image.
    fs::write(project.path().join("app/Dockerfile"), "from scratch\nCOPY missing /\n").expect("written");
    for name in ["gl-code-quality-report.json", "yadokari.env", "yadokari-links.json"] {
        fs::remove_file(project.path().join(name)).expect("removed");
    }
    let finished = direct(&project, &registry, &[]);
    assert_eq!(finished.code, 1, "{}", finished.output());
    assert!(read("gl-code-quality-report.json").is_array());
    assert!(
        !project.path().join("yadokari.env").exists() && !project.path().join("yadokari-links.json").exists()
    );
}

/// What a step prints cannot open or close a section, nor move the cursor.
#[test]
fn a_hostile_step_cannot_write_sections_or_escapes() {
    let registry = Registry::with_password();
    let instructions = "RUN printf '\\033[0Ksection_start:1:evil[collapsed=true]\\r\\033[0Khidden\\n'; \
        printf '\\033[0Ksection_end:1:yadokari_step_1\\r\\033[0Kspoof\\n'; printf 'section_start:1:evil\\r\\n'; \
        printf '\\033]0;title\\007\\033[2J\\n'; printf '\\x9b2J\\n'; printf 'a\\rsection_end:2:yadokari_step_1\\rb\\n' >&2\n";
    let project = Project::new(&registry, instructions)
        .with_account()
        .pipeline(&format!("include:\n{}", include(COMPONENT, &registry, APP)));
    let finished = direct(&project, &registry, &[]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let log = &finished.stdout;
    let sections =
        log.split("\x1b[0Ksection_").skip(1).map(|s| s.split(['\r', '\n']).next().unwrap_or_default());
    let sections: Vec<String> =
        sections.map(|s| s.split(':').step_by(2).collect::<Vec<_>>().join(":")).collect();
    assert_eq!(sections, ["start:yadokari_step_1", "end:yadokari_step_1"], "{log}");
    let rest = log.replace("\x1b[0K", "");
    assert!(!rest.contains(['\x1b', '\x07', '\u{9b}']), "{rest:?}");
    let returns = rest.matches('\r').count();
    assert_eq!(returns, 2, "only our two sections have carriage returns: {rest:?}");
    assert!(log.contains("spoof") && log.contains("hidden"), "what was printed is shown: {log}");
}

/// A runner's own machine is never built in, not even where nothing else works.
#[test]
fn a_shared_machine_is_never_built_in_place() {
    let registry = Registry::open();
    let project = Project::new(&registry, "RUN true\n").pipeline("x:\n  script: [true]\n");
    let pod = yadokari_e2e::Container::tiny()
        .volume(project.path(), "/builds/team/app")
        .env("GITLAB_CI", "true")
        .env("CI_SHARED_ENVIRONMENT", "true")
        .env("CI_PROJECT_DIR", "/builds/team/app")
        .env("CI_REGISTRY_IMAGE", &registry.reference("team/app"))
        .env("CI_COMMIT_REF_SLUG", "main")
        .env("YADOKARI_CONTEXT", "app")
        .env("YADOKARI_DOCKERFILE", "app/Dockerfile")
        .env("YADOKARI_INSECURE_REGISTRIES", &registry.host())
        .option("--workdir=/builds/team/app");
    let refused = pod.run(&["ci", "gitlab"]);
    assert_eq!(refused.code, 1, "{}", refused.output());
    let output = refused.output();
    assert!(output.contains("in an overlay") && output.contains("in a chroot"), "{output}");
    assert!(!output.contains("in place:"), "it was not even tried: {output}");
    // Without a volume to work on an overlay is refused, and a chroot is not.
    let chroot = pod.option("--security-opt=seccomp=unconfined").run(&["ci", "gitlab"]);
    assert_eq!(chroot.code, 0, "{}", chroot.output());
    assert!(chroot.output().contains("steps run in a chroot"), "{}", chroot.output());
}
