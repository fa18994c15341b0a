//! Lists in one text, by the rules of docker's actions (`Util.getList` of `@docker/actions-toolkit`,
//! which is csv-parse with relaxed quotes), and JSON arrays.

use crate::usage::Usage;

/// How a text is split into items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// At newlines and commas: tags, platforms.
    Commas,
    /// At newlines only, because commas belong to items: build arguments, labels.
    Lines,
    /// As [`Split::Lines`], with quotes as they are: outputs.
    Literal,
    /// As [`Split::Lines`], with blanks as they are: secrets.
    Untrimmed,
}

/// The items of a text: a JSON array of strings, or lines (and, by `split`, comma separated items) where
/// an item may be quoted as in CSV: `"A={""k"":""v""}"`. A `#` starts no comment. Empty items are left out.
///
/// # Errors
/// A quote that is not closed, with its place, or a broken JSON array. `name` is what errors call the text.
pub(crate) fn list(name: &str, text: &str, split: Split) -> Result<Vec<String>, Usage> {
    if let Some(items) = json(name, text)? {
        return Ok(items);
    }
    let text = if split == Split::Untrimmed { text } else { trim(text) };
    let quote = if split == Split::Literal { None } else { Some('"') };
    let mut items: Vec<String> = Vec::new();
    for record in Records::new(name, text, quote).collect::<Result<Vec<_>, _>>()? {
        match (record.as_slice(), split) {
            // Also what was quoted is split again.
            ([one], Split::Commas) => items.extend(one.split(',').map(str::to_owned)),
            (_, Split::Commas) => items.extend(record),
            _ => items.push(record.join(",")),
        }
    }
    if split != Split::Untrimmed {
        items.iter_mut().for_each(|item| *item = trim(item).to_owned());
    }
    // The toolkit drops empty items before it trims, and so keeps blank ones, which mean nothing.
    items.retain(|item| !item.is_empty());
    Ok(items)
}

/// The comma separated fields of one item, each of which may be quoted as in CSV: `id=a,"src=b,c"`.
///
/// # Errors
/// A quote that is not closed, with its place.
pub(crate) fn fields(name: &str, text: &str) -> Result<Vec<String>, Usage> {
    let records = Records { blanks: false, ..Records::new(name, trim(text), Some('"')) };
    let records = records.collect::<Result<Vec<_>, _>>()?;
    let fields = records.into_iter().flatten().map(|field| trim(&field).to_owned());
    Ok(fields.filter(|field| !field.is_empty()).collect())
}

/// An array of strings; none if the text does not start like one.
fn json(name: &str, text: &str) -> Result<Option<Vec<String>>, Usage> {
    let inside = trim(text).strip_prefix('[').map(str::trim_start);
    if !inside.is_some_and(|rest| rest.starts_with(['"', ']'])) {
        return Ok(None);
    }
    let items: Vec<String> = serde_json::from_str(trim(text)).map_err(|e| {
        // The error's own text may have content, which may be secret.
        Usage::new(format!(
            "{name} starts like a JSON array but is none of strings (line {}, column {})",
            e.line(),
            e.column()
        ))
        .help(r#"write one item a line, or a JSON array such as ["A=1", "B=2"]"#)
    })?;
    Ok(Some(items.into_iter().filter(|item| !item.is_empty()).collect()))
}

/// Without blanks around it, as JavaScript's `trim` counts them.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}')
}

/// The records of a CSV text: fields separated by commas, records by the first kind of newline found.
struct Records<'a> {
    name: &'a str,
    text: &'a str,
    position: usize,
    quote: Option<char>,
    newline: Option<&'static str>,
    /// Whether blanks before a quote make it literal.
    blanks: bool,
}

impl<'a> Records<'a> {
    fn new(name: &'a str, text: &'a str, quote: Option<char>) -> Self {
        Records { name, text, position: 0, quote, newline: None, blanks: true }
    }

    /// The length of a newline at a place outside of quotes; the first one decides which they are.
    fn newline_at(&mut self, at: usize) -> Option<usize> {
        let rest = &self.text[at..];
        if self.newline.is_none() {
            self.newline = ["\r\n", "\n", "\r"].into_iter().find(|newline| rest.starts_with(newline));
        }
        self.newline.filter(|newline| rest.starts_with(newline)).map(str::len)
    }

    /// The field here, whether it was quoted, and how it ends.
    fn field(&mut self) -> Result<(String, bool, End), Usage> {
        if !self.blanks {
            let rest = &self.text[self.position..];
            self.position += rest.len() - rest.trim_start_matches([' ', '\t']).len();
        }
        let start = self.position;
        let mut field = String::new();
        let mut quoted = false;
        if self.quote.is_some_and(|quote| self.text[start..].starts_with(quote)) {
            (field, self.position) = self.quoted(start)?;
            quoted = true;
            if !self.ends(self.position) {
                // Characters after the closing quote: both quotes are part of the field.
                field = format!("\"{field}\"");
            }
        }
        while let Some(c) = self.text[self.position..].chars().next() {
            if let Some(length) = self.newline_at(self.position) {
                self.position += length;
                return Ok((field, quoted, End::Record));
            }
            self.position += c.len_utf8();
            if c == ',' {
                return Ok((field, quoted, End::Field));
            }
            field.push(c);
        }
        Ok((field, quoted, End::Text))
    }

    /// What is between the quote at `start` and its other, and the place after that.
    fn quoted(&self, start: usize) -> Result<(String, usize), Usage> {
        let mut field = String::new();
        let mut chars = self.text[start + 1..].char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c != '"' {
                field.push(c);
            } else if chars.next_if(|(_, next)| *next == '"').is_some() {
                field.push('"');
            } else {
                return Ok((field, start + 1 + at + 1));
            }
        }
        let before = &self.text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Err(Usage::new(format!("{}: the quote at line {line}, column {column} is not closed", self.name))
            .help("an item that starts with a quote ends with one; a quote inside is written twice"))
    }

    /// Whether a field ends here.
    fn ends(&mut self, at: usize) -> bool {
        at == self.text.len() || self.text[at..].starts_with(',') || self.newline_at(at).is_some()
    }
}

/// What follows a field.
#[derive(PartialEq, Eq)]
enum End {
    Field,
    Record,
    Text,
}

impl Iterator for Records<'_> {
    type Item = Result<Vec<String>, Usage>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = Vec::new();
        loop {
            if record.is_empty() && self.position == self.text.len() {
                return None;
            }
            let (field, quoted, end) = match self.field() {
                Ok(field) => field,
                Err(error) => {
                    self.position = self.text.len();
                    return Some(Err(error));
                }
            };
            let blank = record.is_empty() && field.is_empty() && !quoted;
            record.push(field);
            match end {
                End::Field => {
                    // A comma at the very end has an empty field after it, which nobody keeps.
                    if self.position == self.text.len() {
                        record.push(String::new());
                        return Some(Ok(record));
                    }
                }
                End::Record if blank => record.clear(),
                End::Record | End::Text => return Some(Ok(record)),
            }
        }
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
