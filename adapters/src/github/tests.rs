use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use pretty_assertions::assert_eq;
use yadokari::config::{CredentialLocation, StepOutcome};
use yadokari::event::Event;
use yadokari::image::{Digest, MediaType, Reference};

use super::commands::{Commands, Findings};
use super::*;
use crate::cli::progress::plain::PlainLog;
use crate::cli::progress::plain::tests::{Page, finished, output as printed, shown, step};
use crate::cli::progress::{Failure, Place, Screen, Severity};
use crate::session::sample;

fn job_with(more: &[(&str, &str)]) -> Result<Job, Usage> {
    let env = Env::of(&[&[("GITHUB_ACTIONS", "true")], more].concat());
    let front = front(&[], &env)?;
    front.settings.job(&env, front.reporter.as_ref())
}

fn outcome(pushed: &[&str]) -> BuildOutcome {
    BuildOutcome {
        steps: vec![StepOutcome {
            cached: false,
            stage: "build".into(),
            instruction: "RUN a | `b` <script>\n&& c".into(),
            duration: Duration::from_secs(2),
        }],
        duration: Duration::from_secs(3),
        ..sample::outcome(pushed)
    }
}

/// Reads a file of outputs as the runner does (actions/runner, FileCommandManager.cs).
fn read_outputs(text: &str) -> BTreeMap<String, String> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let line = line.trim_end_matches('\n');
        if line.is_empty() {
            continue;
        }
        match (line.find('='), line.find("<<")) {
            (equals, Some(heredoc)) if equals.is_none_or(|e| heredoc < e) => {
                let delimiter = &line[heredoc + 2..];
                let mut value = Vec::new();
                loop {
                    let next = lines.next().expect("delimiter is missing");
                    assert!(next.ends_with('\n'), "EOF marker missing new line");
                    let next = next.trim_end_matches('\n');
                    if next == delimiter {
                        break;
                    }
                    value.push(next);
                }
                outputs.insert(line[..heredoc].to_owned(), value.join("\n"));
            }
            (Some(equals), _) => {
                outputs.insert(line[..equals].to_owned(), line[equals + 1..].to_owned());
            }
            _ => panic!("invalid format '{line}'"),
        }
    }
    outputs
}

#[test]
fn a_step_is_recognised() {
    assert!(detect(&Env::of(&[("GITHUB_ACTIONS", "true")])));
    assert!(!detect(&Env::of(&[("GITHUB_OUTPUT", "/x")])));
}

#[test]
fn inputs_of_a_docker_action_keep_their_hyphens() {
    let job = job_with(&[
        ("INPUT_CONTEXT", "app"),
        ("INPUT_FILE", "app/Dockerfile"),
        ("INPUT_BUILD-ARGS", "A=1,2\nB=two words\n"),
        ("INPUT_TAGS", "ghcr.io/o/n:1,ghcr.io/o/n:2\n"),
        ("INPUT_LABELS", "a=b"),
        ("INPUT_TARGET", "t"),
        ("INPUT_PUSH", "true"),
        ("INPUT_NO-CACHE", "true"),
        ("INPUT_PULL", "true"),
        ("INPUT_PROVENANCE", "false"),
        ("INPUT_EXTRA-ARGS", "--reproducible"),
    ])
    .unwrap();
    assert_eq!(job.config.context, yadokari::config::ContextSource::Directory("app".into()));
    assert_eq!(job.config.dockerfile, Path::new("app/Dockerfile"));
    assert_eq!(job.config.build_args, [("A".into(), "1,2".into()), ("B".into(), "two words".into())]);
    let tags: Vec<String> = job.config.destinations.iter().map(Reference::whole).collect();
    assert_eq!(tags, ["ghcr.io/o/n:1", "ghcr.io/o/n:2"]);
    assert_eq!(job.config.target.as_deref(), Some("t"));
    assert!(job.config.push && job.config.reproducible);
}

#[test]
fn inputs_of_the_composite_have_underscores() {
    let job = job_with(&[("INPUT_BUILD_ARGS", "A=1"), ("INPUT_TAGS", ""), ("INPUT_EXTRA_ARGS", "")]).unwrap();
    assert_eq!(job.config.build_args, [("A".into(), "1".into())]);
    assert_eq!(job.config.context, yadokari::config::ContextSource::Directory(".".into()));
}

#[test]
fn push_is_off_unless_asked_for() {
    assert!(!job_with(&[("INPUT_TAGS", "ghcr.io/o/n:1")]).unwrap().config.push);
    assert!(job_with(&[("INPUT_PUSH", "true")]).unwrap_err().message.contains("no tags"));
    assert!(job_with(&[("INPUT_PUSH", "perhaps")]).is_err());
}

#[test]
fn unknown_and_unsupported_inputs_are_refused() {
    let error = job_with(&[("INPUT_BUILD-ARG", "A=1")]).unwrap_err();
    assert_eq!(error.help.as_deref(), Some("did you mean build-args?"));
    assert!(job_with(&[("INPUT_SBOM", "true")]).is_err());
    assert!(job_with(&[("INPUT_PLATFORMS", "linux/amd64,toaster")]).is_err());
    assert_eq!(job_with(&[("INPUT_CACHE-FROM", "type=gha")]).unwrap().warnings.len(), 1);
}

#[test]
fn a_login_comes_before_all_files() {
    let job = job_with(&[
        ("INPUT_TAGS", "ghcr.io/o/n:1"),
        ("INPUT_USERNAME", "u"),
        ("INPUT_PASSWORD", "github-token"),
    ])
    .unwrap();
    let CredentialLocation::Basic { registry, username, password } = &job.config.keychain.sources[0].location
    else {
        panic!("no login");
    };
    assert_eq!((registry.as_str(), username.as_str(), password.as_str()), ("ghcr.io", "u", "github-token"));
    assert!(job_with(&[("INPUT_USERNAME", "u")]).is_err());
}

#[test]
fn outputs_are_appended_in_the_runners_format() {
    let dir = tempfile::tempdir().unwrap();
    let (out, summary) = (dir.path().join("out"), dir.path().join("summary"));
    fs::write(&out, "other=1\n").unwrap();
    let github = Github {
        output: Some(out.clone()),
        summary: Some(summary.clone()),
        summarised: true,
        ..Github::default()
    };
    let outcome = outcome(&["ghcr.io/o/n:1", "ghcr.io/o/n:2"]);
    github.emit(&job_with(&[]).unwrap(), &outcome, &Events::none()).unwrap();
    let outputs = read_outputs(&fs::read_to_string(&out).unwrap());
    let digest = outcome.digest;
    let expected = [
        ("other", "1".to_owned()),
        ("digest", digest.to_string()),
        ("imageid", outcome.image_id().to_string()),
        ("image", "ghcr.io/o/n:1".to_owned()),
        ("image-ref", format!("ghcr.io/o/n@{digest}")),
        ("repository", "ghcr.io/o/n".to_owned()),
        ("tags", "ghcr.io/o/n:1\nghcr.io/o/n:2".to_owned()),
        ("size", "0".to_owned()),
        ("version", "1".to_owned()),
        ("tag-names", "1\n2".to_owned()),
        ("labels", String::new()),
        ("annotations", String::new()),
        ("platform-digests", format!("{{\"{}\":\"{digest}\"}}", outcome.platforms())),
    ];
    let mut outputs = outputs;
    let metadata: serde_json::Value = serde_json::from_str(&outputs.remove("metadata").unwrap()).unwrap();
    assert_eq!(metadata["containerimage.digest"], digest.to_string());
    assert!(outputs.remove("json").unwrap().starts_with('{'));
    assert_eq!(outputs, expected.map(|(k, v)| (k.to_owned(), v)).into());
    let summary = fs::read_to_string(summary).unwrap();
    assert!(summary.contains(&digest.to_string()), "{summary}");
}

#[test]
fn without_a_push_there_is_a_digest_only() {
    let outputs =
        read_outputs(&outputs::outputs(&job_with(&[]).unwrap(), &outcome(&[]), None, commands::token));
    let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
    assert_eq!(names, ["digest", "imageid", "metadata", "platform-digests", "size"]);
}

#[test]
fn several_platforms_are_an_index_with_a_row_each() {
    let mut outcome = outcome(&["ghcr.io/o/n:1"]);
    outcome.media_type = MediaType::from(MediaType::OCI_INDEX);
    for (image, platform) in [(&b"a"[..], "linux/amd64"), (b"b", "linux/arm/v7")] {
        outcome.images.push(yadokari::config::ImageOutcome {
            digest: Digest::of(image),
            platform: platform.parse().unwrap(),
            ..outcome.images[0].clone()
        });
    }
    outcome.images.remove(0);
    let job = job_with(&[]).unwrap();
    let outputs = read_outputs(&outputs::outputs(&job, &outcome, None, commands::token));
    let (a, b) = (Digest::of(b"a").to_string(), Digest::of(b"b").to_string());
    let digests: serde_json::Value = serde_json::from_str(&outputs["platform-digests"]).unwrap();
    assert_eq!(digests, serde_json::json!({"linux/amd64": a, "linux/arm/v7": b}));
    for name in ["digest", "imageid"] {
        assert_eq!(outputs[name], outcome.digest.to_string());
    }
    let metadata: serde_json::Value = serde_json::from_str(&outputs["metadata"]).unwrap();
    let descriptor = serde_json::json!({
        "mediaType": MediaType::OCI_INDEX, "digest": outcome.digest.to_string(), "size": 1,
    });
    assert_eq!(metadata["containerimage.descriptor"], descriptor);
    assert!(metadata.get("containerimage.config.digest").is_none());
    let summary = Summary { redactor: &Redactor::default(), places: &[] }.built(&outcome);
    for (platform, digest) in [("linux/amd64", a), ("linux/arm/v7", b)] {
        let row = format!("| <code>{platform}</code> | <code>{digest}</code> | 0 | ");
        assert!(summary.lines().any(|line| line.starts_with(&row)), "{row} is not in:\n{summary}");
    }
}

#[test]
fn delimiters_cannot_be_guessed() {
    assert!(commands::token() != commands::token());
    let text = outputs::entry("x", "a\nghadelimiter_0\nb", || "1".to_owned());
    assert_eq!(text, "x<<ghadelimiter_1\na\nghadelimiter_0\nb\nghadelimiter_1\n");
}

#[test]
fn the_summary_escapes_what_others_wrote() {
    let redactor = Redactor::default();
    let text = Summary { redactor: &redactor, places: &[] }.built(&outcome(&["ghcr.io/o/n:1"]));
    let row = text.lines().find(|l| l.contains("RUN")).unwrap();
    assert_eq!(
        row,
        "| <code>build</code> | <code>RUN a &#124; &#96;b&#96; &#60;script&#62; &#38;&#38; c</code> | 2.0s | ████████████████████ |"
    );
}

fn commands(secrets: &[&str]) -> Box<Commands> {
    let redactor = Redactor::new(secrets.iter().map(|s| (*s).to_owned()));
    Box::new(Commands::new("tok".into(), &redactor, Some("/w".into())))
}

#[test]
fn what_commands_print_is_fenced() {
    let text = shown(
        commands(&[]),
        &[],
        vec![
            step(0, 1, "RUN echo '##[add-mask]x' 100%"),
            printed(0, 1, b"::error::spoof"),
            printed(0, 1, b"##[error]spoof"),
            Event::Warning("a\nb".into()),
            printed(0, 1, b"::tik::"),
            finished(0, 1),
        ],
    );
    assert_eq!(
        text,
        "::group::[stage-0 1/2] RUN echo '# #[add-mask]x' 100%25
  0.0s  [stage-0 1/2] RUN echo '# #[add-mask]x' 100%
::stop-commands::tok
  0.0s  [stage-0 1/2] ::error::spoof
  0.0s  [stage-0 1/2] ##[error]spoof
::tok::
::warning::a%0Ab
  0.0s  warning: a
  0.0s  b
::stop-commands::tok
  0.0s  [stage-0 1/2] ::tik::
::tok::
  0.0s  [stage-0 1/2] done in 1.5s, layer 2.0 MB (500.0 kB compressed)
::endgroup::
"
    );
}

#[test]
fn errors_are_annotations_of_the_file() {
    let mut place = Place {
        message: "unknown instruction 100%, really".into(),
        file: Some("/w/app/Docker,file".into()),
        line: Some(3),
        end_line: Some(3),
        column: Some(1),
        end_column: Some(4),
        help: Some("did you mean COPY?".into()),
        ..Place::default()
    };
    assert_eq!(
        commands(&[]).error(&place),
        "::error file=app/Docker%2Cfile,line=3,endLine=3,col=1,endColumn=4::unknown instruction 100%25, really%0Adid you mean COPY?\n"
    );
    place.end_line = Some(4);
    assert!(!commands(&[]).error(&place).contains("col"));
    let nowhere = Place { message: "m".into(), ..Place::default() };
    assert_eq!(commands(&[]).error(&nowhere), "::error::m\n");
}

#[test]
fn ten_annotations_of_a_kind_are_shown_and_the_rest_is_in_the_summary() {
    let findings = Findings::default();
    let mut commands = commands(&[]).with_findings(Arc::clone(&findings), true);
    let place =
        |n: usize, severity| Place { message: format!("m{n}"), severity, line: Some(n), ..Place::default() };
    let lines = |texts: Vec<String>| texts.concat().lines().count();
    assert_eq!(lines((0..15).map(|n| commands.found(&place(n, Severity::Warning))).collect()), 10);
    assert_eq!(lines((0..15).map(|n| commands.error(&place(n, Severity::Error))).collect()), 10);
    assert_eq!(commands.warning("w"), "");
    let places = findings.lock().unwrap();
    let redactor = Redactor::new(["m3".to_owned(), "hunter22".to_owned()]);
    let text = Summary { redactor: &redactor, places: &places }.failed("no hunter22\n<b>");
    assert!(
        text.starts_with("### Build failed\n\n<pre>\nno &#42;&#42;&#42;\n&#60;b&#62;\n</pre>\n"),
        "{text}"
    );
    let rows: Vec<&str> =
        text.lines().filter(|l| l.starts_with("| error") || l.starts_with("| warning")).collect();
    assert_eq!(rows.len(), 20);
    assert_eq!(rows[0], "| error |  | <code>m10</code> |");
}

#[test]
fn what_checks_find_is_annotated_unless_that_is_turned_off() {
    let findings = Findings::default();
    let mut commands = commands(&[]).with_findings(Arc::clone(&findings), false);
    assert_eq!(commands.found(&Place::default()), "");
    assert_eq!(findings.lock().unwrap().len(), 1);
}

#[test]
fn notices_come_first() {
    let text = shown(commands_with(&["no ##[error]", "a\nb"]), &[], vec![]);
    assert_eq!(text, "::notice::no # #[error]\n::notice::a%0Ab\n");
}

fn commands_with(notices: &[&str]) -> Box<Commands> {
    let notices: Vec<String> = notices.iter().map(|n| (*n).to_owned()).collect();
    Box::new(commands(&[]).with_notices(&notices))
}

#[test]
fn annotations_have_no_secrets() {
    let page = Page::default();
    let redactor = Redactor::new(["hunter22".to_owned()]);
    let log = PlainLog::new(Box::new(page.clone()), Box::new(String::new), redactor, commands(&[]));
    let place = Place { message: "no hunter22".into(), help: Some("hunter22".into()), ..Place::default() };
    log.failure(&Failure { report: "error: no hunter22".into(), places: vec![place] });
    assert_eq!(page.text(), "::error::no ***%0A***\nerror: no ***\n");
}

#[test]
fn a_log_of_json_cannot_be_fenced() {
    assert!(job_with(&[("INPUT_EXTRA_ARGS", "--log-format=json")]).is_err());
}

#[test]
fn secrets_are_masked_first() {
    let text = shown(commands(&["p%ss-word"]), &["p%ss-word"], vec![Event::Info("p%ss-word".into())]);
    assert_eq!(text, "::add-mask::p%25ss-word\n  0.0s  ***\n");
}
