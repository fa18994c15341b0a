//! YAML as a tree that keeps scalars as written (a tag `1.20` is no number) and says where everything
//! stands, for errors and for changes that leave the rest of a file alone.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle};

/// A file with more nodes, aliases counted with all they stand for, is refused.
const MOST_NODES: usize = 200_000;

/// Deeper nesting is refused.
const DEEPEST: usize = 100;

/// Why a text is no YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    /// Why; nothing of the text but names of anchors.
    pub(crate) message: String,
    /// Line, from 1.
    pub(crate) line: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// The value.
    pub(crate) value: Value,
    /// Its bytes in the text; of a block collection from its first item to its last.
    pub(crate) span: Range<usize>,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in characters, from 0.
    pub(crate) column: usize,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text, and whether it is plain: not quoted, no block.
    Scalar(String, bool),
    /// Items.
    Sequence(Vec<Node>),
    /// Names and values, in the order of the text.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// Nothing: `null`, `~` or no text at all.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, true) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// The items of a sequence.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The names and values of a mapping.
    pub(crate) fn entries(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a name in a mapping.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }

    /// The value at the end of names.
    pub(crate) fn at(&self, names: &[&str]) -> Option<&Node> {
        names.iter().try_fold(self, |node, name| node.get(name))
    }

    fn nodes(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(..) => 0,
            Value::Sequence(items) => items.iter().map(Node::nodes).sum(),
            Value::Mapping(entries) => entries.iter().map(|(k, v)| k.nodes() + v.nodes()).sum(),
        }
    }
}

/// The documents of a text.
///
/// # Errors
/// It is no YAML, has a name twice in a mapping, or is larger than what people write.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, Error> {
    let mut builder = Builder { events: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0 };
    let mut documents = Vec::new();
    while let Some((event, span)) = builder.next()? {
        if matches!(event, Event::DocumentStart(..)) {
            builder.anchors.clear();
            let (event, span) = builder.expect(&span)?;
            documents.push(builder.node(event, &span, 0)?);
        }
    }
    Ok(documents)
}

struct Builder<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Error> {
        self.events.next_event().transpose().map_err(|e: ScanError| {
            let message = e.to_string();
            let short = message.split(" at byte").next().unwrap_or_default();
            Error { message: short.to_owned(), line: e.marker().line() }
        })
    }

    fn expect(&mut self, after: &Span) -> Result<(Event<'a>, Span), Error> {
        self.next()?
            .ok_or_else(|| Error { message: "the text ends too early".into(), line: after.start.line() })
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Error> {
        let wrong = |message: &str| Error { message: message.to_owned(), line: span.start.line() };
        self.nodes += 1;
        if self.nodes > MOST_NODES || depth > DEEPEST {
            return Err(wrong("it is larger or nested deeper than anybody writes"));
        }
        let (anchor, value, end) = match event {
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(wrong("an alias refers to something that contains it"));
                };
                self.nodes += node.nodes();
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, _) => {
                (anchor, Value::Scalar(text.into_owned(), style == ScalarStyle::Plain), end(span))
            }
            Event::SequenceStart(style, anchor, _) => {
                let (items, end) = self.items(span, style, depth)?;
                (anchor, Value::Sequence(items), end)
            }
            Event::MappingStart(style, anchor, _) => {
                let (items, end) = self.items(span, style, depth)?;
                (anchor, Value::Mapping(pairs(items)?), end)
            }
            _ => return Err(wrong("there is no value")),
        };
        let start = span.start.byte_offset().unwrap_or_default();
        let node =
            Node { value, span: start..end.max(start), line: span.start.line(), column: span.start.col() };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// What is in a collection, and where it ends.
    fn items(
        &mut self,
        start: &Span,
        style: StructureStyle,
        depth: usize,
    ) -> Result<(Vec<Node>, usize), Error> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.expect(start)?;
            if matches!(event, Event::SequenceEnd | Event::MappingEnd) {
                // A block ends only where the next token starts, after comments that are not its own.
                let last = items.last().map(|node| node.span.end);
                let flow = matches!(style, StructureStyle::Flow);
                return Ok((items, last.filter(|_| !flow).unwrap_or_else(|| end(&span))));
            }
            items.push(self.node(event, &span, depth + 1)?);
        }
    }
}

fn end(span: &Span) -> usize {
    span.end.byte_offset().unwrap_or_default()
}

fn pairs(items: Vec<Node>) -> Result<Vec<(Node, Node)>, Error> {
    let mut entries: Vec<(Node, Node)> = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    let mut seen = std::collections::BTreeSet::new();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        if let Some(name) = key.text().filter(|name| !seen.insert((*name).to_owned())) {
            return Err(Error { message: format!("{name} is there twice"), line: key.line });
        }
        entries.push((key, value));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_stay_as_they_are_written_and_know_their_place() {
        let text =
            "# c\ntags: [1.20, \"yes\", no]\nargs:\n  A: |\n    x\n    y\n  B:\n# end\nlast: 'it''s'\n";
        let root = parse(text).unwrap().remove(0);
        let tags: Vec<_> = root.get("tags").unwrap().items().iter().filter_map(Node::text).collect();
        assert_eq!(tags, ["1.20", "yes", "no"]);
        assert_eq!(&text[root.get("tags").unwrap().span.clone()], "[1.20, \"yes\", no]");
        assert_eq!(root.at(&["args", "A"]).unwrap().text(), Some("x\ny\n"));
        assert!(root.at(&["args", "B"]).unwrap().is_null());
        let last = root.get("last").unwrap();
        assert_eq!((last.text(), last.line, &text[last.span.clone()]), (Some("it's"), 9, "'it''s'"));
    }

    #[test]
    fn documents_and_aliases() {
        let documents = parse("a: &x {b: 1}\nc: *x\n---\nd\n").unwrap();
        assert_eq!(documents[0].at(&["c", "b"]).unwrap().text(), Some("1"));
        assert_eq!(documents[1].text(), Some("d"));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn broken_and_endless_texts_are_refused_with_a_line() {
        assert_eq!(
            parse("a: 1\nb: 2\na: 3\n").unwrap_err(),
            Error { message: "a is there twice".into(), line: 3 }
        );
        assert_eq!(parse("a: 1\nb: [\n").unwrap_err().line, 2);
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (n, name) in ('b'..='h').enumerate() {
            let before = (b'a' + n as u8) as char;
            bomb += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", "));
        }
        assert!(parse(&bomb).unwrap_err().message.contains("larger"));
        assert!(parse(&"[".repeat(5000)).is_err());
    }
}
