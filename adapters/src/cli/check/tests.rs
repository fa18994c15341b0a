use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use yadokari::dockerfile::checks::{Linter, Options, check_text};
use yadokari::dockerfile::{Span, parse_all};

use super::*;

/// A report on a text: what the rules of the text find, and what is wrong with it.
fn report(text: &str, error: bool) -> CheckReport {
    let source = yadokari::dockerfile::Source::new("./app/Docker,file %", text);
    let (dockerfile, errors) = parse_all(&source);
    let mut linter = Linter::new(Options::default());
    check_text(&dockerfile, &mut linter);
    CheckReport {
        source,
        findings: linter.findings,
        errors,
        notes: vec!["a note".to_owned()],
        findings_are_errors: error,
    }
}

const TEXT: &str = "FROM scratch AS Build\nMAINTAINER me \\\n you\nCOYP a b\n";

#[test]
fn people_see_the_words_the_worst_first() {
    let text = human::render(&report(TEXT, false), false);
    let expected = "\
error: there is no instruction `COYP`
 --> ./app/Docker,file %:4:1
  |
4 | COYP a b
  | ^^^^
  |
  = help: did you mean `COPY`?

warning[StageNameCasing]: the stage name `Build` is not in lower case
 --> ./app/Docker,file %:1:17
  |
1 | FROM scratch AS Build
  |                 ^^^^^
  |
  = help: write `build`

";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("warning[MaintainerDeprecated]: MAINTAINER is deprecated"), "{text}");
    assert!(text.ends_with("./app/Docker,file %: 1 error, 2 warnings\n"), "{text}");
    assert_eq!(
        human::render(&report("FROM scratch\n", false), false),
        "./app/Docker,file %: nothing found\n"
    );
}

#[test]
fn buildkits_form_and_more() {
    let text = json::render(&report("FROM scratch\nMAINTAINER me \\\n you\n", false));
    let value: Value = serde_json::from_str(&text).unwrap();
    let warning = &value["warnings"][0];
    assert_eq!(warning["ruleName"], "MaintainerDeprecated");
    assert_eq!(warning["url"], "https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/");
    let line = |n| json!({ "start": { "line": n }, "end": { "line": n } });
    assert_eq!(warning["location"], json!({ "ranges": [line(2), line(3)] }));
    assert_eq!(
        (&warning["line"], &warning["column"], &warning["endColumn"]),
        (&json!(2), &json!(1), &json!(15))
    );
    assert_eq!(value["notes"], json!(["a note"]));
    assert_eq!(value["sources"][0]["filename"], "./app/Docker,file %");
    assert_eq!(value.get("buildError"), None);
    let value: Value = serde_json::from_str(&json::render(&report(TEXT, true))).unwrap();
    assert_eq!(value["buildError"]["location"], value["errors"][0]["location"]);
    assert_eq!(value["warnings"][0]["severity"], "error");
}

#[test]
fn sarif_names_rules_and_regions() {
    let value: Value = serde_json::from_str(&sarif::render(&report(TEXT, false), &Env::of(&[]))).unwrap();
    assert_eq!(value["version"], "2.1.0");
    let run = &value["runs"][0];
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    let first = &run["results"][0];
    assert_eq!((&first["ruleId"], &first["level"]), (&json!("DockerfileError"), &json!("error")));
    let place = &run["results"].as_array().unwrap().last().unwrap()["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "app/Docker%2Cfile%20%25");
    assert_eq!(place["region"], json!({ "startLine": 2, "endLine": 3 }));
}

#[test]
fn gitlab_gets_stable_and_distinct_fingerprints() {
    let text = "FROM scratch\nMAINTAINER me\nMAINTAINER me\n";
    let issues = |text: &str| -> Vec<Value> {
        let rendered = gitlab::render(&report(text, false), &Env::of(&[]));
        serde_json::from_str(&rendered).unwrap()
    };
    let found = issues(text);
    assert_eq!(
        found[0]["location"],
        json!({ "path": "app/Docker,file %", "lines": { "begin": 2, "end": 2 } })
    );
    assert_eq!(
        (&found[0]["check_name"], &found[0]["severity"]),
        (&json!("MaintainerDeprecated"), &json!("minor"))
    );
    assert_ne!(found[0]["fingerprint"], found[1]["fingerprint"]);
    let moved = issues("\n\nFROM scratch\nMAINTAINER me\n");
    assert_eq!(moved[0]["fingerprint"], found[0]["fingerprint"]);
    assert_eq!(issues("FROM scratch\n"), [] as [Value; 0]);
}

#[test]
fn github_gets_one_escaped_command_a_line() {
    let mut report = report("FROM scratch\nMAINTAINER me \\\n you\n", false);
    report.findings[0].diagnostic.message = "100%\n::error::x".to_owned();
    report.findings[0].diagnostic.help = None;
    let env = Env::of(&[("GITHUB_WORKSPACE", "/w")]);
    assert_eq!(
        github::render(&report, &env),
        "::warning file=app/Docker%2Cfile %25,line=2,endLine=3,title=MaintainerDeprecated::100%25%0A::error::x\n"
    );
}

#[test]
fn the_worst_comes_first() {
    let mut report = report("FROM scratch\nMAINTAINER me\n", false);
    report.errors.push(Diagnostic::new(&report.source, Span::new(20, 21), "bad"));
    let ids: Vec<&str> = items(&report).iter().map(|item| item.id).collect();
    assert_eq!(ids, ["DockerfileError", "MaintainerDeprecated"]);
}

#[test]
fn paths_are_the_projects() {
    for (env, name, expected) in [
        (&[][..], "./a/b", "a/b"),
        (&[("GITHUB_WORKSPACE", "/w")], "/w/a", "a"),
        (&[("CI_PROJECT_DIR", "/builds/x")], "/builds/x/D", "D"),
        (&[], "/elsewhere/D", "/elsewhere/D"),
    ] {
        assert_eq!(path_in_project(name, &Env::of(env)), expected);
    }
}
