//! The engine for inputs: variables that start with a prefix.

use std::collections::BTreeMap;

use crate::env::Env;
use crate::settings::Kind;
use crate::settings::dialect::{Dialect, Meaning, Read, is_service};
use crate::usage::Usage;

/// What a variable's name says beyond its prefix.
enum Part<'a> {
    /// A whole input.
    Input(&'a str),
    /// `TAGS_0`: an item of a list.
    Item(&'a str, usize),
    /// `TAGS_COUNT`: how many items there are, which is known without it.
    Count,
}

/// What the variables of the prefixes say. Lists may also come as `NAME_0`, `NAME_1`, …, as Buildkite and
/// Bitbucket pass them; `split` knows
/// `NAME=VALUE` items that are joined in the system's own way.
///
/// # Errors
/// One that stands for nothing, or has a broken value.
pub(super) fn read(
    dialect: &Dialect,
    prefixes: &[&str],
    split: fn(&str) -> Option<Vec<String>>,
    env: &Env,
) -> Result<Read, Usage> {
    let mut read = Read::default();
    for prefix in prefixes {
        let mut lists: BTreeMap<&str, BTreeMap<usize, String>> = BTreeMap::new();
        for (variable, text) in env.iter() {
            let Some(name) = variable.strip_prefix(prefix).filter(|name| !is_service(name)) else { continue };
            match part(dialect, name) {
                Part::Item(list, index) => _ = lists.entry(list).or_default().insert(index, text.to_owned()),
                Part::Count => {}
                Part::Input(name) => {
                    let shown = shown(dialect, name, variable);
                    match split(text).filter(|_| is_pairs(dialect, name)) {
                        Some(items) => dialect.put_items(&mut read, name, &items, &shown)?,
                        None => dialect.put(&mut read, name, text, &shown)?,
                    }
                }
            }
        }
        for (name, items) in lists {
            let items: Vec<String> = items.into_values().collect();
            dialect.put_items(
                &mut read,
                name,
                &items,
                &shown(dialect, name, &format!("{prefix}{name}_0")),
            )?;
        }
    }
    Ok(read)
}

fn is_pairs(dialect: &Dialect, name: &str) -> bool {
    matches!(dialect.meaning(name), Some(Meaning::Is(key)) if key.kind() == Kind::Pairs)
}

fn part<'a>(dialect: &Dialect, name: &'a str) -> Part<'a> {
    match name.rsplit_once('_').filter(|(list, _)| dialect.many(list)) {
        Some((_, "COUNT")) => Part::Count,
        Some((list, index)) => index.parse().map_or(Part::Input(name), |index| Part::Item(list, index)),
        None => Part::Input(name),
    }
}

fn shown(dialect: &Dialect, name: &str, variable: &str) -> String {
    format!("{} {} (variable {variable})", dialect.noun, (dialect.spelling)(name))
}
