use pretty_assertions::assert_eq;

use super::*;

fn migrated(text: &str, name: &str) -> (String, Vec<String>) {
    let Migrated { text, remarks } = migrate(text, name).unwrap();
    (text, remarks.into_iter().map(|(line, remark)| format!("{line}: {remark}")).collect())
}

/// Lines that are only in one of two texts.
fn difference(old: &str, new: &str) -> Vec<String> {
    unified::unified(old, new, ("", ""))
        .lines()
        .skip(2)
        .filter(|line| line.starts_with(['+', '-']))
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn changes(old: &str, name: &str) -> Vec<String> {
    difference(old, &migrated(old, name).0)
}

#[test]
fn images_of_kaniko() {
    for image in [
        "gcr.io/kaniko-project/executor:latest",
        "gcr.io/kaniko-project/executor@sha256:abc",
        "gcr.io/kaniko-project/executor",
        "registry.example.com:5000/mirror/kaniko-project/executor:v1.23.2-debug",
        "cgr.dev/chainguard/kaniko:latest",
        "ghcr.io/osscontainertools/kaniko:v1.24",
        "bitnami/kaniko",
    ] {
        assert!(image::is_kaniko(image), "{image}");
    }
    for image in
        ["alpine", "gcr.io/kaniko-project/warmer:latest", "registry.example.com/team/executor:1", "kanikot"]
    {
        assert!(!image::is_kaniko(image), "{image}");
    }
    assert!(image::ours("gcr.io/kaniko-project/executor:v1.2-debug", false).ends_with("-debug"));
    assert!(!image::ours("gcr.io/kaniko-project/executor@sha256:abc", false).ends_with("-debug"));
}

#[test]
fn a_flow_mapping_and_an_alias() {
    let old = "a: &i {image: 'gcr.io/kaniko-project/executor:debug', stage: build}\nb: *i\n";
    let (new, _) = migrated(old, ".gitlab-ci.yml");
    let image = image::ours("x:debug", true);
    assert_eq!(new, format!("a: &i {{image: {image}, stage: build}}\nb: *i\n"));
}

#[test]
fn a_task_reference_in_flow_style() {
    let old = "apiVersion: tekton.dev/v1\nkind: TaskRun\nspec: {taskRef: {name: kaniko}, params: [{name: BUILDER_IMAGE, value: x}, {name: IMAGE, value: y}]}\n";
    let (new, remarks) = migrated(old, "t.yaml");
    assert!(new.contains("{taskRef: { resolver: git, params: [{ name: url,"), "{new}");
    assert!(new.contains("params: [{name: IMAGE, value: y}]}"), "{new}");
    assert!(yaml::parse(&new).is_ok() && remarks.len() == 1, "{remarks:?}");
}

#[test]
fn another_task_stays() {
    let old = "apiVersion: tekton.dev/v1\nkind: TaskRun\nspec:\n  taskRef:\n    name: git-clone\n";
    assert_eq!(changes(old, "t.yaml"), Vec::<String>::new());
}

#[test]
fn a_login_with_other_accounts_stays() {
    let old = "b:\n  image: gcr.io/kaniko-project/executor:debug\n  before_script:\n    - mkdir -p /kaniko/.docker\n    - echo \"{\\\"credsStore\\\":\\\"ecr-login\\\"}\" > /kaniko/.docker/config.json\n";
    assert_eq!(changes(old, ".gitlab-ci.yml").len(), 2, "only the image");
}
