//! Expansion that remembers which variables a word named.

use std::cell::RefCell;

use crate::dockerfile::{Diagnostic, ExpandError, Expander, Source, Word, suggest};

/// The variables a word named, each once, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Those that have a value.
    pub(super) matched: Vec<String>,
    /// Those that have none.
    pub(super) unmatched: Vec<String>,
}

/// A word that cannot be expanded.
#[derive(Debug)]
pub(super) struct Failed(pub(super) ExpandError);

impl Failed {
    /// Points at the part of the word.
    pub(super) fn at(self, source: &Source, word: &Word) -> Box<Diagnostic> {
        let span = word.span_of(source, self.0.range.clone());
        let mut diagnostic = Diagnostic::new(source, span, self.0.message);
        diagnostic.help = self.0.help;
        Box::new(diagnostic)
    }
}

/// Expands a word.
pub(super) fn expand(
    expander: &Expander,
    word: &Word,
    get: impl Fn(&str) -> Option<String>,
) -> (Result<String, Failed>, Names) {
    let (value, names) = watch(get, |lookup| expander.word(&word.text, lookup));
    (value.map_err(Failed), names)
}

/// Runs an expansion and remembers what it looked up.
pub(super) fn watch<T>(
    get: impl Fn(&str) -> Option<String>,
    run: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> T,
) -> (T, Names) {
    let names = RefCell::new(Names::default());
    let result = run(&|name| {
        let value = get(name);
        let mut names = names.borrow_mut();
        let list = if value.is_some() { &mut names.matched } else { &mut names.unmatched };
        if !list.iter().any(|known| known == name) {
            list.push(name.to_owned());
        }
        value
    });
    (result, names.into_inner())
}

/// A name that this one was probably meant to be.
pub(super) fn near<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let known: Vec<&str> = known.collect();
    let other_case = known.iter().find(|k| k.eq_ignore_ascii_case(name) && **k != name);
    other_case.copied().or_else(|| suggest(name, known.iter().copied()))
}
