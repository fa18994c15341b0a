//! The syntax tree: instructions cut into words, before anybody asks what they mean.

use super::statement::{Arguments, Statement};
use super::{Reader, environment, healthcheck};
use crate::dockerfile::directive::Directives;
use crate::dockerfile::report::Report;
use crate::dockerfile::{
    Diagnostic, Heredoc, KeyValue, Source, Word, go_quote, go_quote_all, unicode, words,
};
use std::fmt;
use std::ops::Range;

/// An instruction cut into words, as BuildKit's `parser.Node` has it. Any keyword will do, and
/// flags and arguments can be such that no instruction takes them.
///
/// Printed it is BuildKit's dump of the node: `run ["--network=none"] "echo a"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The keyword as written.
    pub keyword: String,
    /// The flags, quotes and escapes removed.
    pub flags: Vec<String>,
    /// The arguments, quotes and escapes still in them: one for the whole rest of the line where
    /// it is not split; three for each pair of `ENV` and `LABEL`, the last being `=`, or empty in
    /// the legacy form; one empty one for a keyword that is no instruction.
    pub arguments: Vec<String>,
    /// Whether the arguments were a JSON array.
    pub is_json: bool,
    /// What `ONBUILD` is given.
    pub trigger: Option<Box<Node>>,
    /// The heredocs, in order.
    pub heredocs: Vec<Heredoc>,
    /// The joined line, comments and continuations removed, blanks at the end kept.
    pub original: String,
    /// The first and the last line, from 1, heredocs included.
    pub lines: (usize, usize),
    /// The comment lines above it, `#` left out, back to the last instruction or empty comment.
    pub comments: Vec<String>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A line of nothing but continuations has no keyword, and no blank stands for it.
        if self.keyword.is_empty() {
            let quoted: Vec<String> = self.arguments.iter().map(|argument| go_quote(argument)).collect();
            return f.write_str(&quoted.join(" "));
        }
        f.write_str(&unicode::lower(&self.keyword))?;
        if !self.flags.is_empty() {
            write!(f, " {}", go_quote_all(&self.flags))?;
        }
        if let Some(trigger) = &self.trigger {
            write!(f, " ({trigger})")?;
        }
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", go_quote(argument)))
    }
}

/// Reads the syntax tree of a Dockerfile. It needs no `FROM`.
///
/// # Errors
/// What no parser gets past, in the order of the text: a directive given twice, a heredoc without
/// an end, an `ENV` without a value, a JSON array of anything but strings, a line that is too
/// long, no instruction at all.
pub fn parse_tree(source: &Source) -> Result<Vec<Node>, Vec<Diagnostic>> {
    let mut reader = Reader::new(source, '\\', Directives::default());
    let mut nodes = Vec::new();
    let mut is_empty = true;
    while let Some(logical) = reader.next() {
        is_empty = false;
        let statement = Statement::split(&logical.line, 0..logical.line.text().len(), reader.escape);
        let heredocs = reader.heredocs(&statement);
        let Some(mut node) = statement.node(&mut reader.report) else { continue };
        node.heredocs = heredocs;
        node.lines = (logical.first_line, reader.lines.taken());
        node.original = logical.line.text().to_owned();
        node.comments = logical.comments.into_iter().map(|word| word.text).collect();
        nodes.push(node);
    }
    if is_empty {
        reader.no_instructions();
    }
    let (_, errors) = reader.finish();
    if errors.is_empty() { Ok(nodes) } else { Err(errors) }
}

impl Statement<'_> {
    /// The node, without what stands around it; `None` after an error.
    pub(super) fn node(&self, report: &mut Report<'_>) -> Option<Node> {
        let mut node = Node {
            keyword: self.line.slice(self.keyword.clone()).to_owned(),
            flags: self.flags.iter().map(|flag| flag.text().to_owned()).collect(),
            arguments: Vec::new(),
            is_json: false,
            trigger: None,
            heredocs: Vec::new(),
            original: self.line.slice(self.whole.clone()).to_owned(),
            lines: (0, 0),
            comments: Vec::new(),
        };
        match self.name() {
            None => node.arguments.push(String::new()),
            Some("ADD" | "COPY" | "VOLUME") => node.take(self.rest_of(self.rest.clone(), true, report)?),
            Some("CMD" | "ENTRYPOINT" | "RUN" | "SHELL") => {
                node.take(self.rest_of(self.rest.clone(), false, report)?);
            }
            Some("ARG") => {
                let found = words::split_quoted(self.line, self.rest.clone(), self.escape);
                node.arguments = found.into_iter().map(|word| word.text).collect();
            }
            Some("ENV" | "LABEL") => node.arguments = self.triples(report)?,
            Some("EXPOSE" | "FROM") => {
                let found = words::split(self.line, self.rest.clone());
                node.arguments = found.into_iter().map(|word| word.text).collect();
            }
            Some("HEALTHCHECK") => {
                let (kind, arguments) = healthcheck::first_argument(self);
                if !kind.is_empty() {
                    let (mut found, is_json) = self.rest_of(arguments, false, report)?;
                    found.insert(0, self.line.slice(kind).to_owned());
                    node.take((found, is_json));
                }
            }
            Some("ONBUILD") if self.rest.is_empty() => {}
            Some("ONBUILD") => node.trigger = Some(Box::new(self.trigger().node(report)?)),
            Some(_) => node.arguments.extend(self.rest_text()),
        }
        Some(node)
    }

    fn rest_text(&self) -> Option<String> {
        (!self.rest.is_empty()).then(|| self.line.slice(self.rest.clone()).to_owned())
    }

    /// A range as the strings of a JSON array, or as text, split at blanks if asked.
    fn rest_of(
        &self,
        range: Range<usize>,
        split: bool,
        report: &mut Report<'_>,
    ) -> Option<(Vec<String>, bool)> {
        let text = |word: Word| word.text;
        Some(match self.arguments(range, report)? {
            Arguments::Json(found) => (found.into_iter().map(text).collect(), true),
            Arguments::Text(range) if split => {
                (words::split(self.line, range).into_iter().map(text).collect(), false)
            }
            Arguments::Text(range) if range.is_empty() => (Vec::new(), false),
            Arguments::Text(range) => (vec![self.line.slice(range).to_owned()], false),
        })
    }

    /// Name, value and what stands between them.
    fn triples(&self, report: &mut Report<'_>) -> Option<Vec<String>> {
        let pairs = environment::cut(self, report)?;
        let triple = |pair: KeyValue| {
            let sign = if pair.legacy { "" } else { "=" };
            [pair.key.text, pair.value.text, sign.to_owned()]
        };
        Some(pairs.into_iter().flat_map(triple).collect())
    }
}

impl Node {
    fn take(&mut self, (arguments, is_json): (Vec<String>, bool)) {
        self.arguments = arguments;
        self.is_json = is_json;
    }
}
