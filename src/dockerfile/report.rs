//! Where a parser puts what it finds wrong, so that it can go on and find more.

use super::checks::{Finding, Rule};
use super::{Diagnostic, Source, Span};

/// Collects errors and warnings about one source.
#[derive(Debug)]
pub(super) struct Report<'s> {
    pub(super) source: &'s Source,
    /// What no parser gets past, whatever instructions mean: BuildKit finds these first.
    pub(super) syntax: Vec<Diagnostic>,
    /// What is wrong with instructions.
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Finding>,
}

impl<'s> Report<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Report { source, syntax: Vec::new(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// Whether anything is wrong.
    pub(super) fn has_errors(&self) -> bool {
        !self.syntax.is_empty() || !self.errors.is_empty()
    }

    /// All that is wrong: first what no parser gets past, each in the order of the text.
    pub(super) fn into_errors(self) -> Vec<Diagnostic> {
        let Report { mut syntax, mut errors, .. } = self;
        syntax.sort_by_key(|error| error.span.start);
        errors.sort_by_key(|error| error.span.start);
        syntax.append(&mut errors);
        syntax
    }

    /// Records something that no parser gets past with one way out.
    pub(super) fn syntax(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.syntax.push(Diagnostic::new(self.source, span, message).with_help(help));
    }

    /// Records an error with one way out.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.errors.push(Diagnostic::new(self.source, span, message).with_help(help));
    }

    /// Records something questionable with one way out.
    pub(super) fn warn(
        &mut self,
        rule: &'static Rule,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.warnings.push(Finding::new(rule, self.source, span, span, message).with_help(help));
    }
}
