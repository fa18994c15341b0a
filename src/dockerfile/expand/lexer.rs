//! The lexer behind expansion: quotes, escapes, `$name` and `${…}`.

use super::budget::Budget;
use super::trim::{replace, trim_prefix, trim_suffix};
use super::{ExpandError, Lookup};
use std::ops::Range;

/// How deep `${a:-${b:-…}}` may nest. Bounds the stack on hostile input.
const MAX_DEPTH: usize = 200;

/// Words with where they stand.
pub(super) type Words = Vec<(String, Range<usize>)>;

/// Reads a text character by character.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    escape: char,
    lookup: Lookup<'t>,
    pub(super) quotes_are_text: bool,
    pub(super) keep_quotes: bool,
    pub(super) keep_escapes: bool,
    pub(super) keep_unset: bool,
    /// Whether words are collected.
    pub(super) splits: bool,
    /// The word being collected. BuildKit has one such buffer for all nesting levels and clears
    /// it on entering a `${…}` with an operator: `80${X:-81}` splits into `81` alone. Images
    /// depend on what EXPOSE makes of that, so it is kept.
    word: String,
    word_start: usize,
    depth: usize,
    budget: Budget,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, escape: char, lookup: Lookup<'t>) -> Self {
        Lexer {
            // BuildKit's scanner drops a byte order mark at the start of any word.
            at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 },
            text,
            escape,
            lookup,
            quotes_are_text: false,
            keep_quotes: false,
            keep_escapes: false,
            keep_unset: false,
            splits: false,
            word: String::new(),
            word_start: 0,
            depth: 0,
            budget: Budget::new(),
        }
    }

    /// The whole text expanded, and the words it splits into with their ranges.
    pub(super) fn run(&mut self) -> Result<(String, Words), ExpandError> {
        self.until(None, 0, self.keep_escapes)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn error(&self, start: usize, message: impl Into<String>) -> ExpandError {
        ExpandError { range: start..self.at, message: message.into(), help: None }
    }

    /// Everything up to `stop`, which is taken but not part of the result, or to the end.
    /// `start` is where the `${` that `stop` belongs to stands.
    fn until(
        &mut self,
        stop: Option<char>,
        start: usize,
        keep_escapes: bool,
    ) -> Result<(String, Words), ExpandError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(start, format!("variables nest more than {MAX_DEPTH} levels deep")));
        }
        let outer = std::mem::replace(&mut self.keep_escapes, keep_escapes);
        let result = self.collect(stop, start);
        self.keep_escapes = outer;
        self.depth -= 1;
        result
    }

    fn collect(&mut self, stop: Option<char>, start: usize) -> Result<(String, Words), ExpandError> {
        let mut result = String::new();
        let mut words = Collector::default();
        self.word.clear();
        while let Some(next) = self.peek() {
            let at = self.at;
            if stop == Some(next) {
                self.next();
                return Ok((result, words.finish(self, at)));
            }
            match next {
                '$' => {
                    let value = self.dollar()?;
                    let split = if self.splits { value.split_whitespace().count() } else { 0 };
                    self.budget.words(split).map_err(|message| self.error(at, message))?;
                    value.chars().for_each(|char| words.push(self, char, at));
                    result.push_str(&value);
                }
                '\'' | '"' if !self.quotes_are_text => {
                    let value = if next == '"' { self.double_quoted()? } else { self.single_quoted()? };
                    words.push_quoted(self, &value, at);
                    result.push_str(&value);
                }
                '<' => {
                    let text = self.possible_heredoc();
                    words.push_quoted(self, text, at);
                    result.push_str(text);
                }
                _ => {
                    self.next();
                    if next != self.escape {
                        words.push(self, next, at);
                        result.push(next);
                        continue;
                    }
                    if self.keep_escapes {
                        words.push_quoted(self, next.encode_utf8(&mut [0; 4]), at);
                        result.push(next);
                    }
                    let Some(escaped) = self.next() else { break };
                    words.push_quoted(self, escaped.encode_utf8(&mut [0; 4]), at);
                    result.push(escaped);
                }
            }
        }
        match stop {
            Some('/') => {
                let help = "replacing is written ${name/pattern/replacement}".to_owned();
                Err(ExpandError { help: Some(help), ..self.error(start, "the second `/` is missing") })
            }
            Some(_) => Err(self.open_brace(start)),
            None => Ok((result, words.finish(self, self.at))),
        }
    }

    /// Everything between single quotes is literal, escapes too.
    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let start = self.at;
        let body = start + 1;
        match self.text[body..].find('\'') {
            Some(length) => {
                self.at = body + length + 1;
                let range = if self.keep_quotes { start..self.at } else { body..body + length };
                Ok(self.text[range].to_owned())
            }
            None => {
                self.at = self.text.len();
                Err(self.unclosed(start, '\''))
            }
        }
    }

    /// Between double quotes variables are expanded, and only `"`, `$` and the escape character
    /// can be escaped.
    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let start = self.at;
        let mut result = String::new();
        self.next();
        if self.keep_quotes {
            result.push('"');
        }
        loop {
            match self.peek() {
                None => return Err(self.unclosed(start, '"')),
                Some('"') => {
                    self.next();
                    if self.keep_quotes {
                        result.push('"');
                    }
                    return Ok(result);
                }
                Some('$') => result.push_str(&self.dollar()?),
                Some(mut char) => {
                    self.next();
                    if char == self.escape {
                        if self.keep_escapes {
                            result.push(char);
                        }
                        match self.peek() {
                            None => continue,
                            Some(next) if next == '"' || next == '$' || next == self.escape => {
                                self.next();
                                char = next;
                            }
                            Some(_) => {}
                        }
                    }
                    result.push(char);
                }
            }
        }
    }

    /// `<`, or `<<` and the blanks after it, which belong to its word: `<< EOF` is one.
    fn possible_heredoc(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let length = match rest.strip_prefix("<<") {
            Some(after) => rest.len() - after.trim_start_matches(['\t', '\r', ' ']).len(),
            None => 1,
        };
        self.at += length;
        &rest[..length]
    }

    /// A variable's value, paid for.
    fn value(&mut self, start: usize, name: &str) -> Result<Option<String>, ExpandError> {
        let value = (self.lookup)(name);
        let length = value.as_ref().map_or(0, String::len);
        self.budget.text(length).map_err(|message| self.error(start, message))?;
        Ok(value)
    }

    fn unclosed(&self, start: usize, quote: char) -> ExpandError {
        let name = if quote == '"' { "double" } else { "single" };
        ExpandError {
            help: Some(format!("close it, or write `{}{quote}` for a literal quote", self.escape)),
            ..self.error(start, format!("this {name} quote is never closed"))
        }
    }

    /// `$name` or `${…}`.
    fn dollar(&mut self) -> Result<String, ExpandError> {
        let start = self.at;
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.value(start, &name)? {
                None if self.keep_unset => format!("${name}"),
                value => value.unwrap_or_default(),
            });
        }
        self.next();
        match self.peek() {
            None => return Err(self.open_brace(start)),
            Some('{' | '}' | ':') => {
                self.next();
                let message = format!("`{}` names no variable", &self.text[start..self.at]);
                let help = format!("write `{}$` for a literal dollar sign", self.escape);
                return Err(ExpandError { help: Some(help), ..self.error(start, message) });
            }
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err(self.open_brace(start)),
            Some('}') => Ok(match self.value(start, &name)? {
                None if self.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            Some('/') => self.replacement(start, &name),
            Some(':') => match self.next() {
                None => Err(self.open_brace(start)),
                Some(operator @ ('#' | '%')) => Err(self.unsupported(start, &format!(":{operator}"))),
                Some(operator) => self.operation(start, &name, operator, true),
            },
            Some(operator @ ('+' | '-' | '?' | '#' | '%')) => self.operation(start, &name, operator, false),
            Some(other) => Err(self.unsupported(start, other.encode_utf8(&mut [0; 4]))),
        }
    }

    /// `${name-word}` and its kin, read up to the operator. `colon`: empty counts as unset.
    fn operation(
        &mut self,
        start: usize,
        name: &str,
        operator: char,
        colon: bool,
    ) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), start, matches!(operator, '#' | '%'))?;
        let colons = if colon { ":" } else { "" };
        let value = self.value(start, name)?;
        if value.is_none() && self.keep_unset {
            return Ok(format!("${{{name}{colons}{operator}{word}}}"));
        }
        let usable = value.as_deref().filter(|value| !colon || !value.is_empty());
        match operator {
            '-' => Ok(usable.map_or(word, str::to_owned)),
            '+' => Ok(usable.map_or_else(String::new, |_| word)),
            '?' => match usable {
                Some(value) => Ok(value.to_owned()),
                None => {
                    let fault = if value.is_none() { "set" } else { "empty" };
                    let message = match (word.is_empty(), fault) {
                        (false, _) => format!("{name}: {word}"),
                        (true, "set") => format!("{name} must be set"),
                        (true, _) => format!("{name} must not be empty"),
                    };
                    let help = format!("give it a value with --build-arg {name}=… and ARG, or with ENV");
                    Err(ExpandError { help: Some(help), ..self.error(start, message) })
                }
            },
            '#' | '%' => {
                let (greedy, pattern) = match word.strip_prefix(operator) {
                    Some(rest) => (true, rest),
                    None => (false, word.as_str()),
                };
                let trim = if operator == '#' { trim_prefix } else { trim_suffix };
                trim(pattern, &value.unwrap_or_default(), greedy, &mut self.budget)
                    .map_err(|message| self.error(start, message))
            }
            other => Err(self.unsupported(start, &format!("{colons}{other}"))),
        }
    }

    /// `${name/pattern/replacement}`, read up to the first `/`.
    fn replacement(&mut self, start: usize, name: &str) -> Result<String, ExpandError> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let (pattern, _) = self.until(Some('/'), start, true)?;
        let (replacement, _) = self.until(Some('}'), start, true)?;
        match self.value(start, name)? {
            None if self.keep_unset => Ok(format!("${{{name}/{pattern}/{replacement}}}")),
            value => replace(&pattern, &replacement, &value.unwrap_or_default(), all, &mut self.budget)
                .map_err(|message| self.error(start, message)),
        }
    }

    fn open_brace(&self, start: usize) -> ExpandError {
        let help = format!("close it, or write `{}$` for a literal dollar sign", self.escape);
        ExpandError { help: Some(help), ..self.error(start, "this `${` is never closed by a `}`") }
    }

    fn unsupported(&self, start: usize, operator: &str) -> ExpandError {
        let help = "the operators are :- - :+ + :? ? # ## % %% / and //".to_owned();
        let message = format!("`{operator}` is no operator of a variable");
        ExpandError { help: Some(help), ..self.error(start, message) }
    }

    /// A name: letters, digits and `_` of any script, or digits only, or one special character.
    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return String::new() };
        let length = if is_digit(first) {
            rest.find(|char| !is_digit(char)).unwrap_or(rest.len())
        } else if matches!(first, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
            first.len_utf8()
        } else {
            rest.find(|char: char| !is_name(char)).unwrap_or(rest.len())
        };
        self.at += length;
        rest[..length].to_owned()
    }
}

/// Words being put together.
#[derive(Default)]
struct Collector {
    words: Words,
    in_word: bool,
}

impl Collector {
    fn push(&mut self, lexer: &mut Lexer<'_>, char: char, at: usize) {
        if !char.is_whitespace() {
            self.push_quoted(lexer, char.encode_utf8(&mut [0; 4]), at);
        } else if self.in_word && !lexer.word.is_empty() {
            self.end_word(lexer, at);
            self.in_word = false;
        }
    }

    fn push_quoted(&mut self, lexer: &mut Lexer<'_>, text: &str, at: usize) {
        if !lexer.splits {
            return;
        }
        if lexer.word.is_empty() {
            lexer.word_start = at;
        }
        lexer.word.push_str(text);
        self.in_word = true;
    }

    fn end_word(&mut self, lexer: &mut Lexer<'_>, end: usize) {
        let word = std::mem::take(&mut lexer.word);
        // Those of inner levels are asked of nobody.
        if lexer.depth == 1 {
            self.words.push((word, lexer.word_start..end));
        }
    }

    fn finish(mut self, lexer: &mut Lexer<'_>, end: usize) -> Words {
        if !lexer.word.is_empty() {
            self.end_word(lexer, end);
        }
        self.words
    }
}

fn is_name(char: char) -> bool {
    char == '_' || is_letter(char) || is_digit(char)
}

// Go's unicode.IsDigit is the category Nd, its IsLetter the categories L*. The standard
// library's nearest sets are wider, so the classes come from the regex crate's tables.
fn is_digit(char: char) -> bool {
    char.is_ascii_digit() || (!char.is_ascii() && crate::dockerfile::unicode::is_decimal_digit(char))
}

fn is_letter(char: char) -> bool {
    char.is_ascii_alphabetic() || (!char.is_ascii() && crate::dockerfile::unicode::is_letter(char))
}
