//! Text to nodes, in Handlebars' grammar without partials, decorators and raw blocks.

use super::TemplateError;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// `{{call}}`, or `{{{call}}}` whose value is not escaped.
    Value { call: Call, escape: bool },
    /// `{{#call}}body{{else}}inverse{{/call}}`
    Block { call: Call, body: Vec<Node>, inverse: Vec<Node> },
}

/// A name with arguments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) path: Path,
    /// Whether the name was written as a string or a number.
    pub(super) literal: bool,
    pub(super) params: Vec<Expr>,
    pub(super) hash: Vec<(String, Expr)>,
}

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Path(Path),
    Text(String),
    Number(String),
    Bool(bool),
    Nothing,
    Call(Box<Call>),
}

/// A name: how many contexts up, then its parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Path {
    pub(super) up: usize,
    /// Begins with `this` or `.`: never a helper.
    pub(super) scoped: bool,
    pub(super) parts: Vec<String>,
}

/// What a tag between braces is.
enum Tag {
    Value(Node),
    Open(Call, /* inverted */ bool),
    Else(Option<Call>),
    Close(Path),
    Comment,
}

/// An open block.
struct Open {
    call: Call,
    body: Vec<Node>,
    /// What was before `{{else}}`, once it was seen.
    before_else: Option<Vec<Node>>,
    inverted: bool,
    /// Opened by `{{else if}}`: closed together with the block around it.
    chained: bool,
}

/// Blocks in blocks, and calls in calls, up to this many.
const DEEPEST: usize = 64;

/// Parses a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut open: Vec<Open> = Vec::new();
    let mut nodes = Vec::new();
    let mut rest = text;
    let mut trim = false;
    loop {
        let (mut content, after) = content(rest);
        if trim {
            content = content.trim_start().to_owned();
        }
        let Some(tag) = after else {
            push_text(&mut nodes, content);
            break;
        };
        let mut words = Words { text: tag, depth: 0 };
        let left = words.take("~");
        if left {
            content.truncate(content.trim_end().len());
        }
        push_text(&mut nodes, content);
        let (tag, right) = words.tag()?;
        trim = right;
        rest = words.text;
        handle(tag, &mut nodes, &mut open)?;
        if open.len() > DEEPEST {
            return Err(TemplateError::new("blocks are nested too deeply"));
        }
    }
    match open.last() {
        Some(block) => {
            Err(TemplateError::new(format!("{{{{#{}}}}} is not closed", block.call.path.parts.join("."))))
        }
        None => Ok(nodes),
    }
}

fn push_text(nodes: &mut Vec<Node>, text: String) {
    if !text.is_empty() {
        nodes.push(Node::Text(text));
    }
}

fn handle(tag: Tag, nodes: &mut Vec<Node>, open: &mut Vec<Open>) -> Result<(), TemplateError> {
    match tag {
        Tag::Comment => {}
        Tag::Value(node) => nodes.push(node),
        Tag::Open(call, inverted) => {
            let body = std::mem::take(nodes);
            open.push(Open { call, body, before_else: None, inverted, chained: false });
        }
        Tag::Else(chain) => {
            let block = open.last_mut().filter(|b| b.before_else.is_none());
            let block = block.ok_or_else(|| TemplateError::new("{{else}} stands outside of a block"))?;
            block.before_else = Some(std::mem::take(nodes));
            if let Some(call) = chain {
                open.push(Open { call, body: Vec::new(), before_else: None, inverted: false, chained: true });
            }
        }
        Tag::Close(path) => loop {
            let block =
                open.pop().ok_or_else(|| TemplateError::new("a block is closed that was not opened"))?;
            if !block.chained && block.call.path.parts != path.parts {
                let (was, is) = (block.call.path.parts.join("."), path.parts.join("."));
                return Err(TemplateError::new(format!("{was} doesn't match {is}")));
            }
            let chained = block.chained;
            close(block, nodes);
            if !chained {
                break;
            }
        },
    }
    Ok(())
}

/// Puts a finished block after what was before it.
fn close(block: Open, nodes: &mut Vec<Node>) {
    let last = std::mem::take(nodes);
    let (first, second) = match block.before_else {
        Some(first) => (first, last),
        None => (last, Vec::new()),
    };
    let (body, inverse) = if block.inverted { (second, first) } else { (first, second) };
    *nodes = block.body;
    nodes.push(Node::Block { call: block.call, body, inverse });
}

/// The text before the next tag, and what follows its opening braces. `\{{` is text, `\\{{` is a
/// backslash and a tag.
fn content(text: &str) -> (String, Option<&str>) {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let before = &rest[..at];
        if let Some(kept) = before.strip_suffix("\\\\") {
            out.push_str(kept);
            out.push('\\');
            return (out, Some(&rest[at + 2..]));
        }
        let Some(kept) = before.strip_suffix('\\') else {
            out.push_str(before);
            return (out, Some(&rest[at + 2..]));
        };
        // Text up to the next braces, with these.
        out.push_str(kept);
        out.push_str("{{");
        rest = &rest[at + 2..];
        let end = rest.find("{{").unwrap_or(rest.len());
        let slashes = rest[..end].len() - rest[..end].trim_end_matches('\\').len();
        let end = end - slashes.min(2);
        out.push_str(&rest[..end]);
        rest = &rest[end..];
    }
    out.push_str(rest);
    (out, None)
}

/// What is between braces.
struct Words<'a> {
    text: &'a str,
    depth: usize,
}

impl<'a> Words<'a> {
    fn take(&mut self, word: &str) -> bool {
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
    fn tag(&mut self) -> Result<(Tag, bool), TemplateError> {
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
        let mut call = Call { path, literal, params: Vec::new(), hash: Vec::new() };
        loop {
            let spaced = self.text.starts_with(char::is_whitespace);
            self.space();
            if self.text.is_empty() || self.text.starts_with(['}', '~', ')']) {
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

    /// The name that is called; a literal is a name as well.
    fn head(&mut self) -> Result<(Path, bool), TemplateError> {
        match self.expr()? {
            Expr::Path(path) => Ok((path, false)),
            Expr::Text(text) | Expr::Number(text) => {
                Ok((Path { parts: vec![text], ..Path::default() }, true))
            }
            Expr::Bool(value) => Ok((Path { parts: vec![value.to_string()], ..Path::default() }, true)),
            Expr::Nothing | Expr::Call(_) => Err(TemplateError::new("a name is missing between braces")),
        }
    }

    /// `key=`
    fn key(&mut self) -> Option<String> {
        let mut ahead = Words { text: self.text, depth: 0 };
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
        let mut path = Path::default();
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
