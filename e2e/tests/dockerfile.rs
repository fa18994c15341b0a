//! The language: config and history as BuildKit writes them, scopes of variables, errors.

use pretty_assertions::assert_eq;
use serde_json::json;
use yadokari_e2e::{Build, Place, scratch};

fn build(dockerfile: &str) -> Build {
    Build::new(dockerfile)
}

#[test]
fn every_instruction_reaches_config_and_history() {
    let image = build(
        "ARG TAG=busybox\n\
         FROM $TAG AS base\n\
         MAINTAINER somebody\n\
         ARG A=1 B\n\
         ENV E=\"e e\" F=$A\n\
         LABEL l=\"v $E\" 'single'='$E'\n\
         EXPOSE 80 443/tcp 53/UDP 9000-9001\n\
         VOLUME [\"/v1\", \"/v 2\"]\n\
         VOLUME /v3 /v4\n\
         USER app\n\
         WORKDIR /home/app\n\
         STOPSIGNAL SIGINT\n\
         HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --start-interval=1s --retries=3 CMD true $E\n\
         SHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n\
         RUN true $A\n\
         COPY --chown=app x y/\n\
         ENTRYPOINT [\"/bin/echo\"]\n\
         CMD $E\n\
         ONBUILD RUN echo triggered\n",
    )
    .file("x", "x")
    .run(Place::Overlay)
    .image();
    let config = &image.config["config"];
    assert_eq!(image.config["author"], "somebody");
    assert_eq!(
        config["Env"],
        json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "E=e e", "F=1"])
    );
    assert_eq!(config["Labels"], json!({"l": "v e e", "single": "$E"}));
    assert_eq!(
        config["ExposedPorts"],
        json!({"80/tcp": {}, "443/tcp": {}, "53/udp": {}, "9000/tcp": {}, "9001/tcp": {}})
    );
    assert_eq!(config["Volumes"], json!({"/v1": {}, "/v 2": {}, "/v3": {}, "/v4": {}}));
    assert_eq!(config["User"], "app");
    assert_eq!(config["WorkingDir"], "/home/app");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(
        config["Healthcheck"],
        json!({
            "Test": ["CMD-SHELL", "true $E"], "Interval": 5_000_000_000_u64,
            "Timeout": 60_000_000_000_u64, "StartPeriod": 2_000_000_000_u64,
            "StartInterval": 1_000_000_000_u64, "Retries": 3
        })
    );
    assert_eq!(config["Shell"], json!(["/bin/busybox", "sh", "-c"]));
    assert_eq!(config["Entrypoint"], json!(["/bin/echo"]));
    assert_eq!(config["Cmd"], json!(["/bin/busybox", "sh", "-c", "$E"]));
    assert_eq!(config["OnBuild"], json!(["RUN echo triggered"]));

    let history: Vec<_> =
        image.history().into_iter().skip_while(|(by, _)| !by.contains("MAINTAINER")).collect();
    let expected = [
        ("MAINTAINER somebody", false),
        ("ARG A=1 B", false),
        ("ENV E=e e F=1", false),
        ("LABEL l=v e e single=$E", false),
        ("EXPOSE [443/tcp 53/udp 80/tcp 9000/tcp 9001/tcp]", false),
        ("VOLUME [/v1 /v 2]", false),
        ("VOLUME [/v3 /v4]", false),
        ("USER app", false),
        ("WORKDIR /home/app", true),
        ("STOPSIGNAL SIGINT", false),
        (
            "HEALTHCHECK {Test:[CMD-SHELL true $E] Interval:5s Timeout:1m0s StartPeriod:2s StartInterval:1s Retries:3}",
            false,
        ),
        ("SHELL [/bin/busybox sh -c]", false),
        ("RUN |2 A=1 B= /bin/busybox sh -c true $A # buildkit", true),
        ("COPY --chown=app x y/ # buildkit", true),
        ("ENTRYPOINT [\"/bin/echo\"]", false),
        ("CMD [\"/bin/busybox\" \"sh\" \"-c\" \"$E\"]", false),
    ];
    assert_eq!(history, expected.map(|(by, layer)| (by.to_owned(), layer)));
    for entry in image.config["history"].as_array().expect("a history").iter().rev().take(16) {
        assert_eq!(entry["comment"], "yadokari.dockerfile.v0");
    }
}

#[test]
fn onbuild_triggers_run_once() {
    let parent = build(
        "FROM busybox\n\
         ONBUILD COPY x /x\n\
         ONBUILD RUN echo onbuild > /triggered\n",
    );
    parent.run(Place::Overlay).succeeded();
    let kept = scratch();
    let layout = kept.path().join("parent");
    std::fs::rename(parent.out().join("layout"), &layout).expect("kept");
    let child = build("FROM parent\nRUN test -f /triggered && echo child > /child\n")
        .base("parent", &layout)
        .file("x", "x");
    let image = child.run(Place::Overlay).image();
    let paths: Vec<_> = image.layers_above(1).iter().flat_map(|l| l.paths().join(" ").into_bytes()).collect();
    assert_eq!(String::from_utf8_lossy(&paths), "xtriggeredchild");
    assert_eq!(image.config["config"]["OnBuild"], json!(null), "triggers do not reach grandchildren");
}

#[test]
fn scopes_of_arguments() {
    let built = build(
        "ARG GLOBAL=global\n\
         FROM busybox AS one\n\
         RUN echo \"before:$GLOBAL.\"\n\
         ARG GLOBAL\n\
         ARG OWN=own\n\
         RUN echo \"after:$GLOBAL.$OWN.\"\n\
         FROM one\n\
         RUN echo \"inherited:$OWN.\"\n\
         ENV OWN=env\n\
         RUN echo \"env:$OWN.\"\n\
         ARG OWN=later\n\
         RUN echo \"later:$OWN.\"\n\
         ARG TARGETARCH TARGETOS\n\
         RUN echo \"platform:$TARGETOS/$TARGETARCH.\"\n",
    )
    .run(Place::Overlay);
    built.succeeded();
    let expected = [
        "before:.",
        "after:global.own.",
        "inherited:own.",
        "env:env.",
        "later:later.",
        "platform:linux/amd64.",
    ];
    for line in expected {
        built.said(line);
    }
}

#[test]
fn expansions() {
    let image = build(
        "FROM scratch\n\
         ARG SET=value EMPTY=\"\"\n\
         LABEL a=${SET:-d} b=${UNSET:-d} c=${EMPTY:-d} d=${EMPTY-d} e=${SET:+alt} f=${UNSET:+alt}\n\
         LABEL g=${SET#v} h=${SET%e} i=${SET/a/A} j=\\$SET k='$SET' l=\"$SET\"\n\
         LABEL m=${UNSET:-${SET}}\n",
    )
    .run(Place::Overlay)
    .image();
    assert_eq!(
        image.config["config"]["Labels"],
        json!({
            "a": "value", "b": "d", "c": "d", "d": "", "e": "alt", "f": "", "g": "alue",
            "h": "valu", "i": "vAlue", "j": "$SET", "k": "$SET", "l": "value", "m": "value"
        })
    );
}

#[test]
fn escapes_comments_and_continuations() {
    let image = build(
        "# escape=`\n\
         FROM scratch\n\
         # a comment\n\
         LABEL a=1 `\n\
         # inside a continuation\n\
         \n\
           b=2 `\n\
           c=C:\\dir\n",
    )
    .run(Place::Overlay)
    .image();
    assert_eq!(image.config["config"]["Labels"], json!({"a": "1", "b": "2", "c": "C:\\dir"}));
}

#[test]
fn entrypoints_clear_inherited_commands() {
    let image = build(
        "FROM busybox AS parent\n\
         CMD [\"inherited\"]\n\
         FROM parent\n\
         ENTRYPOINT [\"entry\"]\n",
    )
    .run(Place::Overlay)
    .image();
    assert_eq!(image.config["config"]["Entrypoint"], json!(["entry"]));
    assert_eq!(image.config["config"]["Cmd"], json!(null));
}

#[test]
fn labels_annotations_and_platform_from_flags() {
    let image = build("FROM scratch\nLABEL a=dockerfile b=dockerfile\nCOPY Dockerfile /\n")
        .flag("--label=a=flag")
        .flag("--annotation=org.example.k=v")
        .flag("--custom-platform=linux/arm64/v8")
        .run(Place::Overlay)
        .image();
    assert_eq!(image.config["config"]["Labels"], json!({"a": "flag", "b": "dockerfile"}));
    assert_eq!(image.manifest["annotations"]["org.example.k"], "v");
    assert_eq!(image.config["architecture"], "arm64");
    assert_eq!(image.config["os"], "linux");
}

#[test]
fn all_errors_are_shown_with_their_lines() {
    let built = build(
        "FROM busybox\n\
         RUNN echo hello\n\
         COPY --chwn=1 a b\n\
         ENV broken\n",
    )
    .run(Place::Overlay);
    let error = built.failed(1);
    for part in [
        "Dockerfile:2",
        "RUNN echo hello",
        "^^^^",
        "RUN",
        "Dockerfile:3",
        "--chwn",
        "--chown",
        "Dockerfile:4",
        "ENV broken",
    ] {
        assert!(error.contains(part), "'{part}' is not in:\n{error}");
    }
}

#[test]
fn errors_before_anything_is_built() {
    for (dockerfile, parts) in [
        ("", vec!["Dockerfile"]),
        ("RUN true\n", vec!["Dockerfile:1", "FROM"]),
        ("FROM busybox\nFROM nothing-of-that-name:$UNSET_TAG\n", vec!["nothing-of-that-name"]),
        ("FROM busybox\nRUN echo started\nCOPY --from=nostage /x /y\n", vec!["nostage"]),
        ("FROM busybox\nEXPOSE 99999\n", vec!["99999", "Dockerfile:2"]),
    ] {
        let built = build(dockerfile).run(Place::Overlay);
        let error = built.failed(1);
        for part in parts {
            assert!(error.contains(part), "'{part}' is not in:\n{error}");
        }
        assert!(!error.contains("\nstarted"), "a step ran in spite of a known error:\n{error}");
    }
}

#[test]
fn a_target_that_is_not_there() {
    let built = build("FROM busybox AS builder\n").flag("--target=bilder").run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("bilder") && error.contains("builder"), "{error}");
}

/// Also where nobody needs the stages, as in BuildKit; a stage that reads a later one is no circle.
#[test]
fn stages_that_go_round_in_a_circle_are_an_error() {
    let circle = "FROM scratch AS a\nCOPY --from=c /x /\nFROM scratch AS b\nCOPY --from=a /x /\n\
        FROM scratch AS c\nRUN --mount=from=b,target=/b true\nFROM scratch\nCOPY f /\n";
    let built = Build::new(circle).file("f", "").run(Place::Overlay);
    let error = built.failed(1);
    assert!(error.contains("in a circle") && error.contains("Dockerfile:2"), "{error}");
    let forward =
        "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY f /\nFROM scratch\nCOPY f /\n";
    Build::new(forward).file("f", "").run(Place::Overlay).succeeded();
}
