//! What templates are made of.

use std::rc::Rc;

use super::token::Strip;

/// What a template, or a block in it, is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Program {
    pub(super) body: Vec<Node>,
    /// What a block calls its values: `as |value index|`.
    pub(super) names: Option<Vec<String>>,
    /// What `{{else if}}` opens: it is closed together with the block around it.
    pub(super) chained: bool,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Text as it is.
    Content(Content),
    Comment(Strip),
    /// `{{call}}`, or `{{{call}}}` whose value is not escaped.
    Value {
        call: Call,
        escape: bool,
        strip: Strip,
    },
    Block(Box<Block>),
    /// `{{> name}}` or `{{#> name}}…{{/name}}`
    Partial {
        name: Head,
        call: Call,
        block: Option<Box<Block>>,
        indent: String,
        strip: Strip,
    },
    /// `{{* name}}` or `{{#* name}}…{{/name}}`
    Decorator {
        call: Call,
        block: Option<Box<Block>>,
        strip: Strip,
    },
}

/// Text, before and after white space is taken from it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Content {
    pub(super) original: String,
    pub(super) value: String,
    pub(super) left_stripped: bool,
    pub(super) right_stripped: bool,
}

/// `{{#call}}program{{else}}inverse{{/call}}`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block {
    pub(super) call: Call,
    pub(super) program: Option<Rc<Program>>,
    pub(super) inverse: Option<Rc<Program>>,
    pub(super) open: Strip,
    pub(super) middle: Strip,
    pub(super) close: Strip,
}

/// A name with arguments.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Call {
    pub(super) path: Path,
    pub(super) params: Vec<Expr>,
    pub(super) hash: Option<Vec<(String, Expr)>>,
}

/// What a partial is named with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Head {
    Name(String),
    Dynamic(Call),
}

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Path(Path),
    Text(String),
    Number(f64),
    Bool(bool),
    Undefined,
    Null,
    Call(Box<Call>),
}

/// A name: how many contexts up, then its parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Path {
    pub(super) up: usize,
    /// Begins with `@`: what a block knows of its place.
    pub(super) data: bool,
    /// Whether it is a literal that stands for a name.
    pub(super) literal: bool,
    pub(super) parts: Vec<String>,
    /// As it was written; a literal's kind goes before it, since names and literals differ.
    pub(super) original: String,
}

impl Path {
    /// Whether it is of the context alone: begins with `.`, or has `this` in it.
    pub(super) fn scoped(&self) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let text = self.original.trim_start_matches('\0');
        text.starts_with('.') || text.match_indices("this").any(|(at, _)| !text[at + 4..].starts_with(word))
    }

    /// Whether it is one name and no more.
    pub(super) fn simple(&self) -> bool {
        self.parts.len() == 1 && !self.scoped() && self.up == 0
    }
}
