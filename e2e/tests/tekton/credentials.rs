//! Who may read what in a pod: the registry's account, build secrets, and Tekton's own copies.

use pretty_assertions::assert_eq;
use serde_json::json;
use yadokari_e2e::Registry;

use super::pod::{Pod, secret};
use super::{TASK, source, succeeded};

/// Looks for the password, plain and in base64, in every file that a command in the container's own root can
/// read and that is not the program. The patterns do not match themselves in the Dockerfile.
const LOOK: &str = "for d in /yadokari/handed-over /yadokari/work /kaniko /workspace /tekton /root; do \
    grep -rl -e 'hor[s]e' -e 'YnV[p]bGRlcjpjb3JyZWN0' -e 'npm-s[3]cret' $d 2>/dev/null; done | grep . && \
    echo LE''AK; true\n";

fn build(registry: &Registry) -> Pod {
    Pod::of(TASK)
        .param("IMAGE", registry.reference("team/app:1"))
        .param("DOCKERFILE", "app/Dockerfile")
        .param("CONTEXT", "app")
        .param("INSECURE_REGISTRIES", json!([registry.host()]))
}

#[test]
fn no_run_can_read_what_was_handed_over() {
    let registry = Registry::with_password();
    let source = source(
        &registry,
        &format!(
            "RUN --mount=type=secret,id=npm cat /run/secrets/npm | wc -c && rm -f x && {LOOK}RUN {LOOK}"
        ),
    );
    let pod = build(&registry)
        .workspace("source", source.path())
        .secret("dockerconfig", &[(".dockerconfigjson", &registry.docker_config())])
        .secret("secrets", &[("npm", "npm-s3cret\n")]);
    let steps = pod.run();
    let output = succeeded(&steps);
    assert!(steps[0].stdout.contains("handed over: .dockerconfigjson, the secret npm"), "{output}");
    assert!(!output.contains("LEAK") && output.contains("] 11\n"), "{output}");
    assert!(
        output.contains("in place") || output.contains("inplace"),
        "the weakest placement is tried: {output}"
    );
    assert_eq!(pod.result("IMAGE_DIGEST"), Some(registry.image("team/app:1").digest));
}

#[test]
fn a_workspace_without_credentials_is_refused_before_the_build() {
    let registry = Registry::with_password();
    let source = source(&registry, "COPY file /\n");
    let pod = build(&registry).workspace("source", source.path()).secret("dockerconfig", &[("token", "x")]);
    let steps = pod.run();
    assert_eq!((steps.len(), steps[0].code), (1, 1));
    assert!(steps[0].stderr.contains("neither config.json nor .dockerconfigjson"), "{}", steps[0].stderr);
}

/// Tekton's merged copy keeps no identity tokens; the Secret itself, which is mounted too, does.
#[test]
fn the_service_accounts_secrets_are_found() {
    let registry = Registry::with_password();
    let source = source(&registry, "COPY file /\n");
    let wrong = registry.docker_config_for("builder:wrong password");
    let pod = build(&registry)
        .workspace("source", source.path())
        .mount(secret(&[("config.json", &wrong)]), "/tekton/home/.docker")
        .mount(secret(&[(".dockerconfigjson", &registry.docker_config())]), "/tekton/creds-secrets/registry");
    succeeded(&pod.run());
    assert!(registry.has_tag("team/app", "1"));

    let pod = build(&registry)
        .param("TAGS", json!(["copy"]))
        .workspace("source", source.path())
        .mount(secret(&[("config.json", &registry.docker_config())]), "/tekton/creds/.docker");
    succeeded(&pod.run());
    assert!(registry.has_tag("team/app", "copy"));
}
