//! Which stages are needed, what they start from, and which must be on disk or keep contents.

use std::collections::BTreeMap;

use crate::config::NamedContext;
use crate::dockerfile::{
    Diagnostic, Dockerfile, Instruction, InstructionKind, Mount, Source, Stage, parse_trigger,
};
use crate::image::{ImageConfig, Platform};

use super::arguments::Arguments;
use super::inherit;
use super::lower::Lowering;
use super::metadata::{DEFAULT_PATH, set_env};
use super::names::Names;
use super::room::{self, Room};
use super::scope::Scope;
use super::step::{Action, CopyFrom, FromImage, Place, Plan, PlannedImage, PlannedStage, StageBase};

/// What planning needs to know of a base image.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// Its config.
    pub config: ImageConfig,
}

/// Where base images are looked up; asked once for each image and platform.
pub trait Bases {
    /// Why an image cannot be had.
    type Error;

    /// The image for a platform.
    ///
    /// # Errors
    /// It cannot be had.
    fn image(&mut self, image: &FromImage, platform: &Platform) -> Result<BaseImage, Self::Error>;
}

/// Why there is no plan.
#[derive(Debug)]
pub enum PlanError<E> {
    /// The Dockerfile is wrong.
    Dockerfile(Vec<Diagnostic>),
    /// A base image cannot be had.
    Base {
        /// The `FROM` line.
        place: Place,
        /// Why.
        error: E,
    },
}

impl<E> From<Diagnostic> for PlanError<E> {
    fn from(one: Diagnostic) -> Self {
        PlanError::Dockerfile(vec![one])
    }
}

/// What the Dockerfile is planned with.
pub struct Inputs<'a> {
    /// The parsed text.
    pub dockerfile: &'a Dockerfile,
    /// Build arguments and the target platform.
    pub arguments: &'a Arguments,
    /// `--target`
    pub target: Option<&'a str>,
    /// `--build-context`
    pub contexts: &'a BTreeMap<String, NamedContext>,
    /// `--platform` was given: it stamps the config even where a base says otherwise.
    pub platform_given: bool,
}

/// Makes the plan. Stages that the target does not need are left out, and what is wrong in them
/// but for the names they use.
///
/// # Errors
/// [`PlanError`], with every error of the needed stages.
pub fn plan<B: Bases>(inputs: &Inputs<'_>, bases: &mut B) -> Result<Plan, PlanError<B::Error>> {
    let mut names = Names::new(inputs)?;
    let epoch = names.epoch()?;
    let wrong = names.check();
    if !wrong.is_empty() {
        return Err(PlanError::Dockerfile(wrong));
    }
    let target = names.target(inputs.target)?;
    let mut planner = Planner::new(inputs, bases, names);
    let needed = planner.needed(target);
    for number in needed {
        planner.stage(number)?;
    }
    if !planner.errors.is_empty() {
        return Err(PlanError::Dockerfile(planner.errors));
    }
    Ok(planner.finish(target, epoch))
}

/// What is wrong with the stages, also with those that the target does not need; what BuildKit
/// would find first comes first. Base images that cannot be had are left out.
pub fn faults<B: Bases>(inputs: &Inputs<'_>, bases: &mut B) -> Vec<Diagnostic> {
    let begin = || {
        let mut names = Names::new(inputs)?;
        names.epoch()?;
        let target = names.target(inputs.target)?;
        Ok((names, target))
    };
    let (names, target) = match begin() {
        Ok(begun) => begun,
        Err(error) => return vec![error],
    };
    let wrong = names.check();
    if !wrong.is_empty() {
        return wrong;
    }
    let mut planner = Planner::new(inputs, bases, names);
    // Nobody builds on a stage that is not needed: no triggers run there.
    planner.triggered = Some(planner.needed(target));
    for number in 0..inputs.dockerfile.stages.len() {
        if let Err(PlanError::Dockerfile(mut errors)) = planner.stage(number) {
            errors.append(&mut planner.errors);
            return errors;
        }
    }
    planner.errors
}

struct Planner<'a, B> {
    inputs: &'a Inputs<'a>,
    bases: &'a mut B,
    names: Names<'a>,
    /// By number in the Dockerfile.
    planned: BTreeMap<usize, (PlannedStage, Scope)>,
    room: Room,
    errors: Vec<Diagnostic>,
    /// The stages in which triggers run, if not in all.
    triggered: Option<Vec<usize>>,
}

impl<'a, B: Bases> Planner<'a, B> {
    fn new(inputs: &'a Inputs<'a>, bases: &'a mut B, names: Names<'a>) -> Self {
        let (planned, errors) = (BTreeMap::new(), Vec::new());
        Planner { inputs, bases, names, planned, errors, room: Room::new(), triggered: None }
    }

    fn stages(&self) -> &'a [Stage] {
        &self.inputs.dockerfile.stages
    }

    fn source(&self) -> &'a Source {
        &self.inputs.dockerfile.source
    }

    /// The numbers of the stages that the target needs by name, ascending.
    fn needed(&self, target: usize) -> Vec<usize> {
        let mut marked = vec![false; target + 1];
        marked[target] = true;
        for number in (0..=target).rev() {
            if !marked[number] || self.names.replaced(number).is_some() {
                continue;
            }
            let stage = &self.stages()[number];
            let base = self.names.base(stage).unwrap_or_default();
            let mut named: Vec<String> = stage.instructions.iter().flat_map(|i| froms(&i.kind)).collect();
            if let Some(base) = self.names.stage_named(&base, number) {
                marked[base] = true;
                // Its triggers are instructions of this stage.
                let of_base = self.stages()[base].instructions.iter();
                named.extend(of_base.filter_map(trigger).flat_map(|t| froms(&t.kind)));
            }
            for from in named {
                if let Ok(Some(other)) = self.names.stage_from(&from, number) {
                    marked[other] = true;
                }
            }
        }
        (0..=target).filter(|n| marked[*n]).collect()
    }

    /// Whether the frontend that is asked for is one of the labs channel, by its tag.
    fn is_of_labs(&self) -> bool {
        let written = self.inputs.dockerfile.syntax.as_ref().map(|word| word.text.as_str());
        let Some(frontend) = self.inputs.arguments.given("BUILDKIT_SYNTAX").or(written) else { return false };
        frontend.split(['@', ' ']).next().is_some_and(|name| name.ends_with("labs"))
    }

    /// Plans one stage, and first those it turns out to need.
    fn stage(&mut self, number: usize) -> Result<(), PlanError<B::Error>> {
        if self.planned.contains_key(&number) {
            return Ok(());
        }
        let stage = &self.stages()[number];
        let place = Place { source: self.source().clone(), span: stage.span };
        let platform = self.names.platform(stage)?;
        let (base, mut config, scope) = self.base(number, stage, &place, &platform)?;
        let platform = match &base {
            StageBase::Stage(parent) => self.planned[parent].0.platform.clone(),
            // Whatever its `FROM` says (BuildKit, `resolveReachableStages`).
            StageBase::Scratch => self.inputs.arguments.platform().clone(),
            StageBase::Image(_) => platform,
        };
        let arguments = self.inputs.arguments;
        let globals = self.names.globals.clone();
        let replaced = self.names.replaced(number).is_some();
        let mut instructions = Vec::new();
        if !replaced && self.triggered.as_ref().is_none_or(|stages| stages.contains(&number)) {
            instructions = self.triggers(stage, &config.config.on_build)?;
        }
        let triggers = instructions.len();
        instructions.extend(stage.instructions.iter().filter(|_| !replaced).cloned());
        inherit::begin(&mut config);
        let mut lowering = Lowering::new(arguments, &globals, self.names.expander, scope, config);
        lowering.labs = self.is_of_labs();
        lowering.room = self.room;
        if lowering.scope.get("PATH").is_none() && !replaced && arguments.platform().os != "windows" {
            lowering.scope.set("PATH", DEFAULT_PATH);
            set_env(&mut lowering.config, "PATH", DEFAULT_PATH);
        }
        for (at, instruction) in instructions.iter().enumerate() {
            for from in froms(&instruction.kind) {
                if let Ok(Some(other)) = self.names.stage_from(&from, number) {
                    self.stage(other)?;
                }
            }
            lowering.instruction(instruction, &mut |from| self.names.copy_from(from, number));
            if at < triggers {
                let errors = std::mem::take(&mut lowering.errors).into_iter();
                lowering.errors = errors.map(|e| e.with_origin(self.source(), stage.span)).collect();
            }
        }
        self.room = lowering.room;
        self.errors.append(&mut lowering.errors);
        let on_disk = lowering.steps.iter().any(|s| matches!(s.action, Action::Run(_)));
        let name = stage.name.as_ref().map_or_else(|| format!("stage-{number}"), |n| n.text.clone());
        let Lowering { steps, config, scope, .. } = lowering;
        let planned = PlannedStage {
            number,
            label: name.clone(),
            name,
            base,
            platform,
            source_platform: arguments.platform().clone(),
            steps,
            config,
            on_disk,
            copied_from: false,
            place,
        };
        self.planned.insert(number, (planned, scope));
        Ok(())
    }

    /// What a stage starts from: kind, config and variables.
    fn base(
        &mut self,
        number: usize,
        stage: &Stage,
        place: &Place,
        platform: &Platform,
    ) -> Result<(StageBase, ImageConfig, Scope), PlanError<B::Error>> {
        let own = stage.name.as_ref().filter(|_| self.names.replaced(number).is_some());
        let name = match own {
            Some(name) => name.text.clone(),
            None => self.names.base(stage)?,
        };
        let image = match self.names.context_for(&name, platform) {
            Some((_, NamedContext::Directory(_) | NamedContext::Remote(_))) => {
                let message = format!("the build context '{name}' holds files and cannot be a base image");
                let help =
                    "use it with COPY --from, or name an image: oci-layout://path or docker-image://ref";
                return Err(Diagnostic::new(self.source(), stage.base.span, message).with_help(help).into());
            }
            Some((name, context)) => FromImage::Named(name, context),
            None => {
                if let Some(parent) = self.names.stage_named(&name, number) {
                    self.stage(parent)?;
                    let (planned, scope) = &self.planned[&parent];
                    let taken = room::of_config(&planned.config);
                    self.room
                        .take(taken)
                        .map_err(|error| error.at(&self.inputs.dockerfile.source, stage.span))?;
                    // What an ARG had shadowed is in force again (BuildKit, `dispatchStages`).
                    let scope = scope.clone().with_image(&planned.config.config.env);
                    return Ok((StageBase::Stage(parent), planned.config.clone(), scope));
                }
                if name == "scratch" {
                    let config = inherit::of_scratch(self.inputs.arguments.platform());
                    return Ok((StageBase::Scratch, config, Scope::default()));
                }
                FromImage::Registry(self.names.reference(stage, &name)?)
            }
        };
        let base = self
            .bases
            .image(&image, platform)
            .map_err(|error| PlanError::Base { place: place.clone(), error })?;
        let config = inherit::of_image(base.config);
        let scope = Scope::default().with_image(&config.config.env);
        Ok((StageBase::Image(image), config, scope))
    }

    /// The base's `ONBUILD` triggers as instructions; they run first, in order. Whatever the escape
    /// character of the Dockerfile that wrote them or of this one, theirs is a backslash.
    fn triggers(&self, stage: &Stage, texts: &[String]) -> Result<Vec<Instruction>, PlanError<B::Error>> {
        let mut instructions = Vec::new();
        for text in texts {
            let source = Source::new(format!("ONBUILD trigger of {}", stage.base.text), text.clone());
            let of_stage = |errors: Vec<Diagnostic>| {
                let errors = errors.into_iter().map(|e| e.with_origin(self.source(), stage.span));
                PlanError::Dockerfile(errors.collect())
            };
            instructions.push(parse_trigger(&source, '\\').map_err(of_stage)?);
        }
        Ok(instructions)
    }

    /// Renumbers stages by position and marks what must be on disk, and what is copied from.
    fn finish(self, target: usize, epoch: Option<i64>) -> Plan {
        let numbers: Vec<usize> = self.planned.keys().copied().collect();
        let position = |number: usize| numbers.binary_search(&number).unwrap_or_default();
        let mut stages: Vec<PlannedStage> = self.planned.into_values().map(|(stage, _)| stage).collect();
        let mut on_disk = vec![false; stages.len()];
        let mut copied_from = vec![false; stages.len()];
        for at in (0..stages.len()).rev() {
            let stage = &mut stages[at];
            stage.on_disk |= on_disk[at];
            stage.copied_from = copied_from[at];
            if let StageBase::Stage(parent) = &mut stage.base {
                *parent = position(*parent);
                on_disk[*parent] |= stage.on_disk;
                copied_from[*parent] |= stage.copied_from;
            }
            for step in &mut stage.steps {
                for source in step.action.sources_mut() {
                    if let CopyFrom::Stage(from) = source {
                        *from = position(*from);
                        copied_from[*from] = true;
                    }
                }
            }
        }
        let target = position(target);
        let platform = self.inputs.arguments.platform();
        let mut config = stages[target].config.clone();
        inherit::finish(&mut config, platform, self.inputs.platform_given);
        let image = PlannedImage { stage: target, platform: platform.clone(), config };
        Plan { stages, images: vec![image], epoch }
    }
}

/// What an `ONBUILD` brings to the stages built on its own.
fn trigger(instruction: &Instruction) -> Option<&Instruction> {
    match &instruction.kind {
        InstructionKind::Onbuild(trigger) => trigger.as_deref(),
        _ => None,
    }
}

/// What an instruction names with `from`, in flags and in mounts.
pub(super) fn froms(kind: &InstructionKind) -> Vec<String> {
    match kind {
        InstructionKind::Copy(copy) => copy.from.iter().map(|word| word.text.clone()).collect(),
        InstructionKind::Run(run) => run.mounts.iter().filter_map(|m| Mount::from_of(&m.text)).collect(),
        _ => Vec::new(),
    }
}
