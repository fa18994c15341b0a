use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::ci;

fn detected(variables: &[(&str, &str)]) -> Option<&'static str> {
    ci::detect(&Env::of(variables)).map(ci::Platform::name)
}

#[test]
fn systems_are_recognised_by_their_variables() {
    for (variables, name) in [
        (&[("BUILDKITE", "true")] as &[(&str, &str)], "buildkite"),
        (&[("CIRCLECI", "true")], "circleci"),
        (&[("TRAVIS", "true")], "travis"),
        (&[("TF_BUILD", "True")], "azure"),
        (&[("BITBUCKET_BUILD_NUMBER", "7")], "bitbucket"),
        (&[("TEAMCITY_VERSION", "2025.11")], "teamcity"),
        (&[("CI", "woodpecker")], "woodpecker"),
        (&[("HARNESS_BUILD_ID", "7"), ("DRONE", "true")], "harness"),
        (&[("DRONE", "true"), ("CI", "drone")], "drone"),
        (&[("JENKINS_URL", "http://j/"), ("BUILD_NUMBER", "7")], "jenkins"),
        (&[("CODEBUILD_BUILD_ID", "p:1")], "codebuild"),
        (&[("BUILDER_OUTPUT", "/builder/outputs")], "cloudbuild"),
        (&[("ARGO_NODE_ID", "n-1")], "argo"),
        (&[("GITHUB_ACTIONS", "true"), ("GITEA_ACTIONS", "true")], "gitea"),
        (&[("GITHUB_ACTIONS", "true"), ("GITEA_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")], "gitea"),
        (&[("GITHUB_ACTIONS", "true")], "github"),
        // The job's own system, and what it runs in.
        (&[("GITHUB_ACTIONS", "true"), ("CODEBUILD_BUILD_ID", "p:1")], "github"),
        (&[("GITLAB_CI", "true"), ("CODEBUILD_BUILD_ID", "p:1")], "gitlab"),
        (&[("BUILDKITE", "true"), ("CODEBUILD_BUILD_ID", "p:1")], "buildkite"),
        (&[("JENKINS_URL", "http://j/"), ("BUILD_NUMBER", "7"), ("CODEBUILD_BUILD_ID", "p:1")], "jenkins"),
        (&[("JENKINS_URL", "http://j/"), ("BUILD_NUMBER", "7"), ("ARGO_NODE_ID", "n")], "jenkins"),
    ] {
        assert_eq!(detected(variables), Some(name), "{variables:?}");
    }
    for variables in
        [&[("JENKINS_URL", "http://j/")] as &[(&str, &str)], &[("CI", "true")], &[("TF_BUILD", "")]]
    {
        assert_eq!(detected(variables), None, "{variables:?}");
    }
}

#[test]
fn every_system_has_a_page_with_an_example() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/platforms");
    let mut names: BTreeSet<&str> = SYSTEMS.iter().map(|system| system.name).collect();
    assert_eq!(names.len(), SYSTEMS.len());
    names.insert("gitea");
    for name in names {
        let page = std::fs::read_to_string(docs.join(format!("{name}.md"))).unwrap_or_default();
        assert!(page.contains("```"), "docs/platforms/{name}.md has no example");
        let words = [format!("ci {name}"), format!("- {name}\n"), format!(", {name}]")];
        assert!(
            words.iter().any(|word| page.contains(word)),
            "docs/platforms/{name}.md does not say ci {name}"
        );
    }
}

#[test]
fn lists_come_in_numbered_variables() {
    let env = Env::of(&[
        ("BUILDKITE_PLUGIN_YADOKARI_IMAGE", "r.io/a"),
        ("BUILDKITE_PLUGIN_YADOKARI_TAGS_1", "two"),
        ("BUILDKITE_PLUGIN_YADOKARI_TAGS_0", "one, with blanks"),
        ("BUILDKITE_PLUGIN_YADOKARI_TAGS_10", "eleven"),
        ("BUILDKITE_PLUGIN_YADOKARI_BUILD_ARGS_0", "A=1,2"),
        ("BUILDKITE_PLUGIN_YADOKARI_BUILD_ARGS_COUNT", "1"),
    ]);
    let front = front(&buildkite::SYSTEM, &[], &env).unwrap();
    assert_eq!(front.settings.items(Key::Tags), ["one, with blanks", "two", "eleven"]);
    assert_eq!(front.settings.items(Key::BuildArgs), ["A=1,2"]);
    assert_eq!(front.settings.text(Key::Context), Some("."));
}

#[test]
fn unknown_inputs_are_errors() {
    let env = Env::of(&[("YADOKARI_BUILD_ARG", "A=1")]);
    let error = front(&jenkins::SYSTEM, &[], &env).err().unwrap();
    assert_eq!(error.help.as_deref(), Some("did you mean build-args?"));
    let env = Env::of(&[("PLUGIN_REPOS", "a")]);
    let error = front(&drone::SYSTEM, &[], &env).err().unwrap();
    assert_eq!(error.help.as_deref(), Some("did you mean repo?"));
    // What Kubernetes sets for a service of that name.
    let env =
        Env::of(&[("YADOKARI_SERVICE_HOST", "10.0.0.1"), ("YADOKARI_PORT_80_TCP", "tcp://10.0.0.1:80")]);
    assert!(front(&jenkins::SYSTEM, &[], &env).is_ok());
}

#[test]
fn drones_settings() {
    let env = Env::of(&[
        ("PLUGIN_REPO", "team/app"),
        ("PLUGIN_REGISTRY", "https://registry.example.com"),
        ("PLUGIN_EXPAND_REPO", "true"),
        ("PLUGIN_TAGS", "1.2.3,extra"),
        ("PLUGIN_EXPAND_TAG", "true"),
        ("PLUGIN_BUILD_ARGS", "A=1,2,B=3"),
        ("PLUGIN_CUSTOM_LABELS", "a=b"),
        ("PLUGIN_CACHE_TTL", "24"),
        ("PLUGIN_NO_PUSH", "false"),
        ("PLUGIN_SNAPSHOT_MODE", "redo"),
    ]);
    let settings = front(&drone::SYSTEM, &[], &env).unwrap().settings;
    assert_eq!(settings.items(Key::Image), ["registry.example.com/team/app"]);
    assert_eq!(settings.items(Key::Tags), ["1", "1.2", "1.2.3", "extra"]);
    assert_eq!(settings.items(Key::BuildArgs), ["A=1,2", "B=3"]);
    assert_eq!(settings.items(Key::ExtraArgs), ["--snapshot-mode=redo"]);
    assert_eq!(settings.text(Key::CacheTtl), Some("24h"));
    assert_eq!(settings.boolean(Key::Push), Some(true));
    assert_eq!(settings.text(Key::Registry), Some("registry.example.com"));
}

#[test]
fn woodpeckers_complex_settings_are_json() {
    let env = Env::of(&[
        ("PLUGIN_REPO", "r.io/app"),
        ("PLUGIN_BUILD_ARGS", r#"["A=1,2","B=3"]"#),
        ("PLUGIN_AUTO_TAG", "true"),
        ("CI_COMMIT_REF", "refs/tags/v1.2.3"),
    ]);
    let settings = front(&woodpecker::SYSTEM, &[], &env).unwrap().settings;
    assert_eq!(settings.items(Key::BuildArgs), ["A=1,2", "B=3"]);
    assert_eq!(settings.items(Key::Tags), ["1", "1.2", "1.2.3"]);
    assert_eq!(settings.text(Key::EnvFile), Some("yadokari.env"));
}
