//! Variables in a configuration file: `${NAME}`, `${NAME:-default}`; `$$` is a dollar.

use std::collections::BTreeMap;

use crate::env::Env;
use crate::usage::Usage;
use crate::yaml::Node;

/// What names stand for.
#[derive(Clone)]
pub(super) struct Variables {
    /// The environment over what the file says.
    known: BTreeMap<String, String>,
}

impl std::fmt::Debug for Variables {
    /// Without values: some are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

impl Variables {
    /// Reads `variables`: names with what they are where the environment has none. Later ones may use
    /// earlier ones.
    ///
    /// # Errors
    /// A value that is no text, or uses what nobody sets.
    pub(super) fn read(node: &Node, path: &str, env: &Env) -> Result<Self, Usage> {
        let mut variables = Variables::of(env);
        for (name, value) in node.entries() {
            let wrong = |message: &str| Usage::new(format!("{path}:{}: {message}", value.line));
            let name = name.text().filter(|name| is_name(name));
            let name =
                name.ok_or_else(|| wrong("a variable has no name of letters, digits and underscores"))?;
            // An empty one is what a shell makes of an unset variable.
            if variables.known.get(name).is_some_and(|value| !value.is_empty()) || value.is_null() {
                continue;
            }
            let text = value.text().ok_or_else(|| wrong("a variable's value is no text"))?;
            let text = variables.expand(text).map_err(|e| wrong(&e))?;
            variables.known.insert(name.to_owned(), text);
        }
        Ok(variables)
    }

    /// Those of the environment only.
    pub(super) fn of(env: &Env) -> Self {
        Variables { known: env.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// A text with its variables replaced.
    ///
    /// # Errors
    /// A variable that nobody sets and that has no default, or a brace that is not closed.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some(inside) = rest.strip_prefix('{') {
                let end =
                    inside.find('}').ok_or("a ${ is not closed; write $${ for the characters themselves")?;
                out.push_str(&self.value(&inside[..end])?);
                rest = &inside[end + 1..];
            } else {
                // $NAME is left to whoever reads the value.
                out.push('$');
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, inside: &str) -> Result<String, String> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(format!("${{{inside}}} is no variable; write ${{NAME}} or ${{NAME:-default}}"));
        }
        let known = self.known.get(name).filter(|value| !value.is_empty()).map(String::as_str);
        known
            .or(default)
            .map(str::to_owned)
            .ok_or_else(|| format!("the variable {name} is not set; set it, or write ${{{name}:-default}}"))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
