//! Rules that are easily got wrong, each as BuildKit's `dockerfile2llb` has it.

use super::*;
use pretty_assertions::assert_eq;

fn image(text: &str) -> ImageConfig {
    serde_json::from_str(text).unwrap()
}

fn on<'a>(base: ImageConfig, text: &'a str) -> Given<'a> {
    Given { bases: Fixed(BTreeMap::from([("base", base)])), ..given(text) }
}

fn target(plan: &Plan) -> &ImageConfig {
    &plan.images[0].config
}

fn errors(text: &str) -> Vec<String> {
    given(text).try_plan().unwrap_err()
}

#[test]
fn the_stage_to_build_names_itself() {
    for (text, wanted, stage) in [
        ("FROM scratch AS a\nARG TARGETSTAGE\n", None, "a"),
        ("FROM scratch\nARG TARGETSTAGE\n", None, "default"),
        ("FROM scratch AS a\nARG TARGETSTAGE\nFROM scratch AS b\n", Some("a"), "a"),
    ] {
        let plan = Given { target: wanted, ..given(text) }.plan();
        assert_eq!(history(&plan)[0].0, format!("ARG TARGETSTAGE={stage}"), "{text}");
    }
}

#[test]
fn a_stage_goes_on_with_the_variables_of_the_config() {
    let text = "FROM scratch AS a\nENV A=1\nARG A=2\nARG B=3\nLABEL a=$A\nFROM a\nLABEL b=$A$B\nRUN x\n";
    let plan = given(text).plan();
    let labels = &target(&plan).config.labels;
    assert_eq!((labels["a"].as_str(), labels["b"].as_str()), ("2", "13"));
    let (run, _) = history(&plan).pop().unwrap();
    assert_eq!(run, "RUN |2 A=1 B=3 /bin/sh -c x # buildkit");
}

#[test]
fn platforms_of_configs() {
    let base = || image(r#"{"architecture": "arm64", "os": "linux", "variant": "v8"}"#);
    let plan = |text: &str, given: bool| on(base(), text).plan_for("linux/amd64", given);
    let of = |plan: &Plan| {
        let config = target(plan);
        (config.architecture.clone(), config.variant.clone())
    };
    // Nobody asked for a platform: the base's own, in its usual form.
    assert_eq!(of(&plan("FROM --platform=linux/arm64 base\n", false)), ("arm64".to_owned(), None));
    assert_eq!(of(&plan("FROM base\n", false)), ("arm64".to_owned(), None));
    // The platform asked for, whatever FROM says.
    assert_eq!(of(&plan("FROM --platform=linux/arm64 base\n", true)), ("amd64".to_owned(), None));
    assert_eq!(of(&plan("FROM --platform=linux/arm64 scratch\n", false)), ("amd64".to_owned(), None));
    assert_eq!(plan("FROM --platform=linux/arm64 scratch\n", false).stages[0].platform.architecture, "amd64");
    let plan = plan("FROM --platform=linux/arm64 base\nCOPY --from=base a /\n", true);
    assert_eq!(plan.stages[0].platform.architecture, "arm64");
    assert_eq!(plan.stages[0].source_platform.architecture, "amd64");
}

#[test]
fn what_a_base_hands_down() {
    let base = image(
        r#"{"created": "2020-01-01T00:00:00Z", "author": "me", "architecture": "amd64", "os": "linux", "id": "x",
            "config": {"Hostname": "h", "WorkingDir": "a/../b", "Env": ["A=1"], "Labels": {"l": "1"},
                "OnBuild": ["ENV T=1"], "Cmd": ["c"], "Entrypoint": ["e"], "User": "u",
                "Volumes": {"/v": {}}, "ExposedPorts": {"1/tcp": {}}, "StopSignal": "9", "Shell": ["/s"]},
            "rootfs": {"type": "layers", "diff_ids": []},
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "x"}]}"#,
    );
    let plan = on(base, "FROM base\nRUN r\n").plan();
    let config = serde_json::to_value(target(&plan)).unwrap();
    assert_eq!(
        config["config"],
        serde_json::json!({
            "User": "u", "WorkingDir": "/b/b", "Labels": {"l": "1"}, "Cmd": ["c"], "Entrypoint": ["e"],
            "Env": ["A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "T=1"],
            "Volumes": {"/v": {}}, "ExposedPorts": {"1/tcp": {}}, "StopSignal": "9", "Shell": ["/s"],
        })
    );
    assert_eq!((config.get("id"), config.get("created")), (None, None));
    let texts: Vec<_> = history(&plan).into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["x", "ENV T=1", "RUN /s r # buildkit"]);
}

#[test]
fn history_of_unusual_forms() {
    for (instruction, text) in [
        ("ARG E\nCOPY --chown=$E --chmod=$E a /b", "COPY a /b # buildkit"),
        ("COPY --parents --link --exclude=x --from=a a/b /c", "COPY --parents a/b /c # buildkit"),
        ("COPY <<A x <<-\"B\" /d/\na\nA\nb\nB", "COPY x <<A <<B /d/ # buildkit"),
        ("RUN []", "RUN  # buildkit"),
        ("RUN", "RUN /bin/sh -c  # buildkit"),
        ("RUN <<-E\n\t#!/bin/sh\nE", "RUN /bin/sh -c /dev/pipes/E # buildkit"),
        ("RUN --mount=type=tmpfs,target=/t --network=host x", "RUN /bin/sh -c x # buildkit"),
        (
            "ARG BUILDKIT_SBOM_SCAN_STAGE=1\nRUN x",
            "RUN |1 BUILDKIT_SBOM_SCAN_STAGE=1 /bin/sh -c x # buildkit",
        ),
        ("ARG A=9\nEXPOSE $A 80", "EXPOSE [9/tcp 80/tcp]"),
        ("EXPOSE 9 80", "EXPOSE [80/tcp 9/tcp]"),
        ("ENTRYPOINT []", "ENTRYPOINT []"),
        ("ENTRYPOINT", "ENTRYPOINT [\"/bin/sh\" \"-c\" \"\"]"),
        ("CMD []", "CMD []"),
        ("CMD \"é\\t\u{7f}\"", "CMD [\"/bin/sh\" \"-c\" \"\\\"é\\\\t\\x7f\\\"\"]"),
        ("WORKDIR /a\nARG E\nWORKDIR $E", "WORKDIR /a"),
        ("USER $E", "USER "),
        ("LABEL \"a b\"='$c d' e=\"$f\"", "LABEL a b=$c d e="),
        ("ENV a  b  c ", "ENV a=b  c"),
        (
            "HEALTHCHECK NONE",
            "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        ),
    ] {
        let all = texts_with_stage(instruction);
        assert_eq!(all.last().map(String::as_str), Some(text), "{instruction}");
    }
}

/// The history after `FROM scratch`, with a stage `a` before it.
fn texts_with_stage(instructions: &str) -> Vec<String> {
    let text = format!("FROM scratch AS a\nFROM scratch\n{instructions}\n");
    history(&given(&text).plan()).into_iter().map(|(text, _)| text).collect()
}

#[test]
fn empty_commands_are_not_in_the_json() {
    let plan = given("FROM scratch\nCMD []\nENTRYPOINT []\n").plan();
    let config = serde_json::to_value(&target(&plan).config).unwrap();
    assert_eq!((config.get("Cmd"), config.get("Entrypoint")), (None, None));
    assert_eq!(config["ArgsEscaped"], true);
}

#[test]
fn triggers_are_recorded_whole() {
    let text = "# escape=`\nFROM scratch AS a\nONBUILD COPY <<-E `\n /x \n\tone\n\tE\nFROM a\n";
    let plan = given(text).plan();
    assert_eq!(plan.stages[0].config.config.on_build, ["COPY <<-E  /x \n\tone\nE"]);
    assert_eq!(history(&plan)[0].0, "COPY <<E /x # buildkit");
}

#[test]
fn triggers_are_split_with_a_backslash() {
    let mut base = ImageConfig::default();
    base.config.on_build = vec!["ENV A=x\\ y B=`$A".into()];
    let plan = on(base, "# escape=`\nFROM base\n").plan();
    // Values are read with the character of this Dockerfile.
    assert_eq!(history(&plan)[0].0, "ENV A=x\\ y B=$A");
}

#[test]
fn values_given_go_before_defaults_that_cannot_be_read() {
    let text = "ARG A=${x:?no}\nFROM scratch\nARG A\nLABEL a=$A\n";
    let plan = Given { args: &[("A", "1")], ..given(text) }.plan();
    assert_eq!(target(&plan).config.labels["a"], "1");
    assert!(errors(text)[0].contains("x: no"));
}

#[test]
fn proxies_in_any_case() {
    let args = &[("Http_Proxy", "1"), ("http_proxy", "2"), ("HTTP_PROXY", "3"), ("no_proxy", "")];
    let plan = Given { args, ..given("FROM scratch\nRUN x\n") }.plan();
    let Action::Run(run) = &plan.stages[0].steps[0].action else { panic!("no RUN") };
    let proxies: Vec<_> =
        run.env.iter().filter(|(name, _)| name.to_lowercase().ends_with("_proxy")).collect();
    let pair = |name: &str| (name.to_owned(), "2".to_owned());
    assert_eq!(proxies, [&pair("HTTP_PROXY"), &pair("http_proxy")]);
}

#[test]
fn the_dockerfile_can_set_the_epoch() {
    let epoch = |text: &str| given(text).plan().epoch;
    assert_eq!(epoch("ARG SOURCE_DATE_EPOCH=12\nFROM scratch\n"), Some(12));
    assert_eq!(epoch("ARG SOURCE_DATE_EPOCH=context\nFROM scratch\n"), None);
    assert_eq!(epoch("ARG SOURCE_DATE_EPOCH\nFROM scratch\n"), None);
    assert_eq!(epoch("FROM scratch\nARG SOURCE_DATE_EPOCH=12\n"), None);
    assert!(errors("ARG SOURCE_DATE_EPOCH=now\nFROM scratch\n")[0].contains("no number of seconds"));
}

#[test]
fn working_directories_of_bases_are_entered() {
    for (base, workdir, expected) in [
        ("/a/", None, "/a/"),
        ("/a/", Some("b"), "/a/b"),
        ("a/../b", None, "/b/b"),
        ("a", Some("/c/"), "/c/"),
        ("", None, ""),
    ] {
        let mut config = ImageConfig::default();
        config.config.working_dir = base.to_owned();
        let text = format!("FROM base\n{}\n", workdir.map_or_else(String::new, |w| format!("WORKDIR {w}")));
        assert_eq!(target(&on(config, &text).plan()).config.working_dir, expected, "{base} {workdir:?}");
    }
}

#[test]
fn other_ways_to_write_the_root_have_a_layer() {
    for (path, empty) in [("/", true), ("/.", false), ("//", false), ("/a/..", false), ("a/..", true)] {
        let plan = given(&format!("FROM scratch\nWORKDIR {path}\n")).plan();
        assert_eq!(history(&plan)[0].1, empty, "{path}");
        if let Action::Workdir(step) = &plan.stages[0].steps[0].action {
            assert_eq!(step.path, "/");
        }
    }
}

#[test]
fn destinations_are_buildkits() {
    for (written, destination, place) in [
        (".", "/w/", "/w/"),
        ("\"\"", "/w/", "/w/"),
        ("b/.", "/w/b/.", "/w/b/"),
        ("/.", "/.", "/"),
        ("..", "/", "/"),
        ("../x/", "/x/", "/x/"),
        ("/a/../b", "/b", "/b"),
        ("c.", "/w/c.", "/w/c."),
        ("/a/..", "/", "/"),
    ] {
        let plan = given(&format!("FROM scratch\nWORKDIR /w\nCOPY a {written}\n")).plan();
        let Action::Copy(copy) = &plan.stages[0].steps[1].action else { panic!("no COPY") };
        assert_eq!((copy.destination.as_str(), copy.place()), (destination, place), "{written}");
    }
}

#[test]
fn a_variable_set_again_moves_to_the_end() {
    let plan = given("FROM scratch\nENV A=1 B=2\nARG C=3\nENV A=4\nARG B=5\nRUN x\n").plan();
    let run =
        plan.stages[0].steps.iter().find_map(|s| if let Action::Run(r) = &s.action { Some(r) } else { None });
    let names: Vec<_> = run.unwrap().env.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PATH", "C", "A", "B"]);
    assert_eq!(target(&plan).config.env[1..], ["A=4", "B=2"]);
}

#[test]
fn a_stage_that_mounts_itself_is_wrong_even_unneeded() {
    let text = |from: &str| format!("FROM scratch AS a\nRUN --mount=from={from},target=/x y\nFROM scratch\n");
    assert!(errors(&text("a"))[0].contains("this stage itself"));
    // A number of a mount is an image in BuildKit, and here a stage where the step is needed.
    assert!(given(&text("0")).try_plan().is_ok());
}

#[test]
fn names_are_wrong_wherever_they_stand() {
    // The stage with the error is not needed.
    for (text, message) in [
        ("FROM $NO AS a\nFROM scratch\n", "empty after expansion"),
        ("FROM ${A AS a\nFROM scratch\n", "never closed"),
        ("FROM Scratch AS a\nFROM scratch\n", "not an image reference"),
        ("FROM --platform=$NO scratch AS a\nFROM scratch\n", "platform '$NO' is empty"),
        ("FROM --platform=toaster scratch AS a\nFROM scratch\n", "not a platform"),
        ("FROM scratch AS a\nCOPY --from=a\\$b x /\nFROM scratch\n", "cannot have variables"),
        ("FROM scratch AS a\nCOPY --from='x\"y\"' x /\nFROM scratch\n", "cannot have variables"),
        ("FROM scratch AS a\nCOPY --from=A x /\nFROM scratch\n", "this stage itself"),
        ("FROM scratch AS a\nCOPY --from=2 x /\nFROM scratch\n", "there is no stage 2"),
        ("FROM scratch AS a\nCOPY --from=0 x /\nFROM scratch\n", "this stage itself"),
        ("FROM scratch AS a\nCOPY --from=-1 x /\nFROM scratch\n", "there is no stage -1"),
        ("FROM scratch AS a\nCOPY --from=Upper x /\nFROM scratch\n", "'Upper' is neither a stage"),
        ("FROM scratch AS a\nRUN --mount=from=a..b,target=/x y\nFROM scratch\n", "'a..b' is neither a stage"),
        // Before what is wrong in instructions that are needed.
        ("FROM scratch AS a\nSTOPSIGNAL 0\nCOPY --from=Upper x /\n", "'Upper' is neither a stage"),
        // The last of several.
        ("FROM scratch AS a\nCOPY --from=a x /\nCOPY --from=a y /\n", "Dockerfile:3:"),
        (
            "FROM scratch\nFROM scratch AS a\nCOPY --from=a x /\nCOPY --from=0 y /\nCOPY --from=1 y /\n",
            "Dockerfile:5:",
        ),
        // And in those that are.
        (
            "FROM scratch\nCOPY --from=b x /\nFROM scratch AS b\nFROM scratch AS c\nCOPY --from=0 x /\n",
            "comes after",
        ),
        ("FROM scratch\nCOPY --from=1 x /\nFROM scratch\nCOPY --from=0 x /\n", "in a circle"),
        ("FROM scratch\nSTOPSIGNAL 0\n", "no signal"),
        ("FROM scratch\nARG S=SIGFOO\nSTOPSIGNAL $S\n", "no signal"),
    ] {
        let found = errors(text);
        assert!(found[0].contains(message), "{text}: {found:?}");
    }
}

#[test]
fn of_several_stages_with_one_name_the_last_counts() {
    let text = "FROM scratch AS a\nENV A=1\nFROM scratch AS a\nENV A=2\nFROM a\nCOPY --from=A x /\n";
    let plan = given(text).plan();
    assert_eq!(plan.stages.len(), 2);
    assert!(target(&plan).config.env.contains(&"A=2".to_owned()));
}
