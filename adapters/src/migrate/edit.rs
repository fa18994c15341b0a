//! Changes of a text, and what to tell its owner.

use std::ops::Range;

use crate::yaml::Node;

/// Changes to be made in one text.
pub(super) struct Edits<'a> {
    text: &'a str,
    changes: Vec<(Range<usize>, String)>,
    remarks: Vec<(usize, String)>,
}

impl<'a> Edits<'a> {
    /// None yet.
    pub(super) fn new(text: &'a str) -> Self {
        Edits { text, changes: Vec::new(), remarks: Vec::new() }
    }

    /// Tells the owner of something at a node.
    pub(super) fn remark(&mut self, at: &Node, remark: impl Into<String>) {
        let remark = (at.line, remark.into());
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// Puts another value in the place of a scalar.
    pub(super) fn set(&mut self, node: &Node, value: &str) {
        self.change(node.span.clone(), value.to_owned());
    }

    /// Takes out an entry of a mapping, or an item of a sequence, with the lines it is on. In a flow
    /// collection its comma goes too.
    pub(super) fn remove(&mut self, first: &Node, last: &Node) {
        let before = &self.text[..first.span.start];
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let lead = &self.text[line..first.span.start];
        if lead.chars().all(|c| c == ' ' || c == '-') {
            let end =
                self.text[last.span.end..].find('\n').map_or(self.text.len(), |at| last.span.end + at + 1);
            // A block scalar's end is the start of the next line already.
            let end = if self.text[..last.span.end].ends_with('\n') { last.span.end } else { end };
            return self.change(line..end, String::new());
        }
        let rest = &self.text[last.span.end..];
        let gap = rest.len() - rest.trim_start_matches([' ', ',']).len();
        self.change(first.span.start..last.span.end + gap, String::new());
    }

    /// Replaces an entry of a block mapping by lines at its indentation; of a flow mapping by `flow`.
    pub(super) fn replace_entry(&mut self, key: &Node, value: &Node, lines: &[&str], flow: &str) {
        let line = self.text[..key.span.start].rfind('\n').map_or(0, |at| at + 1);
        let lead = &self.text[line..key.span.start];
        match lead.chars().all(|c| c == ' ' || c == '-') {
            true => {
                let indent = " ".repeat(lead.chars().count());
                let end = value.span.end.max(key.span.end);
                self.change(key.span.start..end, lines.join(&format!("\n{indent}")));
            }
            false => self.change(key.span.start..value.span.end, flow.to_owned()),
        }
    }

    fn change(&mut self, span: Range<usize>, text: String) {
        // An alias stands for a node that was changed where it is defined.
        if !self.changes.iter().any(|(other, _)| other.start < span.end && span.start < other.end) {
            self.changes.push((span, text));
        }
    }

    /// The changed text, and the remarks in the order of lines.
    pub(super) fn finish(mut self) -> (String, Vec<(usize, String)>) {
        self.changes.sort_by_key(|(span, _)| span.start);
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        for (span, text) in &self.changes {
            out.push_str(&self.text[at..span.start]);
            out.push_str(text);
            at = span.end;
        }
        out.push_str(&self.text[at..]);
        self.remarks.sort();
        (out, self.remarks)
    }
}
