//! The engine for the log: how steps are folded, and how nothing in a line is a command of the system's.

use crate::cli::progress::{Markup, Place, Severity};

/// How a system's log is marked up.
#[derive(Clone, Copy)]
pub(super) struct Folds {
    /// Starts the fold of this number and title; a whole line.
    pub(super) open: fn(usize, &str) -> String,
    /// Ends it.
    pub(super) close: fn(usize, &str) -> String,
    /// Makes a line, or a part of one, of others' words harmless.
    pub(super) guard: fn(&str) -> String,
    /// What a warning or an error is beside its line.
    pub(super) issue: fn(&Place) -> String,
    /// Whether the system looks for commands in the log, so that every line must be guarded.
    pub(super) reads_log: bool,
}

/// A log that is read by people only.
pub(super) const NONE: Folds = Folds {
    open: |_, _| String::new(),
    close: |_, _| String::new(),
    guard: str::to_owned,
    issue: |_| String::new(),
    reads_log: false,
};

/// The markup of one log.
pub(super) struct Folding {
    folds: Folds,
    number: usize,
    title: String,
}

impl Folding {
    /// A log with these folds.
    pub(super) fn new(folds: Folds) -> Self {
        Folding { folds, number: 0, title: String::new() }
    }
}

impl Markup for Folding {
    fn open(&mut self, title: &str) -> String {
        self.number += 1;
        self.title = (self.folds.guard)(title);
        (self.folds.open)(self.number, &self.title)
    }

    fn close(&mut self) -> String {
        (self.folds.close)(self.number, &self.title)
    }

    fn warning(&mut self, text: &str) -> String {
        let severity = Severity::Warning;
        (self.folds.issue)(&Place { message: text.to_owned(), severity, ..Place::default() })
    }

    fn found(&mut self, place: &Place) -> String {
        (self.folds.issue)(place)
    }

    fn error(&mut self, place: &Place) -> String {
        (self.folds.issue)(place)
    }

    fn line(&self, line: String) -> String {
        (self.folds.guard)(&line)
    }

    fn printed(&self, line: String) -> String {
        (self.folds.guard)(&line)
    }
}

/// The text with a blank after the first `after` characters of every `word`, whatever its case. Characters
/// that some comparisons leave out of account are removed where a word would appear without them.
pub(super) fn part(text: &str, word: &str, after: usize) -> String {
    let plain: String = text.chars().filter(|c| !is_ignorable(*c)).collect();
    let lower = plain.to_ascii_lowercase();
    if !lower.contains(word) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(plain.len() + 8);
    let mut rest = 0;
    for (at, _) in lower.match_indices(word) {
        out.push_str(&plain[rest..at + after]);
        out.push(' ');
        rest = at + after;
    }
    out.push_str(&plain[rest..]);
    out
}

/// Unicode's default ignorable code points that may stand in a line: soft hyphen, zero widths, variation
/// selectors, tags, fillers. A comparison by culture, as .NET's, does not see them.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}
