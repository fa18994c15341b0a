//! `mode: index`: jobs build one platform each, and another joins what they pushed.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use yadokari_e2e::{Registry, Runner, run_ok};

use super::{run, step};

fn login(runner: Runner, registry: &Registry) -> Runner {
    runner
        .input("insecure-registries", &registry.host())
        .input("username", "builder")
        .input("password", "correct horse battery staple")
}

fn manifest(reference: &str) -> Value {
    let mut skopeo = std::process::Command::new("skopeo");
    skopeo.args(["inspect", "--raw", "--tls-verify=false", "--creds=builder:correct horse battery staple"]);
    serde_json::from_str(&run_ok(skopeo.arg(format!("docker://{reference}")))).expect("JSON")
}

#[test]
fn images_of_several_jobs_become_one() {
    let registry = Registry::with_password();
    let mut built = Vec::new();
    for platform in ["linux/amd64", "linux/arm64"] {
        let job = login(step(), &registry)
            .file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
            .input("platforms", platform)
            .input("tags", &registry.reference(&format!("octo/app:{}", platform.replace('/', "-"))))
            .input("push", "true");
        built.push(run(&job).succeeded().outputs());
    }
    let digests = format!("{}\n{}\n", built[0]["image-ref"], built[1]["digest"]);
    let joining = login(Runner::new(), &registry)
        .input("mode", "index")
        .input("digests", &digests)
        .input("images", &registry.reference("octo/app"))
        .input("tags", "type=edge,branch=main\ntype=sha")
        .input("artifacts", "true")
        .variable("DOCKER_METADATA_ANNOTATIONS_LEVELS", "index")
        .input("annotations", "com.example.a=b");
    let step = run(&joining.input("push", "true")).succeeded();
    let outputs = step.outputs();
    let platforms = json!({"linux/amd64": built[0]["digest"], "linux/arm64": built[1]["digest"]});
    assert_eq!(serde_json::from_str::<Value>(&outputs["platform-digests"]).expect("JSON"), platforms);
    let repository = registry.reference("octo/app");
    assert_eq!(outputs["tags"], format!("{repository}:edge\n{repository}:sha-860c190"));
    assert_eq!(outputs["image-ref"], format!("{repository}@{}", outputs["digest"]));
    assert_eq!(outputs["version"], "edge");
    assert_eq!(step.artifacts(), format!("oci://{repository}@{}\n", outputs["digest"]));
    assert!(step.summary().contains("Index pushed") && step.summary().contains("linux/arm64"));
    for tag in ["edge", "sha-860c190"] {
        let index = manifest(&format!("{repository}:{tag}"));
        assert_eq!(index["annotations"]["com.example.a"], "b");
        let found: Vec<_> =
            index["manifests"].as_array().expect("a list").iter().map(|m| &m["digest"]).collect();
        assert_eq!(found, [&platforms["linux/amd64"], &platforms["linux/arm64"]]);
    }
    let by_digest = manifest(&outputs["image-ref"]);
    assert_eq!(by_digest["mediaType"], "application/vnd.oci.image.index.v1+json");
}

#[test]
fn an_index_that_cannot_be_made_says_why() {
    let registry = Registry::open();
    let joining = || {
        Runner::new()
            .input("mode", "index")
            .input("insecure-registries", &registry.host())
            .input("tags", &registry.reference("octo/app:1"))
    };
    let step = run(&joining().input("push", "true"));
    assert_eq!(step.finished.code, 1);
    assert!(step.finished.output().contains("no digests"), "{}", step.finished.output());
    let missing = format!("sha256:{}", "0".repeat(64));
    let step = run(&joining().input("push", "true").input("digests", &missing));
    assert_eq!(step.finished.code, 1);
    assert_eq!(step.log.of("error").len(), 1);
    assert!(step.summary().contains("failed"), "{}", step.summary());
    assert_eq!(step.outputs().len(), 0);
    // A pull request's images are not pushed, and there is nothing to join.
    let step = run(&joining().input("digests", &missing)).succeeded();
    assert_eq!(step.outputs().len(), 0);
    let unknown = run(&Runner::new().input("mode", "both"));
    assert_eq!(unknown.finished.code, 1);
}
