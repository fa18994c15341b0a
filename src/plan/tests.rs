//! Whole Dockerfiles to plans: what is needed, what is recorded.

use std::collections::BTreeMap;

use super::*;
use crate::config::NamedContext;
use crate::dockerfile::{Source, parse};
use crate::image::{ImageConfig, Platform};

mod merged;
mod parity;
mod places;
mod room;

/// Base images by name; every image not listed is a bare Linux with one `PATH`.
#[derive(Default)]
struct Fixed(BTreeMap<&'static str, ImageConfig>);

impl Bases for Fixed {
    type Error = String;

    fn image(&mut self, image: &FromImage, platform: &Platform) -> Result<BaseImage, String> {
        let mut config = ImageConfig::default();
        config.set_platform(platform);
        config.config.env = vec!["PATH=/bin".to_owned()];
        let name = image.to_string();
        if name.contains("missing") {
            return Err(format!("no {name}"));
        }
        let listed = self.0.iter().find(|(n, _)| name.contains(**n));
        Ok(BaseImage { config: listed.map_or(config, |(_, c)| c.clone()) })
    }
}

struct Given<'a> {
    text: &'a str,
    args: &'a [(&'a str, &'a str)],
    target: Option<&'a str>,
    contexts: BTreeMap<String, NamedContext>,
    bases: Fixed,
}

fn given(text: &str) -> Given<'_> {
    Given { text, args: &[], target: None, contexts: BTreeMap::new(), bases: Fixed::default() }
}

impl Given<'_> {
    fn try_plan(self) -> Result<Plan, Vec<String>> {
        self.try_plan_for("linux/amd64", false)
    }

    fn plan_for(self, platform: &str, platform_given: bool) -> Plan {
        self.try_plan_for(platform, platform_given).unwrap()
    }

    fn try_plan_for(mut self, platform: &str, platform_given: bool) -> Result<Plan, Vec<String>> {
        let source = Source::new("Dockerfile", self.text);
        let dockerfile = parse(&source).map_err(|e| e.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let args: Vec<_> = self.args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let platform: Platform = platform.parse().unwrap();
        let inputs = Inputs {
            dockerfile: &dockerfile,
            arguments: &Arguments::new(&args, &platform),
            target: self.target,
            contexts: &self.contexts,
            platform_given,
        };
        plan(&inputs, &mut self.bases).map_err(|error| match error {
            PlanError::Dockerfile(all) => {
                all.iter().map(|d| format!("{d} ({})", d.help.as_deref().unwrap_or(""))).collect()
            }
            PlanError::Base { error, place } => vec![format!("line {}: {error}", place.line())],
        })
    }

    fn plan(self) -> Plan {
        self.try_plan().unwrap()
    }
}

fn history(plan: &Plan) -> Vec<(String, bool)> {
    let config = &plan.images[0].config;
    config.history.iter().map(|h| (h.created_by.clone().unwrap(), h.empty_layer)).collect()
}

/// The history of one stage on scratch, without the layer marks.
fn texts(instructions: &str) -> Vec<String> {
    history(&given(&format!("FROM scratch\n{instructions}\n")).plan()).into_iter().map(|(t, _)| t).collect()
}

#[test]
fn history_is_buildkits_word_for_word() {
    for (instruction, text) in [
        ("ENV A=1 B=\"two words\"", "ENV A=1 B=two words"),
        ("LABEL a=b", "LABEL a=b"),
        ("ARG X=1 Y", "ARG X=1 Y"),
        ("RUN echo $HOME", "RUN /bin/sh -c echo $HOME # buildkit"),
        ("RUN [\"/bin/true\", \"x y\"]", "RUN /bin/true x y # buildkit"),
        ("COPY --chown=1:2 --chmod=755 a b /c/", "COPY --chown=1:2 --chmod=755 a b /c/ # buildkit"),
        ("ADD a /c", "ADD a /c # buildkit"),
        ("COPY <<EOF /f\nx\nEOF", "COPY <<EOF /f # buildkit"),
        ("WORKDIR /a/../b", "WORKDIR /a/../b"),
        ("USER me:us", "USER me:us"),
        ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGTERM"),
        ("EXPOSE 8000 80/udp", "EXPOSE [80/udp 8000/tcp]"),
        ("VOLUME /a /b", "VOLUME [/a /b]"),
        ("SHELL [\"/bin/bash\", \"-c\"]", "SHELL [/bin/bash -c]"),
        ("CMD [\"a\", \"b\"]", "CMD [\"a\" \"b\"]"),
        ("CMD a b", "CMD [\"/bin/sh\" \"-c\" \"a b\"]"),
        ("ENTRYPOINT [\"a\"]", "ENTRYPOINT [\"a\"]"),
        ("MAINTAINER Me", "MAINTAINER Me"),
        (
            "HEALTHCHECK --interval=5s CMD x",
            "HEALTHCHECK {Test:[CMD-SHELL x] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
        ),
    ] {
        assert_eq!(texts(instruction), [text], "{instruction}");
    }
}

#[test]
fn only_steps_with_files_have_layers() {
    let plan = given("FROM scratch\nENV A=1\nCOPY a /\nWORKDIR /\nWORKDIR /x\nONBUILD RUN y\nCMD z\n").plan();
    let marks: Vec<bool> = history(&plan).into_iter().map(|(_, empty)| empty).collect();
    assert_eq!(marks, [true, false, true, false, true]);
    assert_eq!(plan.stages[0].config.config.on_build, ["RUN y"]);
}

#[test]
fn arguments_reach_run_and_history_in_buildkits_way() {
    let text = "ARG G=global\nFROM scratch\nARG A=1\nARG B=$A C\nARG G\nENV A=2\nRUN x\n";
    let plan = Given { args: &[("C", "given"), ("HTTP_PROXY", "p")], ..given(text) }.plan();
    let (run, _) = history(&plan).pop().unwrap();
    assert_eq!(run, "RUN |4 A=2 B=1 C=given G=global /bin/sh -c x # buildkit");
    let Action::Run(step) = &plan.stages[0].steps.last().unwrap().action else { panic!("no RUN") };
    let value = |name: &str| step.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(
        (value("A"), value("B"), value("C"), value("G")),
        (Some("2"), Some("1"), Some("given"), Some("global"))
    );
    assert_eq!((value("HTTP_PROXY"), value("http_proxy")), (Some("p"), Some("p")));
    let env = &plan.stages[0].config.config.env;
    assert!(env.contains(&"A=2".to_owned()) && !env.iter().any(|e| e.starts_with("G=")), "{env:?}");
}

#[test]
fn env_pairs_do_not_see_each_other_and_arg_names_do() {
    let plan = given("FROM scratch\nENV X=1 Y=$X\nARG P=1 Q=$P\nLABEL y=\"$Y\" q=$Q\n").plan();
    let labels = &plan.stages[0].config.config.labels;
    assert_eq!((labels["y"].as_str(), labels["q"].as_str()), ("", "1"));
}

#[test]
fn platform_arguments_must_be_declared_in_a_stage() {
    let text =
        "FROM --platform=$BUILDPLATFORM alpine\nLABEL a=$TARGETARCH\nARG TARGETARCH\nLABEL b=$TARGETARCH\n";
    let plan = given(text).plan();
    let labels = &plan.stages[0].config.config.labels;
    assert_eq!((labels["a"].as_str(), labels["b"].as_str()), ("", "amd64"));
}

#[test]
fn stages_that_the_target_does_not_need_are_left_out_with_their_errors() {
    let text = "FROM missing AS unused\nRUN x\nFROM scratch AS lib\nCOPY a /a\nFROM scratch\nCOPY --from=lib /a /a\n";
    let plan = given(text).plan();
    let names: Vec<_> = plan.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["lib", "stage-2"]);
    let Action::Copy(copy) = &plan.stages[1].steps[0].action else { panic!("no COPY") };
    assert!(matches!(copy.from, CopyFrom::Stage(0)));
    assert!(plan.stages[0].copied_from && !plan.stages[1].copied_from);
    assert!(!plan.stages[0].on_disk, "nothing is executed");
    let error = Given { target: Some("unused"), ..given(text) }.try_plan().unwrap_err();
    assert!(error[0].starts_with("line 1: no "), "{error:?}");
}

#[test]
fn a_stage_goes_on_from_another() {
    let text =
        "FROM scratch AS a\nENV X=1\nARG Y=2\nCMD [\"c\"]\nFROM a\nLABEL l=$X$Y\nENTRYPOINT [\"e\"]\nRUN z\n";
    let plan = given(text).plan();
    assert_eq!(plan.stages.len(), 2);
    assert!(matches!(plan.stages[1].base, StageBase::Stage(0)));
    assert!(plan.stages[0].on_disk, "a command runs on top of it");
    let config = &plan.stages[1].config;
    assert_eq!(config.config.labels["l"], "12");
    // The CMD was another stage's: the new entry point drops it.
    assert_eq!(config.config.cmd, None);
    assert_eq!(config.history.len(), 6);
}

#[test]
fn onbuild_triggers_run_first_and_once() {
    let mut base = ImageConfig::default();
    base.config.on_build = vec!["ENV T=1".into(), "COPY --from=lib /x /x".into()];
    base.config.env = vec!["PATH=/bin".into()];
    let text = "FROM scratch AS lib\nCOPY a /x\nFROM triggers\nLABEL t=$T\n";
    let plan = Given { bases: Fixed(BTreeMap::from([("triggers", base)])), ..given(text) }.plan();
    let target = &plan.stages[plan.images[0].stage];
    assert_eq!(target.config.config.labels["t"], "1");
    assert!(target.config.config.on_build.is_empty());
    assert_eq!(plan.stages.len(), 2, "the trigger needs the other stage");
}

#[test]
fn named_contexts_replace_images_and_stages() {
    let contexts = BTreeMap::from([
        ("base".to_owned(), NamedContext::OciLayout { path: "/l".into(), tag: None, digest: None }),
        ("files".to_owned(), NamedContext::Directory("/d".into())),
    ]);
    let text = "FROM base\nCOPY --from=files a /\n";
    let plan = Given { contexts: contexts.clone(), ..given(text) }.plan();
    assert!(matches!(&plan.stages[0].base, StageBase::Image(FromImage::Named(name, _)) if name == "base"));
    let Action::Copy(copy) = &plan.stages[0].steps[0].action else { panic!("no COPY") };
    assert!(matches!(&copy.from, CopyFrom::Directory(name, _) if name == "files"));
    let error = Given { contexts, ..given("FROM files\n") }.try_plan().unwrap_err();
    assert!(error[0].contains("holds files"), "{error:?}");
}

#[test]
fn run_heredocs() {
    let run = |instructions: &str| {
        let plan = given(&format!("FROM scratch\n{instructions}")).plan();
        let Action::Run(step) = &plan.stages[0].steps[0].action else { panic!("no RUN") };
        (step.argv.clone(), step.script.is_some())
    };
    let sh = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
    assert_eq!(run("RUN <<EOF\na\nb\nEOF\n"), (sh("a\nb\n"), false));
    assert_eq!(run("RUN <<EOF\n#!/usr/bin/awk -f\nEOF\n"), (sh("/dev/pipes/EOF"), true));
    assert_eq!(run("RUN cat <<A <<B\n1\nA\n2\nB\n"), (sh("cat <<A <<B\n1\nA\n2\nB"), false));
}

#[test]
fn what_cannot_be_done_names_the_way_out() {
    for (text, message, help) in [
        ("FROM scratch\nRUN --device=x y\n", "of the labs channel only", "dockerfile:labs"),
        ("# syntax=docker/dockerfile:1.14\nFROM scratch\nRUN --device=x y\n", "of the labs channel", ""),
        ("FROM scratch\nCOPY --chmod=rwx a b\n", "--chmod=rwx is not valid", "u=rwX,go=rX"),
        ("FROM scratch\nARG M=9\nADD --chmod=$M a b\n", "--chmod=9 is not valid", "octal"),
        ("FROM $NOTHING\n", "empty after expansion", "--build-arg"),
        ("FROM scratch\nCOPY --from=3 a b\n", "there is no stage 3", ""),
        ("FROM scratch\nCOPY --from=$X a b\n", "`--from` cannot have variables", ""),
    ] {
        let errors = given(text).try_plan().unwrap_err();
        assert!(errors[0].contains(message) && errors[0].contains(help), "{text}: {errors:?}");
    }
    let errors = Given { target: Some("finl"), ..given("FROM scratch AS final\n") }.try_plan().unwrap_err();
    assert!(errors[0].contains("did you mean 'final'?"), "{errors:?}");
}

fn mounts(instructions: &str) -> Vec<RunMount> {
    let plan = given(&format!("FROM scratch AS a\nRUN true\nFROM scratch\n{instructions}\n")).plan();
    plan.stages[plan.images[0].stage]
        .steps
        .iter()
        .find_map(|s| match &s.action {
            Action::Run(run) => Some(run.mounts.clone()),
            _ => None,
        })
        .expect("a RUN")
}

#[test]
fn mounts_have_buildkits_defaults() {
    let owner = |mode| FileOwner { mode, uid: 0, gid: 0 };
    let found = mounts(
        "WORKDIR /w\nARG V=v\n\
         RUN --mount=target=b,source=../s/$V --mount=type=cache,target=x/../c \
         --mount=type=cache,target=/d,id=i,sharing=locked,uid=7,ro --mount=type=tmpfs,dst=/t,size=1k \
         --mount=type=secret,id=a/b --mount=type=secret,target=/x/y,required --mount=type=secret,id=z,env=Z \
         --mount=type=ssh --mount=type=ssh,id=other,mode=0666 --mount=type=bind,from=a,rw,target=. \
         --mount=type=cache,target=/e,mode=7777 --mount=type=cache,target=/f,source=p/../q,mode=700 \
         --mount=type=cache,target=/g,from=a,source=s --mount=type=ssh,mode=4640 true",
    );
    let cache = |id: &str| CacheMount {
        id: id.to_owned(),
        sharing: Sharing::Shared,
        seed: None,
        part: "/".to_owned(),
        owner: None,
        access: Access::Writable,
    };
    let locked = CacheMount {
        sharing: Sharing::Locked,
        owner: Some(FileOwner { uid: 7, ..owner(0o755) }),
        access: Access::WrittenReadOnly,
        ..cache("/i")
    };
    let seeded = CacheMount { seed: Some((CopyFrom::Stage(0), "/s".to_owned())), ..cache("//g") };
    let secret = |id: &str, env: Option<&str>, required| RunMountKind::Secret {
        id: id.to_owned(),
        env: env.map(str::to_owned),
        required,
        owner: owner(0o400),
    };
    let ssh = |id: &str, mode| RunMountKind::Ssh { id: id.to_owned(), required: false, owner: owner(mode) };
    let bind = |from, source: &str, access| RunMountKind::Bind { from, source: source.to_owned(), access };
    let expected = [
        (Some("/w/b"), bind(CopyFrom::Context, "/s/v", Access::ReadOnly)),
        (Some("/w/c"), RunMountKind::Cache(cache("/c"))),
        (Some("/d"), RunMountKind::Cache(locked)),
        (Some("/t"), RunMountKind::Tmpfs { size: Some(1024), access: Access::Writable }),
        (Some("/run/secrets/b"), secret("a/b", None, false)),
        (Some("/x/y"), secret("y", None, true)),
        (None, secret("z", Some("Z"), false)),
        (Some("/run/buildkit/ssh_agent.0"), ssh("default", 0o600)),
        (Some("/run/buildkit/ssh_agent.1"), ssh("other", 0o666)),
        (Some("/w"), bind(CopyFrom::Stage(0), "/", Access::Writable)),
        (Some("/e"), RunMountKind::Cache(CacheMount { owner: Some(owner(0o777)), ..cache("//e") })),
        (Some("/f"), RunMountKind::Cache(CacheMount { part: "/q".to_owned(), ..cache("//f") })),
        (Some("/g"), RunMountKind::Cache(seeded)),
        (Some("/run/buildkit/ssh_agent.2"), ssh("default", 0o640)),
    ];
    let expected: Vec<RunMount> = expected
        .into_iter()
        .map(|(target, kind)| RunMount { target: target.map(str::to_owned), kind })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn mounts_need_the_stages_they_name() {
    let plan = given(
        "FROM scratch AS a\nCOPY x /\nFROM scratch AS unused\nRUN x\nFROM scratch AS s\nCOPY y /\n\
         FROM scratch\nRUN --mount=from=a,target=/a --mount=type=cache,from=s,target=/s x",
    )
    .plan();
    assert_eq!(plan.stages.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "s", "stage-3"]);
    assert_eq!(plan.stages.iter().map(|s| s.copied_from).collect::<Vec<_>>(), [true, true, false]);
    let Action::Run(run) = &plan.stages[2].steps[0].action else { panic!("no RUN") };
    assert_eq!(run.sources().collect::<Vec<_>>(), [&CopyFrom::Stage(0), &CopyFrom::Stage(1)]);
}

#[test]
fn mounts_that_cannot_be_are_errors() {
    for (mount, said) in [
        ("target=/", "the root"),
        ("target=..", "the root"),
        ("type=ssh,source=x", "ssh mount has no option `source`"),
        ("from=5,target=/x", "no stage 5"),
        ("type=cahce,target=/x", "did you mean"),
        ("type=cache,target=/x,from=$X", "cannot have variables"),
    ] {
        let errors = given(&format!("FROM scratch\nRUN --mount={mount} x")).try_plan().unwrap_err();
        assert!(errors[0].contains(said), "{mount}: {errors:?}");
    }
}

#[test]
fn mounts_and_network_are_in_no_history() {
    let text = "RUN --mount=type=secret,id=a,env=A --mount=type=ssh --network=none --security=insecure x";
    assert_eq!(texts(text), ["RUN /bin/sh -c x # buildkit"]);
    let plan = given(&format!("FROM scratch\n{text}")).plan();
    let Action::Run(run) = &plan.stages[0].steps[0].action else { panic!("no RUN") };
    assert_eq!((run.network, run.security), (RunNetwork::None, RunSecurity::Insecure));
    let socket = run.env.iter().find(|(name, _)| name == "SSH_AUTH_SOCK");
    assert_eq!(socket.map(|(_, value)| value.as_str()), Some("/run/buildkit/ssh_agent.0"));
}

/// The one copy step of a stage on scratch.
fn copy_step(instruction: &str) -> Result<CopyStep, Vec<String>> {
    let text = format!("FROM scratch\nARG E=\n{instruction}\n");
    let mut plan = given(&text).try_plan()?;
    match plan.stages.remove(0).steps.pop().map(|s| s.action) {
        Some(Action::Copy(step)) => Ok(step),
        other => panic!("{other:?}"),
    }
}

#[test]
fn sources_elsewhere_are_told_from_paths() {
    let sources = |instruction: &str| copy_step(instruction).unwrap().sources;
    let sha = format!("sha256:{}", "a".repeat(64));
    let all = sources("ADD a https://h/f https://h/r.git git@h:r /x/");
    assert!(matches!(all[0], CopySource::Path(_)));
    assert!(matches!(&all[1], CopySource::Url(u) if u.name == "f" && u.checksum.is_none()));
    assert!(matches!(&all[2], CopySource::Git(g) if g.remote == "https://h/r.git"));
    assert!(matches!(&all[3], CopySource::Git(g) if g.remote == "git@h:r"));
    let checked = sources(&format!("ADD --checksum={sha} https://h/f /x"));
    assert!(matches!(&checked[0], CopySource::Url(u) if u.checksum.as_ref().unwrap().to_string() == sha));
    let commit = sources("ADD --checksum=abc1 --keep-git-dir https://h/r.git /x");
    assert!(
        matches!(&commit[0], CopySource::Git(g) if g.checksum.as_deref() == Some("abc1") && g.keeps_git_dir())
    );
    // A flag that is empty after expansion is none (BuildKit).
    assert!(matches!(&sources("ADD --checksum=$E a /x")[0], CopySource::Path(_)));
}

#[test]
fn what_is_wrong_with_sources_elsewhere() {
    for (instruction, message) in [
        ("ADD --checksum=sha256:ab a /x", "this ADD fetches nothing"),
        ("ADD --checksum=sha256:ab https://h/a https://h/b /x", "here are several"),
        ("ADD --checksum=sha256:ab https://h/a /x", "sha256 has 64 hexadecimal digits"),
        ("ADD --checksum=md5:ab https://h/a /x", "'md5' is no algorithm"),
        ("ADD --checksum=ab https://h/a /x", "no algorithm before a colon"),
        ("ADD --checksum=main https://h/a.git /x", "is no name of a commit"),
        ("ADD --checksum=ab https://h/a.git?checksum=cd /x", "contradict each other"),
        ("ADD --keep-git-dir=false https://h/a.git?keep-git-dir=true /x", "contradict each other"),
        ("ADD https://h/a.git?depth=1 /x", "'depth' in the query is not known"),
        ("ADD https://h:x/a /x", "the URL makes no sense"),
        ("COPY https://h/a /x", "a URL cannot be a source of COPY"),
        ("COPY --from=scratchy git@h:a /x", "a git repository cannot be a source of COPY"),
    ] {
        let errors = copy_step(instruction).expect_err(instruction);
        assert!(errors.len() == 1 && errors[0].contains(message), "{instruction}: {errors:?}");
        assert!(errors[0].starts_with("Dockerfile:3: "), "{errors:?}");
    }
}

#[test]
fn contexts_have_the_names_of_images() {
    let layout = |path: &str| NamedContext::OciLayout { path: path.into(), tag: None, digest: None };
    for (key, base, replaced) in [
        ("alpine", "alpine", true),
        ("alpine", "docker.io/library/alpine:latest", true),
        ("docker.io/library/alpine:latest", "alpine", true),
        ("Alpine", "alpine", true),
        ("alpine:3", "alpine", false),
        ("alpine", "alpine:3", false),
        ("alpine::linux/amd64", "alpine", true),
        ("alpine::linux/arm64", "alpine", false),
    ] {
        let contexts = BTreeMap::from([(key.to_owned(), layout("/l"))]);
        let plan = Given { contexts, ..given(&format!("FROM {base}\n")) }.plan();
        let is_named = matches!(&plan.stages[0].base, StageBase::Image(FromImage::Named(..)));
        assert_eq!(is_named, replaced, "{key} for {base}");
    }
    let contexts = BTreeMap::from([
        ("alpine".to_owned(), layout("/all")),
        ("alpine::linux/arm64".to_owned(), layout("/arm")),
    ]);
    let text = "FROM --platform=linux/arm64 alpine\n";
    let plan = Given { contexts, ..given(text) }.plan();
    let StageBase::Image(FromImage::Named(_, context)) = &plan.stages[0].base else { panic!("no context") };
    assert_eq!(*context, layout("/arm"));
}
