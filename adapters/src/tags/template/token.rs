//! Text to tokens, as Handlebars' scanner cuts it: the first rule that fits counts, and white space
//! between braces separates.

use super::TemplateError;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Text outside of braces.
    Content(String),
    /// A comment; whether white space before and after it goes.
    Comment(Strip),
    /// Opening braces with what follows them at once: `{{#`, `{{~`, `{{{{`.
    Open(Open, /* `~` */ bool),
    /// `{{else}}` or `{{^}}`
    Inverse(Strip),
    /// Closing braces.
    Close(Close, /* `~` */ bool),
    /// `{{{{/name}}}}`
    RawEnd(String),
    /// `(`
    Paren,
    /// `)`
    ParenEnd,
    /// `=`
    Equals,
    /// A name, or anything in brackets with these.
    Id(String),
    /// `.` or `/` between names.
    Separator(char),
    /// What was in quotes.
    Text(String),
    Number(f64),
    Bool(bool),
    Undefined,
    Null,
    /// `@`
    Data,
    /// `as |`
    Names,
    /// `|`
    NamesEnd,
    /// The end of the template.
    End,
}

/// White space control: whether what is before and after goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Strip {
    pub(super) open: bool,
    pub(super) close: bool,
}

/// What braces open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// `{{`, or `{{&` whose value is not escaped.
    Value { escape: bool },
    /// `{{{`
    Unescaped,
    /// `{{*`
    Decorator,
    /// `{{#`
    Block,
    /// `{{#*`
    DecoratorBlock,
    /// `{{^`
    Inverse,
    /// `{{else` with a name after it.
    Chain,
    /// `{{/`
    End,
    /// `{{>`
    Partial,
    /// `{{#>`
    PartialBlock,
    /// `{{{{`
    Raw,
}

/// What braces close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// `}}`
    Two,
    /// `}}}`
    Three,
    /// `}}}}`
    Four,
}

/// White space, as regular expressions of JavaScript know it.
pub(super) fn is_space(c: char) -> bool {
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

/// Cuts a template.
///
/// # Errors
/// Something between braces that is no token, or braces that are not closed.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut scanner = Scanner { rest: text, tokens: Vec::new() };
    while !scanner.rest.is_empty() {
        if scanner.content() {
            scanner.braces()?;
        }
    }
    scanner.tokens.push(Token::End);
    Ok(scanner.tokens)
}

struct Scanner<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    fn take(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.tokens.push(Token::Content(text.to_owned()));
        }
    }

    /// The text before the next braces; whether these open something. `\{{` is text, `\\{{` is a
    /// backslash and braces.
    fn content(&mut self) -> bool {
        let Some(at) = self.rest.find("{{") else {
            self.push_text(self.rest);
            self.rest = "";
            return false;
        };
        let (before, rest) = self.rest.split_at(at);
        self.rest = rest;
        if before.ends_with("\\\\") {
            self.push_text(&before[..at - 1]);
            return true;
        }
        let Some(before) = before.strip_suffix('\\') else {
            self.push_text(before);
            return true;
        };
        self.push_text(before);
        // The braces and at least what follows them, up to the next.
        let end = (2..rest.len())
            .filter(|at| rest.is_char_boundary(*at))
            .find(|at| ["{{", "\\{{", "\\\\{{"].iter().any(|next| rest[*at..].starts_with(next)));
        let (text, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.push_text(text);
        self.rest = rest;
        false
    }

    /// From opening braces to the closing ones.
    fn braces(&mut self) -> Result<(), TemplateError> {
        if self.take("{{{{") {
            self.tokens.push(Token::Open(Open::Raw, false));
        } else if self.opening()? {
            return Ok(());
        }
        loop {
            self.rest = self.rest.trim_start_matches(is_space);
            let token = self.token()?;
            self.tokens.push(token.clone());
            match token {
                Token::Close(Close::Four, _) => return self.raw(),
                Token::Close(..) => return Ok(()),
                _ => {}
            }
        }
    }

    /// What follows two braces; whether it is whole with that.
    fn opening(&mut self) -> Result<bool, TemplateError> {
        self.take("{{");
        let strip = self.take("~");
        let word = |scanner: &mut Self, words: &[(&str, Open)]| {
            words.iter().find(|(word, _)| scanner.take(word)).map(|(_, open)| *open)
        };
        let blocks = [
            (">", Open::Partial),
            ("#>", Open::PartialBlock),
            ("#*", Open::DecoratorBlock),
            ("#", Open::Block),
            ("/", Open::End),
        ];
        if let Some(open) = word(self, &blocks) {
            self.tokens.push(Token::Open(open, strip));
            return Ok(false);
        }
        let (hat, name) = (self.rest.strip_prefix('^'), self.rest.trim_start_matches(is_space));
        let name = name.strip_prefix("else");
        for rest in [hat, name].into_iter().flatten() {
            let rest = rest.trim_start_matches(is_space);
            let (close, rest) = rest.strip_prefix('~').map_or((false, rest), |rest| (true, rest));
            if let Some(rest) = rest.strip_prefix("}}") {
                self.rest = rest;
                self.tokens.push(Token::Inverse(Strip { open: strip, close }));
                return Ok(true);
            }
        }
        let word_end = |rest: &&str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let open = if let Some(rest) = hat {
            self.rest = rest;
            Open::Inverse
        } else if let Some(rest) = name.filter(word_end) {
            self.rest = rest;
            Open::Chain
        } else if self.take("{") {
            Open::Unescaped
        } else if self.take("&") {
            Open::Value { escape: false }
        } else if self.rest.starts_with('!') {
            self.comment(strip)?;
            return Ok(true);
        } else if self.take("*") {
            Open::Decorator
        } else {
            Open::Value { escape: true }
        };
        self.tokens.push(Token::Open(open, strip));
        Ok(false)
    }

    /// From `!` to the end; `{{!--` ends with dashes.
    fn comment(&mut self, open: bool) -> Result<(), TemplateError> {
        let dashes = self.rest.starts_with("!--");
        let ends: &[&str] = if dashes { &["--}}", "--~}}"] } else { &["}}"] };
        let found = ends.iter().filter_map(|end| self.rest.find(end).map(|at| at + end.len())).min();
        let Some(end) = found else { return Err(TemplateError::new("a comment is not closed")) };
        let (comment, rest) = self.rest.split_at(end);
        self.tokens.push(Token::Comment(Strip { open, close: comment.ends_with("~}}") }));
        self.rest = rest;
        Ok(())
    }

    /// The text of a raw block, in which such blocks may be.
    fn raw(&mut self) -> Result<(), TemplateError> {
        let mut depth = 1;
        loop {
            let at = self.rest.find("{{{{").ok_or_else(|| TemplateError::new("a raw block is not closed"))?;
            let (before, rest) = self.rest.split_at(at);
            self.push_text(before);
            self.rest = rest;
            match raw_end(rest) {
                Some((name, rest)) => {
                    let whole = &self.rest[..self.rest.len() - rest.len()];
                    self.rest = rest;
                    depth -= 1;
                    if depth == 0 {
                        self.tokens.push(Token::RawEnd(name.to_owned()));
                        return Ok(());
                    }
                    self.push_text(whole);
                }
                // Some other end is text, with its first brace.
                None if rest.starts_with("{{{{/") => {
                    self.push_text("{");
                    self.rest = &rest[1..];
                }
                None => {
                    depth += 1;
                    self.push_text("{{{{");
                    self.rest = &rest[4..];
                }
            }
        }
    }

    fn token(&mut self) -> Result<Token, TemplateError> {
        let marks = [
            ("(", Token::Paren),
            (")", Token::ParenEnd),
            ("}}}}", Token::Close(Close::Four, false)),
            ("}~}}", Token::Close(Close::Three, true)),
            ("}}}", Token::Close(Close::Three, false)),
            ("~}}", Token::Close(Close::Two, true)),
            ("}}", Token::Close(Close::Two, false)),
            ("=", Token::Equals),
            ("..", Token::Id("..".to_owned())),
            ("/", Token::Separator('/')),
            ("@", Token::Data),
            ("|", Token::NamesEnd),
        ];
        for (mark, token) in marks {
            if self.take(mark) {
                return Ok(token);
            }
        }
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            let alone = rest.starts_with(ends_name);
            return Ok(if alone { Token::Id(".".to_owned()) } else { Token::Separator('.') });
        }
        if let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            return self
                .quoted(quote)
                .map(|text| Token::Text(text.replace(&format!("\\{quote}"), &quote.to_string())));
        }
        if self.rest.starts_with('[') {
            return self.quoted(']').map(|text| Token::Id(format!("[{}]", unescaped(&text))));
        }
        self.word()
    }

    /// What is up to a closing mark that no backslash stands before; where there is no such, up to the
    /// last one with a backslash.
    fn quoted(&mut self, close: char) -> Result<String, TemplateError> {
        let inside = &self.rest[1..];
        let (mut escaped, mut last, mut end) = (false, None, None);
        for (at, c) in inside.char_indices() {
            if c == close && !escaped {
                end = Some(at);
                break;
            }
            last = if c == close { Some(at) } else { last };
            escaped = c == '\\' && inside[at + 1..].starts_with(close);
        }
        let end =
            end.or(last).ok_or_else(|| TemplateError::new(format!("{close} is missing between braces")))?;
        self.rest = &inside[end + 1..];
        Ok(inside[..end].to_owned())
    }

    fn word(&mut self) -> Result<Token, TemplateError> {
        if let Some(rest) = self.rest.strip_prefix("as") {
            let after = rest.trim_start_matches(is_space);
            if let Some(after) = after.strip_prefix('|').filter(|_| rest.starts_with(is_space)) {
                self.rest = after;
                return Ok(Token::Names);
            }
        }
        let literals = [
            ("true", Token::Bool(true)),
            ("false", Token::Bool(false)),
            ("undefined", Token::Undefined),
            ("null", Token::Null),
        ];
        for (word, token) in literals {
            if let Some(rest) = self.rest.strip_prefix(word).filter(|rest| rest.starts_with(ends_literal)) {
                self.rest = rest;
                return Ok(token);
            }
        }
        if let Some((number, rest)) = number(self.rest) {
            self.rest = rest;
            return Ok(Token::Number(number));
        }
        let end = self.rest.find(not_in_names).unwrap_or(self.rest.len());
        let (id, rest) = self.rest.split_at(end);
        if id.is_empty() || !rest.starts_with(ends_name) {
            return Err(match rest.chars().next() {
                Some(c) => TemplateError::new(format!("'{c}' is not expected between braces")),
                None => TemplateError::new("the braces are not closed"),
            });
        }
        self.rest = rest;
        Ok(Token::Id(id.to_owned()))
    }
}

/// `{{{{/name}}}}`: the name, and what follows.
fn raw_end(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix("{{{{/")?;
    let (name, rest) = inside.split_at(inside.find(not_in_names)?);
    Some((name, rest.strip_prefix("}}}}")?)).filter(|_| !name.is_empty())
}

/// Takes the backslashes from before brackets and backslashes.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().filter(|next| c == '\\' && matches!(next, '\\' | ']'));
        if next.is_some() {
            chars.next();
        }
        out.push(next.unwrap_or(c));
    }
    out
}

/// `-1.5`, before what may follow a literal.
fn number(text: &str) -> Option<(f64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let sign = usize::from(text.starts_with('-'));
    let mut end = sign + Some(digits(&text[sign..])).filter(|n| *n > 0)?;
    if let Some(fraction) = text[end..].strip_prefix('.').map(digits).filter(|n| *n > 0) {
        end += 1 + fraction;
    }
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest)).filter(|_| rest.starts_with(ends_literal))
}

fn ends_literal(c: char) -> bool {
    is_space(c) || matches!(c, '~' | '}' | ')')
}

fn ends_name(c: char) -> bool {
    is_space(c) || matches!(c, '=' | '~' | '}' | '/' | '.' | ')' | '|')
}

/// Handlebars' ID token ends at these.
fn not_in_names(c: char) -> bool {
    is_space(c)
        || matches!(c, '!' | '"' | '#' | '%'..=',' | '.' | '/' | ';'..='>' | '@' | '['..='^' | '`' | '{'..='~')
}
