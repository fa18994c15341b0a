use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use yadokari::config::{CredentialLocation, CredentialSource};
use yadokari::event::Event;
use yadokari::image::Reference;

use super::*;
use crate::cli::progress::Place;
use crate::cli::progress::plain::tests::{finished, output, shown, step};
use crate::session::sample::outcome;

const JOB: [(&str, &str); 9] = [
    ("GITLAB_CI", "true"),
    ("CI_PROJECT_DIR", "/usr"),
    ("CI_REGISTRY", "registry.gl.io"),
    ("CI_REGISTRY_IMAGE", "registry.gl.io/g/p"),
    ("CI_REGISTRY_USER", "gitlab-ci-token"),
    ("CI_REGISTRY_PASSWORD", "pw-token"),
    ("CI_COMMIT_REF_SLUG", "feature-x"),
    ("CI_JOB_TOKEN", "job-token"),
    ("HOME", "/root"),
];

fn job_of(env: &Env) -> Result<(Job, Gitlab), Usage> {
    let (settings, reporter) = read(&[], env)?;
    Ok((settings.job(env, &reporter)?, reporter))
}

fn job_with(more: &[(&str, &str)]) -> Result<(Job, Gitlab), Usage> {
    job_of(&Env::of(&[&JOB, more].concat()))
}

fn destinations(more: &[(&str, &str)]) -> Vec<String> {
    job_with(more).unwrap().0.config.destinations.iter().map(Reference::whole).collect()
}

fn basics(job: &Job) -> Vec<(&str, &str, &str)> {
    fn basic(source: &CredentialSource) -> Option<(&str, &str, &str)> {
        match &source.location {
            CredentialLocation::Basic { registry, username, password } => {
                Some((registry, username, password))
            }
            _ => None,
        }
    }
    job.config.keychain.sources.iter().filter_map(basic).collect()
}

#[test]
fn a_job_is_recognised_also_where_gitlab_ci_is_false() {
    assert!(detect(&Env::of(&[("GITLAB_CI", "true")])));
    assert!(detect(&Env::of(&[("GITLAB_CI", "false")])));
    assert!(detect(&Env::of(&[("CI_JOB_ID", "1"), ("CI_SERVER_URL", "https://gl.io")])));
    assert!(!detect(&Env::of(&[("CI", "true"), ("CI_JOB_ID", "1")])));
}

#[test]
fn without_inputs_the_project_is_built_and_pushed_to_its_registry() {
    let (job, reporter) = job_with(&[]).unwrap();
    assert_eq!(job.config.context, yadokari::config::ContextSource::Directory("/usr".into()));
    assert_eq!(job.config.destinations[0].whole(), "registry.gl.io/g/p:feature-x");
    assert!(job.config.push);
    assert_eq!(reporter.dotenv, Path::new("/usr/yadokari.env"));
    let expected = [
        ("registry.gl.io", "gitlab-ci-token", "pw-token"),
        ("registry.gl.io", "gitlab-ci-token", "job-token"),
    ];
    assert_eq!(basics(&job), expected);
}

#[test]
fn where_the_project_directory_does_not_exist_the_working_directory_is_it() {
    let (job, reporter) = job_with(&[("CI_PROJECT_DIR", "/no/such/directory")]).unwrap();
    assert_eq!(job.config.context, yadokari::config::ContextSource::Directory(".".into()));
    assert_eq!(reporter.dotenv, Path::new("./yadokari.env"));
}

#[test]
fn tags_come_from_the_input_the_git_tag_or_the_branch() {
    assert_eq!(destinations(&[("CI_COMMIT_TAG", "v1.2")]), ["registry.gl.io/g/p:v1.2"]);
    assert_eq!(destinations(&[("YADOKARI_TAGS", "a,b")]), ["registry.gl.io/g/p:a", "registry.gl.io/g/p:b"]);
    assert_eq!(destinations(&[("YADOKARI_IMAGE", "r.io/x:1")]), ["r.io/x:1"]);
    assert_eq!(destinations(&[("YADOKARI_IMAGE", "r.io/x")]), ["r.io/x:feature-x"]);
    assert_eq!(destinations(&[("YADOKARI_EXTRA_ARGS", "--destination=s.io/y:2")]), ["s.io/y:2"]);
}

#[test]
fn inputs_are_laid_over() {
    let (job, reporter) = job_with(&[
        ("YADOKARI_CONTEXT", "app"),
        ("YADOKARI_DOCKERFILE", "app/Dockerfile"),
        ("YADOKARI_DOTENV", "out/build.env"),
        ("YADOKARI_CA_FILE", "/ca.pem"),
        ("CI_SERVER_TLS_CA_FILE", "/gl.pem"),
        ("YADOKARI_PUSH", "no"),
    ])
    .unwrap();
    assert_eq!(job.config.context, yadokari::config::ContextSource::Directory("app".into()));
    assert_eq!(job.config.dockerfile, Path::new("app/Dockerfile"));
    assert_eq!(reporter.dotenv, Path::new("/usr/out/build.env"));
    assert_eq!(job.config.registry.ca_paths, [PathBuf::from("/gl.pem"), PathBuf::from("/ca.pem")]);
    assert!(!job.config.push);
    assert!(job_with(&[("YADOKARI_DOCKERFLE", "x")]).is_err());
}

#[test]
fn a_project_without_a_registry_is_told_so() {
    let env = Env::of(&[("GITLAB_CI", "true"), ("CI_PROJECT_DIR", "/p")]);
    let error = job_of(&env).unwrap_err();
    assert!(error.message.contains("CI_REGISTRY_IMAGE") && error.help.is_some());
    let env = Env::of(&[("GITLAB_CI", "true"), ("YADOKARI_PUSH", "false")]);
    assert!(job_of(&env).is_ok());
}

#[test]
fn a_fork_does_not_push() {
    let fork = [("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "2"), ("CI_MERGE_REQUEST_PROJECT_ID", "1")];
    let (job, _) = job_with(&fork).unwrap();
    assert!(!job.config.push && job.warnings.len() == 1);
    let with = |name, value| job_with(&[fork.as_slice(), &[(name, value)]].concat()).unwrap().0.config.push;
    assert!(!with("YADOKARI_PUSH", "true"));
    assert!(with("YADOKARI_PUSH_FROM_FORKS", "true"));
    assert!(
        !job_with(&[("YADOKARI_PUSH_FROM_FORKS", "true"), ("YADOKARI_PUSH", "false")]).unwrap().0.config.push
    );
}

#[test]
fn the_dependency_proxy_is_known_with_and_without_its_port() {
    let (job, _) = job_with(&[
        ("CI_DEPENDENCY_PROXY_SERVER", "gl.io:443"),
        ("CI_DEPENDENCY_PROXY_USER", "u"),
        ("CI_DEPENDENCY_PROXY_PASSWORD", "dp-password"),
    ])
    .unwrap();
    let all = basics(&job);
    assert!(all.contains(&("gl.io:443", "u", "dp-password")) && all.contains(&("gl.io", "u", "dp-password")));
}

#[test]
fn never_in_place_where_the_machine_is_shared() {
    let shared = ("CI_SHARED_ENVIRONMENT", "true");
    assert_eq!(job_with(&[shared]).unwrap().0.config.rootfs.isolation, Isolation::Mounted);
    let force = ("YADOKARI_EXTRA_ARGS", "--force");
    assert!(!job_with(&[shared, force]).unwrap().0.config.rootfs.force);
    let inplace = ("YADOKARI_EXTRA_ARGS", "--isolation=inplace");
    assert!(job_with(&[shared, inplace]).is_err());
    assert_eq!(job_with(&[]).unwrap().0.config.rootfs.isolation, Isolation::Auto);
}

/// GitLab's rules: at most 5 KiB and 20 variables, no blank lines, names of letters, digits and
/// underscores, values without spaces and quotes.
fn check_dotenv(text: &str) {
    assert!(text.len() <= 5 * 1024);
    assert!(text.lines().count() <= 20 && text.ends_with('\n'));
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap();
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        assert!(!value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'"'), "{line}");
    }
}

#[test]
fn the_reports_are_what_gitlab_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let variables = [("CI_PROJECT_DIR", path), ("CI_PROJECT_URL", "https://gl.io/g/p")];
    let (job, reporter) = job_with(&variables).unwrap();
    let outcome = outcome(&["registry.gl.io/g/p:a", "r.io/g/p:b"]);
    reporter.emit(&job, &outcome, &Events::none()).unwrap();
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let text = read("yadokari.env");
    check_dotenv(&text);
    let digest = outcome.digest;
    for line in [
        format!("IMAGE_DIGEST={digest}"),
        "IMAGE_URL=registry.gl.io/g/p:a".to_owned(),
        format!("IMAGE_REF=registry.gl.io/g/p@{digest}"),
        "IMAGE_TAGS=registry.gl.io/g/p:a,r.io/g/p:b".to_owned(),
        format!("IMAGE_ID={}", outcome.image_id()),
        "docker_image=registry.gl.io/g/p:a".to_owned(),
        format!("docker_image_digest=registry.gl.io/g/p@{digest}"),
        "docker_image_tag=a".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
    }
    let name = matrix::slugs([&outcome.images[0].platform].into_iter());
    assert_eq!(read(&format!("yadokari-digests/{name}")), format!("registry.gl.io/g/p@{digest}\n"));
    let links: serde_json::Value = serde_json::from_str(&read("yadokari-links.json")).unwrap();
    let link = |n: usize| links["images"][n]["external_link"]["url"].as_str().unwrap().to_owned();
    assert_eq!(link(0), "https://gl.io/g/p/container_registry");
    assert_eq!(link(1), format!("https://r.io/g/p@{digest}"));
    assert_eq!(read("gl-code-quality-report.json"), "[]\n");
}

#[test]
fn many_tags_are_cut_and_an_image_that_was_not_pushed_has_no_name() {
    let many: Vec<String> = (0..500).map(|n| format!("r.io/g/p:tag-number-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (text, dropped) = dotenv::of(&outcome(&many), "_linux_arm64_v8");
    check_dotenv(&text);
    assert!(dropped.is_some());
    let (text, _) = dotenv::of(&outcome(&[]), "");
    let names: Vec<&str> = text.lines().filter_map(|l| l.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(names, ["IMAGE_DIGEST", "IMAGE_ID", "IMAGE_SIZE"]);
}

#[test]
fn one_of_several_jobs_has_tags_and_names_of_its_own() {
    let leg = [("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "2"), ("YADOKARI_PLATFORM", "linux/arm64")];
    let with = |more: &[(&str, &str)]| destinations(&[leg.as_slice(), more].concat());
    assert_eq!(with(&[]), ["registry.gl.io/g/p:feature-x-linux-arm64"]);
    assert_eq!(with(&[("YADOKARI_TAGS", "a")]), ["registry.gl.io/g/p:a-linux-arm64"]);
    assert_eq!(with(&[("YADOKARI_IMAGE", "r.io/x:1")]), ["r.io/x:1-linux-arm64"]);
    let rules = [("YADOKARI_TAG_RULES", "type=raw,value=z"), ("YADOKARI_FLAVOR", "latest=false")];
    assert_eq!(with(&rules), ["registry.gl.io/g/p:z-linux-arm64"]);
    let (_, reporter) = job_with(&leg).unwrap();
    assert_eq!(reporter.leg.suffix(), "_linux_arm64");
    let both = [("CI_NODE_TOTAL", "2"), ("YADOKARI_PLATFORM", "linux/amd64,linux/arm64")];
    let (job, several) = job_with(&both).unwrap();
    assert_eq!((job.config.platforms.len(), several.leg.suffix().as_str()), (2, "_linux_amd64_linux_arm64"));
    let (_, alone) = job_with(&[("CI_NODE_TOTAL", "1")]).unwrap();
    assert_eq!(alone.leg.suffix(), "");
}

#[test]
fn rules_read_the_commit() {
    let tags = |variables: &[(&str, &str)], rules: &str| {
        let rules = [("YADOKARI_TAG_RULES", rules), ("CI_COMMIT_SHA", "0123456789abcdef")];
        let names = destinations(&[variables, &rules].concat());
        names.iter().map(|n| n.rsplit_once(':').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let semver = "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}";
    assert_eq!(tags(&[("CI_COMMIT_TAG", "v1.2.3")], semver), ["1.2.3", "1.2", "latest"]);
    let branch = [("CI_COMMIT_BRANCH", "feat/X"), ("CI_DEFAULT_BRANCH", "main")];
    assert_eq!(tags(&branch, "type=ref,event=branch\ntype=sha"), ["feat-X", "sha-0123456"]);
    assert_eq!(tags(&[("CI_COMMIT_BRANCH", "main"), ("CI_DEFAULT_BRANCH", "main")], "type=edge"), ["edge"]);
    let request = [("CI_MERGE_REQUEST_IID", "7"), ("CI_COMMIT_REF_NAME", "feat/X")];
    assert_eq!(tags(&request, "type=ref,event=pr,prefix=mr-"), ["mr-7"]);
    assert_eq!(tags(&[("CI_PIPELINE_SOURCE", "schedule")], "type=schedule"), ["nightly"]);
}

#[test]
fn the_commit_is_in_labels_and_times() {
    let (job, _) = job_with(&[
        ("CI_COMMIT_TIMESTAMP", "2026-01-31T12:00:00+01:00"),
        ("CI_COMMIT_SHA", "0123"),
        ("CI_PROJECT_TITLE", "Project"),
        ("CI_PROJECT_URL", "https://gl.io/g/p"),
        ("CI_COMMIT_REF_NAME", "feature/x"),
        ("YADOKARI_LABELS", "org.opencontainers.image.title=Mine\nother=1"),
    ])
    .unwrap();
    assert_eq!(job.config.source_date_epoch, Some(1_769_857_200));
    let label = |key: &str| {
        let name = format!("org.opencontainers.image.{key}");
        job.config.labels.iter().find(|(k, _)| *k == name).map(|(_, v)| v.as_str())
    };
    assert_eq!(label("title"), Some("Mine"));
    assert_eq!(label("revision"), Some("0123"));
    assert_eq!(label("source"), Some("https://gl.io/g/p"));
    assert_eq!(label("version"), Some("feature/x"));
    assert_eq!(label("created"), Some("2026-01-31T12:00:00+01:00"));
    let (job, _) = job_with(&[("CI_COMMIT_SHA", "0123"), ("YADOKARI_OCI_LABELS", "false")]).unwrap();
    assert!(job.config.labels.is_empty());
}

#[test]
fn a_git_tag_becomes_an_image_tag() {
    for (git, image) in [("release/1.0", "release-1.0"), ("v1.0+build", "v1.0-build"), ("-x", "x")] {
        assert_eq!(destinations(&[("CI_COMMIT_TAG", git)]), [format!("registry.gl.io/g/p:{image}")]);
    }
}

#[test]
fn the_dependency_proxy_is_a_mirror_on_request() {
    let prefix = ("CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX", "gl.io:443/g/dependency_proxy/containers");
    let on = ("YADOKARI_DEPENDENCY_PROXY", "true");
    let mirrors = |v: &[(&str, &str)]| job_with(v).map(|(job, _)| job.config.registry.mirrors.len());
    assert_eq!(mirrors(&[prefix]), Ok(0));
    assert_eq!(mirrors(&[prefix, on]), Ok(1));
    assert_eq!(mirrors(&[prefix, on, ("YADOKARI_MIRRORS", "mirror.example.com")]), Ok(2));
    assert!(mirrors(&[on]).unwrap_err().message.contains("dependency proxy is off"));
}

#[test]
fn credentials_that_gitlab_kept_back_are_explained() {
    let refused = "cannot push: 401\nhelp: give credentials for r.io: …";
    let note = |protected: &str, report: &str| {
        job_with(&[("CI_COMMIT_REF_PROTECTED", protected)]).unwrap().1.explain(report)
    };
    assert!(note("false", refused).unwrap().contains("not protected"));
    assert_eq!(note("true", refused), None);
    assert_eq!(note("false", "RUN failed"), None);
}

#[test]
fn findings_are_a_code_quality_report() {
    let env = Env::of(&[("CI_PROJECT_DIR", "/builds/g/p")]);
    let mut findings = Findings::new(&env);
    let place = |file: &str, line| Place {
        message: "m".to_owned(),
        id: Some("StageNameCasing"),
        file: Some(file.to_owned()),
        line: Some(line),
        ..Place::default()
    };
    for place in [place("/builds/g/p/app/Dockerfile", 3), place("./app/Dockerfile", 9)] {
        findings.add(&place);
    }
    let report: serde_json::Value = serde_json::from_str(&findings.report()).unwrap();
    let issues = report.as_array().unwrap();
    assert!(issues.iter().all(|i| i["location"]["path"] == "app/Dockerfile"));
    assert_eq!(issues[1]["location"]["lines"]["begin"], 9);
    assert_ne!(issues[0]["fingerprint"], issues[1]["fingerprint"]);
}

#[test]
fn steps_are_collapsible_sections() {
    let text = shown(
        Box::new(Sections::new(|| 7, Arc::new(Mutex::new(Findings::new(&Env::of(&[])))))),
        &[],
        vec![
            step(0, 1, "RUN a"),
            output(0, 1, b"\x1b[0Ksection_end:1:yadokari_step_1\r\x1b[0Kspoof"),
            finished(0, 1),
            step(0, 2, "RUN b"),
            step(1, 1, "RUN c"),
            finished(1, 1),
            finished(0, 2),
            Event::Info("end".into()),
        ],
    );
    assert_eq!(text.matches("section_start").count(), 2, "a step inside another's section has none");
    assert_eq!(text.matches("section_end").count(), 2);
    let start = "\x1b[0Ksection_start:7:yadokari_step_1\r\x1b[0K[stage-0 1/2] RUN a\n";
    assert!(text.starts_with(start), "{text:?}");
    assert!(text.contains("[stage-0 1/2] spoof\n"), "{text:?}");
    assert!(text.contains("\x1b[0Ksection_end:7:yadokari_step_2\r\x1b[0K\n  0.0s  end\n"), "{text:?}");
}
