//! What names mean: of stages, of build contexts, of images, and the variables in them.

use std::collections::BTreeMap;

use crate::config::NamedContext;
use crate::dockerfile::{
    CopyInstruction, Diagnostic, Expander, Instruction, InstructionKind, Source, Span, Stage, Word, suggest,
};
use crate::image::{ParsePlatformError, Platform, Reference};

use super::graph::{Inputs, froms};
use super::step::{CopyFrom, FromImage};
use super::watch;

/// The names a Dockerfile can use.
pub(super) struct Names<'a> {
    stages: &'a [Stage],
    source: &'a Source,
    contexts: &'a BTreeMap<String, NamedContext>,
    platform: &'a Platform,
    /// When what the context holds was committed, in seconds since 1970.
    context_time: Option<i64>,
    pub(super) expander: Expander,
    /// What `FROM` sees, and what an `ARG` without a default takes its value from.
    pub(super) globals: Vec<(String, String)>,
}

impl<'a> Names<'a> {
    /// Reads the `ARG`s before the first `FROM`. A default is not looked at where a value was given.
    pub(super) fn new(inputs: &Inputs<'a>) -> Result<Self, Diagnostic> {
        let dockerfile = inputs.dockerfile;
        let expander = Expander { escape: dockerfile.escape };
        let last = dockerfile.stages.last().and_then(|stage| stage.name.as_ref());
        let target = inputs.target.or(last.map(|name| name.text.as_str()));
        let mut globals = inputs.arguments.predefined(target.unwrap_or("default"));
        for instruction in &dockerfile.global_args {
            let InstructionKind::Arg(declarations) = &instruction.kind else { continue };
            for declaration in declarations {
                let name = &declaration.name.text;
                let value = match (inputs.arguments.given(name), &declaration.default) {
                    (Some(given), _) => given.to_owned(),
                    (None, None) => continue,
                    (None, Some(word)) => expander
                        .word(&word.text, &|n| find(&globals, n))
                        .map_err(|e| Diagnostic::new(&instruction.source, word.span, e.to_string()))?,
                };
                globals.retain(|(n, _)| n != name);
                globals.push((name.clone(), value));
            }
        }
        Ok(Names {
            stages: &dockerfile.stages,
            source: &dockerfile.source,
            contexts: inputs.contexts,
            platform: inputs.arguments.platform(),
            context_time: inputs.arguments.context_time(),
            expander,
            globals,
        })
    }

    /// `SOURCE_DATE_EPOCH`, where the Dockerfile sets it before the first `FROM`. `context` is the
    /// time of the context's commit; a context without one has none.
    pub(super) fn epoch(&mut self) -> Result<Option<i64>, Diagnostic> {
        const NAME: &str = "SOURCE_DATE_EPOCH";
        let Some(value) = find(&self.globals, NAME).filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        if let Ok(seconds) = value.parse() {
            return Ok(Some(seconds));
        }
        self.globals.retain(|(name, _)| name != NAME);
        if value == "context" {
            let time = self.context_time;
            self.globals.extend(time.map(|time| (NAME.to_owned(), time.to_string())));
            return Ok(time);
        }
        let message = format!("{NAME} is '{value}', which is no number of seconds");
        let help = "set it to seconds since 1970, such as the output of: git log -1 --format=%ct; or to `context`, for a git context";
        Err(self.at(Span::default(), message).with_help(help))
    }

    fn at(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.source, span, message)
    }

    fn written(&self) -> Vec<&'a str> {
        self.stages.iter().filter_map(|stage| stage.name.as_ref().map(|name| name.text.as_str())).collect()
    }

    /// The stage to build, by name or number; the last if none is named.
    pub(super) fn target(&self, wanted: Option<&str>) -> Result<usize, Diagnostic> {
        let last = self.stages.len() - 1;
        let Some(wanted) = wanted else { return Ok(last) };
        if let Some(number) = self.stage_named(wanted, self.stages.len()) {
            return Ok(number);
        }
        if let Ok(number) = wanted.parse::<usize>()
            && number <= last
        {
            return Ok(number);
        }
        let names = self.written();
        let message = format!("there is no stage '{wanted}' to build");
        let help = match suggest(wanted, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if names.is_empty() => "no stage has a name; leave --target out or give a number".to_owned(),
            None => format!("the stages are: {}", names.join(", ")),
        };
        Err(self.at(self.stages[last].span, message).with_help(help))
    }

    /// The number of the last stage of this name before `before`.
    pub(super) fn stage_named(&self, name: &str, before: usize) -> Option<usize> {
        let same = |s: &Stage| s.name.as_ref().is_some_and(|n| n.text.eq_ignore_ascii_case(name));
        self.stages[..before].iter().rposition(same)
    }

    /// A build context of this name; it stands before stages and images.
    pub(super) fn context(&self, name: &str) -> Option<(String, NamedContext)> {
        self.context_for(name, self.platform)
    }

    /// A build context of this name: one for the platform, `name::os/arch`, before one for all. Names
    /// of images mean the same in every way to write them (BuildKit, `dockerui.NamedContext`).
    pub(super) fn context_for(&self, name: &str, platform: &Platform) -> Option<(String, NamedContext)> {
        let for_all = |key: &str| same_name(key, name);
        let for_this = |key: &str| {
            let Some((key, wanted)) = key.split_once("::") else { return false };
            same_name(key, name) && wanted.parse::<Platform>().is_ok_and(|wanted| wanted == *platform)
        };
        let found = self.contexts.iter().find(|(key, _)| for_this(key));
        let found = found.or_else(|| self.contexts.iter().find(|(key, _)| for_all(key)))?;
        Some((found.0.clone(), found.1.clone()))
    }

    /// The build context that stands in for a stage: that of its name (BuildKit,
    /// `buildDispatchStates`).
    pub(super) fn replaced(&self, number: usize) -> Option<(String, NamedContext)> {
        let stage = &self.stages[number];
        self.context_for(&stage.name.as_ref()?.text, &self.platform(stage).ok()?)
    }

    /// A `--from` by name, where the number is of a stage that a build context stands in for.
    fn by_name<'s>(&'s self, from: &'s str) -> &'s str {
        let number = from.parse().ok().filter(|number| *number < self.stages.len());
        let replaced = number.filter(|number| self.replaced(*number).is_some());
        replaced.and_then(|number| self.stages[number].name.as_ref()).map_or(from, |name| &name.text)
    }

    /// The stage a `--from` of stage `number` means, by number or by name: of several with one
    /// name the last in the file, even where that one cannot be copied from (BuildKit,
    /// `findStateByName`).
    pub(super) fn stage_from(&self, from: &str, number: usize) -> Result<Option<usize>, String> {
        let from = self.by_name(from);
        if self.context(from).is_some() {
            return Ok(None);
        }
        let found = match from.parse::<i64>() {
            Ok(index) => match usize::try_from(index).ok().filter(|index| *index < self.stages.len()) {
                Some(index) => index,
                None => return Err(format!("there is no stage {from} before this one")),
            },
            Err(_) => match self.stage_named(from, self.stages.len()) {
                Some(index) => index,
                None => return Ok(None),
            },
        };
        match found {
            found if found < number => Ok(Some(found)),
            found if found == number => Err(format!("'{from}' is this stage itself")),
            _ => Err(format!("the stage '{from}' comes after this one; it must be written before it")),
        }
    }

    /// Where the files of a `--from` in stage `number` are.
    pub(super) fn copy_from(&self, from: &str, number: usize) -> Result<CopyFrom, String> {
        let from = self.by_name(from);
        match self.context(from) {
            Some((name, NamedContext::Directory(path))) => return Ok(CopyFrom::Directory(name, path)),
            Some((name, NamedContext::Remote(url))) => return Ok(CopyFrom::Directory(name, url.into())),
            Some((name, context)) => return Ok(CopyFrom::Image(FromImage::Named(name, context))),
            None => {}
        }
        if let Some(stage) = self.stage_from(from, number)? {
            return Ok(CopyFrom::Stage(stage));
        }
        self.image_from(from).map(|reference| CopyFrom::Image(FromImage::Registry(reference)))
    }

    /// The base of a stage, expanded.
    pub(super) fn base(&self, stage: &Stage) -> Result<String, Diagnostic> {
        let name = self.expand(&stage.base)?;
        if name.is_empty() {
            let message = format!("the base name '{}' is empty after expansion", stage.base.text);
            let help = self.misspelt(&stage.base).unwrap_or_else(|| {
                "give the ARG before the first FROM a default, or set it with --build-arg".to_owned()
            });
            return Err(self.at(stage.base.span, message).with_help(help));
        }
        Ok(name)
    }

    /// The platform of a stage's base.
    pub(super) fn platform(&self, stage: &Stage) -> Result<Platform, Diagnostic> {
        let Some(word) = &stage.platform else { return Ok(self.platform.clone()) };
        let text = self.expand(word)?;
        if text.is_empty() {
            let message = format!("the platform '{}' is empty after expansion", word.text);
            let help = self.misspelt(word).unwrap_or_else(|| {
                "declare the variable with ARG before the first FROM, or set it with --build-arg".to_owned()
            });
            return Err(self.at(word.span, message).with_help(help));
        }
        text.parse().map_err(|e: ParsePlatformError| self.at(word.span, e.to_string()))
    }

    /// A base that is an image in a registry.
    pub(super) fn reference(&self, stage: &Stage, name: &str) -> Result<Reference, Diagnostic> {
        name.parse::<Reference>().map_err(|e| {
            let message = format!("'{name}' is not an image reference: {e}");
            let mut diagnostic = self.at(stage.base.span, message);
            let stage_near = || Some(format!("did you mean the stage '{}'?", suggest(name, self.written())?));
            let contexts = || self.contexts.keys().map(String::as_str);
            let context_near =
                || Some(format!("did you mean the build context '{}'?", suggest(name, contexts())?));
            diagnostic.help = self.misspelt(&stage.base).or_else(stage_near).or_else(context_near);
            diagnostic
        })
    }

    /// What a variable of a word that has no value was probably meant to be.
    fn misspelt(&self, word: &Word) -> Option<String> {
        let (_, names) = watch::expand(&self.expander, word, |name| find(&self.globals, name));
        let known = || self.globals.iter().map(|(name, _)| name.as_str());
        let meant = names.unmatched.iter().find_map(|name| watch::near(name, known()));
        meant.map(|meant| format!("did you mean the variable `{meant}`?"))
    }

    fn expand(&self, word: &Word) -> Result<String, Diagnostic> {
        self.expander
            .word(&word.text, &|n| find(&self.globals, n))
            .map_err(|e| self.at(word.span_of(self.source, e.range.clone()), e.to_string()))
    }

    /// What is wrong with the names of any stage, in the order in which BuildKit looks at them: what
    /// `FROM` names, where stages copy from, whether images can be called so. Also of those that
    /// are not needed, as in BuildKit (`buildDispatchStates`, `buildStageDependencyGraph`,
    /// `resolveReachableStages`).
    pub(super) fn check(&self) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        for stage in self.stages {
            errors.extend(self.base(stage).err());
            errors.extend(self.platform(stage).err());
        }
        for (number, stage) in self.stages.iter().enumerate() {
            let checked = stage.instructions.iter().map(|i| self.check_from(i, number));
            errors.extend(checked.filter_map(Result::err));
        }
        if errors.is_empty() {
            errors.extend(self.circle());
        }
        for (number, stage) in self.stages.iter().enumerate() {
            errors.extend(self.check_image(number, stage).err());
            errors.extend(stage.instructions.iter().filter_map(|i| self.check_images_from(i).err()));
        }
        errors
    }

    /// The stage that a `--from` means, wherever it is.
    fn stage_anywhere(&self, from: &str) -> Option<usize> {
        match from.parse::<usize>() {
            _ if self.context(self.by_name(from)).is_some() => None,
            Ok(number) => Some(number).filter(|number| *number < self.stages.len()),
            Err(_) => self.stage_named(from, self.stages.len()),
        }
    }

    /// The first circle of stages that copy from each other or from themselves, needed or not. Of
    /// several instructions that read one stage it is the last that counts (BuildKit,
    /// `validateCircularDependency`).
    fn circle(&self) -> Option<Diagnostic> {
        let reads = |number: usize| {
            let instructions = self.stages[number].instructions.iter();
            let named =
                instructions.rev().flat_map(|i| froms(&i.kind).into_iter().map(move |from| (i, from)));
            // A mount's number is a stage here only; in BuildKit it closes no circle.
            let named = named.filter(|(i, from)| {
                !matches!(i.kind, InstructionKind::Run(_)) || from.parse::<usize>().is_err()
            });
            named.filter_map(|(i, from)| Some((i, self.stage_anywhere(&from)?)))
        };
        // Whether `from` leads to `to`, each stage looked at once.
        let leads = |from: usize, to: usize| {
            let (mut seen, mut waiting) = (vec![false; self.stages.len()], vec![from]);
            while let Some(at) = waiting.pop() {
                if at == to {
                    return true;
                }
                if !std::mem::replace(&mut seen[at], true) {
                    waiting.extend(reads(at).map(|(_, other)| other));
                }
            }
            false
        };
        // A circle has an instruction that reads its own stage or one after it.
        let forward = |number: usize| reads(number).filter(move |(_, other)| *other >= number);
        let mut all = (0..self.stages.len()).flat_map(|n| forward(n).map(move |(i, other)| (n, i, other)));
        let (number, instruction, other) = all.find(|(number, _, other)| leads(*other, *number))?;
        let name = self.stages[other].name.as_ref().map_or_else(|| other.to_string(), |n| n.text.clone());
        let span = match &instruction.kind {
            InstructionKind::Copy(CopyInstruction { from: Some(from), .. }) => from.span,
            _ => instruction.span,
        };
        let message = if number == other {
            format!("'{name}' is this stage itself")
        } else {
            format!("the stages go round in a circle: '{name}' reads this one in turn")
        };
        let diagnostic = Diagnostic::new(&instruction.source, span, message);
        Some(diagnostic.with_help("a stage can read only those that are written before it"))
    }

    /// Whether the image a stage starts from can be called so. That it is called at all has been
    /// looked at.
    fn check_image(&self, number: usize, stage: &Stage) -> Result<(), Diagnostic> {
        let Ok(name) = self.base(stage) else { return Ok(()) };
        let known = name == "scratch" || self.stage_named(&name, number).is_some();
        if !known && self.context(&name).is_none() {
            self.reference(stage, &name)?;
        }
        Ok(())
    }

    fn check_from(&self, instruction: &Instruction, number: usize) -> Result<(), Diagnostic> {
        let InstructionKind::Copy(copy) = &instruction.kind else { return Ok(()) };
        let Some(from) = &copy.from else { return Ok(()) };
        check_variables(instruction, from, self.expander)?;
        // A stage after this one is no error as long as nobody needs this one.
        let stages = 0..self.stages.len() as i64;
        let out_of_range = from.text.parse::<i64>().is_ok_and(|index| !stages.contains(&index));
        match self.stage_from(&from.text, number) {
            Err(message) if out_of_range => Err(Diagnostic::new(&instruction.source, from.span, message)),
            _ => Ok(()),
        }
    }

    /// Whether the images that an instruction takes files from can be called so.
    fn check_images_from(&self, instruction: &Instruction) -> Result<(), Diagnostic> {
        let span = match &instruction.kind {
            InstructionKind::Copy(CopyInstruction { from: Some(from), .. }) => {
                // One with variables has been found.
                if check_variables(instruction, from, self.expander).is_err() {
                    return Ok(());
                }
                from.span
            }
            _ => instruction.span,
        };
        for from in froms(&instruction.kind) {
            let known = from.parse::<i64>().is_ok() || self.stage_anywhere(&from).is_some();
            if !known && self.context(self.by_name(&from)).is_none() {
                self.image_from(&from).map_err(|m| Diagnostic::new(&instruction.source, span, m))?;
            }
        }
        Ok(())
    }

    /// The image in a registry that a `--from` names, which means nothing else.
    fn image_from(&self, from: &str) -> Result<Reference, String> {
        from.parse::<Reference>().map_err(|error| {
            let near = suggest(from, self.contexts.keys().map(String::as_str));
            let meant = near.map(|near| format!("; did you mean the build context '{near}'?"));
            let meant = meant.unwrap_or_default();
            format!("'{from}' is neither a stage before this one nor an image: {error}{meant}")
        })
    }
}

/// Whether two names are one: `alpine` and `docker.io/library/alpine:latest` are.
fn same_name(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    match (a.parse::<Reference>(), b.parse::<Reference>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// `--from` is resolved before variables have values; quotes and escapes mean nothing in it.
pub(super) fn check_variables(
    instruction: &Instruction,
    from: &Word,
    expander: Expander,
) -> Result<(), Diagnostic> {
    if expander.word(&from.text, &|_| None).is_ok_and(|expanded| expanded == from.text) {
        return Ok(());
    }
    let help = "name a stage before this one, `FROM …$VARIABLE… AS name`, and write `--from=name`";
    let message = "`--from` cannot have variables";
    Err(Diagnostic::new(&instruction.source, from.span, message).with_help(help))
}

/// The value of a name; the last counts.
pub(super) fn find(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone())
}
