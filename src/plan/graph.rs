//! Which stages are needed, what they start from, and which must be on disk or keep contents.

use std::collections::BTreeMap;

use crate::config::NamedContext;
use crate::dockerfile::{
    Diagnostic, Dockerfile, Expander, InstructionKind, Mount, Source, Stage, parse_trigger, suggest,
};
use crate::image::{ImageConfig, Platform, Reference};

use super::arguments::Arguments;
use super::lower::Lowering;
use super::metadata::{DEFAULT_PATH, set_env};
use super::scope::Scope;
use super::step::{Action, CopyFrom, FromImage, Place, Plan, PlannedStage, StageBase};

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

/// Makes the plan. Stages that the target does not need are left out, their errors too.
///
/// # Errors
/// [`PlanError`], with every error of the needed stages.
pub fn plan<B: Bases>(inputs: &Inputs<'_>, bases: &mut B) -> Result<Plan, PlanError<B::Error>> {
    let mut planner = Planner::new(inputs, bases)?;
    let target = planner.target()?;
    let needed = planner.needed(target);
    for number in needed {
        planner.stage(number)?;
    }
    if !planner.errors.is_empty() {
        return Err(PlanError::Dockerfile(planner.errors));
    }
    Ok(planner.finish(target))
}

struct Planner<'a, B> {
    inputs: &'a Inputs<'a>,
    bases: &'a mut B,
    expander: Expander,
    globals: Vec<(String, String)>,
    /// By number in the Dockerfile.
    planned: BTreeMap<usize, (PlannedStage, Scope)>,
    errors: Vec<Diagnostic>,
}

impl<'a, B: Bases> Planner<'a, B> {
    fn new(inputs: &'a Inputs<'a>, bases: &'a mut B) -> Result<Self, PlanError<B::Error>> {
        let expander = Expander { escape: inputs.dockerfile.escape };
        let mut globals = inputs.arguments.predefined(inputs.target.unwrap_or("default"));
        for instruction in &inputs.dockerfile.global_args {
            let InstructionKind::Arg(declarations) = &instruction.kind else { continue };
            for declaration in declarations {
                let name = &declaration.name.text;
                let default = match &declaration.default {
                    Some(word) => Some(
                        expander
                            .word(&word.text, &|n| find(&globals, n))
                            .map_err(|e| Diagnostic::new(&instruction.source, word.span, e.to_string()))?,
                    ),
                    None => None,
                };
                if let Some(value) = inputs.arguments.given(name).map(str::to_owned).or(default) {
                    globals.retain(|(n, _)| n != name);
                    globals.push((name.clone(), value));
                }
            }
        }
        Ok(Planner { inputs, bases, expander, globals, planned: BTreeMap::new(), errors: Vec::new() })
    }

    fn stages(&self) -> &'a [Stage] {
        &self.inputs.dockerfile.stages
    }

    fn source(&self) -> &'a Source {
        &self.inputs.dockerfile.source
    }

    /// The stage to build, by name or number; the last if none is named.
    fn target(&self) -> Result<usize, PlanError<B::Error>> {
        let last = self.stages().len() - 1;
        let Some(wanted) = self.inputs.target else { return Ok(last) };
        if let Some(number) = self.stage_named(wanted, self.stages().len()) {
            return Ok(number);
        }
        if let Ok(number) = wanted.parse::<usize>()
            && number <= last
        {
            return Ok(number);
        }
        let names: Vec<&str> =
            self.stages().iter().filter_map(|s| s.name.as_ref().map(|n| n.text.as_str())).collect();
        let message = format!("there is no stage '{wanted}' to build");
        let help = match suggest(wanted, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if names.is_empty() => "no stage has a name; leave --target out or give a number".to_owned(),
            None => format!("the stages are: {}", names.join(", ")),
        };
        Err(Diagnostic::new(self.source(), self.stages()[last].span, message).with_help(help).into())
    }

    /// The number of the last stage of this name before `before`.
    fn stage_named(&self, name: &str, before: usize) -> Option<usize> {
        let same = |s: &Stage| s.name.as_ref().is_some_and(|n| n.text.eq_ignore_ascii_case(name));
        self.stages()[..before].iter().rposition(same)
    }

    /// The numbers of the stages that the target needs by name, ascending.
    fn needed(&self, target: usize) -> Vec<usize> {
        let mut marked = vec![false; target + 1];
        marked[target] = true;
        for number in (0..=target).rev() {
            if !marked[number] {
                continue;
            }
            let stage = &self.stages()[number];
            let base = self.expander.word(&stage.base.text, &|n| find(&self.globals, n)).unwrap_or_default();
            let froms = stage.instructions.iter().flat_map(|i| froms(&i.kind));
            if let Some(base) = self.stage_named(&base, number) {
                marked[base] = true;
            }
            for from in froms {
                if let Some(other) = self.stage_from(&from, number) {
                    marked[other] = true;
                }
            }
        }
        (0..=target).filter(|n| marked[*n]).collect()
    }

    /// The stage a `--from` of stage `number` means: by name, then by number.
    fn stage_from(&self, from: &str, number: usize) -> Option<usize> {
        if self.context_named(from).is_some() {
            return None;
        }
        let by_number = || from.parse::<usize>().ok().filter(|n| *n < number);
        self.stage_named(from, number).or_else(by_number)
    }

    fn context_named(&self, name: &str) -> Option<(String, NamedContext)> {
        let found = self.inputs.contexts.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some((found.0.clone(), found.1.clone()))
    }

    /// Plans one stage, and first those it turns out to need.
    fn stage(&mut self, number: usize) -> Result<(), PlanError<B::Error>> {
        if self.planned.contains_key(&number) {
            return Ok(());
        }
        let stage = &self.stages()[number];
        let place = Place { source: self.source().clone(), span: stage.span };
        let platform = self.platform(stage)?;
        let (base, config, scope) = self.base(number, stage, &place, &platform)?;
        let arguments = self.inputs.arguments;
        let globals = self.globals.clone();
        let triggers = config.config.on_build.clone();
        let mut config = config;
        config.config.on_build.clear();
        let mut lowering = Lowering::new(arguments, &globals, self.expander, scope, config);
        if lowering.scope.get("PATH").is_none() && arguments.platform().os != "windows" {
            lowering.scope.set("PATH", DEFAULT_PATH);
            set_env(&mut lowering.config, "PATH", DEFAULT_PATH);
        }
        let mut instructions = self.triggers(stage, &triggers)?;
        instructions.extend(stage.instructions.iter().cloned());
        for instruction in &instructions {
            for from in froms(&instruction.kind) {
                if let Some(other) = self.stage_from(&from, number) {
                    self.stage(other)?;
                }
            }
            lowering.instruction(instruction, &mut |from| self.copy_from(from, number));
        }
        self.errors.append(&mut lowering.errors);
        let on_disk = lowering.steps.iter().any(|s| matches!(s.action, Action::Run(_)));
        let name = stage.name.as_ref().map_or_else(|| format!("stage-{number}"), |n| n.text.clone());
        let Lowering { steps, config, scope, .. } = lowering;
        let copied_from = false;
        let planned =
            PlannedStage { number, name, base, platform, steps, config, on_disk, copied_from, place };
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
        let name = self.expand_from(&stage.base)?;
        if name.is_empty() {
            let message = format!("the base name '{}' is empty after expansion", stage.base.text);
            let help = "give the ARG before the first FROM a default, or set it with --build-arg";
            return Err(Diagnostic::new(self.source(), stage.base.span, message).with_help(help).into());
        }
        let image = match self.context_named(&name) {
            Some((_, NamedContext::Directory(_))) => {
                let message = format!("the build context '{name}' is a directory and cannot be a base image");
                let help =
                    "use it with COPY --from, or name an image: oci-layout://path or docker-image://ref";
                return Err(Diagnostic::new(self.source(), stage.base.span, message).with_help(help).into());
            }
            Some((name, context)) => FromImage::Named(name, context),
            None => {
                if let Some(parent) = self.stage_named(&name, number) {
                    self.stage(parent)?;
                    let (planned, scope) = &self.planned[&parent];
                    return Ok((StageBase::Stage(parent), planned.config.clone(), scope.clone()));
                }
                if name.eq_ignore_ascii_case("scratch") {
                    return Ok((StageBase::Scratch, scratch_config(platform), Scope::default()));
                }
                FromImage::Registry(self.reference(stage, &name)?)
            }
        };
        let base = self
            .bases
            .image(&image, platform)
            .map_err(|error| PlanError::Base { place: place.clone(), error })?;
        let mut config = base.config;
        if self.inputs.platform_given || stage.platform.is_some() {
            config.set_platform(platform);
        }
        let scope = Scope::of_image(&config.config.env);
        Ok((StageBase::Image(image), config, scope))
    }

    fn expand_from(&self, word: &crate::dockerfile::Word) -> Result<String, PlanError<B::Error>> {
        self.expander
            .word(&word.text, &|n| find(&self.globals, n))
            .map_err(|e| Diagnostic::new(self.source(), word.span, e.to_string()).into())
    }

    fn platform(&self, stage: &Stage) -> Result<Platform, PlanError<B::Error>> {
        let Some(word) = &stage.platform else { return Ok(self.inputs.arguments.platform().clone()) };
        let text = self.expand_from(word)?;
        text.parse().map_err(|e: crate::image::ParsePlatformError| {
            Diagnostic::new(self.source(), word.span, e.to_string()).into()
        })
    }

    fn reference(&self, stage: &Stage, name: &str) -> Result<Reference, PlanError<B::Error>> {
        name.parse::<Reference>().map_err(|e| {
            let message = format!("'{name}' is not an image reference: {e}");
            let names: Vec<&str> =
                self.stages().iter().filter_map(|s| s.name.as_ref().map(|n| n.text.as_str())).collect();
            let mut diagnostic = Diagnostic::new(self.source(), stage.base.span, message);
            diagnostic.help = suggest(name, names).map(|near| format!("did you mean the stage '{near}'?"));
            diagnostic.into()
        })
    }

    /// The base's `ONBUILD` triggers as instructions; they run first, in order.
    fn triggers(
        &self,
        stage: &Stage,
        texts: &[String],
    ) -> Result<Vec<crate::dockerfile::Instruction>, PlanError<B::Error>> {
        let mut instructions = Vec::new();
        for text in texts {
            let source = Source::new(format!("ONBUILD trigger of {}", stage.base.text), text.clone());
            instructions.push(parse_trigger(&source, self.expander.escape).map_err(PlanError::Dockerfile)?);
        }
        Ok(instructions)
    }

    /// Where the files of a `--from` in stage `number` are.
    fn copy_from(&self, from: &str, number: usize) -> Result<CopyFrom, String> {
        match self.context_named(from) {
            Some((name, NamedContext::Directory(path))) => return Ok(CopyFrom::Directory(name, path)),
            Some((name, context)) => return Ok(CopyFrom::Image(FromImage::Named(name, context))),
            None => {}
        }
        if let Some(stage) = self.stage_from(from, number) {
            return Ok(CopyFrom::Stage(stage));
        }
        if from.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("there is no stage {from} before this one"));
        }
        match from.parse::<Reference>() {
            Ok(reference) => Ok(CopyFrom::Image(FromImage::Registry(reference))),
            Err(error) => Err(format!("'{from}' is neither a stage before this one nor an image: {error}")),
        }
    }

    /// Renumbers stages by position and marks what must be on disk, and what is copied from.
    fn finish(self, target: usize) -> Plan {
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
        Plan { target: position(target), stages }
    }
}

/// What an instruction names with `from`, in flags and in mounts.
fn froms(kind: &InstructionKind) -> Vec<String> {
    match kind {
        InstructionKind::Copy(copy) => copy.from.iter().map(|word| word.text.clone()).collect(),
        InstructionKind::Run(run) => run.mounts.iter().filter_map(|m| Mount::from_of(&m.text)).collect(),
        _ => Vec::new(),
    }
}

fn find(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone())
}

/// The config `FROM scratch` starts with (BuildKit, `dockerfile2llb/image.go`).
fn scratch_config(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig::default();
    config.set_platform(platform);
    config.config.working_dir = "/".to_owned();
    set_env(&mut config, "PATH", DEFAULT_PATH);
    config
}
