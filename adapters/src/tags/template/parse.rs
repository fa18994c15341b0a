//! Tokens to nodes, in Handlebars' grammar.

use std::rc::Rc;

use super::TemplateError;
use super::space;
use super::token::{Close, Open, Strip, Token, tokens};
use super::tree::{Block, Call, Content, Expr, Head, Node, Path, Program};

/// Blocks in blocks, and calls in calls, up to this many.
pub(super) const DEEPEST: usize = 64;

/// Parses a template, white space control done.
///
/// # Errors
/// What the grammar does not have.
pub(super) fn parse(text: &str) -> Result<Program, TemplateError> {
    let mut program = parse_only(text)?;
    space::control(&mut program);
    Ok(program)
}

/// Parses a template with all its white space.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_only(text: &str) -> Result<Program, TemplateError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let program = parser.program()?;
    parser.expect(&Token::End)?;
    Ok(program)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

/// What an opening tag says.
struct Opened {
    call: Call,
    names: Option<Vec<String>>,
    strip: Strip,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn expect(&mut self, token: &Token) -> Result<(), TemplateError> {
        if self.peek() == token {
            self.at += 1
        } else {
            return Err(self.unexpected());
        }
        Ok(())
    }

    fn unexpected(&self) -> TemplateError {
        TemplateError::new(match self.peek() {
            Token::End => "a block is not closed".to_owned(),
            Token::Open(Open::End, _) => "a block is closed that was not opened".to_owned(),
            Token::Inverse(_) | Token::Open(Open::Chain, _) => {
                "{{else}} stands outside of a block".to_owned()
            }
            Token::Close(..) => "braces are closed that were not opened so".to_owned(),
            Token::Id(name) => format!("{name} is not expected there"),
            _ => "the words between braces are out of order".to_owned(),
        })
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(TemplateError::new("it is nested too deeply")) } else { Ok(()) }
    }

    fn program(&mut self) -> Result<Program, TemplateError> {
        self.deeper()?;
        let mut body = Vec::new();
        while let Some(node) = self.statement()? {
            body.push(node);
        }
        self.depth -= 1;
        Ok(Program { body, ..Program::default() })
    }

    fn statement(&mut self) -> Result<Option<Node>, TemplateError> {
        let token = self.peek().clone();
        let (open, strip) = match token {
            Token::Content(text) => {
                self.at += 1;
                return Ok(Some(Node::Content(content(text))));
            }
            Token::Comment(strip) => {
                self.at += 1;
                return Ok(Some(Node::Comment(strip)));
            }
            Token::Open(open, strip) => (open, strip),
            _ => return Ok(None),
        };
        if matches!(open, Open::Chain | Open::End) {
            return Ok(None);
        }
        self.at += 1;
        Ok(Some(match open {
            Open::Value { escape } => {
                let (call, strip) = self.tag(strip, Close::Two)?;
                Node::Value { call, escape, strip }
            }
            Open::Unescaped => {
                let (call, strip) = self.tag(strip, Close::Three)?;
                Node::Value { call, escape: false, strip }
            }
            Open::Decorator => {
                let (call, strip) = self.tag(strip, Close::Two)?;
                Node::Decorator { call, block: None, strip }
            }
            Open::Raw => Node::Block(Box::new(self.raw()?)),
            Open::Partial => {
                let (name, _) = self.partial_name()?;
                let (call, strip) = self.arguments(strip, Close::Two)?;
                one_context(&call)?;
                Node::Partial { name, call, block: None, indent: String::new(), strip }
            }
            Open::PartialBlock => self.partial_block(strip)?,
            Open::Block => Node::Block(Box::new(self.block(strip, false)?)),
            Open::Inverse => Node::Block(Box::new(self.block(strip, true)?)),
            _ => {
                let block = self.block(strip, false)?;
                if block.inverse.is_some() {
                    return Err(TemplateError::new("a decorator has no {{else}}"));
                }
                Node::Decorator {
                    call: block.call.clone(),
                    block: Some(Box::new(block)),
                    strip: Strip::default(),
                }
            }
        }))
    }

    /// A name with arguments up to the closing braces.
    fn tag(&mut self, open: bool, close: Close) -> Result<(Call, Strip), TemplateError> {
        let path = self.head()?;
        let (call, strip) = self.arguments(open, close)?;
        Ok((Call { path, ..call }, strip))
    }

    fn arguments(&mut self, open: bool, close: Close) -> Result<(Call, Strip), TemplateError> {
        let call = self.call(Path::default())?;
        let close = self.close(close)?;
        Ok((call, Strip { open, close }))
    }

    fn close(&mut self, wanted: Close) -> Result<bool, TemplateError> {
        match self.peek() {
            Token::Close(close, strip) if *close == wanted => {
                let strip = *strip;
                self.at += 1;
                Ok(strip)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn opened(&mut self, open: bool) -> Result<Opened, TemplateError> {
        let path = self.head()?;
        let call = self.call(path)?;
        let mut names = None;
        if *self.peek() == Token::Names {
            self.at += 1;
            let mut all = Vec::new();
            while let Token::Id(name) = self.peek().clone() {
                self.at += 1;
                all.push(name);
            }
            // Brackets belong to these names; alone they are an error.
            if all.is_empty() || unbracketed(&all.join(",")).1 {
                return Err(self.unexpected());
            }
            self.expect(&Token::NamesEnd)?;
            names = Some(all);
        }
        let close = self.close(Close::Two)?;
        Ok(Opened { call, names, strip: Strip { open, close } })
    }

    fn block(&mut self, strip: bool, inverted: bool) -> Result<Block, TemplateError> {
        let opened = self.opened(strip)?;
        let program = Program { names: opened.names, ..self.program()? };
        let inverse = self.inverse(!inverted)?;
        let close = self.end(&opened.call.path.original)?;
        let (middle, mut inverse) = inverse.map_or((Strip::default(), None), |(s, p)| (s, Some(p)));
        if let Some(inverse) = inverse.as_mut().filter(|inverse| inverse.chained) {
            close_chain(inverse, close);
        }
        let (program, inverse) = (Some(Rc::new(program)), inverse.map(Rc::new));
        let (program, inverse) = if inverted { (inverse, program) } else { (program, inverse) };
        Ok(Block { call: opened.call, program, inverse, open: opened.strip, middle, close })
    }

    /// What follows `{{else}}`, with that tag's white space control.
    fn inverse(&mut self, chains: bool) -> Result<Option<(Strip, Program)>, TemplateError> {
        match *self.peek() {
            Token::Inverse(strip) => {
                self.at += 1;
                Ok(Some((strip, self.program()?)))
            }
            Token::Open(Open::Chain, strip) if chains => {
                self.at += 1;
                self.deeper()?;
                let opened = self.opened(strip)?;
                let program = Program { names: opened.names, ..self.program()? };
                let inverse = self.inverse(true)?;
                self.depth -= 1;
                let (middle, mut inverse) = inverse.map_or((None, None), |(s, p)| (Some(s), Some(p)));
                let close = middle.unwrap_or_default();
                if let Some(inverse) = inverse.as_mut().filter(|inverse| inverse.chained) {
                    close_chain(inverse, close);
                }
                let block = Block {
                    call: opened.call,
                    program: Some(Rc::new(program)),
                    inverse: inverse.map(Rc::new),
                    open: opened.strip,
                    middle: close,
                    close,
                };
                let body = vec![Node::Block(Box::new(block))];
                Ok(Some((opened.strip, Program { body, names: None, chained: true })))
            }
            _ => Ok(None),
        }
    }

    /// `{{/name}}`, and its white space control.
    fn end(&mut self, name: &str) -> Result<Strip, TemplateError> {
        let Token::Open(Open::End, open) = *self.peek() else { return Err(self.unexpected()) };
        self.at += 1;
        let path = self.head()?;
        let close = self.close(Close::Two)?;
        matches(name, &path.original)?;
        Ok(Strip { open, close })
    }

    fn raw(&mut self) -> Result<Block, TemplateError> {
        let path = self.head()?;
        let call = self.call(path)?;
        self.close(Close::Four)?;
        let mut body = Vec::new();
        loop {
            match self.next() {
                Token::Content(text) => body.push(Node::Content(content(text))),
                Token::RawEnd(name) => {
                    matches(&call.path.original, &name)?;
                    break;
                }
                _ => return Err(TemplateError::new("a raw block is not closed")),
            }
        }
        let program = Some(Rc::new(Program { body, ..Program::default() }));
        let none = Strip::default();
        Ok(Block { call, program, inverse: None, open: none, middle: none, close: none })
    }

    fn partial_block(&mut self, strip: bool) -> Result<Node, TemplateError> {
        let (name, original) = self.partial_name()?;
        let (call, strip) = self.arguments(strip, Close::Two)?;
        one_context(&call)?;
        let program = self.program()?;
        let close = self.end(&original)?;
        let block = Block {
            call: call.clone(),
            program: Some(Rc::new(program)),
            inverse: None,
            open: strip,
            middle: Strip::default(),
            close,
        };
        let block = Some(Box::new(block));
        Ok(Node::Partial { name, call, block, indent: String::new(), strip: Strip::default() })
    }

    fn partial_name(&mut self) -> Result<(Head, String), TemplateError> {
        if *self.peek() == Token::Paren {
            let Expr::Call(call) = self.expr()? else { return Err(self.unexpected()) };
            return Ok((Head::Dynamic(*call), "\0undefined".to_owned()));
        }
        let path = self.head()?;
        Ok((Head::Name(path.original.trim_start_matches('\0').to_owned()), path.original))
    }

    /// The name that is called; a literal is a name as well.
    fn head(&mut self) -> Result<Path, TemplateError> {
        let literal = |text: String, kind: &str| Path {
            literal: true,
            original: format!("{kind}{text}"),
            parts: vec![text],
            ..Path::default()
        };
        Ok(match self.expr()? {
            Expr::Path(path) => path,
            Expr::Text(text) => literal(text, ""),
            Expr::Number(number) => literal(super::value::Value::Number(number).text()?, "\0"),
            Expr::Bool(value) => literal(value.to_string(), "\0"),
            Expr::Undefined => literal("undefined".to_owned(), "\0"),
            Expr::Null => literal("null".to_owned(), "\0"),
            Expr::Call(_) => return Err(TemplateError::new("a name is missing between braces")),
        })
    }

    /// The arguments of a name.
    fn call(&mut self, path: Path) -> Result<Call, TemplateError> {
        let mut call = Call { path, ..Call::default() };
        loop {
            let key = match (self.peek(), self.tokens.get(self.at + 1)) {
                (Token::Id(key), Some(Token::Equals)) => Some(unbracketed(key).0),
                _ => None,
            };
            if let Some(key) = key {
                self.at += 2;
                let value = self.expr()?;
                call.hash.get_or_insert_default().push((key, value));
                continue;
            }
            let starts = matches!(
                self.peek(),
                Token::Paren
                    | Token::Id(_)
                    | Token::Text(_)
                    | Token::Number(_)
                    | Token::Bool(_)
                    | Token::Undefined
                    | Token::Null
                    | Token::Data
            );
            if !starts || call.hash.is_some() {
                return Ok(call);
            }
            call.params.push(self.expr()?);
        }
    }

    fn expr(&mut self) -> Result<Expr, TemplateError> {
        Ok(match self.next() {
            Token::Text(text) => Expr::Text(text),
            Token::Number(number) => Expr::Number(number),
            Token::Bool(value) => Expr::Bool(value),
            Token::Undefined => Expr::Undefined,
            Token::Null => Expr::Null,
            Token::Data => Expr::Path(self.path(true)?),
            Token::Id(_) => {
                self.at -= 1;
                Expr::Path(self.path(false)?)
            }
            Token::Paren => {
                self.deeper()?;
                let path = self.head()?;
                let call = self.call(path)?;
                self.expect(&Token::ParenEnd)?;
                self.depth -= 1;
                Expr::Call(Box::new(call))
            }
            _ => {
                self.at -= 1;
                return Err(self.unexpected());
            }
        })
    }

    fn path(&mut self, data: bool) -> Result<Path, TemplateError> {
        let mut path =
            Path { data, original: if data { "@".to_owned() } else { String::new() }, ..Path::default() };
        loop {
            let Token::Id(id) = self.peek().clone() else { return Err(self.unexpected()) };
            self.at += 1;
            let (part, bracketed) = unbracketed(&id);
            path.original += &part;
            match part.as_str() {
                ".." | "." | "this" if !bracketed => {
                    if !path.parts.is_empty() {
                        return Err(TemplateError::new(format!("Invalid path: {}", path.original)));
                    }
                    path.up += usize::from(part == "..");
                }
                _ => path.parts.push(part),
            }
            let Token::Separator(separator) = *self.peek() else { return Ok(path) };
            self.at += 1;
            path.original.push(separator);
        }
    }
}

fn content(text: String) -> Content {
    Content { original: text.clone(), value: text, ..Content::default() }
}

/// A name without the brackets around it, and whether there were any.
fn unbracketed(id: &str) -> (String, bool) {
    let inside = id.strip_prefix('[').and_then(|id| id.strip_suffix(']'));
    match inside.filter(|inside| !inside.contains(['\n', '\r', '\u{2028}', '\u{2029}'])) {
        Some(inside) => (inside.to_owned(), true),
        None => (id.to_owned(), false),
    }
}

fn matches(open: &str, close: &str) -> Result<(), TemplateError> {
    let shown = |name: &str| name.trim_start_matches('\0').to_owned();
    match open == close {
        true => Ok(()),
        false => Err(TemplateError::new(format!("{} doesn't match {}", shown(open), shown(close)))),
    }
}

fn one_context(call: &Call) -> Result<(), TemplateError> {
    match call.params.len() {
        0 | 1 => Ok(()),
        n => Err(TemplateError::new(format!("a partial takes one context, not {n}"))),
    }
}

/// What a block around says of the white space at the end of what `{{else if}}` opened.
fn close_chain(inverse: &mut Program, close: Strip) {
    if let Some(Node::Block(block)) = inverse.body.first_mut() {
        block.close = close;
    }
}
