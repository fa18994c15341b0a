//! Text to nodes, in Handlebars' grammar without partials, decorators and raw blocks.

use super::TemplateError;
use super::words::{DEEPEST, Words};

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
    /// What a block calls its values: `as |value index|`.
    pub(super) names: Vec<String>,
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
    /// Begins with `@`: what a block knows of its place.
    pub(super) data: bool,
    pub(super) parts: Vec<String>,
}

/// What a tag between braces is.
pub(super) enum Tag {
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
        let mut words = Words::new(tag);
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
