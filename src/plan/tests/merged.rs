//! Plans for several platforms as one.

use super::*;

fn merged(text: &str) -> Plan {
    let platforms = ["linux/amd64", "linux/arm64"];
    merge(platforms.iter().map(|platform| given(text).plan_for(platform, true)).collect())
}

/// The stages by what people call them, each with what it goes on from and copies from.
fn stages(plan: &Plan) -> Vec<(&str, Option<usize>, Vec<usize>)> {
    let from = |source: &CopyFrom| match source {
        CopyFrom::Stage(at) => Some(*at),
        _ => None,
    };
    let stages = plan.stages.iter().map(|stage| {
        let parent = match stage.base {
            StageBase::Stage(at) => Some(at),
            _ => None,
        };
        let sources = stage.steps.iter().flat_map(|s| s.action.sources()).filter_map(from).collect();
        (stage.label.as_str(), parent, sources)
    });
    stages.collect()
}

#[test]
fn what_is_the_same_for_all_is_there_once() {
    let host = Platform::host();
    let text = "FROM --platform=$BUILDPLATFORM go AS tools\nRUN a\nFROM tools AS compile\nARG TARGETARCH\nRUN b\n\
                FROM alpine\nRUN c\nCOPY --from=compile /a /\nCOPY --from=tools /b /\n";
    let plan = merged(text);
    let compile = |architecture: &str| match architecture == host.architecture {
        true => format!("{host} compile"),
        false => format!("{host}->{architecture} compile"),
    };
    let (tools, amd, arm) = (format!("{host} tools"), compile("amd64"), compile("arm64"));
    assert_eq!(
        stages(&plan),
        [
            (tools.as_str(), None, vec![]),
            (amd.as_str(), Some(0), vec![]),
            ("linux/amd64 stage-2", None, vec![1, 0]),
            (arm.as_str(), Some(0), vec![]),
            ("linux/arm64 stage-2", None, vec![3, 0]),
        ]
    );
    let images: Vec<_> = plan.images.iter().map(|i| (i.stage, i.config.architecture.as_str())).collect();
    assert_eq!(images, [(2, "amd64"), (4, "arm64")]);
    assert_eq!(plan.in_images(), [false, false, true, false, true]);
}

#[test]
fn what_differs_is_there_for_each() {
    for text in [
        "FROM alpine\nRUN a\n",
        "FROM --platform=$BUILDPLATFORM go AS x\nARG TARGETARCH\nRUN a\nFROM scratch\nCOPY --from=x a /\n",
        "FROM --platform=$BUILDPLATFORM go AS x\nCOPY --from=alpine a /\nFROM scratch\nCOPY --from=x a /\n",
        "FROM scratch AS x\nADD rootfs.tar /\nRUN a\nFROM scratch\nCOPY --from=x a /\n",
    ] {
        let plan = merged(text);
        assert_eq!(plan.stages.len() % 2, 0, "{text}");
        assert_ne!(plan.images[0].stage, plan.images[1].stage, "{text}");
    }
}

/// What starts from nothing and executes nothing has no platform; its images have.
#[test]
fn files_alone_are_copied_once() {
    let plan = merged("FROM scratch AS src\nCOPY . /\nFROM scratch\nCOPY --from=src a /\nENV A=b\n");
    assert_eq!(stages(&plan), [("src", None, vec![]), ("stage-1", None, vec![0])]);
    let images: Vec<_> = plan.images.iter().map(|i| (i.stage, i.config.architecture.as_str())).collect();
    assert_eq!(images, [(1, "amd64"), (1, "arm64")]);
}

#[test]
fn one_platform_is_named_nowhere() {
    let plan = merge(vec![given("FROM alpine AS a\nRUN a\n").plan_for("linux/arm64", true)]);
    assert_eq!(plan.stages[0].label, "a");
}
