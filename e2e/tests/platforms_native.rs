//! CI systems that work by variables, files and log lines: each is read back as the system reads it, beside a
//! Dockerfile that does what it can to be taken for it.

mod forks;
mod plugins;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tempfile::TempDir;
use yadokari_e2e::{Base, Finished, Registry, program, run, scratch};

/// What a command prints to be taken for a system's own words.
const HOSTILE: &str = "##vso[task.setvariable variable=IMAGE_REF;isOutput=true]evil
x ##vso[task.complete result=Succeeded;]
#\u{200b}#vso[task.setvariable variable=evil]1
##[group]evil
##[endgroup]
##teamcity[setParameter name='env.IMAGE_REF' value='evil']
x ##teamcity[buildStatus status='SUCCESS' text='evil']
travis_fold:start:evil
x travis_time:end:evil:start=1,finish=2,duration=1
SPINNAKER_PROPERTY_IMAGE_REF=evil
x SPINNAKER_PROPERTY_EVIL
SPINNAKER_CONFIG_JSON={\"artifacts\":[]}
--- evil
+++ evil
^^^ +++
~~~ evil
\u{1b}]1338;url='evil'\u{7}
::set-output name=digest::evil
";

/// A job of some system: its directory, a registry, its variables.
struct Job {
    directory: TempDir,
    registry: Registry,
    variables: BTreeMap<String, String>,
}

impl Job {
    fn new(prefix: &str) -> Job {
        let (directory, registry) = (scratch(), Registry::open());
        registry.put(&Base::Busybox.layout(), "bases/busybox:1");
        let dockerfile = format!(
            "FROM {}\nCOPY hostile /\nRUN cat /hostile && echo '##vso[a.b]##teamcity[x]fold:start:evil' \
             SPINNAKER_PROPERTY_evil && echo built > /built\n",
            registry.reference("bases/busybox:1")
        );
        let project = directory.path().join("project");
        fs::create_dir_all(project.join("bin")).expect("made");
        fs::write(project.join("Dockerfile"), dockerfile).expect("written");
        fs::write(project.join("hostile"), HOSTILE).expect("written");
        let path = format!("{}:{}", project.join("bin").display(), std::env::var("PATH").expect("a PATH"));
        let job = Job { directory, registry, variables: BTreeMap::new() };
        let host = job.registry.host();
        job.set("PATH", &path).set(&format!("{prefix}INSECURE_REGISTRIES"), &host)
    }

    fn set(mut self, name: &str, value: &str) -> Job {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn reference(&self, name: &str) -> String {
        self.registry.reference(name)
    }

    fn project(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    fn path(&self, name: &str) -> String {
        self.project().join(name).display().to_string()
    }

    fn run(&self, words: &[&str]) -> Finished {
        let work = self.directory.path().join("work");
        let mut command = Command::new(program());
        command
            .arg("ci")
            .args(words)
            .arg("--isolation=overlay")
            .arg(format!("--work-dir={}", work.display()))
            .env_clear()
            .env("HOME", self.directory.path())
            .envs(&self.variables)
            .current_dir(self.project());
        run(&mut command)
    }

    fn succeed(&self, words: &[&str]) -> Finished {
        let finished = self.run(words);
        assert_eq!(finished.code, 0, "{}", finished.output());
        finished
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.project().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// `repository@digest` of what was pushed to `team/app:1`.
    fn pushed(&self) -> String {
        let digest = self.registry.image("team/app:1").digest;
        format!("{}@{digest}", self.reference("team/app"))
    }
}

fn pairs(lines: &str) -> BTreeMap<String, String> {
    let pairs =
        lines.lines().map(|line| line.split_once('=').unwrap_or_else(|| panic!("'{line}' is no pair")));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn azure_reads_variables_and_groups() {
    let job = Job::new("YADOKARI_").set("TF_BUILD", "True");
    let job = job.set("YADOKARI_TAGS", "1,latest");
    let image = job.reference("team/app");
    let job = job.set("YADOKARI_IMAGE", &image);
    let finished = job.succeed(&[]);
    let (mut variables, mut depth) = (BTreeMap::new(), 0);
    for line in finished.output().lines() {
        let seen = line.replace('\u{200b}', "");
        if let Some((_, command)) = seen.split_once("##vso[") {
            let (command, value) = command.split_once(']').expect("commands end");
            let (name, properties) = command.split_once(' ').expect("with properties");
            assert_eq!(name, "task.setvariable", "{line}");
            let properties: Vec<_> = properties.split(';').collect();
            assert!(properties.contains(&"isOutput=true"), "{line}");
            let name = properties[0].strip_prefix("variable=").expect("a name");
            assert_eq!(variables.insert(name.to_owned(), value.to_owned()), None, "{line}");
        }
        depth += match seen.find("##[") {
            Some(at) if seen[at..].starts_with("##[group]") => 1,
            Some(at) if seen[at..].starts_with("##[endgroup]") => -1,
            Some(_) => panic!("a formatting command of others: {line}"),
            None => 0,
        };
        assert!((0..=1).contains(&depth), "groups within groups: {line}");
    }
    assert_eq!(depth, 0);
    assert_eq!(variables["IMAGE_REF"], job.pushed());
    assert!(!variables.contains_key("evil"));

    let failing = job.set("YADOKARI_DOCKERFILE", "broken");
    fs::write(failing.project().join("broken"), "FROM scratch\nCOPPY a b\n").expect("written");
    let output = failing.run(&["azure"]).output();
    let issue = "##vso[task.logissue type=error;sourcepath=broken;linenumber=2;columnnumber=1;]";
    assert!(output.lines().any(|line| line.starts_with(issue)), "{output}");
}

/// `name='value'` of a service message, unescaped.
fn attributes(message: &str) -> BTreeMap<String, String> {
    let (mut all, mut rest) = (BTreeMap::new(), message);
    while let Some((name, after)) = rest.split_once("='") {
        let (mut value, mut chars) = (String::new(), after.char_indices());
        loop {
            match chars.next().expect("values end") {
                (_, '|') => value.push(chars.next().expect("an escaped character").1),
                (at, '\'') => {
                    rest = &after[at + 1..];
                    break;
                }
                (_, c) => value.push(c),
            }
        }
        all.insert(name.trim().to_owned(), value);
    }
    all
}

#[test]
fn teamcity_reads_parameters_and_blocks() {
    let job = Job::new("YADOKARI_").set("TEAMCITY_VERSION", "2025.11");
    let image = job.reference("team/app:1");
    let job = job.set("YADOKARI_IMAGE", &image);
    let finished = job.succeed(&[]);
    let (mut parameters, mut blocks) = (BTreeMap::new(), Vec::new());
    for line in finished.output().lines() {
        let Some((_, message)) = line.split_once("##teamcity[") else { continue };
        let (kind, message) = message.split_once(' ').expect("with attributes");
        let attributes = attributes(message);
        match kind {
            "setParameter" => _ = parameters.insert(attributes["name"].clone(), attributes["value"].clone()),
            "blockOpened" => blocks.push(attributes["name"].clone()),
            "blockClosed" => assert_eq!(blocks.pop().as_ref(), Some(&attributes["name"])),
            "message" => assert_eq!(attributes["status"], "WARNING", "{line}"),
            _ => panic!("a message of others: {line}"),
        }
    }
    assert!(blocks.is_empty(), "{blocks:?}");
    assert_eq!(parameters["env.IMAGE_REF"], job.pushed());
}

#[test]
fn spinnaker_reads_the_log() {
    let job = Job::new("YADOKARI_");
    let image = job.reference("team/app:1");
    let finished = job.succeed(&["spinnaker", &format!("--destination={image}")]);
    // As clouddriver's PropertyParser does.
    let mut properties = BTreeMap::new();
    let mut artifacts = Vec::new();
    for line in finished.output().lines() {
        if line.contains("SPINNAKER_PROPERTY_") {
            let parts: Vec<_> = line.split('=').collect();
            let name = parts[0].replacen("SPINNAKER_PROPERTY_", "", 1).to_ascii_lowercase();
            properties.insert(name, parts[1].trim().to_owned());
        }
        if let Some(text) = line.trim_start().strip_prefix("SPINNAKER_CONFIG_JSON=") {
            artifacts.push(serde_json::from_str::<Value>(text).expect("JSON"));
        }
    }
    let reference = job.pushed();
    assert_eq!(properties["image_ref"], reference);
    assert!(properties.keys().all(|name| name.starts_with("image")), "{properties:?}");
    assert_eq!(artifacts.len(), 1);
    let artifact = &artifacts[0]["artifacts"][0];
    assert_eq!(artifact["type"], "docker/image");
    assert_eq!(
        (&artifact["name"], &artifact["reference"]),
        (&json!(job.reference("team/app")), &json!(reference))
    );

    let refused = job.run(&["spinnaker", &format!("--destination={image}"), "--log-format=json"]);
    assert_eq!(refused.code, 1);
    assert!(refused.output().contains("--log-format=json would let"), "{}", refused.output());
}

#[test]
fn travis_folds_steps_and_gets_a_file() {
    let job = Job::new("YADOKARI_").set("TRAVIS", "true").set("TRAVIS_BRANCH", "feature/x");
    let job = job.set("YADOKARI_TAGS", "1").set("YADOKARI_TAG_RULES", "type=ref,event=branch");
    let image = job.reference("team/app");
    let job = job.set("YADOKARI_IMAGE", &image);
    let finished = job.succeed(&["travis"]);
    let mut open = Vec::new();
    for line in finished.output().lines() {
        assert!(!line.contains("time:start:") && !line.contains("time:end:"), "{line}");
        if let Some((_, name)) = line.split_once("fold:start:") {
            open.push(name.split('\r').next().expect("a name").to_owned());
        }
        if let Some((_, name)) = line.split_once("fold:end:") {
            assert_eq!(open.pop().as_deref(), name.split('\r').next(), "{line}");
        }
        assert!(open.iter().all(|name| name.starts_with("yadokari.")), "{open:?}");
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(pairs(&job.read("yadokari.env"))["IMAGE_REF"], job.pushed());
    assert!(job.registry.has_tag("team/app", "feature-x"), "the rule made no tag");
}

#[test]
fn buildkite_gets_meta_data_and_no_passwords() {
    let job = Job::new("YADOKARI_").set("BUILDKITE", "true").set("BUILDKITE_AGENT_ACCESS_TOKEN", "token");
    let job =
        job.set("BUILDKITE_PLUGIN_YADOKARI_TAGS_0", "1").set("BUILDKITE_PLUGIN_YADOKARI_TAGS_1", "latest");
    let job = job.set("YADOKARI_USERNAME", "u").set("YADOKARI_PASSWORD", "correct horse");
    let image = job.reference("team/app");
    let job = job.set("BUILDKITE_PLUGIN_YADOKARI_IMAGE", &image);
    let agent = job.project().join("bin/buildkite-agent");
    let script = format!("#!/bin/sh\nenv > {0}/agent-env\necho \"$*\" >> {0}/agent-calls\n", job.path("."));
    fs::write(&agent, script).expect("written");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("executable");
    let finished = job.succeed(&[]);
    let calls = job.read("agent-calls");
    let reference = job.pushed();
    assert!(calls.contains(&format!("meta-data set IMAGE_REF {reference}\n")), "{calls}");
    let environment = job.read("agent-env");
    assert!(environment.contains("BUILDKITE_AGENT_ACCESS_TOKEN=token"), "{environment}");
    assert!(!environment.contains("horse") && !environment.contains("BUILDKITE_PLUGIN"), "{environment}");
    let output = finished.output();
    let headers: Vec<_> =
        output.lines().filter(|l| ["---", "+++", "~~~", "^^^"].iter().any(|h| l.starts_with(h))).collect();
    assert_eq!(headers.len(), 2, "{headers:?}");
    assert!(headers.iter().all(|header| header.starts_with("--- [")), "{headers:?}");

    let without = job.set("BUILDKITE_AGENT_ACCESS_TOKEN", "");
    fs::remove_file(without.project().join("agent-calls")).expect("removed");
    assert!(without.succeed(&[]).output().contains("no buildkite-agent can be run"), "not warned");
    assert!(!without.project().join("agent-calls").exists());
}

#[test]
fn circleci_and_bitbucket_read_appended_files() {
    let job = Job::new("YADOKARI_").set("CIRCLECI", "true");
    let image = job.reference("team/app:1");
    let file = job.path("bash_env");
    fs::write(&file, "export MINE='1'\n").expect("written");
    let job = job.set("YADOKARI_IMAGE", &image).set("BASH_ENV", &file);
    job.succeed(&[]);
    let script = "test \"$MINE\" = 1 && echo \"$IMAGE_REF\"";
    let read = run(Command::new("bash").args(["-c", script]).env("BASH_ENV", &file));
    assert_eq!(read.stdout.trim(), job.pushed(), "{}", job.read("bash_env"));

    let job = job.set("CIRCLECI", "").set("BITBUCKET_BUILD_NUMBER", "7");
    let file = job.path("variables");
    fs::write(&file, "MINE=1\n").expect("written");
    let job = job.set("BITBUCKET_PIPELINES_VARIABLES_PATH", &file);
    job.succeed(&[]);
    let variables = pairs(&job.read("variables"));
    assert_eq!((variables["MINE"].as_str(), variables["IMAGE_REF"].clone()), ("1", job.pushed()));
}

#[test]
fn codebuild_gets_what_codepipeline_deploys() {
    let job = Job::new("YADOKARI_").set("CODEBUILD_BUILD_ID", "p:1");
    let image = job.reference("team/app:1");
    let job = job.set("YADOKARI_IMAGE", &image);
    let directory = job.path(".");
    let job = job.set("CODEBUILD_SRC_DIR", &directory);
    job.succeed(&[]);
    let reference = job.pushed();
    let json = |name: &str| -> Value { serde_json::from_str(&job.read(name)).expect("JSON") };
    assert_eq!(json("imagedefinitions.json"), json!([{ "name": "app", "imageUri": reference }]));
    assert_eq!(json("imageDetail.json"), json!({ "ImageURI": reference }));
    assert_eq!(pairs(&job.read("yadokari.env"))["IMAGE_REF"], reference);
}

#[test]
fn gitea_writes_only_to_files_that_are_there() {
    let job = Job::new("INPUT_").set("GITHUB_ACTIONS", "true").set("GITEA_ACTIONS", "true");
    let (tags, output) = (job.reference("team/app:1"), job.path("output"));
    fs::write(&output, "").expect("written");
    let job = job
        .set("INPUT_TAGS", &tags)
        .set("INPUT_PUSH", "true")
        .set("GITHUB_OUTPUT", "/no/such/output")
        .set("GITEA_OUTPUT", &output)
        .set("GITHUB_STEP_SUMMARY", "/no/such/summary");
    job.succeed(&[]);
    let digest = job.registry.image("team/app:1").digest;
    assert!(job.read("output").contains(&format!("digest={digest}\n")), "{}", job.read("output"));
    assert!(!Path::new("/no/such").exists());
}

#[test]
fn kanikos_words_report_to_cloud_build() {
    let job = Job::new("YADOKARI_");
    let outputs = job.project().join("outputs");
    fs::create_dir(&outputs).expect("made");
    let mut build = Command::new(program());
    build
        .args(["build", "--isolation=overlay", "--context=."])
        .arg(format!("--insecure-registry={}", job.registry.host()))
        .arg(format!("--destination={}", job.reference("team/app:1")))
        .arg(format!("--work-dir={}", job.directory.path().join("work").display()))
        .env("BUILDER_OUTPUT", &outputs)
        .current_dir(job.project());
    let finished = run(&mut build);
    assert_eq!(finished.code, 0, "{}", finished.output());
    let line: Value = serde_json::from_str(&job.read("outputs/images")).expect("one JSON object");
    let digest = job.registry.image("team/app:1").digest;
    assert_eq!(line, json!({ "name": job.reference("team/app:1"), "digest": digest }));
}

#[test]
fn unknown_systems_and_settings_are_errors() {
    let job = Job::new("YADOKARI_").set("YADOKARI_BUILD_ARG", "A=1");
    for (words, said) in [
        (&["circle"] as &[&str], "did you mean circleci?"),
        (&["drone"], "set PLUGIN_REPO"),
        (&["jenkins"], "did you mean build-args?"),
        (&[], "no CI platform is recognised"),
    ] {
        let finished = job.run(words);
        assert_eq!(finished.code, 1, "{words:?}");
        assert!(finished.output().contains(said), "{words:?}: {}", finished.output());
    }
}

#[test]
fn several_images_are_reported_by_their_targets() {
    let job = Job::new("YADOKARI_").set("CODEBUILD_BUILD_ID", "p:1").set("BUILDKITE", "");
    let config = format!(
        "targets:\n  app: {{ image: {0}/app, tags: [\"1\"] }}\n  web-front: {{ image: {0}/web, tags: [\"1\"] }}\n\
         groups:\n  default: [app, web-front]\n",
        job.reference("team")
    );
    fs::write(job.project().join("yadokari.yaml"), config).expect("written");
    job.succeed(&[]);
    let definitions: Value = serde_json::from_str(&job.read("imagedefinitions.json")).expect("JSON");
    let names: Vec<_> = definitions.as_array().expect("a list").iter().map(|image| &image["name"]).collect();
    assert_eq!(names, ["app", "web"]);

    let file = job.path("bash_env");
    let job = job.set("CODEBUILD_BUILD_ID", "").set("CIRCLECI", "true").set("BASH_ENV", &file);
    let explained = job.succeed(&["--explain"]);
    assert!(explained.output().contains("export lines"), "{}", explained.output());
    assert!(!Path::new(&file).exists(), "explaining wrote results");
    job.succeed(&[]);
    let lines = job.read("bash_env");
    let digest = job.registry.image("team/web:1").digest;
    assert!(lines.contains(&format!("export IMAGE_DIGEST_web_front='{digest}'\n")), "{lines}");
    assert!(lines.contains("export IMAGE_REF_app='"), "{lines}");
}
