//! The examples of `docs/platforms`: their commands run in a container as the system runs them, and the digest is
//! read back in the system's way.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tempfile::TempDir;
use yadokari_e2e::{Base, Container, Finished, Registry, scratch};

/// The first example of a page.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/platforms/{name}.md"));
    let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut fences = page.split("\n```");
    let block = fences.nth(1).unwrap_or_else(|| panic!("{name}.md has no example"));
    block.split_once('\n').expect("a block has lines").1.to_owned()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&example(name)).unwrap_or_else(|e| panic!("{name}.md: {e}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().expect("a list of words").iter().map(|word| text(word).to_owned()).collect()
}

/// A `sudo` for who is root already.
fn sudo(shell: &str) -> String {
    format!("#!{shell}\n[ \"$1\" = -E ] && shift\nexec \"$@\"\n")
}

/// A project that a system has checked out, and the registry it pushes to in place of the example's.
struct Project {
    directory: TempDir,
    registry: Registry,
}

impl Project {
    fn new() -> Project {
        let (directory, registry) = (scratch(), Registry::open());
        registry.put(&Base::Busybox.layout(), "bases/busybox:1");
        for name in ["project", "stubs", "outside"] {
            fs::create_dir(directory.path().join(name)).expect("made");
        }
        let dockerfile = format!("FROM {}\nRUN echo built > /built\n", registry.reference("bases/busybox:1"));
        let project = Project { directory, registry };
        project.write("project/Dockerfile", &dockerfile, 0o644);
        project
    }

    fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.directory.path().join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the mode is set");
    }

    /// A program of the system's that says what it was given, in a file outside.
    fn stub(&self, name: &str) {
        self.write(&format!("stubs/{name}"), "#!/busybox/sh\necho \"$@\" >> /outside/given\n", 0o755);
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// A container with the paths of our debug image, the project at `at`.
    fn container(&self, at: &str) -> Container {
        let path = |name: &str| self.directory.path().join(name);
        Container::tiny()
            .volume(&path("project"), at)
            .volume(&path("stubs"), "/kaniko/stubs")
            .volume(&path("outside"), "/outside")
            .option("--volume=/yadokari/work")
            .option(&format!("--workdir={at}"))
            .env("PATH", "/kaniko/stubs:/yadokari/bin:/busybox")
            .env("HOME", "/root")
            .env("YADOKARI_INSECURE_REGISTRIES", &self.registry.host())
    }

    /// The example's text with this registry in place of the one it names.
    fn here(&self, text: &str) -> String {
        text.replace("registry.example.com", &self.registry.host())
    }

    fn reference(&self, tag: &str) -> String {
        let digest = self.registry.image(&format!("team/app:{tag}")).digest;
        format!("{}@{digest}", self.registry.reference("team/app"))
    }
}

fn succeeded(finished: &Finished) {
    assert_eq!(finished.code, 0, "{}", finished.output());
}

#[test]
fn google_cloud_build() {
    let (project, build) = (Project::new(), yaml("cloudbuild"));
    let image = project.registry.reference("team/app");
    let substituted =
        |word: &str| word.replace("$_IMAGE", &image).replace("$SHORT_SHA", "abc1234").replace("$$", "$");
    let step = |n: usize| -> Vec<String> {
        words(&build["steps"][n]["args"]).iter().map(|word| substituted(word)).collect()
    };
    let container = project.container("/workspace").env("BUILDER_OUTPUT", "/outside");
    // The plain image's entrypoint.
    succeeded(&container.run(&step(0)));
    let reference = project.reference("abc1234");
    let output: Value = serde_json::from_str(&project.read("outside/output")).expect("JSON");
    assert_eq!(output["image-ref"], json!(reference));
    let digest = output["digest"].as_str().expect("a digest");
    let lines: Vec<Value> = project
        .read("outside/images")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let line = |tag: &str| json!({ "name": format!("{image}:{tag}"), "digest": digest });
    assert_eq!(lines, [line("abc1234"), line("latest")]);

    project.stub("gcloud");
    assert_eq!(build["steps"][1]["entrypoint"], "bash");
    succeeded(&project.container("/workspace").run_command("sh", &step(1)));
    assert!(project.read("outside/given").contains(&format!("--image={reference}\n")));
}

#[test]
fn jenkins() {
    let (project, pipeline) = (Project::new(), example("jenkins"));
    let workspace = "/home/jenkins/agent/workspace/app";
    let mut container = project
        .container(workspace)
        .env("JENKINS_URL", "https://jenkins.example.com/")
        .env("BUILD_NUMBER", "7")
        .env("WORKSPACE", workspace);
    let block =
        pipeline.split("environment {").nth(1).and_then(|rest| rest.split('}').next()).expect("variables");
    let block = pipeline[pipeline.find(block).expect("there")..].split("\n  }").next().expect("an end");
    let mut variables = 0;
    for line in block.lines().filter_map(|line| line.trim().split_once(" = ")) {
        let value = line.1.trim_matches(['\'', '"']).replace("${env.BUILD_NUMBER}", "7");
        container = container.env(line.0, &project.here(&value));
        variables += 1;
    }
    assert_eq!(variables, 2, "{block}");
    let scripts: Vec<&str> =
        pipeline.split("sh '").skip(1).map(|s| s.split('\'').next().expect("an end")).collect();
    let [build, deploy] = scripts[..] else { panic!("{scripts:?}") };
    succeeded(&container.run_command("sh", &["-xec", build]));

    // As readProperties does, which the example calls for its IMAGE_REF.
    assert!(pipeline.contains("env.IMAGE_REF = readProperties(file: 'yadokari.env').IMAGE_REF"));
    let properties = project.read("project/yadokari.env");
    let pairs: BTreeMap<_, _> = properties.lines().filter_map(|line| line.split_once('=')).collect();
    let reference = project.reference("7");
    assert_eq!(pairs["IMAGE_REF"], reference);
    project.write("project/deploy", "#!/busybox/sh\necho \"$1\" > /outside/given\n", 0o755);
    succeeded(&container.env("IMAGE_REF", pairs["IMAGE_REF"]).run_command("sh", &["-xec", deploy]));
    assert_eq!(project.read("outside/given").trim(), reference);
}

#[test]
fn circleci() {
    let (project, config) = (Project::new(), yaml("circleci"));
    let job = &config["jobs"]["image"];
    let mut container = project
        .container("/root/project")
        .image("yadokari-e2e:debian")
        .env("PATH", "/usr/bin:/bin")
        .env("CIRCLECI", "true")
        .env("CIRCLE_SHA1", "abc")
        .env("BASH_ENV", "/outside/bash_env");
    for (name, value) in job["environment"].as_object().expect("variables") {
        container = container.env(name, &project.here(text(value)));
    }
    // The machine's, where the step before installs the program.
    project.write("outside/bash_env", "export PATH=/outside/bin:/yadokari/bin:$PATH\n", 0o644);
    fs::create_dir(project.directory.path().join("outside/bin")).expect("made");
    project.write("outside/bin/sudo", &sudo("/bin/sh"), 0o755);
    let mut said = String::new();
    for step in job["steps"].as_array().expect("steps") {
        let Some(command) = step["run"]["command"].as_str() else { continue };
        if step["run"]["name"] == "Install yadokari" {
            continue;
        }
        // CircleCI's shell, which reads $BASH_ENV.
        let finished = container.run_command("/bin/bash", &["-eo", "pipefail", "-c", command]);
        succeeded(&finished);
        said += &finished.stdout;
    }
    let reference = project.reference("abc");
    assert!(said.contains(&format!("built {reference}\n")), "{said}");
    // What persist_to_workspace hands to the other job.
    let persisted: Vec<_> = job["steps"].as_array().expect("steps").iter().collect();
    let last = persisted.last().expect("a step");
    assert_eq!(last["persist_to_workspace"]["paths"], json!(["image-ref"]));
    assert_eq!(project.read("project/image-ref").trim(), reference);
}

#[test]
fn travis_ci() {
    let (project, config) = (Project::new(), yaml("travis"));
    let directory = "/home/travis/build/example/app";
    let mut container = project
        .container(directory)
        .env("TRAVIS", "true")
        .env("TRAVIS_BUILD_DIR", directory)
        .env("TRAVIS_COMMIT", "abc");
    for variable in words(&config["env"]["global"]) {
        let (name, value) = variable.split_once('=').expect("a variable");
        container = container.env(name, &project.here(value));
    }
    project.write("stubs/sudo", &sudo("/busybox/sh"), 0o755);
    let finished = container.run_command("sh", &["-ec", &words(&config["script"]).join("\n")]);
    succeeded(&finished);
    assert!(
        finished.stdout.ends_with(&format!("built {}\n", project.reference("abc"))),
        "{}",
        finished.stdout
    );
}

#[test]
fn argo_workflows() {
    let (project, workflow) = (Project::new(), yaml("argo"));
    let templates = workflow["spec"]["templates"].as_array().expect("templates");
    let template = templates.iter().find(|template| template["name"] == "build").expect("the build");
    let image = project.registry.reference("team/app");
    let substituted = |word: &String| {
        word.replace("{{workflow.parameters.image}}", &image).replace("{{workflow.name}}", "image-x")
    };
    let container = &template["container"];
    let rest: Vec<String> = words(&container["command"])
        .iter()
        .skip(1)
        .chain(&words(&container["args"]))
        .map(substituted)
        .collect();
    let command = words(&container["command"]).remove(0);
    let outside = project.directory.path().join("outside");
    let run =
        |container: Container| succeeded(&container.volume(&outside, "/tmp").run_command(&command, &rest));
    // The parameters' files are what the executor reads.
    run(project.container("/workspace").env("ARGO_TEMPLATE", &template.to_string()));
    let reference = project.reference("image-x");
    let (_, digest) = reference.split_once('@').expect("a digest");
    for parameter in template["outputs"]["parameters"].as_array().expect("parameters") {
        let path = text(&parameter["valueFrom"]["path"]).replace("/tmp/", "outside/");
        let expected = if parameter["name"] == "digest" { digest } else { reference.as_str() };
        assert_eq!(project.read(&path), expected, "{parameter}");
    }
    run(project.container("/workspace").env("ARGO_NODE_ID", "node"));
    assert_eq!(project.read("outside/yadokari/image-ref"), project.reference("image-x"));
}

#[test]
fn spinnaker() {
    let (project, job) = (Project::new(), yaml("spinnaker"));
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<String> = words(&container["args"])
        .iter()
        .map(|word| project.here(word).replace("${execution.id}", "01"))
        .map(|word| if word.starts_with("--context=") { "--context=/workspace".to_owned() } else { word })
        .collect();
    let finished = project.container("/workspace").run(&arguments);
    succeeded(&finished);
    let logs = finished.output();
    let property = logs.lines().find_map(|line| line.strip_prefix("SPINNAKER_PROPERTY_IMAGE_REF="));
    assert_eq!(property, Some(project.reference("01").as_str()), "{logs}");
}
