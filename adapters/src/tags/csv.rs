//! Records and fields as the package csv-parse reads them for Docker's actions.

use crate::usage::Usage;

/// The records of an input, one a line: `#` at the beginning of one is a comment, quotes inside a
/// field belong to it, empty lines are left out. The fields of a record are joined by commas again.
///
/// # Errors
/// A quote that is not closed.
pub(super) fn lines(name: &str, text: &str) -> Result<Vec<String>, Usage> {
    let records = Reader { text: text.trim(), relaxed: true }.records();
    let records = records.map_err(|why| broken(name, text, why))?;
    let joined = records.into_iter().map(|fields| fields.join(","));
    Ok(joined.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// The fields of one entry: a quoted field may hold commas and line ends; what follows the first
/// record is left out.
///
/// # Errors
/// A quote inside a field, or one that is not closed.
pub(super) fn fields(name: &str, text: &str) -> Result<Vec<String>, Usage> {
    let records = Reader { text, relaxed: false }.records().map_err(|why| broken(name, text, why))?;
    Ok(records.into_iter().next().unwrap_or_default())
}

/// A field's name in lower case, and its value; just a value where there is no `=`.
pub(super) fn attribute(parts: &[&str]) -> Result<(String, String), String> {
    match parts {
        [name, value, ..] => Ok((name.trim().to_lowercase(), value.trim().to_owned())),
        [value] => Err(value.trim().to_owned()),
        [] => Err(String::new()),
    }
}

fn broken(name: &str, text: &str, why: &str) -> Usage {
    Usage::new(format!("the input {name} is no list: {why}: {text}"))
        .help("quote the whole field, and double a quote that belongs to it")
}

struct Reader<'a> {
    text: &'a str,
    /// Quotes are allowed inside fields, and comments between records.
    relaxed: bool,
}

impl Reader<'_> {
    fn records(&self) -> Result<Vec<Vec<String>>, &'static str> {
        let mut records = Vec::new();
        let mut rest = self.text;
        while !rest.is_empty() {
            if let Some(next) = line_end(rest) {
                rest = next;
            } else if self.relaxed && rest.starts_with('#') {
                rest = rest.find(['\n', '\r']).map_or("", |at| &rest[at..]);
            } else {
                let record;
                (record, rest) = self.record(rest)?;
                records.push(record);
            }
        }
        Ok(records)
    }

    fn record<'t>(&self, text: &'t str) -> Result<(Vec<String>, &'t str), &'static str> {
        let mut fields = Vec::new();
        let mut rest = text;
        loop {
            let field;
            (field, rest) = match rest.strip_prefix('"') {
                Some(quoted) => match self.quoted(quoted)? {
                    Some(done) => done,
                    // As it stands: text goes on behind the closing quote.
                    None => self.plain(rest)?,
                },
                None => self.plain(rest)?,
            };
            fields.push(field);
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => return Ok((fields, line_end(rest).unwrap_or(rest))),
            }
        }
    }

    fn plain<'t>(&self, text: &'t str) -> Result<(String, &'t str), &'static str> {
        let end = text.find([',', '\n', '\r']).unwrap_or(text.len());
        let field = &text[..end];
        if !self.relaxed && field.contains('"') {
            return Err("a quote is found inside of a field");
        }
        Ok((field.to_owned(), &text[end..]))
    }

    /// The field after an opening quote; none if text follows the closing one, where that is allowed.
    fn quoted<'t>(&self, text: &'t str) -> Result<Option<(String, &'t str)>, &'static str> {
        let mut field = String::new();
        let mut rest = text;
        loop {
            let Some(quote) = rest.find('"') else { return Err("a quote is not closed") };
            field.push_str(&rest[..quote]);
            rest = &rest[quote + 1..];
            if let Some(next) = rest.strip_prefix('"') {
                field.push('"');
                rest = next;
            } else if rest.is_empty() || rest.starts_with([',', '\n', '\r']) {
                return Ok(Some((field, rest)));
            } else if self.relaxed {
                return Ok(None);
            } else {
                return Err("text follows a closing quote");
            }
        }
    }
}

fn line_end(text: &str) -> Option<&str> {
    text.strip_prefix("\r\n").or_else(|| text.strip_prefix(['\n', '\r']))
}
