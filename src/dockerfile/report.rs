//! Where a parser puts what it finds wrong, so that it can go on and find more.

use super::checks::{Finding, Rule};
use super::{Diagnostic, Source, Span};

/// Collects errors and warnings about one source.
#[derive(Debug)]
pub(super) struct Report<'s> {
    pub(super) source: &'s Source,
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Finding>,
}

impl<'s> Report<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Report { source, errors: Vec::new(), warnings: Vec::new() }
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
