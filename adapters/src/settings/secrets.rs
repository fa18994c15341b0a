//! Secrets of steps, in the four ways in which they are told.

use yadokari::config::{SecretBytes, SecretSource, StepSecret};

use super::{Key, Settings};
use crate::usage::Usage;

/// `--secret` of every secret that is in a file or a variable.
///
/// # Errors
/// An item without a name or a place.
pub(super) fn words(settings: &Settings) -> Result<Vec<String>, Usage> {
    let mut words = Vec::new();
    for (item, origin) in settings.items_given(Key::Secrets) {
        words.push(format!("--secret={}", general(item, &origin.of(Key::Secrets))?));
    }
    for (key, place) in [(Key::SecretEnvs, "env"), (Key::SecretFiles, "src")] {
        for (item, origin) in settings.items_given(key) {
            let (id, value) = pair(item, &origin.of(key), "NAME and where its value is")?;
            words.push(format!("--secret={}", flag(id, place, value)));
        }
    }
    Ok(words)
}

/// Secrets whose values are told.
///
/// # Errors
/// An item without a name. Values are in no error.
pub(super) fn values(settings: &Settings) -> Result<Vec<StepSecret>, Usage> {
    let items = settings.items_given(Key::SecretValues).into_iter();
    items
        .map(|(item, origin)| {
            let (id, value) = pair(item, &origin.of(Key::SecretValues), "NAME=VALUE")?;
            Ok(StepSecret {
                id: id.to_owned(),
                source: SecretSource::Value(SecretBytes(value.as_bytes().to_vec())),
            })
        })
        .collect()
}

/// `NAME=env:VARIABLE`, `NAME=file:PATH`, `NAME=VARIABLE` is ambiguous and refused; what has an `id` is as
/// the flag takes it.
fn general(item: &str, shown: &str) -> Result<String, Usage> {
    let fields = || item.split(',').map(|field| field.trim().trim_start_matches('"'));
    if fields().any(|field| field.starts_with("id=")) {
        return Ok(item.to_owned());
    }
    let (id, place) = pair(item, shown, "NAME=env:VARIABLE or NAME=file:PATH")?;
    match place.split_once(':') {
        Some(("env", variable)) if !variable.is_empty() => Ok(flag(id, "env", variable)),
        Some(("file", path)) if !path.is_empty() => Ok(flag(id, "src", path)),
        // What follows may be the secret itself.
        _ => Err(Usage::new(format!("{shown}: the secret {id} is neither in a variable nor in a file"))
            .help("write NAME=env:VARIABLE or NAME=file:PATH; a value itself goes into a masked variable")),
    }
}

fn pair<'a>(item: &'a str, shown: &str, form: &str) -> Result<(&'a str, &'a str), Usage> {
    match item.split_once('=') {
        Some((id, value)) if !id.trim().is_empty() && !value.is_empty() => Ok((id.trim(), value)),
        _ => Err(Usage::new(format!("{shown}: a secret is not of the form {form}")).help(
            "write one NAME=… a line; a value of several lines in quotes, from before the name to its end",
        )),
    }
}

/// The flag's text; a field with a comma or a quote is quoted.
fn flag(id: &str, place: &str, value: &str) -> String {
    let field = |name: &str, value: &str| match value.contains([',', '"', '\n']) {
        true => format!("\"{name}={}\"", value.replace('"', "\"\"")),
        false => format!("{name}={value}"),
    };
    format!("{},{}", field("id", id), field(place, value))
}
