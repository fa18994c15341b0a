//! What a build is told, by whom, and what it comes to: one vocabulary for all fronts.
//!
//! A front only renames ([`dialect`]): its inputs become values of [`Key`]s, each with its [`Origin`].
//! Values are understood here, weaker origins give way to stronger ones here, and here they become
//! flags and a job ([`land`]).

pub(crate) mod auth;
pub(crate) mod dialect;
pub(crate) mod explain;
pub(crate) mod file;
pub(crate) mod key;
pub(crate) mod land;
pub(crate) mod list;
mod origin;
mod outputs;
mod secrets;

use crate::usage::Usage;
use crate::vocabulary::boolean;

pub(crate) use key::{Key, Kind, Merge};
pub(crate) use origin::{Layer, Origin};

/// A value of a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of texts, numbers and times.
    Text(String),
    /// Of booleans.
    Boolean(bool),
    /// Of lists and pairs.
    Items(Vec<String>),
}

/// A value and who gave it.
#[derive(Clone)]
pub(crate) struct Given {
    /// Of which key.
    pub(crate) key: Key,
    /// The value.
    pub(crate) value: Value,
    /// Who gave it.
    pub(crate) origin: Origin,
}

/// Everything a build is told.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    given: Vec<Given>,
}

impl std::fmt::Debug for Settings {
    /// Without values: some are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.given.iter().map(|g| (g.key.name(), g.origin.to_string()))).finish()
    }
}

impl Settings {
    /// Takes a value as a platform writes it, in one text; an empty one is unset.
    ///
    /// # Errors
    /// It is none of the key's kind, or the same origins say two things.
    pub(crate) fn put(&mut self, key: Key, text: &str, origin: Origin) -> Result<(), Usage> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let name = origin.of(key);
        let value = match key.kind() {
            Kind::Text if key.secret() => Value::Text(text.to_owned()),
            Kind::Text => Value::Text(text.trim().to_owned()),
            Kind::Boolean => Value::Boolean(boolean(&name, text)?),
            Kind::Number => Value::Text(number(&name, text)?),
            Kind::Time => Value::Text(time(&name, text)?),
            Kind::List(split) => Value::Items(list::list(&name, text, split)?),
            Kind::Pairs => Value::Items(list::list(&name, text, list::Split::Lines)?),
        };
        self.add(key, value, origin)
    }

    /// Takes a value of items that are apart already; empty ones are left out.
    ///
    /// # Errors
    /// As [`Settings::put`].
    pub(crate) fn put_items(&mut self, key: Key, items: &[String], origin: Origin) -> Result<(), Usage> {
        let items: Vec<String> = items.iter().filter(|item| !item.is_empty()).cloned().collect();
        match (key.kind(), items.as_slice()) {
            (_, []) => Ok(()),
            (Kind::List(_) | Kind::Pairs, _) => self.add(key, Value::Items(items), origin),
            (_, [one]) => self.put(key, one, origin),
            _ => Err(Usage::new(format!("{} takes one value and is given {}", origin.of(key), items.len()))),
        }
    }

    /// Everything another one was told, too; of two platforms' defaults its own stay.
    ///
    /// # Errors
    /// The same origins say two things.
    pub(crate) fn extend(&mut self, other: Settings) -> Result<(), Usage> {
        other.given.into_iter().try_for_each(|g| self.add(g.key, g.value, g.origin))
    }

    fn add(&mut self, key: Key, value: Value, origin: Origin) -> Result<(), Usage> {
        if let (Kind::Pairs, Value::Items(items)) = (key.kind(), &value) {
            // NAME alone is the environment's value.
            let bare = key == Key::BuildArgs;
            let wrong = |item: &&String| item.starts_with('=') || !(bare || item.contains('='));
            if let Some(item) = items.iter().find(wrong) {
                return Err(Usage::new(format!(
                    "{}: '{item}' is not of the form NAME=VALUE",
                    origin.of(key)
                ))
                .help("write one NAME=VALUE a line; VALUE may hold anything"));
            }
        }
        let scalar = !matches!(value, Value::Items(_));
        let other = |g: &&Given| g.key == key && g.origin.layer == origin.layer && key.merge() != Merge::Kept;
        if let Some(other) = self.given.iter().find(other).filter(|g| scalar && g.value != value) {
            if origin.layer == Layer::Platform {
                return Ok(());
            }
            return Err(Usage::new(format!(
                "{} is given twice: by {} and by {}",
                key.name(),
                other.origin,
                origin
            ))
            .help("give one of them"));
        }
        self.given.push(Given { key, value, origin });
        Ok(())
    }

    /// What counts of a key's values, the weakest first.
    pub(crate) fn of(&self, key: Key) -> Vec<&Given> {
        let mut all: Vec<&Given> = self.given.iter().filter(|g| g.key == key).collect();
        // A stronger place to push to displaces a weaker one in either spelling.
        if matches!(key, Key::Image | Key::Destinations) {
            let places = |g: &&Given| matches!(g.key, Key::Image | Key::Destinations);
            let strongest = self.given.iter().filter(places).map(|g| g.origin.layer).max();
            all.retain(|g| Some(g.origin.layer) == strongest);
        }
        all.sort_by_key(|g| g.origin.layer);
        if key.merge() == Merge::Replaced {
            let strongest = all.last().map(|g| g.origin.layer);
            all.retain(|g| Some(g.origin.layer) == strongest);
        }
        all
    }

    /// A text, number or time.
    pub(crate) fn text(&self, key: Key) -> Option<&str> {
        self.of(key).into_iter().rev().find_map(|g| match &g.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A boolean.
    pub(crate) fn boolean(&self, key: Key) -> Option<bool> {
        self.of(key).into_iter().rev().find_map(|g| match g.value {
            Value::Boolean(value) => Some(value),
            _ => None,
        })
    }

    /// The items of a list, or of pairs: of those with one name the strongest, at the place of the weakest.
    pub(crate) fn items(&self, key: Key) -> Vec<String> {
        self.items_given(key).into_iter().map(|(item, _)| item.to_owned()).collect()
    }

    /// As [`Settings::items`], each with who gave it.
    pub(crate) fn items_given(&self, key: Key) -> Vec<(&str, &Origin)> {
        let mut all: Vec<(&str, &Origin)> = Vec::new();
        for given in self.of(key) {
            let Value::Items(items) = &given.value else { continue };
            for item in items {
                let name = |item: &str| item.split_once('=').map_or(item, |(name, _)| name).to_owned();
                let weaker = all.iter_mut().find(|(other, origin)| {
                    key.merge() == Merge::ByName
                        && origin.layer != given.origin.layer
                        && name(other) == name(item)
                });
                match weaker {
                    Some(place) => *place = (item, &given.origin),
                    None => all.push((item, &given.origin)),
                }
            }
        }
        all
    }

    /// Who gave what counts of a key; the strongest if several did.
    pub(crate) fn origin(&self, key: Key) -> Option<&Origin> {
        self.of(key).last().map(|g| &g.origin)
    }

    /// Whether anybody but the platform's own defaults gave a key.
    pub(crate) fn chosen(&self, key: Key) -> bool {
        self.origin(key).is_some_and(|origin| origin.layer > Layer::Platform)
    }
}

/// A whole number, in the words of the flag that takes it.
fn number(name: &str, text: &str) -> Result<String, Usage> {
    match text.trim().parse::<i64>() {
        Ok(number) => Ok(number.to_string()),
        Err(_) => Err(Usage::new(format!("'{}' of {name} is no whole number", text.trim()))),
    }
}

/// Seconds since 1970, given so or as in RFC 3339.
fn time(name: &str, text: &str) -> Result<String, Usage> {
    let text = text.trim();
    if text.parse::<u64>().is_ok() {
        return Ok(text.to_owned());
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) if time.as_second() >= 0 => Ok(time.as_second().to_string()),
        _ => Err(Usage::new(format!("'{text}' of {name} is no time"))
            .help("write seconds since 1970, or a time such as 2026-01-31T12:00:00Z")),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
