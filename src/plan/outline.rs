//! What a build takes: arguments, secrets, agents, caches; and which stages there are
//! (BuildKit's subrequests `outline` and `targets`).

use crate::dockerfile::checks::{Linter, Options, description, options};
use crate::dockerfile::{Diagnostic, Dockerfile, InstructionKind, MountType, Span};
use crate::image::{ImageConfig, Platform};
use std::convert::Infallible;

use super::checks::{Capture, Survey, capture};
use super::graph::{BaseImage, Bases, Inputs, PlanError, plan};
use super::step::FromImage;

/// What a target takes.
#[derive(Debug, Default)]
pub struct Outline {
    /// The target's name, if it has one.
    pub name: Option<String>,
    /// What the comment above it says.
    pub description: Option<String>,
    /// Arguments, in the order of the text.
    pub args: Vec<OutlineArg>,
    /// Secrets.
    pub secrets: Vec<OutlineMount>,
    /// SSH agents.
    pub ssh: Vec<OutlineMount>,
    /// Caches.
    pub caches: Vec<OutlineMount>,
}

/// An argument that a target uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineArg {
    /// Its name.
    pub name: String,
    /// Its default as written.
    pub default: Option<String>,
    /// The value it would have.
    pub value: Option<String>,
    /// What the comment above it says.
    pub description: Option<String>,
    /// The lines of its `ARG`.
    pub lines: Span,
}

/// A secret, agent or cache that a target uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineMount {
    /// Its id.
    pub id: String,
    /// Whether the step fails without it.
    pub required: bool,
    /// The lines of its `RUN`.
    pub lines: Span,
}

/// A stage that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// What the comment above it says.
    pub description: Option<String>,
    /// The image or stage after `FROM`, as written.
    pub base: String,
    /// `--platform=`, as written.
    pub platform: Option<String>,
    /// Whether it is what is built when none is named.
    pub default: bool,
    /// The lines of its `FROM`.
    pub lines: Span,
}

/// The stages, in order.
pub fn targets(dockerfile: &Dockerfile) -> Vec<Target> {
    let last = dockerfile.stages.len().saturating_sub(1);
    let stages = dockerfile.stages.iter().enumerate();
    stages
        .map(|(number, stage)| {
            let name = stage.name.as_ref().map(|name| name.text.clone());
            Target {
                description: name.as_deref().and_then(|name| description(&stage.comments, name)),
                name,
                base: stage.base.text.clone(),
                platform: stage.platform.as_ref().map(|platform| platform.text.clone()),
                default: number == last,
                lines: stage.lines,
            }
        })
        .collect()
}

/// Base images of which nothing is known.
struct Unknown;

impl Bases for Unknown {
    type Error = Infallible;

    fn image(&mut self, _: &FromImage, _: &Platform) -> Result<BaseImage, Infallible> {
        Ok(BaseImage { config: ImageConfig::default() })
    }
}

/// What a target takes. Base images are not looked at.
///
/// # Errors
/// Everything that is wrong with the stages that the target needs.
pub fn outline(inputs: &Inputs<'_>) -> Result<Outline, Vec<Diagnostic>> {
    let given = inputs.arguments.given("BUILDKIT_DOCKERFILE_CHECK");
    options(inputs.dockerfile, given).map_err(|error| vec![*error])?;
    if let Err(PlanError::Dockerfile(errors)) = plan(inputs, &mut Unknown) {
        return Err(errors);
    }
    let survey = Survey { inputs, all_stages: false, ignore: None };
    let mut linter = Linter::new(Options::default());
    let captured = capture(&survey, &mut linter).map_err(|error| vec![*error])?;
    let Some(first) = captured.first() else { return Ok(Outline::default()) };
    let stage = &inputs.dockerfile.stages[first.number];
    let name = stage.name.as_ref().map(|name| name.text.clone());
    let mut outline = Outline {
        description: name.as_deref().and_then(|name| description(&stage.comments, name)),
        name,
        ..Outline::default()
    };
    for stage in &captured {
        outline.add_args(stage);
        outline.add_mounts(stage);
    }
    outline.args.sort_by_key(|arg| arg.lines.start);
    for mounts in [&mut outline.secrets, &mut outline.ssh, &mut outline.caches] {
        mounts.sort_by_key(|mount| mount.lines.start);
    }
    Ok(outline)
}

impl Outline {
    fn add_args(&mut self, stage: &Capture) {
        for arg in &stage.args {
            if !self.args.iter().any(|known| known.name == arg.name) {
                self.args.push(arg.clone());
            }
        }
    }

    fn add_mounts(&mut self, stage: &Capture) {
        for (mount, lines) in &stage.mounts {
            let last_part =
                |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            let (list, default) = match mount.kind {
                MountType::Secret => (&mut self.secrets, last_part(&mount.target)),
                MountType::Ssh => (&mut self.ssh, "default".to_owned()),
                MountType::Cache => (&mut self.caches, crate::dockerfile::clean(&mount.target)),
                MountType::Bind | MountType::Tmpfs => continue,
            };
            let given = [&mount.id, &mount.source].into_iter().find(|id| !id.is_empty());
            let given = given.filter(|id| mount.kind != MountType::Cache || **id == mount.id);
            let id = given.cloned().unwrap_or(default);
            if !list.iter().any(|known| known.id == id) {
                list.push(OutlineMount { id, required: mount.required, lines: *lines });
            }
        }
    }
}

/// What the comments above an `ARG` say of each of its names.
pub(super) fn described(
    instruction: &crate::dockerfile::Instruction,
    value: impl Fn(&str) -> Option<String>,
) -> Vec<OutlineArg> {
    let InstructionKind::Arg(declared) = &instruction.kind else { return Vec::new() };
    let arg = |declaration: &crate::dockerfile::ArgDeclaration| {
        let name = declaration.name.text.clone();
        OutlineArg {
            default: declaration.default.as_ref().map(|word| word.text.clone()),
            value: value(&name),
            description: description(&instruction.comments, &name),
            lines: instruction.lines,
            name,
        }
    };
    declared.iter().map(arg).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dockerfile::{Source, parse};
    use crate::plan::Arguments;

    fn of(text: &str, target: Option<&str>, args: &[(&str, &str)]) -> Result<Outline, String> {
        let dockerfile = parse(&Source::new("Dockerfile", text)).unwrap();
        let args: Vec<_> = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let inputs = Inputs {
            dockerfile: &dockerfile,
            arguments: &Arguments::new(&args, &"linux/amd64".parse().unwrap()),
            target,
            contexts: &BTreeMap::new(),
            platform_given: false,
        };
        outline(&inputs).map_err(|e| e[0].to_string())
    }

    const ARGS: &str = "\
ARG inherited=box
ARG inherited2=box2
ARG unused=abc${inherited2}
# sfx is a suffix
ARG sfx=\"usy${inherited}\"

FROM b${sfx} AS first
# this is not assigned to anything
ARG FOO=123
# BAR is a number
ARG BAR=456
RUN true

FROM alpine${unused} AS second
ARG BAZ
RUN true

FROM scratch AS third
ARG ABC=a
ARG inherited TARGETARCH

# target is what is built
FROM third AS target
COPY --from=first /etc/passwd /

FROM second
";

    #[test]
    fn arguments_of_what_the_target_needs() {
        let found = of(ARGS, Some("target"), &[("BAR", "678")]).unwrap();
        assert_eq!(found.name.as_deref(), Some("target"));
        assert_eq!(found.description.as_deref(), Some("is what is built"));
        let args: Vec<_> = found
            .args
            .iter()
            .map(|a| (a.name.as_str(), a.default.as_deref(), a.value.as_deref(), a.description.as_deref()))
            .collect();
        assert_eq!(
            args,
            [
                ("inherited", Some("box"), Some("box"), None),
                ("sfx", Some("\"usy${inherited}\""), Some("usybox"), Some("is a suffix")),
                ("FOO", Some("123"), Some("123"), None),
                ("BAR", Some("456"), Some("678"), Some("is a number")),
                ("ABC", Some("a"), Some("a"), None),
            ]
        );
        let names: Vec<_> = of(ARGS, None, &[]).unwrap().args.into_iter().map(|a| a.name).collect();
        assert_eq!(names, ["inherited2", "unused", "BAZ"]);
    }

    #[test]
    fn arguments_have_the_values_of_their_lines_and_bring_what_they_are_made_of() {
        let text = "\
ARG A=1
ARG B=b
ARG A=${A}$B
ARG C=$A
ARG A=$A$C
FROM scratch
ARG A
ARG X
ENV X=after
ARG Y=1
ARG Y=2
ARG BUILDKIT_SBOM_SCAN_STAGE=true
";
        let found = of(text, None, &[]).unwrap();
        let args: Vec<_> = found.args.iter().map(|a| (a.name.as_str(), a.value.as_deref())).collect();
        let scan = ("BUILDKIT_SBOM_SCAN_STAGE", Some("true"));
        assert_eq!(
            args,
            [("B", Some("b")), ("C", Some("1b")), ("A", Some("1b1b")), ("X", None), ("Y", Some("2")), scan]
        );
    }

    #[test]
    fn secrets_agents_and_caches() {
        let text = "\
FROM busybox AS first
RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true
FROM alpine AS second
RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true
FROM scratch AS third
ARG BAR
RUN --mount=type=secret,id=second${BAR} --mount=type=cache,target=/a//b true
FROM third AS target
COPY --from=first /foo /
RUN --mount=type=ssh,id=ssh3,required --mount=type=cache,id=c,target=/d true
FROM second
";
        let found = of(text, Some("target"), &[("BAR", "678")]).unwrap();
        let ids = |all: &[OutlineMount]| all.iter().map(|m| (m.id.clone(), m.required)).collect::<Vec<_>>();
        let pair = |id: &str, required| (id.to_owned(), required);
        assert_eq!(ids(&found.secrets), [pair("passwd", true), pair("second678", false)]);
        assert_eq!(ids(&found.ssh), [pair("default", false), pair("ssh3", true)]);
        assert_eq!(ids(&found.caches), [pair("/a/b", false), pair("c", false)]);
    }

    #[test]
    fn wrong_targets_and_values_are_errors() {
        assert!(of("FROM a AS b\n", Some("c"), &[]).unwrap_err().contains("no stage 'c'"));
        assert!(of("ARG A=${B?no}\nFROM a\n", None, &[]).unwrap_err().contains("Dockerfile:1"));
        assert!(of("FROM a\nSTOPSIGNAL x\n", None, &[]).unwrap_err().contains("Dockerfile:2"));
        assert!(of("# check=x\nFROM a\n", None, &[]).unwrap_err().contains("Dockerfile:1"));
        assert!(of("FROM a AS b\nSTOPSIGNAL x\nFROM a\n", None, &[]).is_ok());
    }

    #[test]
    fn targets_are_listed() {
        let text = "# build compiles\nFROM alpine AS build\nFROM --platform=$P alpine\n\n# last is it\nFROM build AS Last\n";
        let dockerfile = parse(&Source::new("Dockerfile", text)).unwrap();
        let found = targets(&dockerfile);
        let shown: Vec<_> = found
            .iter()
            .map(|t| {
                (
                    t.name.as_deref(),
                    t.description.as_deref(),
                    t.base.as_str(),
                    t.platform.as_deref(),
                    t.default,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (Some("build"), Some("compiles"), "alpine", None, false),
                (None, None, "alpine", Some("$P"), false),
                (Some("last"), Some("is it"), "build", None, true),
            ]
        );
    }
}
