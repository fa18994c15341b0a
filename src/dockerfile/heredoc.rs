//! Heredocs: `<<NAME` words in a line, and the bodies in the lines after it.

use super::expand::{ExpandError, literal_words};
use super::lines::{Line, PhysicalLine, PhysicalLines};
use super::report::Report;
use super::{Heredoc, Source, Span};
use std::ops::Range;

/// A `<<NAME` word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) name: String,
    pub(super) expand: bool,
    pub(super) strip_tabs: bool,
    pub(super) file_descriptor: Option<u64>,
}

impl Opening {
    /// Reads a word; `None` if it opens no heredoc.
    ///
    /// # Errors
    /// The delimiter has a quote that is never closed or the like.
    pub(super) fn parse(word: &str) -> Result<Option<Opening>, ExpandError> {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let Some(delimiter) = word[digits..].strip_prefix("<<") else { return Ok(None) };
        let (strip_tabs, delimiter) = match delimiter.strip_prefix('-') {
            Some(delimiter) => (true, delimiter),
            None => (false, delimiter),
        };
        let delimiter = delimiter.trim_start_matches(['\t', '\n', '\x0c', '\r', ' ']);
        if delimiter.is_empty() || delimiter.contains('<') {
            return Ok(None);
        }
        let names = literal_words(delimiter, false, false)?;
        let [(name, _)] = names.as_slice() else { return Ok(None) };
        // Only quotes that vanished count: an escaped delimiter leaves expansion on.
        let written = literal_words(delimiter, true, false)?;
        let [(written, _)] = written.as_slice() else {
            let message = format!("`{delimiter}` is one word without its quotes and several with them");
            return Err(ExpandError { range: 0..delimiter.len(), message, help: None });
        };
        let expand = quotes(written) == quotes(name);
        // A number too large for one is the largest, as Go's parser gives it.
        let number = word.get(..digits).filter(|number| !number.is_empty());
        let file_descriptor = number.map(|number| number.parse().unwrap_or(u64::MAX));
        Ok(Some(Opening { name: name.clone(), expand, strip_tabs, file_descriptor }))
    }

    /// The opening words of a logical line with their ranges.
    ///
    /// A line whose quotes or variables are not well-formed has none: it is left to the shell.
    ///
    /// # Errors
    /// As [`Opening::parse`].
    pub(super) fn find(line: &Line) -> Result<Vec<(Opening, Range<usize>)>, ExpandError> {
        if !line.text().contains("<<") {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (word, range) in literal_words(line.text(), true, true).unwrap_or_default() {
            if let Some(opening) = Opening::parse(&word)? {
                found.push((opening, range));
            }
        }
        Ok(found)
    }

    /// Reads the body from the lines that follow, delimiter included.
    pub(super) fn read(self, span: Span, lines: &mut PhysicalLines<'_>, report: &mut Report<'_>) -> Heredoc {
        let source = report.source;
        let mut body: Vec<PhysicalLine> = Vec::new();
        let mut start = None;
        loop {
            let Some(line) = lines.next() else {
                self.unterminated(span, &body, report);
                break;
            };
            start.get_or_insert(line.start);
            if line.is_too_long(source) {
                super::parse::report_long_line(line, report);
            }
            let text = line.text(source);
            let text = if self.strip_tabs { text.trim_start_matches('\t') } else { text };
            if text == self.name {
                break;
            }
            body.push(line);
        }
        let start = start.unwrap_or(source.text().len());
        let body_span = Span::new(start, body.last().map_or(start, |line| line.next));
        if source.is_replaced(body_span) {
            let message = format!("the heredoc `{}` is not UTF-8", self.name);
            report.error(span, message, "save the file as UTF-8, or COPY the content from a file");
        }
        let content = source.slice(body_span);
        Heredoc {
            content: if self.strip_tabs { without_tabs(content) } else { content.to_owned() },
            name: self.name,
            expand: self.expand,
            strip_tabs: self.strip_tabs,
            file_descriptor: self.file_descriptor,
            span,
            body_span,
        }
    }

    fn unterminated(&self, span: Span, body: &[PhysicalLine], report: &mut Report<'_>) {
        let source = report.source;
        let near = body.iter().find(|line| line.text(source).trim() == self.name);
        let help = match near {
            Some(line) => format!(
                "in line {} blanks stand around `{}`: it must stand alone{}",
                source.line(line.start),
                self.name,
                if self.strip_tabs { ", only tabs before it" } else { "" },
            ),
            None => format!("end it with a line that holds only `{}`", self.name),
        };
        report.syntax(span, format!("the heredoc `{}` is never ended", self.name), help);
    }
}

/// The end of the delimiter's line after a body, or of the body if there is none.
pub(super) fn end(heredoc: &Heredoc, source: &Source) -> usize {
    let after = heredoc.body_span.end;
    let rest = source.text().get(after..).unwrap_or_default();
    after + rest.split('\n').next().unwrap_or_default().trim_end_matches('\r').len()
}

/// A body without the tabs that begin its lines, as `<<-` has it.
pub(super) fn without_tabs(body: &str) -> String {
    body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}

fn quotes(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b'\'' | b'"')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words() {
        for (word, expected) in [
            ("<<EOF", Some(("EOF", true, false, None))),
            ("<<-EOF", Some(("EOF", true, true, None))),
            ("3<<EOF", Some(("EOF", true, false, Some(3)))),
            ("<<\"EOF\"", Some(("EOF", false, false, None))),
            ("<<-'EOF'", Some(("EOF", false, true, None))),
            ("<<E\"O\"F", Some(("EOF", false, false, None))),
            ("<<\\EOF", Some(("EOF", true, false, None))),
            ("<<\"a b\"", Some(("a b", false, false, None))),
            ("<<$X", Some(("$X", true, false, None))),
            ("<<a.txt", Some(("a.txt", true, false, None))),
            ("<<- EOF", Some(("EOF", true, true, None))),
            ("<< -EOF", Some(("-EOF", true, false, None))),
            ("<<eo\\'f", Some(("eo'f", true, false, None))),
            ("<<'e'o\\'f", Some(("eo'f", false, false, None))),
            ("<<", None),
            ("<<-", None),
            ("<<<EOF", None),
            ("<<a<b", None),
            ("<<a b", None),
            ("<<\"\"", None),
            ("a<<EOF", None),
            ("<EOF", None),
        ] {
            let found = Opening::parse(word).unwrap();
            let found = found.as_ref().map(|o| (o.name.as_str(), o.expand, o.strip_tabs, o.file_descriptor));
            assert_eq!(found, expected, "{word}");
        }
        assert!(Opening::parse("<<\"EOF").is_err());
        assert!(Opening::parse("<<'' a").is_err());
        assert!(Opening::parse("<<EOF'").is_err() && Opening::parse("<<EOF\"").is_err());
        assert_eq!(
            Opening::parse("99999999999999999999<<E").unwrap().unwrap().file_descriptor,
            Some(u64::MAX)
        );
    }

    #[test]
    fn finds_words_in_lines() {
        for (text, expected) in [
            ("RUN <<A cat <<-\"B\" >x", &["<<A", "<<-\"B\""][..]),
            ("RUN echo \"<<A\"", &[]),
            ("RUN echo it's <<A", &[]),
            ("RUN cat <<A | sed 's/a/b/'", &["<<A"]),
            ("RUN cat <<  A  >x", &["<<  A"]),
            ("RUN cat <<- A", &[]),
            ("RUN cat <<<A", &[]),
            ("RUN cat a<b <A", &[]),
            ("RUN echo $((1 << 2))", &["<< 2))"]),
            ("RUN a && \\<<A", &[]),
        ] {
            let mut line = Line::default();
            line.push(text, 0);
            let found = Opening::find(&line).unwrap();
            let words: Vec<_> = found.into_iter().map(|(_, range)| line.slice(range)).collect();
            assert_eq!(words, expected, "{text}");
        }
    }

    #[test]
    fn strips_tabs_of_each_line() {
        assert_eq!(without_tabs("\t\ta\n \tb\n\n\t"), "a\n \tb\n\n");
    }
}
