//! Systems that start our image as a plugin, with settings in variables.

use pretty_assertions::assert_eq;

use super::*;

#[test]
fn drone_and_harness_take_kanikos_plugin_settings() {
    for (variable, value) in [("DRONE", "true"), ("HARNESS_BUILD_ID", "7")] {
        let job = Job::new("PLUGIN_").set(variable, value).set("DRONE_COMMIT_REF", "refs/tags/v1.0.2");
        let (host, output, artifact) = (job.registry.host(), job.path("output"), job.path("artifact.json"));
        let job = job
            .set("PLUGIN_REGISTRY", &host)
            .set("PLUGIN_REPO", "team/app")
            .set("PLUGIN_EXPAND_REPO", "true")
            .set("PLUGIN_AUTO_TAG", "true")
            .set("PLUGIN_BUILD_ARGS", "A=1,2,B=3")
            .set("PLUGIN_CUSTOM_LABELS", "a=b,c=d,e")
            .set("PLUGIN_SNAPSHOT_MODE", "redo")
            .set("PLUGIN_ARTIFACT_FILE", &artifact)
            .set("DRONE_OUTPUT", &output);
        job.succeed(&[]);
        let image = job.registry.image("team/app:1.0.2");
        let labels = &image.config["config"]["Labels"];
        assert_eq!((&labels["a"], &labels["c"]), (&json!("b"), &json!("d,e")));
        assert!(job.registry.has_tag("team/app", "1.0"));
        let reference = job.pushed();
        let output = pairs(&job.read("output"));
        assert_eq!((&output["digest"], &output["IMAGE_REF"]), (&image.digest, &reference));
        let artifact: Value = serde_json::from_str(&job.read("artifact.json")).expect("JSON");
        assert_eq!(
            (&artifact["kind"], &artifact["data"]["registryType"]),
            (&json!("docker/v1"), &json!("Docker"))
        );
        let first = json!({ "image": format!("{}:1", job.reference("team/app")), "digest": image.digest });
        assert_eq!(artifact["data"]["images"][0], first);
    }
}

#[test]
fn the_image_is_a_plugin_by_itself() {
    let job = Job::new("PLUGIN_").set("CI", "woodpecker").set("PLUGIN_ISOLATION", "overlay");
    let (repo, work) = (job.reference("team/app:1"), job.directory.path().join("work").display().to_string());
    let job = job.set("PLUGIN_REPO", &repo).set("PLUGIN_WORK_DIR", &work);
    // The image's entrypoint, without arguments.
    let executor = job.project().join("executor");
    std::os::unix::fs::symlink(program(), &executor).expect("linked");
    let finished = run(Command::new(executor)
        .env_clear()
        .env("HOME", job.directory.path())
        .envs(&job.variables)
        .current_dir(job.project()));
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert_eq!(pairs(&job.read("yadokari.env"))["IMAGE_REF"], job.pushed());
}

#[test]
fn woodpecker_gets_a_file_in_the_workspace() {
    let job = Job::new("PLUGIN_").set("CI", "woodpecker").set("PLUGIN_TAGS", "1,latest");
    let (repo, workspace) = (job.reference("team/app"), job.path("."));
    let job = job.set("PLUGIN_REPO", &repo).set("CI_WORKSPACE", &workspace);
    let job = job.set("PLUGIN_BUILD_ARGS", r#"["A=1,2"]"#).set("PLUGIN_LABELS", "x=y");
    job.succeed(&[]);
    assert_eq!(pairs(&job.read("yadokari.env"))["IMAGE_REF"], job.pushed());
}
