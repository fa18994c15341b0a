//! The inputs of build-push-action and metadata-action, one by one.

use std::fs;
use std::path::Path;

use pretty_assertions::assert_eq;
use yadokari::config::{ContextSource, SecretSource, StepNetwork};
use yadokari::image::Reference;

use super::*;

/// The job, and what is said before it.
fn told(inputs: &[(&str, &str)]) -> Result<(Job, Vec<String>), Usage> {
    let mut variables = vec![
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_REF", "refs/tags/v1.2.3"),
        ("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37"),
        ("GITHUB_REPOSITORY", "octo/Hello"),
        ("GITHUB_SERVER_URL", "https://github.example"),
        ("SOURCE_DATE_EPOCH", "1700000000"),
    ];
    variables.extend_from_slice(inputs);
    let env = Env::of(&variables);
    let front = front(&[], &env)?;
    let job = front.settings.job(&env, front.reporter.as_ref())?;
    // What it says first, on standard output.
    let mut markup = front.reporter.markup(&Redactor::default());
    let notices = markup.start().lines().map(str::to_owned).collect();
    Ok((job, notices))
}

fn job(inputs: &[(&str, &str)]) -> Job {
    told(inputs).unwrap_or_else(|error| panic!("{error}")).0
}

fn names(job: &Job) -> Vec<String> {
    job.config.destinations.iter().map(Reference::whole).collect()
}

fn annotated(job: &Job) -> Vec<String> {
    job.config.annotations.iter().map(|a| format!("{}={}", a.full_key(), a.value)).collect()
}

macro_rules! honoured {
    ($($name:ident: [$($input:literal = $value:expr),*] => $check:expr;)*) => {
        mod honoured {
            use super::*;
            use pretty_assertions::assert_eq;

            $(#[test]
            fn $name() {
                let job = job(&[$((concat!("INPUT_", $input), $value)),*]);
                let check: fn(&Job) = $check;
                check(&job);
            })*
        }
    };
}

honoured! {
    add_hosts: ["ADD-HOSTS" = "a:10.0.0.1,b:10.0.0.2"] => |j| assert_eq!(j.config.steps.hosts.len(), 2);
    annotations: ["ANNOTATIONS" = "a=b\nc=d,e"] => |j| assert_eq!(annotated(j), ["manifest:a=b", "manifest:c=d,e"]);
    annotations_of_levels: ["ANNOTATIONS" = "index,manifest:a=b\nindex:c=d", "PLATFORMS" = "linux/amd64,linux/arm64"] => |j| assert_eq!(annotated(j), ["index:a=b", "manifest:a=b", "index:c=d"]);
    annotations_of_no_index: ["ANNOTATIONS" = "index,manifest:a=b\nindex-descriptor:c=d"] => |j| {
        assert_eq!(annotated(j), ["manifest:a=b"]);
        assert!(j.notes.iter().any(|note| note.contains("of the index are left out")), "{:?}", j.notes);
    };
    annotations_of_joined_images: ["ANNOTATIONS" = "index,manifest:a=b", "MODE" = "index"] => |j| assert_eq!(annotated(j), ["index:a=b", "manifest:a=b"]);
    attests: ["ATTESTS" = "type=sbom,disabled=true"] => |j| assert!(!j.config.push);
    build_args: ["BUILD-ARGS" = "A=1,2\n\"B={\"\"k\"\":1}\"\nC=x=y"] => |j| assert_eq!(j.config.build_args.iter().filter(|(k, _)| k.len() == 1).map(|(_, v)| v.as_str()).collect::<Vec<_>>(), ["1,2", "{\"k\":1}", "x=y"]);
    build_contexts: ["BUILD-CONTEXTS" = "base=docker-image://alpine:3"] => |j| assert!(j.config.build_contexts.contains_key("base"));
    cache_from: ["CACHE-FROM" = "type=registry,ref=h/c"] => |j| assert!(!j.config.cache.from.is_empty());
    cache_to: ["CACHE-TO" = "type=registry,ref=h/c,mode=max"] => |j| assert_eq!(j.config.cache.to.len(), 1);
    cache_of_the_runner: ["CACHE-FROM" = "type=gha", "CACHE-TO" = "type=gha,mode=max"] => |j| assert!(!j.warnings.is_empty() || !j.config.cache.from.is_empty());
    context: ["CONTEXT" = "app"] => |j| assert_eq!(j.config.context, ContextSource::Directory("app".into()));
    file: ["FILE" = "app/Dockerfile"] => |j| assert_eq!(j.config.dockerfile, Path::new("app/Dockerfile"));
    labels: ["LABELS" = "a=b,c"] => |j| assert_eq!(j.config.labels, [("a".into(), "b,c".into())]);
    network: ["NETWORK" = "none"] => |j| assert_eq!(j.config.steps.network, StepNetwork::None);
    no_cache: ["NO-CACHE" = "true"] => |j| assert!(!j.config.cache.read);
    no_cache_filters: ["NO-CACHE-FILTERS" = "a,b"] => |j| assert_eq!(j.config.cache.no_cache_stages, ["a", "b"]);
    outputs: ["OUTPUTS" = "type=docker,dest=image.tar"] => |j| assert_eq!(j.config.tar_path.as_deref(), Some(Path::new("image.tar")));
    outputs_of_a_registry: ["OUTPUTS" = "type=image,name=h.io/r:1,push=true"] => |j| assert_eq!((names(j), j.config.push), (vec!["h.io/r:1".to_owned()], true));
    platforms: ["PLATFORMS" = "linux/arm64"] => |j| assert_eq!(j.config.platforms.first().map(ToString::to_string).as_deref(), Some("linux/arm64"));
    several_platforms: ["PLATFORMS" = "linux/amd64, linux/arm/v7\nlinux/amd64"] => |j| assert_eq!(j.config.platforms.iter().map(ToString::to_string).collect::<Vec<_>>(), ["linux/amd64", "linux/arm/v7"]);
    provenance: ["PROVENANCE" = "false"] => |j| assert!(!j.config.push);
    pull: ["PULL" = "true"] => |j| assert!(j.config.cache.bases.is_none());
    push: ["PUSH" = "true", "TAGS" = "h.io/r:1"] => |j| assert!(j.config.push);
    sbom: ["SBOM" = "false"] => |j| assert!(!j.config.push);
    secrets: ["SECRETS" = "\"A=x\ny\"\nB=z,w"] => |j| assert_eq!(j.config.steps.secrets.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    secret_envs: ["SECRET-ENVS" = "A=GITHUB_REF,B=GITHUB_SHA"] => |j| assert_eq!(j.config.steps.secrets.len(), 2);
    secret_files: ["SECRET-FILES" = "A=/etc/hostname"] => |j| assert_eq!(j.config.steps.secrets.len(), 1);
    tags: ["TAGS" = "h.io/r:1,h.io/r:2\nh.io/s:3"] => |j| assert_eq!(names(j), ["h.io/r:1", "h.io/r:2", "h.io/s:3"]);
    target: ["TARGET" = "t"] => |j| assert_eq!(j.config.target.as_deref(), Some("t"));
    spaces_in_names_of_inputs: ["REGISTRY" = "h", "USERNAME" = "u", "PASSWORD" = "p"] => |j| assert_eq!(j.config.keychain.sources[0].name, "input password");
}

macro_rules! ignored {
    ($($name:ident: $input:literal = $value:literal;)*) => {
        mod ignored {
            use super::*;
            use pretty_assertions::assert_eq;

            $(#[test]
            fn $name() {
                let (given, notices) = told(&[(concat!("INPUT_", $input), $value)]).unwrap();
                let (plain, _) = told(&[]).unwrap();
                assert_eq!(format!("{:?}", given.config), format!("{:?}", plain.config));
                let input = $input.to_lowercase();
                assert!(notices.iter().any(|n| n.starts_with(&format!("::notice::the input {input} has no effect"))), "{notices:?}");
            })*
        }
    };
}

ignored! {
    allow: "ALLOW" = "network.host";
    builder: "BUILDER" = "mybuilder";
    cgroup_parent: "CGROUP-PARENT" = "/x";
    shm_size: "SHM-SIZE" = "2g";
    ulimit: "ULIMIT" = "nofile=1024:1024";
}

macro_rules! refused {
    ($($name:ident: $input:literal = $value:literal => $error:literal;)*) => {
        mod refused {
            use super::*;
            $(#[test]
            fn $name() {
                let error = told(&[(concat!("INPUT_", $input), $value)]).err().expect("refused");
                assert!(error.message.contains($error), "{error}");
                assert!(error.help.is_some(), "{error} has no way out");
            })*
        }
    };
}

refused! {
    attests: "ATTESTS" = "type=sbom" => "attestation";
    load: "LOAD" = "true" => "docker engine";
    outputs_to_an_engine: "OUTPUTS" = "type=docker" => "docker engine";
    outputs_of_files: "OUTPUTS" = "dist" => "dist";
    provenance: "PROVENANCE" = "mode=max" => "provenance";
    sbom: "SBOM" = "true" => "sbom";
    push_without_tags: "PUSH" = "true" => "no tags";
    push_that_is_no_boolean: "PUSH" = "perhaps" => "neither true nor false";
    an_unknown_input: "BUILD-ARG" = "A=1" => "there is no input build-arg";
    tags_that_are_none: "TAGS" = "h.io/R:x y" => "input tags";
}

#[test]
fn a_line_of_tags_is_a_rule_where_images_are_named() {
    let job = job(&[
        ("INPUT_IMAGES", "ghcr.io/Octo/Hello\nname=docker.io/octo/hello,enable=false"),
        ("INPUT_TAGS", "type=semver,pattern={{version}}\ntype=semver,pattern={{major}}.{{minor}}\nextra"),
        ("INPUT_FLAVOR", "suffix=-x,onlatest=true"),
        ("INPUT_LABELS", "org.opencontainers.image.title=T {{sha}}"),
        ("INPUT_BUILD-ARGS", "DOCKER_METADATA_OUTPUT_VERSION\nA=1"),
        ("INPUT_PUSH", "true"),
    ]);
    let expected = ["1.2.3-x", "1.2-x", "extra-x", "latest-x"].map(|t| format!("ghcr.io/octo/hello:{t}"));
    assert_eq!(names(&job), expected);
    let label = |key: &str| {
        let key = format!("org.opencontainers.image.{key}");
        job.config.labels.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str())
    };
    assert_eq!(label("title"), Some("T 860c190"));
    assert_eq!(label("source"), Some("https://github.example/octo/Hello"));
    assert_eq!(label("version"), Some("1.2.3-x"));
    assert_eq!(label("created"), Some("2023-11-14T22:13:20.000Z"));
    assert!(job.config.annotations.is_empty());
    assert!(job.config.build_args.contains(&("DOCKER_METADATA_OUTPUT_VERSION".into(), "1.2.3-x".into())));
    assert!(job.config.build_args.contains(&("A".into(), "1".into())));
}

#[test]
fn rules_that_make_no_tag_are_nothing_to_push() {
    let error = told(&[("INPUT_IMAGES", "h.io/r"), ("INPUT_TAGS", "type=edge"), ("INPUT_PUSH", "true")]);
    assert!(error.err().unwrap().message.contains("no rule"));
    let warned = job(&[
        ("INPUT_IMAGES", "h.io/r"),
        ("INPUT_TAGS", "type=semver,pattern={{version}},value=x\ntype=sha"),
    ]);
    assert!(warned.warnings.iter().any(|w| w.contains("not a valid semver")), "{:?}", warned.warnings);
}

#[test]
fn rules_may_be_given_as_everywhere() {
    let job = job(&[("INPUT_IMAGE", "h.io/r"), ("INPUT_TAG-RULES", "type=ref,event=tag\ntype=sha")]);
    assert_eq!(names(&job), ["h.io/r:v1.2.3", "h.io/r:sha-860c190", "h.io/r:latest"]);
}

#[test]
fn the_payload_of_the_event_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("event.json");
    let payload = r#"{"number": 7, "pull_request": {"base": {"ref": "main"}, "head": {"sha": "abcdef0123"}},
        "repository": {"name": "Hello", "description": null, "html_url": "https://x/y", "default_branch": "main",
        "license": {"spdx_id": "MIT"}}}"#;
    fs::write(&path, payload).unwrap();
    let job = job(&[
        ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
        ("GITHUB_EVENT_NAME", "pull_request_target"),
        ("GITHUB_REF", "refs/heads/main"),
        ("DOCKER_METADATA_PR_HEAD_SHA", "true"),
        ("DOCKER_METADATA_ANNOTATIONS_LEVELS", "manifest,index"),
        ("INPUT_IMAGES", "h.io/r"),
        ("INPUT_TAGS", "type=ref,event=pr,suffix=-{{base_ref}}\ntype=sha"),
    ]);
    assert_eq!(names(&job), ["h.io/r:pr-7-main", "h.io/r:sha-abcdef0"]);
    assert!(job.config.labels.contains(&("org.opencontainers.image.licenses".into(), "MIT".into())));
    assert_eq!(job.config.annotations.len(), 8);
}

#[test]
fn the_default_context_is_the_commit_in_its_repository() {
    let job = self::job(&[("INPUT_CONTEXT", "{{defaultContext}}:sub"), ("INPUT_GITHUB-TOKEN", "ghs_1234")]);
    let ContextSource::Git(git) = &job.config.context else { panic!("{:?}", job.config.context) };
    assert_eq!(git.url, "https://github.example/octo/Hello.git#860c1904a1ce19322e91ac35af1ab07466440c37:sub");
    let secret = job.config.steps.secrets.iter().find(|s| s.id == "GIT_AUTH_TOKEN.github.example").unwrap();
    assert!(matches!(&secret.source, SecretSource::Value(v) if v.0 == b"ghs_1234"));
    let elsewhere = self::job(&[("INPUT_GITHUB-TOKEN", "ghs_1234")]);
    assert!(elsewhere.config.steps.secrets.is_empty());
}
