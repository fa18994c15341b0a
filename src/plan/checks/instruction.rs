//! The instructions of a stage, one after the other.

use std::cell::RefCell;

use crate::dockerfile::checks::{Rule, description, rule};
use crate::dockerfile::{
    ArgDeclaration, Command, CopyArguments, CopySource, Diagnostic, Instruction, InstructionKind, KeyValue,
    Mount, RunInstruction, Source, Span, Word, suggest,
};

use super::super::outline::OutlineArg;
use super::super::watch::watch;
use super::{Declared, Spot, State, Walk};

/// Instructions of which only the last counts: where each stood last.
#[derive(Default)]
pub(super) struct Once<'a> {
    cmd: Option<Place<'a>>,
    entrypoint: Option<Place<'a>>,
    healthcheck: Option<Place<'a>>,
}

/// A place without what belongs to the instruction that stands there.
struct Place<'a> {
    source: &'a Source,
    lines: Span,
    span: Span,
}

impl<'a> Walk<'a, '_> {
    /// Looks at one instruction and brings the state up to it.
    pub(super) fn instruction<'i>(
        &mut self,
        spot: &Spot<'i>,
        at: &'i Instruction,
        state: &mut State,
        once: &mut Once<'i>,
    ) -> Result<(), Box<Diagnostic>> {
        match &at.kind {
            InstructionKind::Env(pairs) => self.env(spot, at, pairs, state)?,
            InstructionKind::Label(pairs) => {
                self.expand_pairs(spot, at, pairs, state)?;
                pairs.iter().for_each(|pair| self.legacy(spot, at, pair));
            }
            InstructionKind::Arg(declared) => self.arg(spot, at, declared, state)?,
            InstructionKind::Copy(copy) => {
                if let Some(from) = &copy.from {
                    self.misspelt_stage(spot, from.span, &from.text);
                }
                self.transfer(spot, at, &copy.arguments, None, copy.from.is_none(), state)?;
            }
            InstructionKind::Add(add) => {
                self.transfer(spot, at, &add.arguments, add.checksum.as_ref(), true, state)?;
            }
            InstructionKind::Run(run) => self.run(spot, at, run, state)?,
            InstructionKind::Workdir(path) => {
                let path = self.expand(spot, &at.source, path, state)?;
                if !state.workdir && !path.starts_with('/') {
                    self.relative(spot, &path);
                }
                state.workdir = true;
            }
            InstructionKind::User(word) | InstructionKind::Stopsignal(word) => {
                self.expand(spot, &at.source, word, state)?;
            }
            InstructionKind::Volume(words) => {
                for word in words {
                    self.expand(spot, &at.source, word, state)?;
                }
            }
            InstructionKind::Expose(words) => {
                let mut ports = Vec::new();
                for word in words {
                    let lookup = |name: &str| state.scope.get(name);
                    let expanded = self
                        .expander
                        .words(&word.text, &lookup)
                        .map_err(|error| super::super::watch::Failed(error).at(&at.source, word))?;
                    ports.extend(expanded.into_iter().map(|port| (word.span, port)));
                }
                for (span, port) in ports {
                    self.port(spot, span, &port)?;
                }
            }
            InstructionKind::Cmd(command) => {
                self.once(spot, at, &mut once.cmd);
                self.shell_form(spot, at, command, state);
            }
            InstructionKind::Entrypoint(command) => {
                self.once(spot, at, &mut once.entrypoint);
                self.shell_form(spot, at, command, state);
            }
            InstructionKind::Healthcheck(_) => self.once(spot, at, &mut once.healthcheck),
            InstructionKind::Shell(_) => state.shell = true,
            InstructionKind::Onbuild(_) | InstructionKind::Maintainer(_) => {}
        }
        Ok(())
    }

    fn find(
        &mut self,
        spot: &Spot<'_>,
        rule: &'static Rule,
        part: Option<Span>,
        message: String,
        help: impl Into<String>,
    ) {
        let finding = spot.finding(rule, part, message).with_help(help);
        self.linter.report_below(spot.comments, finding);
    }

    fn env(
        &mut self,
        spot: &Spot<'_>,
        at: &Instruction,
        pairs: &[KeyValue],
        state: &mut State,
    ) -> Result<(), Box<Diagnostic>> {
        let values = self.expand_pairs(spot, at, pairs, state)?;
        for (pair, (name, value)) in pairs.iter().zip(values) {
            self.legacy(spot, at, pair);
            self.secret(spot, "ENV", pair.key.span, &name);
            state.scope.set(&name, &value);
        }
        Ok(())
    }

    fn expand_pairs(
        &mut self,
        spot: &Spot<'_>,
        at: &Instruction,
        pairs: &[KeyValue],
        state: &State,
    ) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
        let mut values = Vec::new();
        for pair in pairs {
            let name = self.expand(spot, &at.source, &pair.key, state)?;
            values.push((name, self.expand(spot, &at.source, &pair.value, state)?));
        }
        Ok(values)
    }

    fn legacy(&mut self, spot: &Spot<'_>, at: &Instruction, pair: &KeyValue) {
        if pair.legacy {
            let keyword = &at.keyword;
            let message = format!("{keyword} without an `=` is an old form");
            let value = &pair.value.text;
            let value =
                if value.contains(char::is_whitespace) { format!("\"{value}\"") } else { value.clone() };
            let help = format!("write `{keyword} {}={value}`", pair.key.text);
            self.find(spot, &rule::LEGACY_KEY_VALUE_FORMAT, None, message, help);
        }
    }

    fn secret(&mut self, spot: &Spot<'_>, keyword: &str, span: Span, name: &str) {
        if sounds_secret(name) {
            let message = format!("{keyword} `{name}` sounds like a secret, and the image shows its value");
            let help = "use `RUN --mount=type=secret`, which leaves nothing in the image";
            self.find(spot, &rule::SECRETS_USED_IN_ARG_OR_ENV, Some(span), message, help);
        }
    }

    fn arg(
        &mut self,
        spot: &Spot<'_>,
        at: &Instruction,
        declared: &[ArgDeclaration],
        state: &mut State,
    ) -> Result<(), Box<Diagnostic>> {
        for declaration in declared {
            let name = &declaration.name.text;
            self.secret(spot, "ARG", declaration.name.span, name);
            let given = self.survey.inputs.arguments.given(name);
            let value = match (given, &declaration.default) {
                (Some(given), _) => Some(given.to_owned()),
                (None, Some(default)) => Some(self.expand(spot, &at.source, default, state)?),
                (None, None) => self.globals.get(name),
            };
            state.scope.declare(name, value.as_deref());
            state.declared.push(name.clone());
            let is_own = given.is_some() || declaration.default.is_some() || value.is_none();
            let arg = OutlineArg {
                name: name.clone(),
                default: declaration.default.as_ref().map(|word| word.text.clone()),
                value,
                description: description(&at.comments, name),
                lines: spot.lines,
            };
            self.looked[self.current].args.push(Declared { arg, is_own });
        }
        Ok(())
    }

    /// What `COPY` and `ADD` share.
    fn transfer(
        &mut self,
        spot: &Spot<'_>,
        at: &Instruction,
        arguments: &CopyArguments,
        checksum: Option<&Word>,
        from_context: bool,
        state: &State,
    ) -> Result<(), Box<Diagnostic>> {
        for flag in [arguments.chown.as_ref(), arguments.chmod.as_ref(), checksum].into_iter().flatten() {
            self.expand(spot, &at.source, flag, state)?;
        }
        let mut paths = Vec::new();
        for source in &arguments.sources {
            if let CopySource::Path(word) = source {
                paths.push((word.span, self.expand(spot, &at.source, word, state)?));
            }
        }
        self.expand(spot, &at.source, &arguments.destination, state)?;
        for source in &arguments.sources {
            if let CopySource::Heredoc(heredoc) = source
                && heredoc.expand
            {
                let body = Word { text: heredoc.content.clone(), span: heredoc.body_span };
                self.expand_body(spot, &at.source, &body, state)?;
            }
        }
        for (span, path) in paths.iter().filter(|(_, path)| from_context && !is_remote(path)) {
            self.ignored(spot, *span, path);
        }
        Ok(())
    }

    /// Only the options of mounts are expanded; the command is the shell's.
    fn run(
        &mut self,
        spot: &Spot<'_>,
        at: &Instruction,
        run: &RunInstruction,
        state: &State,
    ) -> Result<(), Box<Diagnostic>> {
        for word in &run.mounts {
            let all = RefCell::new(Vec::new());
            let parsed = Mount::parse(&word.text, &|value| {
                let (expanded, names) =
                    watch(|name| state.scope.get(name), |lookup| self.expander.word(value, lookup));
                all.borrow_mut().push(names);
                expanded
            });
            for names in all.into_inner() {
                self.undefined(spot, Some((&at.source, word)), &names, state);
            }
            let mount = parsed.map_err(|error| {
                Box::new(Diagnostic::new(&at.source, word.span, error.message).with_help(error.help))
            })?;
            if !mount.from.is_empty() {
                self.misspelt_stage(spot, word.span, &mount.from);
            }
            self.looked[self.current].mounts.push((mount, spot.lines));
        }
        Ok(())
    }

    /// A name without tag and host that is neither a stage nor a context is an image, and seldom
    /// meant to be one if a stage is called almost so.
    fn misspelt_stage(&mut self, spot: &Spot<'_>, span: Span, from: &str) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_number = from.bytes().all(|b| b.is_ascii_digit());
        if is_number || !from.chars().all(is_plain) || from == "scratch" {
            return;
        }
        let stages = &self.dockerfile.stages;
        if self.context_named(from).is_some() || self.stage_named(from, stages.len()).is_some() {
            return;
        }
        let names = stages.iter().filter_map(|stage| stage.name.as_ref().map(|name| name.text.as_str()));
        let names = names.chain(self.survey.inputs.contexts.keys().map(String::as_str));
        let meant = suggest(from, names.filter(|name| !name.starts_with(from) && !from.starts_with(name)));
        if let Some(meant) = meant {
            let message = format!("nothing here is called `{from}`, so it is taken for an image");
            let help = format!("did you mean `{meant}`?");
            self.find(spot, &rule::MISSPELT_STAGE, Some(span), message, help);
        }
    }

    fn relative(&mut self, spot: &Spot<'_>, path: &str) {
        let message = format!("where `{path}` is depends on the base image's working directory");
        let help = "make the first WORKDIR absolute";
        self.find(spot, &rule::WORKDIR_RELATIVE_PATH, None, message, help);
    }

    /// Reports the one before: that is the one without effect.
    fn once<'i>(&mut self, spot: &Spot<'i>, at: &Instruction, last: &mut Option<Place<'i>>) {
        let keyword = at.keyword.to_uppercase();
        if let Some(place) = last.take() {
            let line = spot.source.line(spot.span.start);
            let message = format!("this {keyword} has no effect: the one in line {line} replaces it");
            let Place { source, lines, span } = place;
            let earlier = Spot { source, lines, span, comments: spot.comments, trigger: None };
            self.find(&earlier, &rule::MULTIPLE_INSTRUCTIONS_DISALLOWED, None, message, "remove one of them");
        }
        *last = Some(Place { source: spot.source, lines: spot.lines, span: spot.span });
    }

    fn shell_form(&mut self, spot: &Spot<'_>, at: &Instruction, command: &Command, state: &State) {
        let Command::Shell(text) = command else { return };
        if state.shell {
            return;
        }
        let keyword = at.keyword.to_uppercase();
        let message = format!("{keyword} runs a shell, which keeps signals from the program");
        let words: Vec<String> = text.text.split_whitespace().map(|w| format!("{w:?}")).collect();
        let help = match text.text.contains(['$', '&', '|', ';', '<', '>', '*', '"', '\'', '\\', '(', '`']) {
            true => "write a JSON array, or begin with `exec`; SHELL says that a shell is meant".to_owned(),
            false => format!("write `{keyword} [{}]`", words.join(", ")),
        };
        self.find(spot, &rule::JSON_ARGS_RECOMMENDED, None, message, help);
    }
}

/// Sources that are fetched.
fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|scheme| source.starts_with(scheme))
}

/// Whether one of these words stands between underscores (BuildKit, `validateNoSecretKey`).
fn sounds_secret(name: &str) -> bool {
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let name = name.to_lowercase();
    let has = |words: &[&str]| name.split('_').any(|part| words.contains(&part));
    has(&SECRET) && !has(&HARMLESS)
}
