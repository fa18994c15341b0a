//! Variables that nothing defines.

use crate::dockerfile::checks::rule;
use crate::dockerfile::{Diagnostic, Source, Span, Word};

use super::super::watch::{Failed, Names, expand, near, watch};
use super::{Spot, State, Walk};

/// Build arguments that never become variables.
const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

impl Walk<'_, '_> {
    /// Expands a word and reports what nothing defines.
    pub(super) fn expand(
        &mut self,
        spot: &Spot<'_>,
        source: &Source,
        word: &Word,
        state: &State,
    ) -> Result<String, Box<Diagnostic>> {
        let (value, names) = expand(&self.expander, word, |name| state.scope.get(name));
        self.undefined(spot, Some((source, word)), &names, state);
        value.map_err(|e| e.at(source, word))
    }

    /// As [`Walk::expand`], for the body of a heredoc.
    pub(super) fn expand_body(
        &mut self,
        spot: &Spot<'_>,
        source: &Source,
        body: &Word,
        state: &State,
    ) -> Result<(), Box<Diagnostic>> {
        let (value, names) =
            watch(|name| state.scope.get(name), |lookup| self.expander.raw(&body.text, lookup));
        self.undefined(spot, Some((source, body)), &names, state);
        value.map(|_| ()).map_err(|e| Failed(e).at(source, body))
    }

    /// Reports variables that neither a base image nor an `ENV` or `ARG` above defines.
    pub(super) fn undefined(
        &mut self,
        spot: &Spot<'_>,
        word: Option<(&Source, &Word)>,
        names: &Names,
        state: &State,
    ) {
        if state.unknown {
            return;
        }
        for name in &names.unmatched {
            if state.declared.contains(name) || NO_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let span = word.map(|(source, word)| span_of_variable(source, word, name));
            let message = format!("nothing defines the variable `{name}`");
            let known = state.scope.all().iter().map(|(known, _)| known.as_str());
            let help = match near(name, known.chain(state.declared.iter().map(String::as_str))) {
                _ if self.globals.knows(name) => format!("write `ARG {name}` above, in this stage"),
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("define it above with `ARG {name}=…` or `ENV {name}=…`"),
            };
            let finding = spot.finding(&rule::UNDEFINED_VAR, span, message).with_help(help);
            self.linter.report_below(spot.comments, finding);
        }
    }
}

/// Where `$name` or `${name…` stands in a word; the whole word if it cannot be told.
pub(super) fn span_of_variable(source: &Source, word: &Word, name: &str) -> Span {
    for (at, _) in word.text.match_indices('$') {
        let rest = &word.text[at + 1..];
        let (braces, rest) = match rest.strip_prefix('{') {
            Some(rest) => (1, rest),
            None => (0, rest),
        };
        let goes_on = |rest: &str| rest.starts_with(|c: char| c == '_' || c.is_alphanumeric());
        if rest.strip_prefix(name).is_some_and(|after| !goes_on(after)) {
            let end = at + 1 + braces + name.len();
            let closed = usize::from(braces == 1 && word.text[end..].starts_with('}'));
            return word.span_of(source, at..end + closed);
        }
    }
    word.span
}
