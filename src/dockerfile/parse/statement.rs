//! One instruction: its keyword, flags and arguments, and which reader understands them.

use super::{command, copy, environment, healthcheck, run, settings, stage};
use crate::dockerfile::checks::rule;
use crate::dockerfile::flags::{self, Flags, RawFlag, Takes};
use crate::dockerfile::json::{self, NoStrings};
use crate::dockerfile::lines::Line;
use crate::dockerfile::report::Report;
use crate::dockerfile::{Heredoc, Instruction, InstructionKind, Span, Stage, Word, suggest, unicode, words};
use std::ops::Range;

/// The instructions.
const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What a logical line turned out to be.
pub(super) enum Parsed {
    Stage(Stage),
    Instruction(Instruction),
}

/// Arguments that may be a JSON array.
pub(super) enum Arguments {
    /// The strings of the array.
    Json(Vec<Word>),
    /// Anything else.
    Text(Range<usize>),
}

/// An instruction cut into its parts.
pub(super) struct Statement<'l> {
    pub(super) line: &'l Line,
    pub(super) escape: char,
    /// The arguments, without blanks around them.
    pub(super) rest: Range<usize>,
    pub(super) keyword: Range<usize>,
    pub(super) flags: Vec<RawFlag>,
    pub(super) whole: Range<usize>,
}

impl<'l> Statement<'l> {
    pub(super) fn split(line: &'l Line, range: Range<usize>, escape: char) -> Self {
        let whole = line.trim(range);
        let (keyword, rest) = words::split_first(line, whole.clone());
        let (flags, rest) = flags::split(line, rest.unwrap_or(whole.end..whole.end), escape);
        Statement { line, escape, rest, keyword, flags, whole }
    }

    /// The keyword, upper case, if it is an instruction.
    pub(super) fn name(&self) -> Option<&'static str> {
        let keyword = self.line.slice(self.keyword.clone());
        NAMES.into_iter().find(|name| unicode::is_same_word(keyword, name))
    }

    /// The keyword as written.
    pub(super) fn keyword(&self) -> &str {
        self.line.slice(self.keyword.clone())
    }

    /// The keyword with its place.
    pub(super) fn keyword_word(&self) -> Word {
        self.line.word(self.keyword.clone())
    }

    /// From the keyword to the end of the line.
    pub(super) fn span(&self) -> Span {
        self.line.span(self.whole.clone())
    }

    /// Whether `<<` words in the line open heredocs: ADD, COPY, RUN, ONBUILD of these, and not
    /// with a JSON array.
    pub(super) fn may_have_heredocs(&self) -> bool {
        match self.name() {
            Some("ONBUILD") => {
                let inner = self.trigger();
                inner.name() != Some("ONBUILD") && inner.may_have_heredocs()
            }
            Some("ADD" | "COPY" | "RUN") => {
                json::strings(self.line.slice(self.rest.clone())) == Err(NoStrings::NotAnArray)
            }
            _ => false,
        }
    }

    /// The arguments as an instruction.
    pub(super) fn trigger(&self) -> Statement<'l> {
        Statement::split(self.line, self.rest.clone(), self.escape)
    }

    /// Reads the instruction; `None` after an error that leaves nothing of it.
    pub(super) fn parse(
        &self,
        heredocs: &[Heredoc],
        span: Span,
        lines: Span,
        comments: &[Word],
        report: &mut Report<'_>,
    ) -> Option<Parsed> {
        if self.name() == Some("FROM") {
            return stage::parse(self, lines, comments, report).map(Parsed::Stage);
        }
        let kind = self.kind(heredocs, span, lines, report)?;
        let original = match kind {
            InstructionKind::Onbuild(_) => self.trigger_text(heredocs, report),
            _ => self.line.slice(self.whole.clone()).to_owned(),
        };
        let source = report.source.clone();
        let (keyword, comments) = (self.keyword().to_owned(), comments.to_vec());
        Some(Parsed::Instruction(Instruction { kind, source, span, keyword, lines, original, comments }))
    }

    fn kind(
        &self,
        heredocs: &[Heredoc],
        span: Span,
        lines: Span,
        report: &mut Report<'_>,
    ) -> Option<InstructionKind> {
        let Some(name) = self.name() else {
            self.unknown(report);
            return None;
        };
        match name {
            "ADD" => copy::add(self, heredocs, report),
            "ARG" => environment::arg(self, report),
            "CMD" => command::cmd(self, report),
            "COPY" => copy::copy(self, heredocs, report),
            "ENTRYPOINT" => command::entrypoint(self, report),
            "ENV" => environment::env(self, report),
            "EXPOSE" => settings::expose(self, report),
            "HEALTHCHECK" => healthcheck::healthcheck(self, report),
            "LABEL" => environment::label(self, report),
            "MAINTAINER" => settings::maintainer(self, report),
            "ONBUILD" => self.onbuild(heredocs, span, lines, report),
            "RUN" => run::run(self, heredocs, report),
            "SHELL" => command::shell(self, report),
            "STOPSIGNAL" => settings::stopsignal(self, report),
            "USER" => settings::user(self, report),
            "VOLUME" => settings::volume(self, report),
            "WORKDIR" => settings::workdir(self, report),
            _ => None,
        }
    }

    fn unknown(&self, report: &mut Report<'_>) {
        let keyword = self.line.slice(self.keyword.clone());
        let help = match suggest(keyword, NAMES) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                "every line begins with an instruction; a long one is continued with a backslash".to_owned()
            }
        };
        let shown: String = keyword.chars().take(40).collect();
        report.error(
            self.line.span(self.keyword.clone()),
            format!("there is no instruction `{shown}`"),
            help,
        );
    }

    fn onbuild(
        &self,
        heredocs: &[Heredoc],
        span: Span,
        lines: Span,
        report: &mut Report<'_>,
    ) -> Option<InstructionKind> {
        self.check_flags(&[], report);
        if self.rest.is_empty() {
            self.missing("an instruction", "ONBUILD RUN …", report);
            return None;
        }
        let inner = self.trigger();
        if let Some(name @ ("ONBUILD" | "FROM" | "MAINTAINER")) = inner.name() {
            let message = format!("{name} cannot be a trigger of ONBUILD");
            report.error(inner.line.span(inner.keyword.clone()), message, "remove this line");
            return None;
        }
        inner.node(report)?;
        let span = Span::new(inner.span().start, span.end);
        // What the instruction means is nobody's business before it runs.
        let mut later = Report::new(report.source);
        let trigger = match inner.parse(heredocs, span, lines, &[], &mut later) {
            Some(Parsed::Instruction(trigger)) if later.errors.is_empty() => Some(Box::new(trigger)),
            _ => None,
        };
        report.warnings.append(&mut later.warnings);
        for error in later.errors {
            let message = format!("this trigger fails in images built on this one: {}", error.message);
            report.warn(&rule::ONBUILD_FAILS, error.span, message, error.help.unwrap_or_default());
        }
        Some(InstructionKind::Onbuild(trigger))
    }

    /// What a config records of an ONBUILD: the line after the keyword, to its very end, then
    /// each heredoc's body and delimiter.
    fn trigger_text(&self, heredocs: &[Heredoc], report: &Report<'_>) -> String {
        let line = self.line.text();
        let mut text =
            line[self.keyword.end..].trim_start_matches(['\t', '\n', '\x0c', '\r', ' ']).to_owned();
        for heredoc in heredocs {
            text.push('\n');
            text.push_str(report.source.slice(heredoc.body_span));
            text.push_str(&heredoc.name);
        }
        text
    }

    /// Checks the flags.
    pub(super) fn check_flags(&self, known: &[(&'static str, Takes)], report: &mut Report<'_>) -> Flags {
        Flags::check(&self.flags, known, self.name().unwrap_or_default(), self.line, report)
    }

    /// Says that flags mean nothing here, where BuildKit drops them without a word.
    pub(super) fn warn_of_flags(&self, report: &mut Report<'_>) {
        if !self.flags.is_empty() {
            let name = self.name().unwrap_or_default();
            let span = self.line.span(self.keyword.end..self.rest.start);
            let message = format!("{name} takes no flags, these are ignored");
            let span = self.line_span_trimmed(span, report);
            report.warn(&rule::IGNORED_FLAGS, span, message, "remove them");
        }
    }

    fn line_span_trimmed(&self, span: Span, report: &Report<'_>) -> Span {
        let text = report.source.slice(span);
        let start = span.start + (text.len() - text.trim_start().len());
        Span::new(start, start + text.trim().len())
    }

    /// Reports that something is missing after the keyword.
    pub(super) fn missing(&self, what: &str, example: &str, report: &mut Report<'_>) {
        let name = self.name().unwrap_or_default();
        report.error(self.span(), format!("{name} needs {what}"), format!("for example `{example}`"));
    }

    /// The rest of the line as one word; an error if there is none.
    pub(super) fn text(&self, what: &str, example: &str, report: &mut Report<'_>) -> Option<Word> {
        if self.rest.is_empty() {
            self.missing(what, example, report);
            return None;
        }
        Some(self.line.word(self.rest.clone()))
    }

    /// A range as a JSON array of strings, or as text; `None` after an error.
    pub(super) fn arguments(&self, range: Range<usize>, report: &mut Report<'_>) -> Option<Arguments> {
        let at = |found: Range<usize>| range.start + found.start..range.start + found.end;
        match json::strings(self.line.slice(range.clone())) {
            Ok(strings) => {
                let word = |(text, found)| Word { text, span: self.line.span(at(found)) };
                Some(Arguments::Json(strings.into_iter().map(word).collect()))
            }
            Err(NoStrings::NotAnArray) => Some(Arguments::Text(range)),
            Err(NoStrings::Element(found)) => {
                let message = "an array here can hold only strings";
                report.syntax(self.line.span(at(found)), message, "put it in double quotes");
                None
            }
        }
    }

    /// A range as a JSON array or as words; `None` after an error.
    pub(super) fn list(&self, report: &mut Report<'_>) -> Option<Vec<Word>> {
        match self.arguments(self.rest.clone(), report)? {
            Arguments::Json(words) => Some(words),
            Arguments::Text(range) => Some(words::split(self.line, range)),
        }
    }
}
