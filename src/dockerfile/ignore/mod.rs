//! `.dockerignore` files and `--exclude` patterns: moby/patternmatcher's language.

mod go_regex;
mod pattern;

use super::glob;
use super::lines::MAX_LINE;
use pattern::Pattern;

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct IgnoreError {
    /// The line of the file, or the number of the pattern, from 1.
    pub line: usize,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
}

/// A rule.
#[derive(Debug, Clone)]
pub struct IgnoreRule {
    /// The line of the file, or the number of the pattern, from 1.
    pub line: usize,
    /// The cleaned pattern, `!` left out.
    pub pattern: String,
    /// Whether it includes again what earlier rules ignore: it began with `!`.
    pub negated: bool,
    matcher: Pattern,
}

/// What each rule said of a directory, for the walk below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParentMatches(Vec<bool>);

/// Decides which paths are ignored. Paths are relative, slash-separated and clean.
#[derive(Debug, Clone, Default)]
pub struct IgnoreMatcher {
    rules: Vec<IgnoreRule>,
}

impl IgnoreMatcher {
    /// Reads the text of a `.dockerignore`.
    ///
    /// # Errors
    /// A pattern that is not well-formed, a lone `!`, or a line above 64 KiB.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.len() > MAX_LINE {
                let message = format!("the line has {} bytes, more than the {MAX_LINE} allowed", line.len());
                return Err(IgnoreError { line: index + 1, message });
            }
            if !line.starts_with('#') {
                rules.extend(rule(index + 1, &normalized(line))?);
            }
        }
        Ok(IgnoreMatcher { rules })
    }

    /// Takes patterns as they are, as `--exclude` does: no comments, a leading slash stays.
    ///
    /// # Errors
    /// As [`IgnoreMatcher::parse`].
    pub fn new(patterns: &[String]) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            rules.extend(rule(index + 1, pattern)?);
        }
        Ok(IgnoreMatcher { rules })
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules in order.
    pub fn rules(&self) -> &[IgnoreRule] {
        &self.rules
    }

    /// Whether some rule includes again what others ignore.
    pub fn has_negations(&self) -> bool {
        self.rules.iter().any(|rule| rule.negated)
    }

    /// Whether a path is ignored, by rules that match it or a directory above it
    /// (patternmatcher's `MatchesOrParentMatches`).
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        self.rule_for(path).is_some()
    }

    /// The rule because of which a path is ignored.
    pub fn rule_for(&self, path: impl AsRef<[u8]>) -> Option<&IgnoreRule> {
        let path = path.as_ref();
        let mut decisive: Option<&IgnoreRule> = None;
        for rule in &self.rules {
            // Only a rule that would change the answer is asked.
            if rule.negated == decisive.is_some() && rule.matches_with_parents(path) {
                decisive = (!rule.negated).then_some(rule);
            }
        }
        decisive
    }

    /// Whether a path met in a walk is ignored, and what to hand down to the paths below it.
    /// `parent` is what the walk got for the directory that holds the path, or the default at
    /// the top.
    ///
    /// This is what BuildKit does with a build context (`MatchesUsingParentResults`). It differs
    /// from [`IgnoreMatcher::matches`] where a `!` rule names a directory above the path: with
    /// the rules `a/b` and `!a`, the walk leaves `a/b` out.
    pub fn matches_below(&self, path: impl AsRef<[u8]>, parent: &ParentMatches) -> (bool, ParentMatches) {
        let path = path.as_ref();
        let mut ignored = false;
        let mut matches = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.iter().enumerate() {
            let is_match = match parent.0.get(index) {
                Some(true) => true,
                Some(false) => rule.negated == ignored && rule.matcher.matches(path),
                None => rule.negated == ignored && rule.matches_with_parents(path),
            };
            matches.push(is_match);
            if is_match {
                ignored = !rule.negated;
            }
        }
        (ignored, ParentMatches(matches))
    }

    /// Whether something below an ignored directory may be included again. If not, a walk need
    /// not enter it.
    pub fn may_include_below(&self, directory: impl AsRef<[u8]>) -> bool {
        let mut below = directory.as_ref().to_vec();
        below.push(b'/');
        self.rules.iter().filter(|rule| rule.negated).any(|rule| {
            let pattern = rule.pattern.strip_suffix("/**").unwrap_or(&rule.pattern);
            let pattern = pattern.strip_suffix("/*").unwrap_or(pattern);
            let has_wildcards = pattern.contains(['*', '[', ']', '?', '^', '\\']);
            has_wildcards || format!("{pattern}/").as_bytes().starts_with(&below)
        })
    }
}

impl IgnoreRule {
    fn matches_with_parents(&self, path: &[u8]) -> bool {
        if matches!(path, b"" | b".") {
            return false;
        }
        let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        self.matcher.matches(path) || parents.into_iter().any(|parent| self.matcher.matches(parent))
    }
}

/// A line of a file as a pattern: cleaned, relative to the context.
fn normalized(line: &str) -> String {
    let line = line.trim();
    let (negated, pattern) = match line.strip_prefix('!') {
        Some(pattern) => (true, pattern.trim()),
        None => (false, line),
    };
    let mut pattern = if pattern.is_empty() { String::new() } else { glob::clean(pattern) };
    if pattern.len() > 1 && pattern.starts_with('/') {
        pattern.remove(0);
    }
    if negated { format!("!{pattern}") } else { pattern }
}

fn rule(line: usize, pattern: &str) -> Result<Option<IgnoreRule>, IgnoreError> {
    let pattern = pattern.trim();
    if pattern.is_empty() {
        return Ok(None);
    }
    let cleaned = glob::clean(pattern);
    let (negated, pattern) = match cleaned.strip_prefix('!') {
        Some(pattern) => (true, pattern),
        None => (false, cleaned.as_str()),
    };
    let error = |message: String| IgnoreError { line, message };
    if pattern.is_empty() {
        return Err(error("`!` is followed by no pattern".to_owned()));
    }
    let matcher = glob::go_match(pattern.as_bytes(), b".")
        .ok()
        .and_then(|_| Pattern::new(pattern))
        .ok_or_else(|| {
            let wrong = "a bracket is open or empty, or a backslash escapes nothing";
            error(format!("the pattern `{pattern}` is not well-formed: {wrong}"))
        })?;
    Ok(Some(IgnoreRule { line, pattern: pattern.to_owned(), negated, matcher }))
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
