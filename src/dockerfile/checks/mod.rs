//! Checks: what a Dockerfile does that is allowed and most likely not meant.
//!
//! The rules here need the text alone; those that need variables or base images are in
//! [`crate::plan`]. BuildKit's are reported under its ids, in its order and at its lines.

mod casing;
mod comments;
mod options;
pub mod rule;
mod stages;

use super::{Diagnostic, Dockerfile, Instruction, InstructionKind, Source, Span, Stage, Stop, Word, unicode};

pub use comments::description;
pub use options::Options;
pub use rule::{Origin, Rule};

/// Something a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The lines BuildKit reports, whole or in part; most often those of the instruction.
    pub lines: Span,
    /// What to underline, why, and a way out.
    pub diagnostic: Diagnostic,
}

impl Finding {
    /// A finding without help.
    pub fn new(
        rule: &'static Rule,
        source: &Source,
        lines: Span,
        span: Span,
        message: impl Into<String>,
    ) -> Self {
        let diagnostic = Diagnostic::new(source, span, message).with_id(rule.id);
        Finding { rule, lines, diagnostic }
    }

    /// Adds a way out.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.diagnostic.help = Some(help.into());
        self
    }

    /// First and last line, from 1.
    pub fn line_range(&self) -> (usize, usize) {
        let source = &self.diagnostic.source;
        let last = self.lines.end.saturating_sub(1).max(self.lines.start);
        (source.line(self.lines.start), source.line(last))
    }
}

/// Collects what rules find, as far as they run.
#[derive(Debug)]
pub struct Linter {
    options: Options,
    /// What was found, in BuildKit's order.
    pub findings: Vec<Finding>,
}

impl Linter {
    /// A linter with the options of a file.
    pub fn new(options: Options) -> Self {
        Linter { options, findings: Vec::new() }
    }

    /// Records a finding, if its rule runs.
    pub fn report(&mut self, finding: Finding) {
        if self.options.runs(finding.rule) {
            self.findings.push(finding);
        }
    }

    /// Records a finding about an instruction, if its rule runs, also by the `# check=` above it.
    pub fn report_below(&mut self, comments: &[super::Word], finding: Finding) {
        if self.options.with_comments(comments).runs(finding.rule) {
            self.findings.push(finding);
        }
    }

    /// Whether what was found is an error.
    pub fn fails(&self) -> bool {
        self.options.error && !self.findings.is_empty()
    }
}

/// The options for a file: those given with the build, or else those of its `# check=`.
///
/// # Errors
/// They cannot be read.
pub fn options(dockerfile: &Dockerfile, given: Option<&str>) -> Result<Options, Box<Diagnostic>> {
    if let Some(given) = given {
        return Options::parse(given).map_err(|message| {
            let message = format!("the build argument BUILDKIT_DOCKERFILE_CHECK: {message}");
            Box::new(Diagnostic::new(&dockerfile.source, Span::default(), message))
        });
    }
    let Some(written) = &dockerfile.check else { return Ok(Options::default()) };
    Options::parse(options::first_word(&written.text)).map_err(|message| {
        let help = "for example `# check=skip=JSONArgsRecommended;error=true`";
        Box::new(Diagnostic::new(&dockerfile.source, written.span, message).with_help(help))
    })
}

/// Runs the rules that need the text alone: like BuildKit, no further than to the first error.
pub fn check_text(dockerfile: &Dockerfile, linter: &mut Linter) {
    let (end, last) = match &dockerfile.stop {
        Some(Stop::Syntax) => return,
        Some(Stop::Instruction { at, findings, comments }) => (Some(*at), Some((findings, comments))),
        None => (None, None),
    };
    let before = |span: Span| end.is_none_or(|end| span.start < end);
    // The parser finds these, and has got to the end.
    let of_lines = |f: &&Finding| f.rule == &rule::NO_EMPTY_CONTINUATION;
    let warnings = || dockerfile.warnings.iter();
    for finding in warnings().filter(of_lines).chain(warnings().filter(|f| !of_lines(f) && before(f.lines))) {
        linter.report(finding.clone());
    }
    for instruction in dockerfile.global_args.iter().filter(|i| before(i.span)) {
        check_instruction(instruction, linter);
    }
    for stage in dockerfile.stages.iter().filter(|s| before(s.span)) {
        casing::check_from(&dockerfile.source, stage, linter);
        comments::check_stage(&dockerfile.source, stage, linter);
        for instruction in stage.instructions.iter().filter(|i| before(i.span)) {
            check_instruction(instruction, linter);
        }
    }
    if let Some((findings, comments)) = last {
        findings.iter().for_each(|finding| linter.report_below(comments, finding.clone()));
    } else {
        stages::check(dockerfile, linter);
        casing::check_all(dockerfile, linter);
    }
}

/// What is found in an instruction that cannot be read, by its keyword and the words after its flags.
pub(super) fn of_unread(source: &Source, keyword: &Word, words: &[Word], lines: Span) -> Vec<Finding> {
    if unicode::is_same_word(&keyword.text, "MAINTAINER") {
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        return vec![maintainer(source, lines, keyword.span, &text)];
    }
    match unicode::is_same_word(&keyword.text, "FROM") {
        true => casing::of_unread(source, keyword, words, lines),
        false => Vec::new(),
    }
}

fn check_instruction(instruction: &Instruction, linter: &mut Linter) {
    match &instruction.kind {
        InstructionKind::Maintainer(name) => {
            let Instruction { source, lines, span, .. } = instruction;
            let finding = maintainer(source, *lines, first_line(source, *span), &name.text);
            linter.report_below(&instruction.comments, finding);
        }
        InstructionKind::Arg(declarations) => comments::check_arg(instruction, declarations, linter),
        _ => {}
    }
}

fn maintainer(source: &Source, lines: Span, span: Span, name: &str) -> Finding {
    let help = format!("write `LABEL org.opencontainers.image.authors=\"{}\"`", name.replace('"', "\\\""));
    Finding::new(&rule::MAINTAINER_DEPRECATED, source, lines, span, "MAINTAINER is deprecated")
        .with_help(help)
}

/// A finding about a whole instruction; its first line is underlined.
pub(crate) fn about(rule: &'static Rule, instruction: &Instruction, message: impl Into<String>) -> Finding {
    let span = first_line(&instruction.source, instruction.span);
    Finding::new(rule, &instruction.source, instruction.lines, span, message)
}

/// A finding about a `FROM`.
pub(crate) fn about_stage(
    rule: &'static Rule,
    source: &Source,
    stage: &Stage,
    message: impl Into<String>,
) -> Finding {
    Finding::new(rule, source, stage.lines, first_line(source, stage.span), message)
}

fn first_line(source: &Source, span: Span) -> Span {
    let text = source.slice(span);
    Span::new(span.start, span.start + text.find('\n').unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
