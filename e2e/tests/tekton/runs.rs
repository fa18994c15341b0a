//! Builds in pods of our Tasks and of the StepAction.

use std::fs;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use yadokari_e2e::tekton::images;
use yadokari_e2e::{Base, Registry};

use super::pod::Pod;
use super::{ACTION, RESTRICTED, TASK, USERNS, read_yaml, repository, source, succeeded};

fn build(path: &str, registry: &Registry) -> Pod {
    Pod::of(path)
        .param("IMAGE", registry.reference("team/app:1"))
        .param("DOCKERFILE", "app/Dockerfile")
        .param("CONTEXT", "app")
        .param("INSECURE_REGISTRIES", json!([registry.host()]))
}

#[test]
fn a_task_builds_and_reports() {
    let registry = Registry::with_password();
    let source = source(
        &registry,
        "ARG GREETING=none\nRUN echo $GREETING > /greeting\nLABEL from=dockerfile\nFROM scratch\nRUN false\n",
    );
    let pod = build(TASK, &registry)
        .workspace("source", source.path())
        .secret("dockerconfig", &[(".dockerconfigjson", &registry.docker_config())])
        .param("TAGS", json!(["latest", "build-{{platform}}"]))
        .param("TARGET", "0")
        .param("BUILD_ARGS", json!(["GREETING=hello, \"tekton\"  'x'"]))
        .param("LABELS", json!(["from=task", "more=$HOME `id`", ""]))
        .param("GIT_URL", "https://git.example.com/team/app")
        .param("GIT_REVISION", "0123456789abcdef0123456789abcdef01234567");
    let output = succeeded(&pod.run());
    let image = registry.image("team/app:1");
    assert_eq!(registry.image("team/app:latest").digest, image.digest);
    assert_eq!(registry.image("team/app:build-linux-amd64").digest, image.digest);
    let greeting = "f 0644 0:0 greeting \"hello, \\\"tekton\\\" 'x'\\n\"\n";
    assert_eq!(image.layer(-1).listing(), greeting);
    let expected = json!({
        "from": "task",
        "more": "$HOME `id`",
        "org.opencontainers.image.source": "https://git.example.com/team/app",
        "org.opencontainers.image.revision": "0123456789abcdef0123456789abcdef01234567",
    });
    assert_eq!(image.config["config"]["Labels"], expected);

    let (reference, digest) = (registry.reference("team/app"), &image.digest);
    assert_eq!(pod.result("IMAGE_DIGEST").as_ref(), Some(digest));
    assert_eq!(pod.result("IMAGE_URL"), Some(format!("{reference}:1")));
    assert_eq!(pod.result("IMAGE_REF"), Some(format!("{reference}@{digest}")));
    let tags = ["1", "latest", "build-linux-amd64"].map(|tag| format!("{reference}:{tag}@{digest}"));
    assert_eq!(pod.result("IMAGES"), Some(tags.join(",")));
    let object: Value =
        serde_json::from_str(&pod.result("image_ARTIFACT_OUTPUTS").expect("written")).expect("JSON");
    assert_eq!(object, json!({"uri": reference, "digest": digest, "isBuildArtifact": "true"}));
    let size: u64 = pod.result("IMAGE_SIZE").expect("written").parse().expect("a number");
    assert!(size > 0);
    let signed = images(&pod.results());
    assert_eq!(signed.len(), 1, "Chains would sign {signed:?}");
    assert_eq!((&signed[0].name, &signed[0].digest), (&format!("{reference}:1"), digest));

    let left: Vec<_> = fs::read_dir(source.path()).expect("readable").collect();
    assert_eq!(left.len(), 1, "the workspace is as it was: {left:?}");
    assert!(!output.contains("horse"), "the password is in the log:\n{output}");
}

/// Pipelines that used the catalog's Task append tags and digests to IMAGE_URL.
#[test]
fn an_image_without_a_tag_is_reported_as_it_was_given() {
    let registry = Registry::open();
    let source = source(&registry, "COPY file /\n");
    let pod = build(TASK, &registry)
        .param("IMAGE", registry.reference("team/app"))
        .param("WRITER_IMAGE", "docker.io/library/bash:5.1.4")
        .param("CONTEXT", "./app")
        .param("DOCKERFILE", "./app/Dockerfile")
        .param("EXTRA_ARGS", json!(["--label=a=two words", "--skip-tls-verify"]))
        .workspace("source", source.path());
    succeeded(&pod.run());
    assert_eq!(pod.result("IMAGE_URL"), Some(registry.reference("team/app")));
    assert_eq!(registry.image("team/app:latest").config["config"]["Labels"]["a"], "two words");
    assert_eq!(images(&pod.results()).len(), 1);
}

#[test]
fn several_targets_of_a_file_are_reported_together() {
    let registry = Registry::open();
    let source = source(&registry, "COPY file /\n");
    let file = format!(
        "targets:\n  app: {{ context: app, image: {0}/team/app }}\n  other: {{ context: app, image: {0}/team/other }}\n",
        registry.host()
    );
    fs::write(source.path().join("yadokari.yaml"), file).expect("written");
    let output = super::pod::open_directory();
    let pod = Pod::of(TASK)
        .param("IMAGE", "")
        .param("TARGETS", json!(["app", "other"]))
        .param("PULL", "true")
        .param("INSECURE_REGISTRIES", json!([registry.host()]))
        .workspace("source", source.path())
        .workspace("output", output.path());
    succeeded(&pod.run());
    let text = fs::read_to_string(output.path().join("build-metadata.json")).expect("written");
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    let references = ["team/app", "team/other"].map(|name| {
        let digest = registry.image(&format!("{name}:latest")).digest;
        (registry.reference(name), digest)
    });
    assert_eq!(metadata["other"]["containerimage.digest"], references[1].1.as_str());
    let all = references.each_ref().map(|(name, digest)| format!("{name}:latest@{digest}"));
    assert_eq!(pod.result("IMAGES"), Some(all.join(",")));
    assert_eq!(pod.result("IMAGE_DIGEST").as_ref(), Some(&references[0].1));
    assert_eq!(pod.result("IMAGE_URL"), Some(format!("{}:latest", references[0].0)));
    let signed: Vec<_> = images(&pod.results()).into_iter().map(|image| image.digest).collect();
    assert!(references.iter().all(|(_, digest)| signed.contains(digest)), "Chains would sign {signed:?}");
}

#[test]
fn a_task_that_fails_or_does_not_push_has_no_results() {
    let registry = Registry::open();
    let source = source(&registry, "RUN exit 7\n");
    let pod = build(TASK, &registry).workspace("source", source.path());
    let steps = pod.run();
    assert_eq!(steps.last().map(|step| step.code), Some(7), "{steps:?}");
    assert_eq!(pod.results(), []);
    assert!(!registry.has_tag("team/app", "1"));
    for (param, value) in [("PUSH", "false"), ("SKIP_PUSH", "true")] {
        let pod = build(TASK, &registry)
            .param(param, value)
            .param("EXTRA_ARGS", json!(["--build-arg=X=1"]))
            .param("TARGET", "0")
            .param("DOCKERFILE", "app/good")
            .workspace("source", source.path());
        let base = registry.reference("bases/busybox:1");
        fs::write(source.path().join("app/good"), format!("FROM {base}\nCOPY file /\n")).expect("written");
        succeeded(&pod.run());
        assert_eq!(pod.results(), [], "{param}: Chains would sign an image that is not there");
        assert!(!registry.has_tag("team/app", "1"));
    }
}

/// A hundred tags are more than a termination message takes.
#[test]
fn results_are_dropped_before_they_are_too_large() {
    let registry = Registry::open();
    let source = source(&registry, "COPY file /\n");
    let tags: Vec<String> = (0..100).map(|n| format!("a-rather-long-tag-with-the-number-{n}")).collect();
    let pod = build(TASK, &registry).param("TAGS", json!(tags)).workspace("source", source.path());
    let output = succeeded(&pod.run());
    assert!(output.contains("image_ARTIFACT_OUTPUTS") && output.contains("IMAGES"), "{output}");
    let names: Vec<String> = pod.results().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["IMAGE_DIGEST", "IMAGE_URL", "IMAGE_REF", "IMAGES", "IMAGE_SIZE"]);
    assert_eq!(images(&pod.results()).len(), 1);
}

#[test]
fn the_user_namespace_task_mounts() {
    let registry = Registry::open();
    let source = source(&registry, "RUN echo x > /x\n");
    let pod = build(USERNS, &registry).workspace("source", source.path());
    let output = succeeded(&pod.run());
    assert!(output.contains("steps run in an overlay"), "{output}");
    assert_eq!(pod.result("IMAGE_DIGEST"), Some(registry.image("team/app:1").digest));
}

/// The pod security standard "restricted": no root, no capabilities, nothing of the root writable.
#[test]
fn the_restricted_task_builds_what_executes_nothing() {
    let registry = Registry::with_password();
    let source = source(&registry, "WORKDIR /srv/site\nCOPY --chown=7:8 file .\nENV A=b\nUSER 1000\n");
    let pod = build(RESTRICTED, &registry)
        .workspace("source", source.path())
        .secret("dockerconfig", &[("config.json", &registry.docker_config())]);
    succeeded(&pod.run());
    let image = registry.image("team/app:1");
    assert_eq!(pod.result("IMAGE_DIGEST").as_ref(), Some(&image.digest));
    assert!(image.layer(-1).listing().contains("f 0644 7:8 srv/site/file"), "{}", image.layer(-1).listing());

    let base = registry.reference("bases/busybox:1");
    fs::write(source.path().join("app/Dockerfile"), format!("FROM {base}\nRUN true\n")).expect("written");
    let pod = build(RESTRICTED, &registry)
        .workspace("source", source.path())
        .secret("dockerconfig", &[("config.json", &registry.docker_config())]);
    let steps = pod.run();
    let build = steps.last().expect("a step");
    assert_eq!(build.code, 1, "{}", build.output());
    assert!(build.output().contains("no command can be run here"), "{}", build.output());
    assert!(build.output().contains("app/Dockerfile:2:"), "{}", build.output());
    assert_eq!(pod.results(), []);
}

#[test]
fn the_step_action_is_a_step_of_any_task() {
    let registry = Registry::with_password();
    let source = source(&registry, "RUN echo x > /x\n");
    let config = super::pod::secret(&[(".dockerconfigjson", &registry.docker_config())]);
    let pod = build(ACTION, &registry)
        .param("SOURCE", "/workspace/source")
        .param("DOCKERCONFIG", "/credentials")
        .mount(config, "/credentials")
        .option(&format!("--volume={}:/workspace/source", source.path().display()))
        .option("--volume=/yadokari/work");
    succeeded(&pod.run());
    let digest = registry.image("team/app:1").digest;
    assert_eq!(pod.result("IMAGE_DIGEST"), Some(digest));
}

/// The memory that the Tasks ask for is enough for the project's demo.
#[test]
fn the_demo_builds_in_the_memory_that_is_requested() {
    let registry = Registry::open();
    registry.put(&Base::Busybox.layout(), "bases/busybox:1");
    let task = read_yaml(TASK);
    let request =
        task["spec"]["steps"][1]["computeResources"]["requests"]["memory"].as_str().expect("a request");
    let limit = request.strip_suffix("Mi").expect("in MiB").to_owned() + "m";
    let pod = Pod::of(TASK)
        .param("IMAGE", registry.reference("team/demo:1"))
        .param(
            "BUILD_CONTEXTS",
            json!([format!("base=docker-image://{}", registry.reference("bases/busybox:1"))]),
        )
        .param("INSECURE_REGISTRIES", json!([registry.host()]))
        .option(&format!("--memory={limit}"))
        .option(&format!("--memory-swap={limit}"))
        .workspace("source", &repository().join("testdata/demo"));
    succeeded(&pod.run());
    assert!(registry.has_tag("team/demo", "1"));
}

/// What the Pipeline for several platforms does: a build for each, and one index of their results.
#[test]
fn builds_of_several_platforms_are_joined() {
    let registry = Registry::with_password();
    let source = source(&registry, "");
    fs::write(source.path().join("app/Dockerfile"), "FROM scratch\nCOPY file /\n").expect("written");
    let secret = [(".dockerconfigjson", registry.docker_config())];
    let secret = [(secret[0].0, secret[0].1.as_str())];
    // In an order that says nothing of the platforms.
    let references = ["arm64", "amd64"].map(|platform| {
        let pod = build(RESTRICTED, &registry)
            .param("IMAGE", registry.reference("team/app"))
            .param("TAGS", json!(["run-{{platform}}"]))
            .param("PLATFORM", platform)
            .workspace("source", source.path())
            .secret("dockerconfig", &secret);
        succeeded(&pod.run());
        assert!(registry.has_tag("team/app", &format!("run-linux-{platform}")));
        pod.result("IMAGE_REF").expect("written")
    });
    let index = |images: Value| {
        Pod::of("tekton/task/image-index/0.1/image-index.yaml")
            .param("IMAGE", registry.reference("team/app"))
            .param("TAGS", json!(["1", "latest"]))
            .param("IMAGES", images)
            .param("ANNOTATIONS", json!(["a=two words"]))
            .param("INSECURE_REGISTRIES", json!([registry.host()]))
            .secret("dockerconfig", &secret)
    };
    let pod = index(json!(references));
    succeeded(&pod.run());
    let raw = registry.raw("team/app:1");
    let read: Value = serde_json::from_str(&raw).expect("JSON");
    let manifests = read["manifests"].as_array().expect("an index").iter();
    let platforms: Vec<_> =
        manifests.map(|m| (m["platform"]["architecture"].clone(), m["digest"].clone())).collect();
    for (reference, architecture) in references.iter().zip(["arm64", "amd64"]) {
        let digest = reference.rsplit_once('@').expect("by digest").1;
        assert!(platforms.contains(&(json!(architecture), json!(digest))), "{raw}");
    }
    assert_eq!(read["annotations"]["a"], "two words");
    let digest = yadokari_e2e::sha256(raw.as_bytes());
    assert_eq!(pod.result("IMAGE_DIGEST").as_deref(), Some(digest.as_str()));
    let expected = format!("{}@{digest}", registry.reference("team/app"));
    assert_eq!(pod.result("IMAGE_REF"), Some(expected));
    assert_eq!(images(&pod.results()).len(), 1);

    let steps = index(json!([])).run();
    assert_eq!(steps[0].code, 1);
    assert!(steps[0].output().contains("nothing to join"), "{}", steps[0].output());
}

#[test]
fn rules_make_tags_of_what_the_pipeline_knows() {
    let registry = Registry::open();
    let source = source(&registry, "COPY file /\n");
    let pod = build(TASK, &registry)
        .param("IMAGE", registry.reference("team/app"))
        .param("TAG_RULES", json!(["type=semver,pattern={{version}}", "type=sha"]))
        .param("GIT_REF", "refs/tags/v1.2.3")
        .param("GIT_REVISION", "0123456789abcdef0123456789abcdef01234567")
        .workspace("source", source.path());
    succeeded(&pod.run());
    for tag in ["1.2.3", "latest", "sha-0123456"] {
        assert!(registry.has_tag("team/app", tag), "no {tag}");
    }
    let pod =
        build(TASK, &registry).param("TAG_RULES", json!(["type=sha"])).workspace("source", source.path());
    let steps = pod.run();
    assert!(steps[1].output().contains("GIT_REF"), "{}", steps[1].output());
}
