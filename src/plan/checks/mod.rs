//! Checks that need variables, base images or ignore rules: BuildKit's under its ids, in the
//! order and at the lines of `dockerfile2llb/{convert,validations}.go`, and ours.

mod capture;
mod from;
mod ignored;
mod instruction;
mod ports;
mod reach;
mod unused;
mod variables;

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::NamedContext;
use crate::dockerfile::checks::{Finding, Linter, Rule};
use crate::dockerfile::{
    Diagnostic, Dockerfile, Expander, IgnoreMatcher, Instruction, InstructionKind, Mount, Source, Span,
    Stage, Word, parse_trigger,
};
use crate::image::{ImageConfig, Platform, Reference};

use super::globals::Globals;
use super::graph::Inputs;
use super::metadata::DEFAULT_PATH;
use super::names::Names;
use super::outline::OutlineArg;
use super::scope::Scope;
use super::step::FromImage;

pub(super) use capture::{Capture, capture};

/// The ignore rules of the build context.
#[derive(Clone, Copy)]
pub struct Ignore<'a> {
    /// The file they are in.
    pub file: &'a Path,
    /// The rules.
    pub matcher: &'a IgnoreMatcher,
}

/// What to check.
pub struct Survey<'a> {
    /// What would be built.
    pub inputs: &'a Inputs<'a>,
    /// Also stages that the target does not need.
    pub all_stages: bool,
    /// The context's ignore rules.
    pub ignore: Option<Ignore<'a>>,
}

/// What is known of a base image.
pub type BaseConfig<'a> = dyn FnMut(&FromImage, &Platform) -> Option<ImageConfig> + 'a;

/// What kept the checks from looking at everything.
#[derive(Debug, Default)]
pub struct Limits {
    /// An error at which they ended, as BuildKit's do.
    pub error: Option<Diagnostic>,
    /// Base images of which nothing is known: undefined variables and platforms were not
    /// checked in stages built on them.
    pub unknown: Vec<String>,
}

impl Survey<'_> {
    /// Runs the rules and reports to `linter`. `wrong` is the first of what is wrong with the stages
    /// ([`super::faults`], or why there is no plan): rules look no further.
    pub fn run(&self, bases: &mut BaseConfig<'_>, wrong: Option<&Diagnostic>, linter: &mut Linter) -> Limits {
        let mut limits = Limits::default();
        if let Err(error) = self.try_run(bases, wrong, linter, &mut limits) {
            limits.error = Some(*error);
        }
        limits
    }

    fn try_run(
        &self,
        bases: &mut BaseConfig<'_>,
        wrong: Option<&Diagnostic>,
        linter: &mut Linter,
        limits: &mut Limits,
    ) -> Result<(), Box<Diagnostic>> {
        let dockerfile = self.inputs.dockerfile;
        let target_name = target_name(self.inputs);
        from::check_defaults(dockerfile, self.inputs.arguments, target_name, linter);
        let globals = Globals::read(dockerfile, self.inputs.arguments, target_name, true)?;
        let mut walk = Walk::new(self, &globals, linter);
        let nameless = walk.froms()?;
        walk.bases(bases, limits);
        let names = Names::new(self.inputs)?.check().into_iter().next().map(Box::new);
        let trigger = wrong.filter(|_| walk.has_broken_trigger).cloned().map(Box::new);
        if let Some(error) = names.or(nameless).or(trigger) {
            return Err(error);
        }
        walk.wrong = wrong.cloned();
        walk.stages()?;
        unused::check(&mut walk);
        Ok(())
    }
}

/// What `TARGETSTAGE` is.
fn target_name<'a>(inputs: &Inputs<'a>) -> &'a str {
    let last = inputs.dockerfile.stages.last().and_then(|stage| stage.name.as_ref());
    inputs.target.or(last.map(|name| name.text.as_str())).unwrap_or("default")
}

/// What a stage starts from.
#[derive(Debug, Clone)]
enum Base {
    Scratch,
    /// An earlier stage, by number.
    Stage(usize),
    Image(FromImage),
}

/// A stage while it is looked at.
struct Looked<'a> {
    stage: &'a Stage,
    base: Base,
    /// Whether a build context of its name stands in for it.
    replaced: bool,
    /// The platform of `--platform`.
    platform: Option<Platform>,
    /// The base image's config, if it has one and it is known.
    config: Option<ImageConfig>,
    /// Triggers of `ONBUILD` that run first: with what set them.
    triggers: Vec<(Instruction, String)>,
    /// Whether the target needs it.
    reached: bool,
    /// The arguments its `FROM` names.
    uses: Vec<String>,
    /// The arguments it declares, in order.
    args: Vec<Declared>,
    /// The mounts of its commands, expanded, with the lines of the commands.
    mounts: Vec<(Mount, Span)>,
    /// What is in force after its last instruction.
    state: State,
}

/// An argument that a stage declares.
struct Declared {
    arg: OutlineArg,
    /// Whether it does not only take over what is declared before the first `FROM`.
    is_own: bool,
}

/// What is in force at a line of a stage.
#[derive(Clone, Default)]
struct State {
    scope: Scope,
    /// Names of `ARG`s, also those without a value.
    declared: Vec<String>,
    /// Whether there is a `SHELL`.
    shell: bool,
    /// Whether a `WORKDIR` of the Dockerfile stands above.
    workdir: bool,
    /// Whether the variables of the base image are not known.
    unknown: bool,
}

/// One run over all stages.
struct Walk<'a, 'l> {
    dockerfile: &'a Dockerfile,
    survey: &'a Survey<'a>,
    globals: &'a Globals,
    expander: Expander,
    linter: &'l mut Linter,
    looked: Vec<Looked<'a>>,
    /// The stage whose instructions are looked at.
    current: usize,
    /// Whether a trigger that runs cannot be read.
    has_broken_trigger: bool,
    /// The first of what is wrong with the stages.
    wrong: Option<Diagnostic>,
}

impl<'a, 'l> Walk<'a, 'l> {
    fn new(survey: &'a Survey<'a>, globals: &'a Globals, linter: &'l mut Linter) -> Self {
        let dockerfile = survey.inputs.dockerfile;
        let expander = Expander { escape: dockerfile.escape };
        Walk {
            dockerfile,
            survey,
            globals,
            expander,
            linter,
            looked: Vec::new(),
            current: 0,
            has_broken_trigger: false,
            wrong: None,
        }
    }

    fn context_named(&self, name: &str) -> Option<(&'a String, &'a NamedContext)> {
        let contexts: &'a BTreeMap<String, NamedContext> = self.survey.inputs.contexts;
        contexts.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The number of the last stage of this name before `before`.
    fn stage_named(&self, name: &str, before: usize) -> Option<usize> {
        let same = |s: &Stage| s.name.as_ref().is_some_and(|n| n.text.eq_ignore_ascii_case(name));
        self.dockerfile.stages[..before].iter().rposition(same)
    }

    /// What a name after `FROM` means, expanded.
    fn base_of(&self, name: &str, number: usize) -> Result<Base, String> {
        if let Some((name, context)) = self.context_named(name) {
            return Ok(Base::Image(FromImage::Named(name.clone(), context.clone())));
        }
        if let Some(stage) = self.stage_named(name, number) {
            return Ok(Base::Stage(stage));
        }
        if name == "scratch" {
            return Ok(Base::Scratch);
        }
        match name.parse::<Reference>() {
            Ok(reference) => Ok(Base::Image(FromImage::Registry(reference))),
            Err(error) => Err(format!("'{name}' is not an image reference: {error}")),
        }
    }

    /// Looks up base images, and marks what the target needs: triggers may need more stages.
    fn bases(&mut self, bases: &mut BaseConfig<'_>, limits: &mut Limits) {
        let Some(target) = reach::target(self.dockerfile, self.survey.inputs.target) else { return };
        let mut waiting = vec![target];
        while let Some(number) = waiting.pop() {
            if self.looked[number].reached {
                continue;
            }
            self.looked[number].reached = true;
            self.resolve(number, bases, limits);
            self.find_triggers(number);
            waiting.extend(self.needs(number));
        }
        if self.survey.all_stages {
            for number in 0..self.looked.len() {
                self.resolve(number, bases, limits);
            }
        }
        for number in 0..self.looked.len() {
            if self.looked[number].reached || self.survey.all_stages {
                from::check_base(self, number);
                from::check_sources(self, number, bases);
            }
        }
    }

    fn platform(&self, number: usize) -> Platform {
        let own = self.looked[number].platform.clone();
        own.unwrap_or_else(|| self.survey.inputs.arguments.platform().clone())
    }

    fn resolve(&mut self, number: usize, bases: &mut BaseConfig<'_>, limits: &mut Limits) {
        let platform = self.platform(number);
        let looked = &mut self.looked[number];
        if looked.config.is_some() || looked.state.unknown {
            return;
        }
        let Base::Image(image) = &looked.base else { return };
        looked.config = bases(image, &platform);
        if looked.config.is_none() {
            looked.state.unknown = true;
            let name = image.to_string();
            if !limits.unknown.contains(&name) {
                limits.unknown.push(name);
            }
        }
    }

    /// The triggers that run before a stage's own instructions. One that cannot be read is the
    /// plan's to report.
    fn find_triggers(&mut self, number: usize) {
        let name = &self.looked[number].stage.base.text;
        let mut triggers = Vec::new();
        if let Some(config) = &self.looked[number].config {
            for text in &config.config.on_build {
                let source = Source::new(format!("ONBUILD trigger of {name}"), text.clone());
                let parsed = parse_trigger(&source, '\\');
                self.has_broken_trigger |= parsed.is_err();
                triggers.extend(parsed.ok().map(|trigger| (trigger, name.clone())));
            }
        }
        if let Base::Stage(parent) = self.looked[number].base {
            for instruction in &self.dockerfile.stages[parent].instructions {
                if let InstructionKind::Onbuild(trigger) = &instruction.kind {
                    self.has_broken_trigger |= trigger.is_none();
                    triggers.extend(trigger.iter().map(|t| ((**t).clone(), name.clone())));
                }
            }
        }
        self.looked[number].triggers = triggers;
    }

    /// Goes through the instructions of all stages that count, in order.
    fn stages(&mut self) -> Result<(), Box<Diagnostic>> {
        for number in 0..self.looked.len() {
            // What is replaced is looked at only where every stage is, as in BuildKit.
            let (reached, replaced) = (self.looked[number].reached, self.looked[number].replaced);
            if (!reached || replaced) && !self.survey.all_stages {
                continue;
            }
            let mut state = self.start(number);
            let stage = self.looked[number].stage;
            let triggers = self.looked[number].triggers.clone();
            let mut once = instruction::Once::default();
            self.current = number;
            for (trigger, base) in &triggers {
                let spot = Spot::of_trigger(self.dockerfile, stage, trigger, base);
                self.instruction(&spot, trigger, &mut state, &mut once)?;
                self.ends_at(|wrong| is_of_trigger(wrong, stage, trigger))?;
            }
            for instruction in &stage.instructions {
                self.instruction(&Spot::of(instruction), instruction, &mut state, &mut once)?;
                self.ends_at(|wrong| {
                    wrong.origin.is_none() && instruction.span.range().contains(&wrong.span.start)
                })?;
            }
            self.looked[number].state = state;
        }
        Ok(())
    }

    /// An error if what is wrong is here.
    fn ends_at(&self, is_here: impl Fn(&Diagnostic) -> bool) -> Result<(), Box<Diagnostic>> {
        match &self.wrong {
            Some(wrong) if is_here(wrong) => Err(Box::new(wrong.clone())),
            _ => Ok(()),
        }
    }

    /// What a stage starts with.
    fn start(&self, number: usize) -> State {
        let looked = &self.looked[number];
        let mut state = match (&looked.base, &looked.config) {
            (Base::Stage(parent), _) => self.looked[*parent].state.clone(),
            (_, Some(config)) => State {
                scope: Scope::default().with_image(&config.config.env),
                shell: config.config.shell.as_ref().is_some_and(|shell| !shell.is_empty()),
                ..State::default()
            },
            _ => State { unknown: looked.state.unknown, ..State::default() },
        };
        if state.scope.get("PATH").is_none() {
            state.scope.set("PATH", DEFAULT_PATH);
        }
        state
    }
}

/// Whether it is a trigger of a stage's base that is wrong.
fn is_of_trigger(wrong: &Diagnostic, stage: &Stage, trigger: &Instruction) -> bool {
    let is_stage = wrong.origin.as_ref().is_some_and(|origin| origin.span == stage.span);
    is_stage && wrong.source.text().trim_start().starts_with(trigger.original.trim_end())
}

/// Where findings about an instruction are reported.
struct Spot<'a> {
    source: &'a Source,
    lines: Span,
    span: Span,
    comments: &'a [Word],
    /// For a trigger of `ONBUILD`: its text, and what set it.
    trigger: Option<(&'a str, &'a str)>,
}

impl<'a> Spot<'a> {
    fn of(instruction: &'a Instruction) -> Self {
        let (span, lines) = (instruction.span, instruction.lines);
        Spot { source: &instruction.source, lines, span, comments: &instruction.comments, trigger: None }
    }

    /// A trigger has no place in the Dockerfile: the `FROM` that brings it in stands for it.
    fn of_trigger(
        dockerfile: &'a Dockerfile,
        stage: &'a Stage,
        trigger: &'a Instruction,
        base: &'a str,
    ) -> Self {
        Spot {
            source: &dockerfile.source,
            lines: stage.lines,
            span: stage.span,
            comments: &trigger.comments,
            trigger: Some((&trigger.original, base)),
        }
    }

    /// A finding about the whole instruction, or about a part of it.
    fn finding(&self, rule: &'static Rule, part: Option<Span>, message: String) -> Finding {
        let text = self.source.slice(self.span);
        let first = Span::new(self.span.start, self.span.start + text.find('\n').unwrap_or(text.len()));
        match self.trigger {
            None => Finding::new(rule, self.source, self.lines, part.unwrap_or(first), message),
            Some((trigger, base)) => {
                let trigger = trigger.lines().next().unwrap_or_default();
                let message = format!("{message}, in the trigger `ONBUILD {trigger}` of {base}");
                Finding::new(rule, self.source, self.lines, first, message)
            }
        }
    }
}

#[cfg(test)]
mod tests;
