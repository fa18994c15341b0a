//! `yadokari check`, `outline` and `targets`, and the checks of a build.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use yadokari_e2e::{Base, Build, Finished, Place, program, run, run_ok, scratch, state};

/// A directory with a Dockerfile that has something for everybody.
fn directory(dockerfile: &str) -> TempDir {
    let directory = scratch();
    fs::write(directory.path().join("Dockerfile"), dockerfile).expect("written");
    directory
}

/// Runs the program in a directory.
fn yadokari(directory: &Path, arguments: &[&str]) -> Finished {
    run(Command::new(program())
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", directory))
}

const QUESTIONABLE: &str = "\
# build compiles
FROM busybox as build
ARG VERSION
ENV PATH=$PAHT:/x TOKEN=1
COPY ignored.txt /
CMD run \\
  it
";

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|e| panic!("{e}:\n{}", finished.output()))
}

#[test]
fn people_see_lines_and_ways_out() {
    let directory = directory(QUESTIONABLE);
    fs::write(directory.path().join(".dockerignore"), "# nothing\n*.txt\n").expect("written");
    let found = yadokari(directory.path(), &["check", "--bases=empty", "--build-arg=VERISON=1"]);
    assert_eq!(found.code, 1, "{}", found.output());
    let advice = yadokari(directory.path(), &["check", "--bases=empty", "--ignore-status"]);
    assert_eq!(advice.code, 0, "{}", advice.output());
    for part in [
        "warning[FromAsCasing]: `as` is not in the case of `FROM`",
        " --> Dockerfile:2:1",
        "2 | FROM busybox as build",
        "warning[UndefinedVar]: nothing defines the variable `PAHT`",
        "4 | ENV PATH=$PAHT:/x TOKEN=1",
        "  |          ^^^^^",
        "  = help: did you mean `PATH`?",
        "warning[SecretsUsedInArgOrEnv]",
        "warning[CopyIgnoredFile]: `ignored.txt` is not in the build context: line 2 of",
        ".dockerignore, `*.txt`, leaves it out",
        "warning[JSONArgsRecommended]",
        "warning[UnusedBuildArg]: the build argument `VERISON` changes nothing",
        "did you mean `VERSION`?",
        "Dockerfile: no errors, 6 warnings",
    ] {
        assert!(found.stdout.contains(part), "'{part}' is not in:\n{}", found.output());
    }
}

#[test]
fn errors_and_asked_for_findings_fail() {
    for (text, code) in [
        ("FROM scratch as x\n", 1),
        ("FROM scratch AS x\n", 0),
        ("# check=error=true\nFROM scratch as x\n", 1),
        ("# check=error=true;skip=FromAsCasing\nFROM scratch as x\n", 0),
        ("# check=eror=true\nFROM scratch\n", 1),
        ("FROM scratch\nRUNN x\n", 1),
        ("FROM scratch\nCOPY --from=nothing! /a /b\n", 1),
        ("FROM scratch AS a\nENV X=${Y?}\nFROM scratch\n", 1),
    ] {
        let directory = directory(text);
        let found = yadokari(directory.path(), &["check", "--bases=skip"]);
        assert_eq!(found.code, code, "{text}:\n{}", found.output());
    }
    let directory = directory("# check=error=true\nFROM scratch as x\n");
    let given = "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all";
    assert_eq!(yadokari(directory.path(), &["check", given]).code, 0);
}

#[test]
fn without_a_network_the_rest_is_checked() {
    let directory = directory("FROM 127.0.0.1:1/none:x\nENV A=$B k=v\nCMD x\n");
    let found = yadokari(directory.path(), &["check", "--insecure-registry=127.0.0.1:1"]);
    assert_eq!(found.code, 1, "{}", found.output());
    assert!(found.stdout.contains("JSONArgsRecommended"), "{}", found.output());
    assert!(!found.stdout.contains("UndefinedVar"), "{}", found.output());
    for part in ["note: the base image 127.0.0.1:1/none:x cannot be had", "UndefinedVar"] {
        assert!(found.stderr.contains(part), "{}", found.output());
    }
}

#[test]
fn base_images_are_looked_at() {
    let layout = format!("--build-context=busybox=oci-layout://{}", Base::Busybox.layout().display());
    let directory = directory("FROM busybox\nENV A=$PATH B=$NOTHING\n");
    let found = yadokari(directory.path(), &["check", "--format=json", &layout]);
    let value = json_of(&found);
    let warnings = value["warnings"].as_array().expect("a list");
    assert_eq!(warnings.len(), 1, "{value:#}");
    assert_eq!(warnings[0]["ruleName"], "UndefinedVar");
    assert!(warnings[0]["detail"].as_str().expect("text").contains("NOTHING"));
}

#[test]
fn programs_get_buildkits_form() {
    let directory = directory(QUESTIONABLE);
    for arguments in [
        &["check", "--bases=empty", "--format", "json"][..],
        &[
            "build",
            "--context=.",
            "--call=check,format=json",
            "--build-context=busybox=docker-image://127.0.0.1:1/x",
        ],
    ] {
        let value = json_of(&yadokari(directory.path(), arguments));
        let warning = &value["warnings"][0];
        assert_eq!(warning["ruleName"], "FromAsCasing");
        assert_eq!(warning["url"], "https://docs.docker.com/go/dockerfile/rule/from-as-casing/");
        let range = json!([{ "start": { "line": 2 }, "end": { "line": 2 } }]);
        assert_eq!(warning["location"]["ranges"], range);
        let last = value["warnings"].as_array().expect("a list").last().expect("one").clone();
        assert_eq!(last["location"]["ranges"][1]["start"]["line"], 7, "{last:#}");
        assert_eq!(value["sources"][0]["filename"], "Dockerfile");
    }
}

#[test]
fn sarif_fits_its_schema() {
    let schema = state().join("tools/node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json");
    for text in [QUESTIONABLE, "FROM scratch\nRUNN x\n", "FROM scratch\n"] {
        let directory = directory(text);
        let found = yadokari(directory.path(), &["check", "--bases=empty", "--format=sarif"]);
        let file = directory.path().join("checks.sarif");
        fs::write(&file, &found.stdout).expect("written");
        // A pattern of the schema itself is a regular expression only in the older dialect.
        let dialect = "--regex-variant=nonunicode";
        run_ok(Command::new("check-jsonschema").args([dialect, "--schemafile"]).arg(&schema).arg(&file));
    }
}

#[test]
fn gitlab_gets_a_code_quality_report() {
    let directory = directory(QUESTIONABLE);
    let issues = json_of(&yadokari(directory.path(), &["check", "--bases=empty", "--format=gitlab"]));
    let issues = issues.as_array().expect("a list");
    assert_eq!(issues.len(), 4);
    let mut fingerprints = Vec::new();
    for issue in issues {
        for field in ["description", "check_name", "fingerprint", "severity"] {
            assert!(issue[field].as_str().is_some_and(|text| !text.is_empty()), "{issue:#}");
        }
        assert_eq!(issue["location"]["path"], "Dockerfile");
        assert!(issue["location"]["lines"]["begin"].is_u64());
        fingerprints.push(issue["fingerprint"].to_string());
    }
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), issues.len());
}

#[test]
fn github_gets_annotations_the_worst_first() {
    let directory = directory("FROM scratch as x\nCOPY --chwn=1 a, b\n");
    let found = yadokari(directory.path(), &["check", "--format=github"]);
    assert_eq!(found.code, 1);
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "::error file=Dockerfile,line=2,endLine=2,title=Dockerfile::COPY has no flag `--chwn`; did you mean `--chown`?",
            "::warning file=Dockerfile,line=1,endLine=1,title=FromAsCasing::`as` is not in the case of `FROM`; write `AS`",
        ]
    );
}

#[test]
fn a_build_warns_once_and_before_it_starts() {
    let built = Build::new("FROM busybox as x\nENV k v\nRUN echo started\n").run(Place::Overlay);
    built.succeeded();
    let log = &built.finished.stderr;
    let casing = log.find("Dockerfile:1: `as` is not in the case of `FROM`; write `AS` (FromAsCasing)");
    let legacy = log.find("(LegacyKeyValueFormat)");
    let started = log.find("RUN echo started");
    assert!(casing.is_some() && casing < legacy && legacy < started, "{log}");
    assert_eq!(log.matches("(FromAsCasing)").count(), 1, "{log}");
}

#[test]
fn a_build_ends_where_findings_are_errors() {
    let built = Build::new("# check=error=true\nFROM busybox as x\nRUN echo started\n").run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("error[FromAsCasing]") && error.contains("2 | FROM busybox as x"), "{error}");
    assert!(!error.contains("RUN echo started\n"), "{error}");
    let skipped = "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=FromAsCasing;error=true";
    Build::new("FROM busybox as x\nRUN true\n").flag(skipped).run(Place::Overlay).succeeded();
}

#[test]
fn copies_are_held_against_the_context() {
    let text = "\
FROM busybox AS build
FROM scratch
COPY --chown=app:5 tree/f /
COPY --chown=app tree/f /
COPY --link --chown=root:app tree/f /
COPY *.zip tree/f /z/
COPY --chmod=644 tree /t/
COPY --chmod=644 tree/f /f
COPY --chmod=u=rw,go=r tree /t/
COPY --from=biuld /x /y
";
    let directory = directory(text);
    fs::create_dir(directory.path().join("tree")).expect("made");
    fs::write(directory.path().join("tree/f"), "f").expect("written");
    let value = json_of(&yadokari(directory.path(), &["check", "--bases=empty", "--format=json"]));
    let warnings = value["warnings"].as_array().expect("a list");
    let line = |warning: &Value| warning["location"]["ranges"][0]["start"]["line"].as_u64();
    let found: Vec<_> = warnings.iter().map(|w| (w["ruleName"].as_str(), line(w))).collect();
    let expected = [
        ("MisspeltStage", 10),
        ("UnknownChownName", 3),
        ("UnknownChownName", 5),
        ("WildcardMatchedNothing", 6),
        ("UnsearchableDirectory", 7),
    ];
    assert_eq!(found, expected.map(|(rule, line)| (Some(rule), Some(line))), "{value:#}");

    let built =
        Build::new("FROM busybox\nCOPY --chmod=644 tree /t/\n").file("tree/f", "f").run(Place::Overlay);
    built.said("Dockerfile:2: `tree` holds directories").said("(UnsearchableDirectory)");
    let built = Build::new("FROM scratch\nCOPY --chown=app f /\n").file("f", "f").run(Place::Overlay);
    built.said("(UnknownChownName)").failed(1);
}

#[test]
fn errors_point_into_triggers_and_heredocs() {
    let parent = Build::new("FROM busybox\nONBUILD LABEL a=1\nONBUILD ENV X=${Y?no} Z=1\n");
    parent.run(Place::Overlay).succeeded();
    let layout = parent.out().join("layout");
    let child = Build::new("# a child\nFROM parent\nRUN true\n").base("parent", &layout);
    let built = child.run(Place::Overlay);
    let error = built.failed(1);
    for part in [
        "--> ONBUILD trigger of parent:1:7",
        "1 | ENV X=${Y?no} Z=1",
        "  |       ^^^^^^^",
        "Dockerfile:2:1",
        "2 | FROM parent",
        "it comes with this image",
    ] {
        assert!(error.contains(part), "'{part}' is not in:\n{error}");
    }
    let built = child.flag("--log-format=json").run(Place::Overlay);
    let error: Value = serde_json::from_str(built.failed(1).lines().last().expect("a line")).expect("JSON");
    assert!(error["file"].as_str().is_some_and(|file| file.ends_with("Dockerfile")), "{error:#}");
    assert_eq!((&error["line"], &error["column"]), (&json!(2), &json!(1)));
    assert!(error["msg"].as_str().is_some_and(|m| m.ends_with("ENV X=${Y?no} Z=1")), "{error:#}");

    let built = Build::new("FROM busybox\nCOPY <<-E /x\n\tone\n\ttwo ${Y?no} three\nE\n").run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("Dockerfile:4:6") && error.contains("  ^^^^^^^\n"), "{error}");
}

#[test]
fn findings_in_a_log_of_json_have_their_place() {
    let built = Build::new("FROM busybox\nCMD x\nRUN true\n").flag("--log-format=json").run(Place::Overlay);
    built.succeeded();
    let mut objects = built.finished.stderr.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON"));
    let found = objects.find(|o| o["id"] == "JSONArgsRecommended").expect("a finding");
    assert_eq!((&found["level"], &found["severity"]), (&json!("warning"), &json!("warning")));
    assert_eq!((&found["line"], &found["column"], &found["end_column"]), (&json!(2), &json!(1), &json!(5)));
    assert_eq!(found["help"], "write `CMD [\"x\"]`");
    let built = Build::new("FROM busybox\nRUNN x\n").flag("--log-format=json").run(Place::Overlay);
    let error: Value = serde_json::from_str(built.failed(1).lines().last().expect("a line")).expect("JSON");
    assert_eq!((&error["severity"], &error["line"]), (&json!("error"), &json!(2)));
    assert_eq!(error["help"], "did you mean `RUN`?");
}

#[test]
fn outlines_and_targets() {
    let text = "\
ARG TAG=1
# base is the base
FROM busybox:$TAG AS base
# VERSION is built
ARG VERSION=2
RUN --mount=type=secret,id=npm,required --mount=type=ssh --mount=type=cache,target=/c true
FROM base
";
    let directory = directory(text);
    let table = yadokari(directory.path(), &["outline", "--target=base", "--build-arg=VERSION=3"]);
    let expected = "\
TARGET:       base
DESCRIPTION:  is the base

BUILD ARG   DEFAULT   VALUE   DESCRIPTION
TAG         1         1
VERSION     2         3       is built

SECRET   REQUIRED
npm      true

SSH       REQUIRED
default

CACHE   LINE
/c      6
";
    assert_eq!(table.stdout, expected, "{}", table.output());
    let value = json_of(&yadokari(directory.path(), &["build", "-c", ".", "--call=outline,format=json"]));
    assert_eq!(value["args"][1]["location"]["ranges"][0]["start"]["line"], 5, "{value:#}");
    assert_eq!(value["secrets"][0]["required"], true);
    assert_eq!(value["cache"][0]["ID"], "/c");

    let table = yadokari(directory.path(), &["targets"]);
    let expected = "\
TARGET      BASE           DESCRIPTION
base        busybox:$TAG   is the base
(default)   base
";
    assert_eq!(table.stdout, expected, "{}", table.output());
    let value = json_of(&yadokari(directory.path(), &["targets", "--format=json", "Dockerfile"]));
    assert_eq!(value["targets"][1]["default"], true);
    let wrong = yadokari(directory.path(), &["outline", "--target=bsae"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("did you mean 'base'?"), "{}", wrong.output());
}
