//! Quotes, escapes and variables in words, as BuildKit's shell lexer treats them.
//!
//! The rules look like a shell's but are not: a word is not split before it is expanded,
//! patterns know no brackets, and `${v//a/b}` takes `$1` in `b` as a reference to a group.

mod budget;
mod lexer;
mod pattern;
mod trim;

use lexer::Lexer;
use std::ops::Range;

/// A word that cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExpandError {
    /// The offending bytes of the text that was expanded.
    pub range: Range<usize>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// One way out.
    pub help: Option<String>,
}

/// What a variable is, by its name.
pub type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// Expands words of a Dockerfile.
///
/// `lookup` is asked for every variable met, also for those whose value then is not needed.
#[derive(Debug, Clone, Copy)]
pub struct Expander {
    /// The escape character: a backslash or a backtick.
    pub escape: char,
}

impl Expander {
    /// One word: variables expanded, quotes and escapes removed. An unset variable is empty.
    ///
    /// # Errors
    /// An unclosed quote or `${`, an unknown operator, a bad pattern, `${v:?message}`.
    pub fn word(&self, text: &str, lookup: Lookup<'_>) -> Result<String, ExpandError> {
        Ok(Lexer::new(text, self.escape, lookup).run()?.0)
    }

    /// As [`Expander::word`], then split at blanks that are not quoted, also those that came
    /// out of a variable. Empty words are dropped.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn words(&self, text: &str, lookup: Lookup<'_>) -> Result<Vec<String>, ExpandError> {
        let mut lexer = Lexer::new(text, self.escape, lookup);
        lexer.splits = true;
        let (_, words) = lexer.run()?;
        Ok(words.into_iter().map(|(word, _)| word).collect())
    }

    /// The body of a heredoc: variables expanded, backslash escapes removed, quotes kept. The
    /// escape character is a backslash here, whatever the Dockerfile's is.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn raw(&self, text: &str, lookup: Lookup<'_>) -> Result<String, ExpandError> {
        let mut lexer = Lexer::new(text, '\\', lookup);
        lexer.quotes_are_text = true;
        Ok(lexer.run()?.0)
    }
}

/// The words of a line as the search for heredocs sees them, with their ranges: nothing is
/// expanded; quotes are kept if `keep_quotes`, escapes if `keep_escapes`.
pub(super) fn literal_words(
    text: &str,
    keep_quotes: bool,
    keep_escapes: bool,
) -> Result<Vec<(String, Range<usize>)>, ExpandError> {
    let mut lexer = Lexer::new(text, '\\', &|_| None);
    lexer.keep_quotes = keep_quotes;
    lexer.keep_escapes = keep_escapes;
    lexer.keep_unset = true;
    lexer.splits = true;
    Ok(lexer.run()?.1)
}
