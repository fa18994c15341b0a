//! `FROM`: its variables, its platform, the platform of what it names.

use crate::dockerfile::checks::{Finding, Linter, rule};
use crate::dockerfile::{Diagnostic, Dockerfile, Expander, Span, Stage, Word};
use crate::image::{ImageConfig, Platform, Reference};

use super::super::arguments::Arguments;
use super::super::globals::Globals;
use super::super::step::FromImage;
use super::super::watch::{Names, near};
use super::reach::sources;
use super::variables::span_of_variable;
use super::{Base, BaseConfig, Looked, Spot, State, Walk};

/// Whether each `FROM` names an image if no build argument is given.
pub(super) fn check_defaults(
    dockerfile: &Dockerfile,
    arguments: &Arguments,
    target: &str,
    linter: &mut Linter,
) {
    // A default that cannot be expanded is reported when the given values are read.
    let Ok(globals) = Globals::read(dockerfile, arguments, target, false) else { return };
    let expander = Expander { escape: dockerfile.escape };
    for stage in &dockerfile.stages {
        let (Ok(name), _) = globals.expand(&expander, &stage.base) else { return };
        if name.parse::<Reference>().is_err() {
            let message = match name.as_str() {
                "" => format!("without build arguments `{}` is empty", stage.base.text),
                name => format!("without build arguments this names `{name}`, which is no image"),
            };
            let help = "give the ARG before the first FROM a default that works";
            let rule = &rule::INVALID_DEFAULT_ARG_IN_FROM;
            let finding = Finding::new(rule, &dockerfile.source, stage.lines, stage.base.span, message);
            linter.report(finding.with_help(help));
        }
    }
}

impl Walk<'_, '_> {
    /// Looks at each `FROM`, and finds what the stages start from. The first that names no image
    /// is an error of its own: it does not keep BuildKit from looking at the others.
    pub(super) fn froms(&mut self) -> Result<Option<Box<Diagnostic>>, Box<Diagnostic>> {
        let mut nameless = None;
        for (number, stage) in self.dockerfile.stages.iter().enumerate() {
            let wrong = |word: &Word, message: String| {
                Box::new(Diagnostic::new(&self.dockerfile.source, word.span, message))
            };
            let (name, names) = self.globals.expand(&self.expander, &stage.base);
            self.undeclared(stage, &stage.base, &names);
            let name = name.map_err(|e| e.at(&self.dockerfile.source, &stage.base))?;
            if name.is_empty() {
                let message = format!("the base name '{}' is empty after expansion", stage.base.text);
                return Err(wrong(&stage.base, message));
            }
            let mut uses = names.matched;
            let platform = match &stage.platform {
                Some(word) => Some(self.check_platform(stage, word, &mut uses)?),
                None => None,
            };
            let base = self.base_of(&name, number).unwrap_or_else(|message| {
                nameless.get_or_insert(wrong(&stage.base, message));
                Base::Scratch
            });
            let replaced = stage.name.as_ref().and_then(|name| self.context_named(&name.text));
            let base = match replaced {
                Some((name, context)) => Base::Image(FromImage::Named(name.clone(), context.clone())),
                None => base,
            };
            self.looked.push(Looked {
                stage,
                base,
                replaced: replaced.is_some(),
                platform,
                config: None,
                triggers: Vec::new(),
                reached: false,
                uses,
                args: Vec::new(),
                mounts: Vec::new(),
                state: State::default(),
            });
        }
        Ok(nameless)
    }

    fn check_platform(
        &mut self,
        stage: &Stage,
        word: &Word,
        uses: &mut Vec<String>,
    ) -> Result<Platform, Box<Diagnostic>> {
        let source = &self.dockerfile.source;
        let (text, names) = self.globals.expand(&self.expander, word);
        self.undeclared(stage, word, &names);
        let text = text.map_err(|e| e.at(source, word))?;
        if names.unmatched.is_empty()
            && names.matched == ["TARGETPLATFORM"]
            && self.globals.get("TARGETPLATFORM").as_deref() == Some(text.as_str())
        {
            let message = format!("`--platform={}` is what a base image has anyway", word.text);
            self.report_at(stage, &rule::REDUNDANT_TARGET_PLATFORM, word.span, message, "leave it out");
        }
        let platform: Platform = text.parse().map_err(|e: crate::image::ParsePlatformError| {
            Box::new(Diagnostic::new(source, word.span, e.to_string()))
        })?;
        let name = stage.name.as_ref().map_or("", |name| name.text.as_str());
        let is_constant = names.matched.is_empty() && names.unmatched.is_empty();
        if is_constant && !name.contains(&platform.os) && !name.contains(&platform.architecture) {
            let message = format!("the platform is always `{text}`, whatever is built for");
            let help = "use $BUILDPLATFORM, or name the stage after the platform";
            let rule = &rule::FROM_PLATFORM_FLAG_CONST_DISALLOWED;
            self.report_at(stage, rule, word.span, message, help);
        }
        uses.extend(names.matched);
        Ok(platform)
    }

    /// Reports the variables of a `FROM` that no `ARG` declares.
    fn undeclared(&mut self, stage: &Stage, word: &Word, names: &Names) {
        for name in names.unmatched.iter().filter(|name| !self.globals.knows(name)) {
            let message = format!("no ARG before the first FROM declares `{name}`");
            let help = match near(name, self.globals.names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("write `ARG {name}=…` above the first FROM"),
            };
            let span = span_of_variable(&self.dockerfile.source, word, name);
            self.report_at(stage, &rule::UNDEFINED_ARG_IN_FROM, span, message, &help);
        }
    }

    fn report_at(
        &mut self,
        stage: &Stage,
        rule: &'static crate::dockerfile::checks::Rule,
        span: Span,
        message: String,
        help: &str,
    ) {
        let finding = Finding::new(rule, &self.dockerfile.source, stage.lines, span, message);
        self.linter.report_below(&stage.comments, finding.with_help(help));
    }
}

/// Whether the images that a stage takes files from have the target's platform.
pub(super) fn check_sources(walk: &mut Walk<'_, '_>, number: usize, bases: &mut BaseConfig<'_>) {
    let wanted = walk.survey.inputs.arguments.platform().clone();
    let stage = walk.looked[number].stage;
    let triggers = walk.looked[number].triggers.clone();
    let spots = triggers.iter().map(|(t, base)| (Spot::of_trigger(walk.dockerfile, stage, t, base), t));
    let spots: Vec<_> = spots.chain(stage.instructions.iter().map(|i| (Spot::of(i), i))).collect();
    for (spot, instruction) in spots {
        for from in sources(instruction) {
            let Some(image) = walk.image_from(&from) else { continue };
            let config = bases(&image, &wanted);
            let Some(message) = config.and_then(|config| other_platform(walk, &config, &wanted, false))
            else {
                continue;
            };
            walk.linter
                .report(spot.finding(&rule::INVALID_BASE_IMAGE_PLATFORM, None, message).with_help(HELP));
        }
    }
}

const HELP: &str = "choose an image for that platform, or build for the image's with --custom-platform";

/// What is to be said of an image for another platform than what was asked for.
fn other_platform(
    walk: &Walk<'_, '_>,
    config: &ImageConfig,
    wanted: &Platform,
    asked: bool,
) -> Option<String> {
    // An image without layers is as good as scratch.
    if config.rootfs.diff_ids.is_empty() && config.history.iter().all(|h| h.empty_layer) {
        return None;
    }
    // Where nothing was asked for, an image for this machine is right, whatever the target.
    let host = Platform::host();
    let is_host = (&config.os, &config.architecture) == (&host.os, &host.architecture);
    let asked = asked || walk.survey.inputs.platform_given;
    let is_wanted = (&config.os, &config.architecture) == (&wanted.os, &wanted.architecture);
    let message = format!("the image is for {}, and {wanted} was asked for", config.platform());
    (!is_wanted && (!is_host || asked)).then_some(message)
}

/// Whether the base image has the platform that was asked for.
pub(super) fn check_base(walk: &mut Walk<'_, '_>, number: usize) {
    let wanted = walk.platform(number);
    let looked = &walk.looked[number];
    let (Base::Image(FromImage::Registry(_)), Some(config)) = (&looked.base, &looked.config) else { return };
    let asked = looked.platform.is_some();
    let Some(message) = other_platform(walk, config, &wanted, asked) else { return };
    let stage = looked.stage;
    let rule = &rule::INVALID_BASE_IMAGE_PLATFORM;
    let finding = Finding::new(rule, &walk.dockerfile.source, stage.lines, stage.base.span, message);
    walk.linter.report(finding.with_help(HELP));
}
