//! What is between braces: a call with its arguments, or what opens and closes a block.

use super::TemplateError;
use super::parse::{Call, Expr, Node, Path, Tag};

/// Blocks in blocks, and calls in calls, up to this many.
pub(super) const DEEPEST: usize = 64;

/// What is between braces.
pub(super) struct Words<'a> {
    pub(super) text: &'a str,
    depth: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Words { text, depth: 0 }
    }

    pub(super) fn take(&mut self, word: &str) -> bool {
        match self.text.strip_prefix(word) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    fn space(&mut self) {
        self.text = self.text.trim_start();
    }

    /// The tag, and whether white space after it goes.
    pub(super) fn tag(&mut self) -> Result<(Tag, bool), TemplateError> {
        if self.take("!--") {
            return self.comment("--}}", "--~}}");
        }
        if self.text.starts_with('!') {
            return self.comment("}}", "~}}");
        }
        if self.text.starts_with("{{")
            || self.text.starts_with(['>', '*'])
            || self.text.starts_with("#>")
            || self.text.starts_with("#*")
        {
            return Err(TemplateError::new("partials, decorators and raw blocks are not supported"));
        }
        if self.take("#") {
            let call = self.call()?;
            return Ok((Tag::Open(call, false), self.close()?));
        }
        if self.take("/") {
            self.space();
            let path = self.head()?.0;
            return Ok((Tag::Close(path), self.close()?));
        }
        if self.take("^") {
            return self.inverse();
        }
        if self.take("{") {
            let call = self.call()?;
            if self.text.starts_with("}}}}") || !self.take("}") {
                return Err(self.unexpected());
            }
            let trim = self.take("~");
            if !self.take("}}") {
                return Err(self.unexpected());
            }
            return Ok((Tag::Value(Node::Value { call, escape: false }), trim));
        }
        if let Some(chain) = self.else_tag()? {
            return Ok((Tag::Else(chain), self.close()?));
        }
        let escape = !self.take("&");
        let call = self.call()?;
        Ok((Tag::Value(Node::Value { call, escape }), self.close()?))
    }

    fn comment(&mut self, end: &str, trimming: &str) -> Result<(Tag, bool), TemplateError> {
        let (at, word) = [end, trimming]
            .into_iter()
            .filter_map(|word| self.text.find(word).map(|at| (at, word)))
            .min_by_key(|(at, _)| *at)
            .ok_or_else(|| TemplateError::new("a comment is not closed"))?;
        self.text = &self.text[at + word.len()..];
        Ok((Tag::Comment, word == trimming))
    }

    fn inverse(&mut self) -> Result<(Tag, bool), TemplateError> {
        self.space();
        if self.text.starts_with("}}") || self.text.starts_with("~}}") {
            return Ok((Tag::Else(None), self.close()?));
        }
        let call = self.call()?;
        Ok((Tag::Open(call, true), self.close()?))
    }

    /// `else`, with the name after it.
    fn else_tag(&mut self) -> Result<Option<Option<Call>>, TemplateError> {
        let Some(rest) = self.text.trim_start().strip_prefix("else") else { return Ok(None) };
        if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return Ok(None);
        }
        self.text = rest.trim_start();
        if self.text.starts_with("}}") || self.text.starts_with("~}}") {
            return Ok(Some(None));
        }
        Ok(Some(Some(self.call()?)))
    }

    /// The closing braces; whether white space after them goes.
    fn close(&mut self) -> Result<bool, TemplateError> {
        self.space();
        let trim = self.take("~");
        // Three braces close what three have opened, whose third is gone here.
        let three = !trim && (self.text.starts_with("}}}") || self.text.starts_with("}~}}"));
        if !three && self.take("}}") { Ok(trim) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> TemplateError {
        match self.text.chars().next() {
            Some(c) => TemplateError::new(format!("'{c}' is not expected between braces")),
            None => TemplateError::new("the braces are not closed"),
        }
    }

    fn call(&mut self) -> Result<Call, TemplateError> {
        self.space();
        let (path, literal) = self.head()?;
        let mut call = Call { path, literal, params: Vec::new(), hash: Vec::new(), names: Vec::new() };
        loop {
            let spaced = self.text.starts_with(char::is_whitespace);
            self.space();
            if self.text.is_empty() || self.text.starts_with(['}', '~', ')']) {
                return Ok(call);
            }
            if spaced && self.names_follow() {
                call.names = self.names()?;
                return Ok(call);
            }
            if !spaced && !self.text.starts_with(['(', '"', '\'']) {
                return Err(self.unexpected());
            }
            match self.key() {
                Some(key) => {
                    self.space();
                    call.hash.push((key, self.expr()?));
                }
                None if call.hash.is_empty() => call.params.push(self.expr()?),
                None => return Err(self.unexpected()),
            }
        }
    }

    /// Whether `as |` is next.
    fn names_follow(&self) -> bool {
        let rest = self.text.strip_prefix("as").unwrap_or_default();
        rest.starts_with(char::is_whitespace) && rest.trim_start().starts_with('|')
    }

    /// `as |value index|`
    fn names(&mut self) -> Result<Vec<String>, TemplateError> {
        self.take("as");
        self.space();
        self.take("|");
        let mut names = Vec::new();
        loop {
            self.space();
            if self.take("|") && !names.is_empty() {
                self.space();
                return Ok(names);
            }
            names.push(self.id().ok_or_else(|| self.unexpected())?);
        }
    }

    /// The name that is called; a literal is a name as well.
    fn head(&mut self) -> Result<(Path, bool), TemplateError> {
        match self.expr()? {
            Expr::Path(path) => Ok((path, false)),
            Expr::Text(text) | Expr::Number(text) => {
                Ok((Path { parts: vec![text], ..Path::default() }, true))
            }
            Expr::Bool(value) => Ok((Path { parts: vec![value.to_string()], ..Path::default() }, true)),
            // Nothing is called so.
            Expr::Nothing => Ok((Path { parts: vec!["undefined".to_owned()], ..Path::default() }, true)),
            Expr::Call(_) => Err(TemplateError::new("a name is missing between braces")),
        }
    }

    /// `key=`
    fn key(&mut self) -> Option<String> {
        let mut ahead = Words::new(self.text);
        let key = ahead.id()?;
        ahead.space();
        if !ahead.take("=") {
            return None;
        }
        self.text = ahead.text;
        Some(key)
    }

    fn expr(&mut self) -> Result<Expr, TemplateError> {
        if let Some(quote) = self.text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            return self.quoted(quote);
        }
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(TemplateError::new("calls are nested too deeply"));
            }
            let call = self.call()?;
            self.depth -= 1;
            self.space();
            return if self.take(")") { Ok(Expr::Call(Box::new(call))) } else { Err(self.unexpected()) };
        }
        let end = self.text.find(|c: char| c.is_whitespace() || "~})".contains(c)).unwrap_or(self.text.len());
        let word = &self.text[..end];
        let expr = match word {
            "true" | "false" => Expr::Bool(word == "true"),
            "null" | "undefined" => Expr::Nothing,
            _ if is_number(word) => Expr::Number(word.to_owned()),
            _ => return self.path().map(Expr::Path),
        };
        self.text = &self.text[end..];
        Ok(expr)
    }

    fn quoted(&mut self, quote: char) -> Result<Expr, TemplateError> {
        let mut text = String::new();
        let mut chars = self.text[1..].char_indices();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.text = &self.text[1 + at + 1..];
                return Ok(Expr::Text(text));
            }
            if c == '\\' && self.text[1 + at + 1..].starts_with(quote) {
                chars.next();
                text.push(quote);
            } else {
                text.push(c);
            }
        }
        Err(TemplateError::new("a quote between braces is not closed"))
    }

    fn path(&mut self) -> Result<Path, TemplateError> {
        let mut path = Path { data: self.take("@"), ..Path::default() };
        let mut first = true;
        loop {
            if self.take("..") {
                path.up += 1;
            } else if self.text.starts_with('.') && first && !self.text.starts_with("./") {
                self.take(".");
                path.scoped = true;
            } else if first && self.take(".") {
                path.scoped = true;
            } else {
                let bracket = self.text.starts_with('[');
                match self.id() {
                    Some(id) if id == "this" && !bracket && first => path.scoped = true,
                    // The last part of a name is a literal where it looks like one.
                    Some(id)
                        if !bracket
                            && !first
                            && is_literal(&id)
                            && !self.text.starts_with(['.', '/', '=']) =>
                    {
                        return Err(TemplateError::new(format!(
                            "'{id}' is not expected in a name: write [{id}]"
                        )));
                    }
                    Some(id) => path.parts.push(id),
                    None => return Err(self.unexpected()),
                }
            }
            first = false;
            if !self.take(".") && !self.take("/") {
                return Ok(path);
            }
        }
    }

    /// A name, or anything in brackets.
    fn id(&mut self) -> Option<String> {
        if let Some(rest) = self.text.strip_prefix('[') {
            let end = rest.find(']')?;
            self.text = &rest[end + 1..];
            return Some(rest[..end].to_owned());
        }
        let end = self.text.find(not_in_names).unwrap_or(self.text.len());
        let (id, rest) = self.text.split_at(end);
        self.text = rest;
        Some(id.to_owned()).filter(|id| !id.is_empty())
    }
}

/// Handlebars' ID token ends at these.
fn not_in_names(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '!' | '"' | '#' | '%'..=',' | '.' | '/' | ';'..='>' | '@' | '['..='^' | '`' | '{'..='~')
}

fn is_literal(word: &str) -> bool {
    matches!(word, "true" | "false" | "null" | "undefined") || is_number(word)
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}
