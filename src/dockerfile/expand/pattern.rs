//! Shell patterns of `*`, `?` and backslash escapes, and where they match.
//!
//! BuildKit makes a regular expression of a pattern, and what that means holds here: `*` and `?`
//! match anything but a newline, the leftmost match counts, and the first star takes what it can
//! before the second. The syntax tree of an expression would take hundreds of bytes for each
//! character of a pattern that variables can make as long as they like.

use super::budget::Budget;
use std::ops::Range;

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Star,
    Any,
    Char(char),
}

const NEWLINE: Token = Token::Char('\n');

/// A pattern that can be looked for.
#[derive(Debug)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
    /// How many of them stand before the first star.
    head: usize,
    /// Whether stars take as much as they can, or as little.
    greedy: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong, one sentence without a full stop.
    pub(super) fn new(text: &str, greedy: bool) -> Result<Pattern, String> {
        let mut tokens = Vec::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        // BuildKit's scanner drops a byte order mark at the start.
        chars.next_if_eq(&'\u{feff}');
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' => Token::Star,
                '?' => Token::Any,
                // `}` and `/` are escaped for the sake of the `${…}` around the pattern.
                '\\' if matches!(chars.peek(), Some('}' | '/')) => continue,
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '?' | '\\')) => Token::Char(escaped),
                    Some(other) => {
                        return Err(format!("`\\{other}` is no escape of the pattern `{}`", shown(text)));
                    }
                    None => return Err(format!("the pattern `{}` ends in an escape", shown(text))),
                },
                other => Token::Char(other),
            });
        }
        let head = tokens.iter().position(|token| *token == Token::Star).unwrap_or(tokens.len());
        Ok(Pattern { tokens, head, greedy })
    }

    /// The first match at `from` or after it.
    ///
    /// # Errors
    /// It takes too long.
    pub(super) fn find(
        &self,
        value: &str,
        from: usize,
        budget: &mut Budget,
    ) -> Result<Option<Range<usize>>, String> {
        let mut at = from;
        loop {
            if let Some(end) = self.head(value, at, budget)? {
                if let Some(end) = self.tail(value, end, budget)? {
                    return Ok(Some(at..end));
                }
                // What follows the first star has no place in these lines, and a later start in
                // this line leaves less room.
                at = end_of_line(value, at);
            }
            match value[at..].chars().next() {
                Some(char) => at += char.len_utf8(),
                None => return Ok(None),
            }
        }
    }

    /// Where the match at the start ends.
    ///
    /// # Errors
    /// It takes too long.
    pub(super) fn find_at_start(&self, value: &str, budget: &mut Budget) -> Result<Option<usize>, String> {
        match self.head(value, 0, budget)? {
            Some(end) => self.tail(value, end, budget),
            None => Ok(None),
        }
    }

    /// Matches what stands before the first star.
    fn head(&self, value: &str, at: usize, budget: &mut Budget) -> Result<Option<usize>, String> {
        match_piece(&self.tokens[..self.head], value, at, budget)
    }

    /// Matches from the first star on.
    fn tail(&self, value: &str, at: usize, budget: &mut Budget) -> Result<Option<usize>, String> {
        // Nothing stands before the first star of these.
        let stars = &self.tokens[self.head..];
        let mut pieces = stars.split(|token| *token == Token::Star).skip(1).peekable();
        let mut at = at;
        while pieces.peek().is_some() {
            let line_end = end_of_line(value, at);
            // Pieces without a newline stand in this line, each as early as it can: that leaves the
            // others the most room. Where the last one ends is where the match does.
            let mut last = None;
            let mut next = None;
            for piece in pieces.by_ref() {
                budget.steps(piece.len())?;
                if piece.contains(&NEWLINE) {
                    next = Some(piece);
                    break;
                }
                let Some(found) = search(piece, value, at..line_end, false, budget)? else { return Ok(None) };
                last = Some((piece, at));
                at = found;
            }
            // The newline that ends this line is the first of the piece that holds one.
            if let Some(piece) = next {
                let before = piece.iter().take_while(|token| **token != NEWLINE).count();
                let Some(start) = step_back(&value[at..line_end], before) else { return Ok(None) };
                match match_piece(piece, value, at + start, budget)? {
                    Some(end) => at = end,
                    None => return Ok(None),
                }
            } else if let Some((piece, earliest)) = last.filter(|_| self.greedy) {
                return search(piece, value, earliest..line_end, true, budget);
            }
        }
        Ok(Some(at))
    }
}

/// Where the first or last match of a piece within a range ends.
fn search(
    piece: &[Token],
    value: &str,
    range: Range<usize>,
    from_end: bool,
    budget: &mut Budget,
) -> Result<Option<usize>, String> {
    let (text, start) = (&value[..range.end], range.start);
    let mut at = if from_end { range.end } else { start };
    loop {
        if let Some(end) = match_piece(piece, text, at, budget)? {
            return Ok(Some(end));
        }
        let step = if from_end { text[start..at].chars().next_back() } else { text[at..].chars().next() };
        match step.map(char::len_utf8) {
            Some(length) if from_end => at -= length,
            Some(length) => at += length,
            None => return Ok(None),
        }
    }
}

/// Matches tokens without stars at a place; gives where they end.
fn match_piece(
    piece: &[Token],
    value: &str,
    at: usize,
    budget: &mut Budget,
) -> Result<Option<usize>, String> {
    let mut chars = value[at..].chars();
    let mut compared = 1;
    let mut matches = true;
    for token in piece {
        compared += 1;
        matches = match (token, chars.next()) {
            (Token::Char(expected), Some(char)) => *expected == char,
            (_, Some(char)) => char != '\n',
            (_, None) => false,
        };
        if !matches {
            break;
        }
    }
    budget.steps(compared)?;
    Ok(matches.then(|| value.len() - chars.as_str().len()))
}

/// The end of the line that a place stands in.
fn end_of_line(value: &str, at: usize) -> usize {
    value[at..].find('\n').map_or(value.len(), |length| at + length)
}

/// The place a number of characters before the end.
fn step_back(text: &str, count: usize) -> Option<usize> {
    match count.checked_sub(1) {
        None => Some(text.len()),
        Some(others) => text.char_indices().rev().nth(others).map(|(at, _)| at),
    }
}

/// As much of a pattern as a message can hold.
fn shown(text: &str) -> &str {
    const MOST: usize = 200;
    text.char_indices().nth(MOST).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    /// BuildKit's way: the pattern as a regular expression.
    fn expression(pattern: &str, greedy: bool, anchored: bool) -> Regex {
        let mut out = String::from(if anchored { "^" } else { "" });
        let mut chars = pattern.chars();
        while let Some(char) = chars.next() {
            match char {
                '*' => out.push_str(if greedy { ".*" } else { ".*?" }),
                '?' => out.push('.'),
                '\\' => out.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
                other => out.push_str(&regex::escape(&other.to_string())),
            }
        }
        Regex::new(&out).unwrap()
    }

    fn find(pattern: &str, greedy: bool, value: &str, from: usize) -> Option<Range<usize>> {
        Pattern::new(pattern, greedy).unwrap().find(value, from, &mut Budget::new()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn matches_where_the_expression_does(
            pattern in r"(\*|\?|a|b|é|\n|\\\*|\\\\){0,8}",
            value in r"[ab*é\\\n]{0,16}",
            greedy: bool,
        ) {
            let mut budget = Budget::new();
            let ours = Pattern::new(&pattern, greedy).unwrap();
            let theirs = expression(&pattern, greedy, true).find(&value).map(|found| found.end());
            prop_assert_eq!(ours.find_at_start(&value, &mut budget).unwrap(), theirs);
            let theirs = expression(&pattern, greedy, false);
            for (from, _) in value.char_indices().chain([(value.len(), ' ')]) {
                let found = theirs.find_at(&value, from).map(|found| found.range());
                prop_assert_eq!(find(&pattern, greedy, &value, from), found);
            }
        }
    }

    #[test]
    fn newlines_are_matched_by_newlines_only() {
        for (pattern, value, greedy, expected) in [
            ("*", "ab\ncd", true, Some(0..2)),
            ("*b", "a\nab\nb", true, Some(2..4)),
            ("a*\n?", "ab\n\na\nc", true, Some(4..7)),
            ("a*b\n*c", "abab\ncc\nc", true, Some(0..7)),
            ("a*b\n*c", "abab\ncc\nc", false, Some(0..6)),
            ("a*b\nc", "abb\ndb\nc", true, None),
            ("?\n?", "a\n\nb", true, None),
            ("*x\n", "x", true, None),
        ] {
            assert_eq!(find(pattern, greedy, value, 0), expected, "{pattern:?} {value:?}");
        }
    }

    #[test]
    fn a_match_that_takes_too_long_is_an_error() {
        let pattern = Pattern::new(&format!("{}b", "?".repeat(20_000)), true).unwrap();
        let value = "a".repeat(40_000);
        assert!(pattern.find(&value, 0, &mut Budget::new()).unwrap_err().contains("too long"));
    }
}
