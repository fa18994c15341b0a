//! Text to stages: logical lines, their heredocs, and what each instruction says.

mod command;
mod copy;
mod environment;
mod healthcheck;
mod run;
mod settings;
mod stage;
mod statement;
mod tree;

pub use tree::{Node, parse_tree};

use super::checks::{self, Finding, rule};
use super::directive::{self, Directives};
use super::heredoc::{self, Opening};
use super::lines::{self, Line, MAX_LINE, PhysicalLine, PhysicalLines};
use super::report::Report;
use super::words;
use super::{Diagnostic, Dockerfile, Heredoc, Instruction, InstructionKind, Source, Span, Stop, Word};
use statement::{Parsed, Statement};

/// Parses a Dockerfile.
///
/// # Errors
/// Everything that is wrong: first what no parser gets past, each in the order of the text.
pub fn parse(source: &Source) -> Result<Dockerfile, Vec<Diagnostic>> {
    let (dockerfile, errors) = parse_all(source);
    if errors.is_empty() { Ok(dockerfile) } else { Err(errors) }
}

/// Parses a Dockerfile and goes on after errors: what could be read, without the instructions
/// that are wrong, and everything that is wrong, in the order of [`parse`]. Without errors the
/// Dockerfile is whole.
pub fn parse_all(source: &Source) -> (Dockerfile, Vec<Diagnostic>) {
    let mut reader = Reader::new(source, '\\', Directives::default());
    let mut dockerfile = Dockerfile {
        source: source.clone(),
        escape: '\\',
        syntax: directive::find(source, "syntax").map(first_word),
        check: directive::find(source, "check").map(first_word),
        global_args: Vec::new(),
        stages: Vec::new(),
        warnings: Vec::new(),
        stop: None,
    };
    let mut place = Place::Head;
    let mut is_empty = true;
    while let Some(logical) = reader.next() {
        is_empty = false;
        let (opens_stage, parsed) = reader.instruction(&logical);
        if opens_stage {
            place = Place::Stage;
        }
        match parsed {
            Some(Parsed::Stage(stage)) => dockerfile.stages.push(stage),
            Some(Parsed::Instruction(instruction)) => {
                place.put(instruction, &mut dockerfile, &mut reader.report);
            }
            None => {}
        }
        if dockerfile.stop.is_none() && !reader.report.errors.is_empty() {
            dockerfile.stop = Some(reader.stop(&logical));
        }
    }
    if !reader.report.syntax.is_empty() {
        dockerfile.stop = Some(Stop::Syntax);
    }
    if is_empty {
        reader.no_instructions();
    } else if place == Place::Head {
        let end = Span::new(source.text().len(), source.text().len());
        let help = "add `FROM` and the image to build on, or `FROM scratch`";
        reader.report.error(end, "the Dockerfile has no stage", help);
    }
    dockerfile.escape = reader.escape;
    let (warnings, errors) = reader.finish();
    (Dockerfile { warnings, ..dockerfile }, errors)
}

/// Parses one trigger of an `ONBUILD`, as it stands in the config of an image: the instruction,
/// and the bodies of its heredocs in the lines after it.
///
/// # Errors
/// Everything that is wrong.
pub fn parse_trigger(source: &Source, escape: char) -> Result<Instruction, Vec<Diagnostic>> {
    let mut reader = Reader::new(source, escape, Directives::default());
    let mut found = Vec::new();
    while let Some(logical) = reader.next() {
        let (_, parsed) = reader.instruction(&logical);
        match parsed {
            Some(Parsed::Instruction(instruction)) => found.push(instruction),
            Some(Parsed::Stage(stage)) => {
                let help = "the image that sets it has to be changed";
                reader.report.error(stage.span, "FROM cannot be a trigger", help);
            }
            None => {}
        }
    }
    if !reader.report.has_errors() && found.len() != 1 {
        let whole = Span::new(0, source.text().len());
        let message = format!("a trigger is one instruction, not {}", found.len());
        reader.report.error(whole, message, "the image that sets it has to be changed");
    }
    let (_, errors) = reader.finish();
    match found.pop() {
        Some(trigger) if errors.is_empty() => Ok(trigger),
        _ => Err(errors),
    }
}

/// Where in the file the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first `FROM`.
    Head,
    /// Before the first `FROM`, and that has been complained about.
    Complained,
    /// In a stage, if perhaps one whose `FROM` could not be read.
    Stage,
}

impl Place {
    fn put(&mut self, instruction: Instruction, dockerfile: &mut Dockerfile, report: &mut Report<'_>) {
        if *self == Place::Stage {
            if let Some(stage) = dockerfile.stages.last_mut() {
                stage.instructions.push(instruction);
            }
        } else if let InstructionKind::Arg(_) = instruction.kind {
            dockerfile.global_args.push(instruction);
        } else if *self == Place::Head {
            *self = Place::Complained;
            let message = "this instruction stands before the first FROM, where only ARG may";
            report.error(instruction.span, message, "begin with `FROM` and the image to build on");
        }
    }
}

/// A logical line and what stood around it.
struct Logical {
    line: Line,
    /// First byte of its first physical line.
    start: usize,
    /// The number of its first physical line, from 1.
    first_line: usize,
    /// Comment lines since the last instruction.
    comments: Vec<Word>,
}

/// Reads logical lines and heredocs.
struct Reader<'s> {
    source: &'s Source,
    lines: PhysicalLines<'s>,
    directives: Directives,
    escape: char,
    comments: Vec<Word>,
    report: Report<'s>,
}

impl<'s> Reader<'s> {
    fn new(source: &'s Source, escape: char, directives: Directives) -> Self {
        let lines = PhysicalLines::new(source);
        Reader { source, lines, directives, escape, comments: Vec::new(), report: Report::new(source) }
    }

    fn finish(self) -> (Vec<Finding>, Vec<Diagnostic>) {
        let mut report = self.report;
        (std::mem::take(&mut report.warnings), report.into_errors())
    }

    /// What checks find in an instruction that is wrong.
    fn stop(&self, logical: &Logical) -> Stop {
        let statement = Statement::split(&logical.line, 0..logical.line.text().len(), self.escape);
        let lines = Span::new(logical.start, self.last_line().end);
        let words = words::split(statement.line, statement.rest.clone());
        let findings = checks::of_unread(self.source, &statement.keyword_word(), &words, lines);
        Stop::Instruction { at: statement.span().start, findings, comments: logical.comments.clone() }
    }

    /// The last physical line read so far, without its line ending.
    fn last_line(&self) -> Span {
        let end = self.lines.at();
        let bytes = &self.source.text().as_bytes()[..end];
        let before = &bytes[..end.saturating_sub(1)];
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let ending = bytes[start..].iter().rev().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        // Of an empty line its ending, so that the span tells that the line belongs to it.
        Span::new(start, (end - ending).max((start + 1).min(end)))
    }

    fn no_instructions(&mut self) {
        let help = "begin with `FROM` and the image to build on, or `FROM scratch`";
        self.report.syntax(self.last_line(), "the Dockerfile has no instructions", help);
    }

    /// The next logical line that holds an instruction.
    fn next(&mut self) -> Option<Logical> {
        loop {
            let mut first = self.physical()?;
            if first.start == 0 && first.text(self.source).starts_with('\u{feff}') {
                first.start += '\u{feff}'.len_utf8();
            }
            let text = first.text(self.source);
            let trimmed = text.trim_start();
            let start = first.end - trimmed.len();
            if self.directive(Span::new(start, first.end)) {
                continue;
            }
            if lines::is_comment(text) {
                self.comment(&first);
                continue;
            }
            let mut line = Line::default();
            let begin = first.start;
            let first_line = self.lines.taken();
            match lines::continued(trimmed, self.escape) {
                Some(before) => {
                    line.push(before, start);
                    self.continue_line(&mut line);
                }
                None if trimmed.is_empty() => continue,
                None => line.push(trimmed, start),
            }
            let comments = std::mem::take(&mut self.comments);
            return Some(Logical { line, start: begin, first_line, comments });
        }
    }

    fn physical(&mut self) -> Option<PhysicalLine> {
        let line = self.lines.next()?;
        if line.is_too_long(self.source) {
            report_long_line(line, &mut self.report);
        }
        Some(line)
    }

    /// Appends the lines that continue one. Comment lines between them vanish, empty ones too.
    fn continue_line(&mut self, line: &mut Line) {
        let mut empty = None;
        while let Some(next) = self.physical() {
            let text = next.text(self.source);
            if lines::is_comment(text) {
                continue;
            }
            if text.trim_start().is_empty() {
                empty = Some(next.span());
                continue;
            }
            match lines::continued(text, self.escape) {
                Some(before) => line.push(before, next.start),
                None => {
                    line.push(text, next.start);
                    break;
                }
            }
        }
        if let Some(span) = empty {
            let message = "an empty line stands in the middle of an instruction";
            // BuildKit points at the line that ends the instruction.
            let lines = self.last_line();
            let finding = Finding::new(&rule::NO_EMPTY_CONTINUATION, self.source, lines, span, message);
            self.report.warnings.push(finding.with_help("remove it, or put a `#` in it"));
        }
    }

    /// Reads a directive, if the line is one.
    fn directive(&mut self, line: Span) -> bool {
        match self.directives.read(self.source, line) {
            Ok(Some((key, value))) => {
                if key == "escape" {
                    match value.text.as_str() {
                        "\\" => self.escape = '\\',
                        "`" => self.escape = '`',
                        _ => {
                            let message = format!("`{}` cannot be the escape character", value.text);
                            let help = "it is a backslash or a backtick: # escape=`";
                            self.report.syntax(value.span, message, help);
                        }
                    }
                }
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.report.syntax.push(*error);
                true
            }
        }
    }

    /// Remembers a comment for the instruction below it; an empty one forgets those above.
    fn comment(&mut self, line: &PhysicalLine) {
        // The first byte goes, blank or not, so an indented comment keeps its `#` and names
        // nothing, as in BuildKit.
        let text = line.text(self.source);
        // Of a blank of several bytes the others stay, and are no blanks.
        let body = String::from_utf8_lossy(text.as_bytes().get(1..).unwrap_or_default());
        let body = body.trim();
        if body.is_empty() {
            self.comments.clear();
        } else {
            let shown = text.get(1..).unwrap_or(text.trim_start());
            let start = line.end - shown.trim_start().len();
            let span = Span::new(start, start + shown.trim().len());
            self.comments.push(Word { text: body.to_owned(), span });
        }
    }

    /// Parses a logical line, reading its heredocs. Tells whether it was meant to be a `FROM`.
    fn instruction(&mut self, logical: &Logical) -> (bool, Option<Parsed>) {
        let line = &logical.line;
        let statement = Statement::split(line, 0..line.text().len(), self.escape);
        let heredocs = self.heredocs(&statement);
        let end = heredocs.last().map_or(0, |heredoc| heredoc::end(heredoc, self.source));
        let mut span = statement.span();
        span.end = span.end.max(end);
        let lines = Span::new(logical.start, self.last_line().end);
        let parsed = statement.parse(&heredocs, span, lines, &logical.comments, &mut self.report);
        (statement.name() == Some("FROM"), parsed)
    }

    /// Reads the bodies of the heredocs a statement opens.
    fn heredocs(&mut self, statement: &Statement<'_>) -> Vec<Heredoc> {
        let line = statement.line;
        if !line.text().contains("<<") || !statement.may_have_heredocs() {
            return Vec::new();
        }
        match Opening::find(line) {
            Ok(found) => {
                let mut read = |(opening, range): (Opening, _)| {
                    opening.read(line.span(range), &mut self.lines, &mut self.report)
                };
                found.into_iter().map(&mut read).collect()
            }
            Err(error) => {
                let message = format!("a heredoc's delimiter cannot be read: {error}");
                self.report.syntax(statement.span(), message, "close its quote");
                Vec::new()
            }
        }
    }
}

/// Reports a line above the limit.
pub(super) fn report_long_line(line: PhysicalLine, report: &mut Report<'_>) {
    let length = line.end - line.start;
    let message = format!("this line has {length} bytes, more than the {MAX_LINE} allowed");
    // The whole line would bury the message.
    let span = Span::new(line.start, line.start);
    report.syntax(span, message, "break it with a continuation, or COPY a file instead");
}

/// The first word of a directive's value, all that BuildKit looks at: the image of
/// `# syntax=image arguments`.
fn first_word(value: Word) -> Word {
    let length = value.text.find(' ').unwrap_or(value.text.len());
    let end = value.span.end.min(value.span.start + length);
    Word { text: value.text[..length].to_owned(), span: Span::new(value.span.start, end) }
}
