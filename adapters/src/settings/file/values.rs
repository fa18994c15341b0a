//! What YAML says of a key, as texts.

use super::File;
use crate::settings::{Key, Kind};
use crate::usage::Usage;
use crate::yaml::{Node, Value};

/// A text of a file.
pub(super) enum Text {
    /// A whole value, to be understood as a platform's would be.
    Whole(String),
    /// One item of a list.
    Item(String),
}

/// The texts of a key, each with its line. Nothing stands for unset.
///
/// # Errors
/// A form that the key does not have, or a variable that is not set.
pub(super) fn values(file: &File, key: Key, node: &Node) -> Result<Vec<(Text, u64)>, Usage> {
    let list = matches!(key.kind(), Kind::List(_) | Kind::Pairs);
    match &node.value {
        _ if node.is_null() => Ok(Vec::new()),
        _ if key == Key::RegistryAuths => {
            let json = json(file, node)?.to_string();
            Ok(vec![(Text::Whole(json), node.line as u64)])
        }
        Value::Scalar(text, _) => {
            let text = context(file, key, expand(file, node, text)?);
            Ok(vec![(Text::Whole(text), node.line as u64)])
        }
        Value::Sequence(items) if list => items
            .iter()
            .filter(|item| !item.is_null())
            .map(|item| Ok((item_of(file, item)?, item.line as u64)))
            .collect(),
        Value::Mapping(entries) if list => entries
            .iter()
            .map(|(name, value)| {
                let name_text = expand(file, name, name.text().unwrap_or_default())?;
                let item = match value.text() {
                    // NAME alone is the environment's value.
                    _ if value.is_null() => name_text,
                    Some(text) => format!("{name_text}={}", expand(file, value, text)?),
                    None => {
                        return Err(file.wrong(value, format!("{name_text} of {} is no text", key.name())));
                    }
                };
                Ok((Text::Item(item), name.line as u64))
            })
            .collect(),
        _ => Err(file.wrong(node, format!("{} is one value, not several", key.name()))),
    }
}

/// An item: a text, or fields as `type=…,dest=…` has them.
fn item_of(file: &File, item: &Node) -> Result<Text, Usage> {
    if let Some(text) = item.text() {
        return Ok(Text::Item(expand(file, item, text)?));
    }
    let fields: Result<Vec<String>, Usage> = item
        .entries()
        .iter()
        .map(|(name, value)| match (name.text(), value.text()) {
            (Some(name), Some(text)) => {
                let field = format!("{name}={}", expand(file, value, text)?);
                Ok(match field.contains([',', '"']) {
                    true => format!("\"{}\"", field.replace('"', "\"\"")),
                    false => field,
                })
            }
            _ => Err(file.wrong(value, "a field of an item is no text".to_owned())),
        })
        .collect();
    match fields? {
        fields if fields.is_empty() => Err(file.wrong(item, "an item is no text".to_owned())),
        fields => Ok(Text::Item(fields.join(","))),
    }
}

/// Directories are relative to the file.
fn context(file: &File, key: Key, text: String) -> String {
    let elsewhere = text.contains("://") || text.starts_with('/') || text.starts_with("git@");
    match key == Key::Context && !elsewhere {
        true => match (file.directory.to_str(), text.as_str()) {
            (Some("." | ""), _) => text,
            (_, ".") => file.directory.display().to_string(),
            _ => file.directory.join(&text).display().to_string(),
        },
        false => text,
    }
}

fn json(file: &File, node: &Node) -> Result<serde_json::Value, Usage> {
    Ok(match &node.value {
        Value::Scalar(text, _) => expand(file, node, text)?.into(),
        Value::Sequence(items) => {
            items.iter().map(|item| json(file, item)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Mapping(entries) => {
            let fields = entries
                .iter()
                .map(|(name, value)| Ok((name.text().unwrap_or_default().to_owned(), json(file, value)?)));
            serde_json::Value::Object(fields.collect::<Result<_, Usage>>()?)
        }
    })
}

fn expand(file: &File, node: &Node, text: &str) -> Result<String, Usage> {
    file.variables.expand(text).map_err(|e| file.wrong(node, e))
}
