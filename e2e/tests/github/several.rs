//! Several targets of a repository's `yadokari.yaml` in one step.

use pretty_assertions::assert_eq;
use serde_json::Value;
use yadokari_e2e::{Registry, Runner};

use super::run;

#[test]
fn targets_have_outputs_subjects_and_a_summary_each() {
    let registry = Registry::open();
    let file = format!(
        "insecure-registries: [{0}]\ntargets:\n  app: {{ context: app, image: {0}/team/app }}\n  \
         web-ui: {{ context: web, dockerfile: docker/Dockerfile, image: {0}/team/web, tags: [1, 2] }}\n",
        registry.host()
    );
    let dockerfile = |text: &str| format!("FROM scratch\nCOPY file /{text}\n");
    let runner = Runner::new()
        .file("yadokari.yaml", &file)
        // Each target's path is below its own context, whatever lies in the working directory.
        .file("Dockerfile", &dockerfile("wrong"))
        .file("docker/Dockerfile", &dockerfile("wrong"))
        .file("app/Dockerfile", &dockerfile("of-app"))
        .file("app/file", "app")
        .file("web/docker/Dockerfile", &dockerfile("of-web"))
        .file("web/file", "web")
        .input("artifacts", "true")
        .input("push", "true");
    let step = run(&runner).succeeded();
    let (app, web) = (registry.image("team/app:latest"), registry.image("team/web:1"));
    assert_eq!(registry.image("team/web:2").digest, web.digest);
    assert_eq!(app.layer(-1).listing(), "f 0644 0:0 of-app \"app\"\n");
    assert_eq!(web.layer(-1).listing(), "f 0644 0:0 of-web \"web\"\n");

    let outputs = step.outputs();
    assert_eq!(outputs["digest-app"], app.digest);
    assert_eq!(outputs["digest-web-ui"], web.digest);
    let reference = |name: &str, digest: &str| format!("{}@{digest}", registry.reference(name));
    let (of_app, of_web) = (reference("team/app", &app.digest), reference("team/web", &web.digest));
    assert_eq!(outputs["image-ref-app"], of_app);
    assert_eq!(outputs["image-ref-web-ui"], of_web);
    let metadata: Value = serde_json::from_str(&outputs["metadata"]).expect("JSON");
    assert_eq!(metadata["web-ui"]["containerimage.digest"], web.digest.as_str());
    assert_eq!(step.artifacts(), format!("oci://{of_app}\noci://{of_web}\n"));
    for part in ["## app", "## web-ui", app.digest.as_str(), web.digest.as_str()] {
        assert!(step.summary().contains(part), "{part} is not in the summary:\n{}", step.summary());
    }
}
