//! One stage: its instructions, in order, to steps, config and history.

use crate::dockerfile::{
    ArgDeclaration, CopyArguments, CopyInstruction, CopySource as Written, Diagnostic, ExpandError, Expander,
    Instruction, InstructionKind, KeyValue, Word,
};
use crate::image::ImageConfig;

use super::arguments::Arguments;
use super::chmod::Chmod;
use super::names::check_variables;
use super::room::Room;
use super::scope::Scope;
use super::step::{Action, CopyFrom, CopySource, CopyStep, Ownership, Place, Step, WorkdirStep};
use super::{history, metadata};

mod add;
mod mounts;
mod run;

/// A stage while its instructions are read.
pub(super) struct Lowering<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) globals: &'a [(String, String)],
    pub(super) expander: Expander,
    pub(super) scope: Scope,
    pub(super) config: ImageConfig,
    pub(super) steps: Vec<Step>,
    pub(super) errors: Vec<Diagnostic>,
    /// Whether the Dockerfile is of the labs channel.
    pub(super) labs: bool,
    /// What the steps may still hold.
    pub(super) room: Room,
    cmd_set: bool,
}

/// Says where the files of a `--from` are; an error is a sentence.
pub(super) type ResolveFrom<'a> = dyn FnMut(&str) -> Result<CopyFrom, String> + 'a;

impl<'a> Lowering<'a> {
    pub(super) fn new(
        arguments: &'a Arguments,
        globals: &'a [(String, String)],
        expander: Expander,
        scope: Scope,
        config: ImageConfig,
    ) -> Self {
        Lowering {
            arguments,
            globals,
            expander,
            scope,
            config,
            steps: Vec::new(),
            errors: Vec::new(),
            labs: false,
            room: Room::new(),
            cmd_set: false,
        }
    }

    /// Reads one instruction; what is wrong with it goes to `errors`.
    pub(super) fn instruction(&mut self, instruction: &Instruction, from: &mut ResolveFrom<'_>) {
        // That has been said. What follows would take time and space for nothing.
        if self.room.is_full() {
            return;
        }
        let lowered = match &instruction.kind {
            InstructionKind::Run(run) => self.run(instruction, run, from),
            InstructionKind::Copy(copy) => self.copy(instruction, copy, from),
            InstructionKind::Add(add) => self.add(instruction, add),
            InstructionKind::Workdir(path) => self.workdir(instruction, path),
            _ => self.metadata(instruction).map(|text| (Action::Metadata, text)),
        };
        match lowered {
            Ok((action, created_by)) => {
                // Only the root needs no directory made, and so has no layer. Other ways to write it
                // have one.
                let root = matches!(&action, Action::Workdir(_)) && self.config.config.working_dir == "/";
                let action = if root { Action::Metadata } else { action };
                self.commit(instruction, action, created_by);
            }
            Err(diagnostic) => self.errors.push(*diagnostic),
        }
    }

    fn commit(&mut self, instruction: &Instruction, action: Action, created_by: String) {
        // A command keeps all variables, any other step its own text.
        let variables = self.scope.all().iter().filter(|_| matches!(action, Action::Run(_)));
        let taken = created_by.len() + variables.map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if let Err(full) = self.room.take(taken) {
            let full = full.at(&instruction.source, instruction.span);
            if !self.errors.iter().any(|error| error.message == full.message) {
                self.errors.push(full);
            }
            return;
        }
        // An ONBUILD only stores its text.
        if !matches!(instruction.kind, InstructionKind::Onbuild(_)) {
            self.config.history.push(history::entry(created_by, action.has_layer()));
        }
        self.steps.push(Step {
            action,
            text: instruction.original.clone(),
            place: Place { source: instruction.source.clone(), span: instruction.span },
            history: self.config.history.len().saturating_sub(1),
        });
    }

    fn metadata(&mut self, instruction: &Instruction) -> Result<String, Box<Diagnostic>> {
        let wrong =
            |message: String| Box::new(Diagnostic::new(&instruction.source, instruction.span, message));
        Ok(match &instruction.kind {
            InstructionKind::Arg(declarations) => self.arg(instruction, declarations)?,
            InstructionKind::Env(pairs) => self.env(instruction, pairs)?,
            InstructionKind::Label(pairs) => self.label(instruction, pairs)?,
            InstructionKind::Cmd(command) => {
                self.cmd_set = true;
                metadata::cmd(&mut self.config, command)
            }
            InstructionKind::Entrypoint(command) => {
                metadata::entrypoint(&mut self.config, command, self.cmd_set)
            }
            InstructionKind::Healthcheck(check) => metadata::healthcheck(&mut self.config, check),
            InstructionKind::Shell(words) => metadata::shell(&mut self.config, words),
            InstructionKind::Expose(words) => {
                let mut expanded = Vec::new();
                for word in words {
                    expanded.extend(self.expand_words(instruction, word)?);
                }
                metadata::expose(&mut self.config, &expanded).map_err(wrong)?
            }
            InstructionKind::Volume(words) => {
                let paths =
                    words.iter().map(|w| self.expand(instruction, w)).collect::<Result<Vec<_>, _>>()?;
                metadata::volume(&mut self.config, &paths).map_err(wrong)?
            }
            InstructionKind::User(word) => {
                self.config.config.user = self.expand(instruction, word)?;
                format!("USER {}", self.config.config.user)
            }
            InstructionKind::Stopsignal(word) => {
                let signal = self.expand(instruction, word)?;
                metadata::stopsignal(&mut self.config, signal).map_err(wrong)?
            }
            InstructionKind::Maintainer(word) => {
                self.config.author = Some(word.text.clone());
                format!("MAINTAINER {}", word.text)
            }
            InstructionKind::Onbuild(_) => {
                self.config.config.on_build.push(instruction.original.clone());
                String::new()
            }
            InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_) => unreachable!("these are no metadata"),
        })
    }

    fn arg(&mut self, instruction: &Instruction, all: &[ArgDeclaration]) -> Result<String, Box<Diagnostic>> {
        let mut text = "ARG".to_owned();
        for declaration in all {
            let name = &declaration.name.text;
            // Each sees the ones before it, unlike ENV (BuildKit, dispatchArg).
            let value = match (self.arguments.given(name), &declaration.default) {
                (Some(given), _) => Some(given.to_owned()),
                (None, Some(default)) => Some(self.expand(instruction, default)?),
                (None, None) => self.globals.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()),
            };
            text += &match &value {
                Some(value) => format!(" {name}={value}"),
                None => format!(" {name}"),
            };
            self.scope.declare(name, value.as_deref());
        }
        Ok(text)
    }

    fn env(&mut self, instruction: &Instruction, pairs: &[KeyValue]) -> Result<String, Box<Diagnostic>> {
        let pairs = self.expand_pairs(instruction, pairs)?;
        let mut text = "ENV".to_owned();
        for (name, value) in pairs {
            text += &format!(" {name}={value}");
            self.scope.set(&name, &value);
            metadata::set_env(&mut self.config, &name, &value);
        }
        Ok(text)
    }

    fn label(&mut self, instruction: &Instruction, pairs: &[KeyValue]) -> Result<String, Box<Diagnostic>> {
        let mut text = "LABEL".to_owned();
        for (name, value) in self.expand_pairs(instruction, pairs)? {
            text += &format!(" {name}={value}");
            self.config.config.labels.insert(name, value);
        }
        Ok(text)
    }

    /// All pairs are expanded before any is set: they do not see each other.
    fn expand_pairs(
        &self,
        at: &Instruction,
        pairs: &[KeyValue],
    ) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
        pairs.iter().map(|p| Ok((self.expand(at, &p.key)?, self.expand(at, &p.value)?))).collect()
    }

    fn workdir(&mut self, at: &Instruction, word: &Word) -> Result<(Action, String), Box<Diagnostic>> {
        let written = self.expand(at, word)?;
        let path = entered(&self.config.config.working_dir, &written);
        let text = format!("WORKDIR {path}");
        let step = WorkdirStep { path: absolute("/", &path), user: self.config.config.user.clone() };
        self.config.config.working_dir = path;
        Ok((Action::Workdir(step), text))
    }

    fn copy(
        &mut self,
        at: &Instruction,
        copy: &CopyInstruction,
        resolve: &mut ResolveFrom<'_>,
    ) -> Result<(Action, String), Box<Diagnostic>> {
        let from = match &copy.from {
            None => CopyFrom::Context,
            Some(name) => {
                check_variables(at, name, self.expander)?;
                resolve(&name.text).map_err(|m| Box::new(Diagnostic::new(&at.source, name.span, m)))?
            }
        };
        let flags = if copy.parents { "COPY --parents" } else { "COPY" };
        let (mut step, text) = self.transfer(at, &copy.arguments, from, flags)?;
        add::refuse_remote(at, &copy.arguments, &step)?;
        step.parents = copy.parents;
        Ok((Action::Copy(step), text))
    }

    /// What COPY and ADD share, with the history text (BuildKit, `dispatchCopy`).
    fn transfer(
        &self,
        at: &Instruction,
        arguments: &CopyArguments,
        from: CopyFrom,
        keyword: &str,
    ) -> Result<(CopyStep, String), Box<Diagnostic>> {
        let mut text = keyword.to_owned();
        let flag = |word: &Option<Word>| {
            let value = word.as_ref().map(|w| self.expand(at, w)).transpose()?;
            Ok::<_, Box<Diagnostic>>(value.filter(|value| !value.is_empty()))
        };
        let (chown, chmod) = (flag(&arguments.chown)?, flag(&arguments.chmod)?);
        let bits = match (&arguments.chmod, &chmod) {
            (Some(word), Some(text)) => Some(permissions(at, word, text)?),
            _ => None,
        };
        for (name, value) in [("chown", &chown), ("chmod", &chmod)] {
            text += &value.as_ref().map(|v| format!(" --{name}={v}")).unwrap_or_default();
        }
        // Heredocs come after everything else, wherever they are written.
        let (mut sources, mut inline, mut heredocs) = (Vec::new(), Vec::new(), String::new());
        for source in &arguments.sources {
            match source {
                Written::Path(word) => {
                    let path = self.expand(at, word)?;
                    text += &format!(" {path}");
                    sources.push(CopySource::Path(path));
                }
                Written::Heredoc(heredoc) => {
                    heredocs += &format!(" <<{}", heredoc.name);
                    let content = if heredoc.expand {
                        let lookup = |name: &str| self.scope.get(name);
                        let body = Word { text: heredoc.content.clone(), span: heredoc.body_span };
                        self.expander.raw(&body.text, &lookup).map_err(|e| wrong_expansion(at, &body, e))?
                    } else {
                        heredoc.content.clone()
                    };
                    inline.push(CopySource::Inline { name: heredoc.name.clone(), content });
                }
            }
        }
        sources.append(&mut inline);
        let written = self.expand(at, &arguments.destination)?;
        text += &format!("{heredocs} {written} # buildkit");
        let step = CopyStep {
            add: false,
            from,
            sources,
            destination: self.destination(&written),
            chown: chown.map(Ownership),
            chmod: bits,
            excludes: arguments.excludes.iter().map(|w| w.text.clone()).collect(),
            link: arguments.link,
            parents: false,
            unpack: None,
        };
        Ok((step, text))
    }

    /// Relative to the working directory; a trailing slash or `/.`, `.` or nothing means a directory
    /// (BuildKit, `pathRelativeToWorkingDir`).
    fn destination(&self, written: &str) -> String {
        let mut path = absolute(&self.config.config.working_dir, written);
        let dot = written.ends_with("/.");
        let directory = dot || written.is_empty() || written == "." || written.ends_with('/');
        if directory && !path.ends_with('/') {
            path.push('/');
        }
        if dot {
            path.push('.');
        }
        path
    }

    /// Expands a word with the variables in force.
    pub(super) fn expand(&self, at: &Instruction, word: &Word) -> Result<String, Box<Diagnostic>> {
        let lookup = |name: &str| self.scope.get(name);
        self.expander.word(&word.text, &lookup).map_err(|e| wrong_expansion(at, word, e))
    }

    fn expand_words(&self, at: &Instruction, word: &Word) -> Result<Vec<String>, Box<Diagnostic>> {
        let lookup = |name: &str| self.scope.get(name);
        self.expander.words(&word.text, &lookup).map_err(|e| wrong_expansion(at, word, e))
    }

    /// The variables a command sees: those in force, and proxies that nothing declares.
    fn run_environment(&self) -> Vec<(String, String)> {
        let mut env = self.scope.all().to_vec();
        env.extend(self.undeclared_proxies());
        env
    }

    fn undeclared_proxies(&self) -> Vec<(String, String)> {
        let undeclared = |(name, _): &(String, String)| self.scope.get(name).is_none();
        self.arguments.proxies().into_iter().filter(undeclared).collect()
    }
}

/// The permissions that a `--chmod` names (BuildKit, `dispatchCopy`).
fn permissions(at: &Instruction, word: &Word, text: &str) -> Result<Chmod, Box<Diagnostic>> {
    Chmod::parse(text).ok_or_else(|| {
        let help = "give octal digits up to 7777 or a symbolic mode such as u=rwX,go=rX";
        let message = format!("--chmod={text} is not valid");
        Box::new(Diagnostic::new(&at.source, word.span, message).with_help(help))
    })
}

/// Points at the part of a word that cannot be expanded.
fn wrong_expansion(at: &Instruction, word: &Word, error: ExpandError) -> Box<Diagnostic> {
    let span = word.span_of(&at.source, error.range.clone());
    let mut diagnostic = Diagnostic::new(&at.source, span, error.to_string());
    diagnostic.help = error.help;
    Box::new(diagnostic)
}

/// The working directory after a `WORKDIR` (BuildKit, `system.NormalizeWorkdir`): an absolute path
/// stays as it is written, `/a/` and `/a/../b` too; others are joined and normalised.
pub(super) fn entered(directory: &str, path: &str) -> String {
    match (path, directory) {
        (path, _) if path.starts_with('/') => path.to_owned(),
        ("", directory) if directory.starts_with('/') => directory.to_owned(),
        _ => absolute(directory, path),
    }
}

/// Joins and normalises lexically: `/a` and `../b` give `/b`.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { directory };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_working_directories_stay_as_written() {
        for (directory, path, entered_path) in [
            ("", "", "/"),
            ("", "a", "/a"),
            ("/a/", "", "/a/"),
            ("a", "", "/a"),
            ("/a/", "b/", "/a/b"),
            ("/a", "../b", "/b"),
            ("/a", "/b/", "/b/"),
            ("/a", "//b/./c/../d", "//b/./c/../d"),
        ] {
            assert_eq!(entered(directory, path), entered_path);
        }
    }

    #[test]
    fn paths_are_joined_and_normalised() {
        for (directory, path, joined) in [
            ("", "", "/"),
            ("/", "a", "/a"),
            ("/a", "../b", "/b"),
            ("/a", "/b/../c", "/c"),
            ("/a", "../../..", "/"),
            ("a", "b", "/a/b"),
        ] {
            assert_eq!(absolute(directory, path), joined);
        }
    }
}
