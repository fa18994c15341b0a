//! Sources that an ignore rule leaves out.

use crate::dockerfile::checks::rule;
use crate::dockerfile::{IgnoreRule, Span, clean};

use super::{Ignore, Spot, Walk};

impl Walk<'_, '_> {
    /// Reports a source of the context that is ignored, as far as BuildKit does: not where some
    /// rule includes again what others ignore.
    pub(super) fn ignored(&mut self, spot: &Spot<'_>, span: Span, path: &str) {
        let Some(ignore) = self.survey.ignore else { return };
        if ignore.matcher.has_negations() {
            return;
        }
        let path = clean(path);
        let Some(found) = rule_for(ignore, &path) else { return };
        let file = ignore.file.display();
        let message = format!(
            "`{path}` is not in the build context: line {} of {file}, `{}`, leaves it out",
            found.line, found.pattern
        );
        let help = format!("change that line, or add `!{path}` below it");
        let finding = spot.finding(&rule::COPY_IGNORED_FILE, Some(span), message).with_help(help);
        self.linter.report_below(spot.comments, finding);
    }
}

/// The context as a whole is ignored only by a rule for everything in it.
fn rule_for<'i>(ignore: Ignore<'i>, path: &str) -> Option<&'i IgnoreRule> {
    if matches!(path, "." | "/") {
        let everything = |rule: &&IgnoreRule| matches!(rule.pattern.as_str(), "*" | "**" | "**/*");
        return ignore.matcher.rules().iter().find(everything);
    }
    ignore.matcher.rule_for(path)
}
