//! `$(…)` in strings.

/// A reference in a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The parts between dots: `["params", "IMAGE"]`; what was in brackets and quotes is a part.
    pub parts: Vec<String>,
    /// `[*]` or `[0]` at its end, without the brackets.
    pub index: Option<String>,
    /// Whether the string has nothing else.
    pub whole: bool,
}

impl Reference {
    /// As it was written, but for quotes.
    pub fn text(&self) -> String {
        let index = self.index.as_ref().map_or(String::new(), |i| format!("[{i}]"));
        format!("$({}{index})", self.parts.join("."))
    }
}

/// All references of a string.
pub fn references(text: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let Some(length) = rest[start..].find(')') else { break };
        let inside = &rest[start + 2..start + length];
        let whole = text.len() == length + 1;
        found.push(parse(inside, whole));
        rest = &rest[start + length + 1..];
    }
    found
}

fn parse(inside: &str, whole: bool) -> Reference {
    let mut parts = vec![String::new()];
    let mut index = None;
    let mut rest = inside;
    while let Some(c) = rest.chars().next() {
        if c == '[' {
            let end = rest.find(']').unwrap_or(rest.len() - 1);
            let content = &rest[1..end];
            match content.strip_prefix(['"', '\'']) {
                Some(quoted) => parts.push(quoted.trim_end_matches(['"', '\'']).to_owned()),
                None => index = Some(content.to_owned()),
            }
            rest = &rest[end + 1..];
        } else if c == '.' {
            parts.push(String::new());
            rest = &rest[1..];
        } else {
            parts.last_mut().expect("never empty").push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    parts.retain(|part| !part.is_empty());
    Reference { parts, index, whole }
}
