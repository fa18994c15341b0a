use std::fs;

use pretty_assertions::assert_eq;
use yadokari::image::Reference;

use super::*;
use crate::cli::credentials::file;
use crate::session::sample::outcome;

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|w| (*w).to_owned()).collect()
}

fn config_of(args: &[&str]) -> Result<Job, Usage> {
    let front = front(&words(args))?;
    front.settings.job(&Env::of(&[]), front.reporter.as_ref())
}

#[test]
fn a_step_is_recognised_by_its_results_directory() {
    let root = tempfile::tempdir().unwrap();
    assert!(!detect(root.path()));
    fs::create_dir_all(root.path().join("tekton/results")).unwrap();
    assert!(detect(root.path()));
}

#[test]
fn several_platforms_are_one_parameter() {
    let job = config_of(&["--image", "r.io/a/b:v1", "--platforms", "linux/amd64,arm64"]).unwrap();
    let platforms: Vec<String> = job.config.platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
}

#[test]
fn the_tasks_arguments_become_a_build() {
    let job = config_of(&[
        "--image",
        "r.io/a/b:v1",
        "--tags",
        "latest",
        "--context",
        "/workspace/source/./",
        "--dockerfile",
        "./Dockerfile",
        "--build-args",
        "A=two words",
        "B=1,2",
        "",
        "--labels",
        "--annotations",
        "x=y",
        "--target",
        "",
        "--push",
        "true",
        "--tls-verify",
        "false",
        "--",
        "--label=l=1",
        "--reproducible",
    ])
    .unwrap();
    let names: Vec<String> = job.config.destinations.iter().map(Reference::whole).collect();
    assert_eq!(names, ["r.io/a/b:v1", "r.io/a/b:latest"]);
    assert_eq!(job.config.context, yadokari::config::ContextSource::Directory("/workspace/source/./".into()));
    assert_eq!(job.config.dockerfile, Path::new("./Dockerfile"));
    assert_eq!(job.config.build_args, [("A".into(), "two words".into()), ("B".into(), "1,2".into())]);
    assert_eq!(job.config.annotations[0].full_key(), "manifest:x");
    assert_eq!(job.config.labels, [("l".into(), "1".into())]);
    assert!(job.config.reproducible && job.config.push && job.config.registry.skip_tls_verify);
    assert_eq!(job.config.target, None);
}

#[test]
fn push_is_off_on_request_only() {
    let push = |value: &str| config_of(&["--image", "r.io/r", "--push", value]).map(|j| j.config.push);
    assert_eq!(push(""), Ok(true));
    assert_eq!(push("false"), Ok(false));
    assert!(push("maybe").is_err());
    assert_eq!(config_of(&["--image", "r.io/r", "--", "--no-push"]).map(|j| j.config.push), Ok(false));
}

#[test]
fn an_extra_destination_is_pushed_to_as_well() {
    let job = config_of(&["--image", "r.io/r:1", "--", "--destination=s.io/r:2"]).unwrap();
    assert_eq!(job.config.destinations.len(), 2);
}

#[test]
fn broken_words_are_refused() {
    for bad in [
        ["--imag", "r.io/r"].as_slice(),
        &["stray"],
        &["--image"],
        &["--image", "r.io/r", "stray"],
        &["--image", "r.io/r", "--build-args", "--labels=a"],
        &["--image", "r.io/r", "--", "--no-such-flag"],
        &["--image", "r.io/r", "--", "--label=a=b c", "d"],
        &["--tags", "a"],
        &["--image", "r.io/r", "--build-args", "=x"],
    ] {
        assert!(config_of(bad).is_err(), "{bad:?}");
    }
    let error = config_of(&["--imag", "x"]).unwrap_err();
    assert_eq!(error.help.as_deref(), Some("did you mean IMAGE?"));
}

#[test]
fn the_workspace_comes_first_in_either_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let job = config_of(&["--image", "r.io/r", "--dockerconfig", path]).unwrap();
    let names: Vec<&str> = job.config.keychain.sources.iter().take(2).map(|s| s.name.as_str()).collect();
    let expected = ["config.json", ".dockerconfigjson"].map(|n| file(dir.path().join(n)).name);
    assert_eq!(names, expected);
    assert_eq!(job.warnings.len(), 1, "the workspace is empty");

    fs::write(dir.path().join(".dockerconfigjson"), "{}").unwrap();
    let job = config_of(&["--image", "r.io/r", "--dockerconfig", path, "--sslcertdir", "/ca"]).unwrap();
    assert_eq!(job.warnings, Vec::<String>::new());
    assert_eq!(job.config.registry.ca_paths, [PathBuf::from("/ca")]);
    let unbound = config_of(&["--image", "r.io/r", "--dockerconfig", "", "--sslcertdir", ""]).unwrap();
    assert!(unbound.config.registry.ca_paths.is_empty());
}

#[test]
fn results_are_verbatim_and_where_the_task_says() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("{name}={}", dir.path().join(name).display());
    let names = ["IMAGE_DIGEST", "IMAGE_URL", "IMAGE_REF", "IMAGES"];
    let mut args = words(&["--image", "r.io/a/b:v1", "--results"]);
    args.extend(names.map(at));
    let job = config_of(&args.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let outcome = outcome(&["r.io/a/b:v1", "r.io/a/b:v2"]);
    Tekton::new(sections(&args).unwrap()).emit(&job, &outcome, &Events::none()).unwrap();
    let digest = outcome.digest;
    let expected = [
        digest.to_string(),
        "r.io/a/b:v1".to_owned(),
        format!("r.io/a/b@{digest}"),
        format!("r.io/a/b:v1@{digest},r.io/a/b:v2@{digest}"),
    ];
    assert_eq!(names.map(|n| fs::read_to_string(dir.path().join(n)).unwrap()), expected);
}

#[test]
fn without_a_word_about_them_results_go_where_tekton_reads() {
    let path = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        Tekton::new(sections(&words).unwrap()).result_path("IMAGE_URL")
    };
    assert_eq!(path(&[]), Some("/tekton/results/IMAGE_URL".into()));
    assert_eq!(path(&["--results", "IMAGE_DIGEST=/d", "IMAGE_URL=/u"]), Some("/u".into()));
    assert_eq!(path(&["--results", "IMAGE_DIGEST=/d"]), None, "the Task has no such result");
}

#[test]
fn nothing_is_reported_that_was_not_pushed() {
    assert!(results::of("r.io/a", &outcome(&[])).0.is_empty());
}

#[test]
fn results_stay_within_the_budget() {
    let cost = |all: &[(&str, String)]| all.iter().map(|(n, v)| results::cost(n, v)).sum::<usize>();
    let many: Vec<String> = (0..100).map(|n| format!("r.io/a/b:tag-{n}")).collect();
    let outcome_of_many = outcome(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let (all, dropped) = results::of("r.io/a/b:tag-0", &outcome_of_many);
    assert!(cost(&all) <= results::BUDGET, "{}", cost(&all));
    let names: Vec<&str> = all.iter().map(|(n, _)| *n).collect();
    assert_eq!(names, ["IMAGE_DIGEST", "IMAGE_URL", "IMAGE_SIZE", "IMAGE_REF", "IMAGES"]);
    let digest = outcome_of_many.digest.to_string();
    assert!(all[4].1.split(',').all(|image| image.ends_with(&digest)), "an image is whole or absent");
    assert_eq!(dropped.len(), 2, "{dropped:?}");

    let long = format!("r.io/{}:v1", "a/".repeat(120) + "b");
    let (all, _) = results::of(&long, &outcome(&[long.as_str(); 9]));
    assert!(cost(&all) <= results::BUDGET);
    assert_eq!(all[0].0, "IMAGE_DIGEST");
}

#[test]
fn the_image_is_reported_as_it_was_given() {
    let url = |image: &str, pushed: &[&str]| results::of(image, &outcome(pushed)).0[1].1.clone();
    assert_eq!(url("r.io/a", &["r.io/a:latest"]), "r.io/a");
    assert_eq!(url("app", &["docker.io/library/app:latest"]), "app");
    assert_eq!(url("r.io/a", &["r.io/a:v1", "r.io/a:v2"]), "r.io/a:v1");
    assert_eq!(url("r.io/a:v1", &["r.io/a:v1"]), "r.io/a:v1");
}

#[test]
fn the_context_is_below_the_workspace_unless_it_is_a_url() {
    let context = |source: &str, context: &str| {
        config_of(&["--image", "r.io/r", "--source", source, "--context", context]).map(|j| j.config.context)
    };
    let directory = |path: &str| Ok(yadokari::config::ContextSource::Directory(path.into()));
    assert_eq!(context("/workspace/source", "./app"), directory("/workspace/source/./app"));
    assert_eq!(context("/s/", "."), directory("/s/."));
    assert_eq!(context("", "/elsewhere"), directory("/elsewhere"));
    assert!(context("", "./").is_err());
    let git = "https://h/r.git#main";
    assert_eq!(format!("{:?}", context("/s", git)), format!("{:?}", context("", git)));
    assert!(context("", git).is_ok());
}

#[test]
fn a_matrix_builds_tags_differ_by_their_platform() {
    let args = ["--image", "r.io/a", "--tags", "run-{{platform}}", "--platform", "arm64"];
    let names: Vec<String> =
        config_of(&args).unwrap().config.destinations.iter().map(Reference::whole).collect();
    assert_eq!(names, ["r.io/a:run-linux-arm64"]);
    let args = ["--image", "r.io/a", "--tags", "run-{{platform}}", "--platform", "amd64,arm64"];
    let config = config_of(&args).unwrap().config;
    assert_eq!(config.destinations[0].whole(), "r.io/a:run-linux-amd64-linux-arm64");
    assert_eq!(config.platforms.len(), 2);
}

#[test]
fn the_source_is_named_in_labels_that_others_may_replace() {
    let given = ["--image", "r.io/a", "--git-url", "https://h/r", "--git-revision", "0123"];
    let labels = |more: &[&str]| config_of(&[&given, more].concat()).unwrap().config.labels;
    let label = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
    assert_eq!(labels(&[]), [label("source", "https://h/r"), label("revision", "0123")]);
    let more = ["--labels", "org.opencontainers.image.source=mine"];
    assert_eq!(labels(&more), [label("source", "mine"), label("revision", "0123")]);
}
