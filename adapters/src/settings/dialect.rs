//! How a front spells the keys: prefixes, other names, names of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::key::{self, KEYS, Key, Kind};
use super::{Origin, Settings, Value};
use crate::env::Env;
use crate::usage::Usage;
use crate::vocabulary::suggest;

/// What a name of a front stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A key.
    Is(Key),
    /// A boolean key, the other way round.
    Not(Key),
    /// Something only this front has, to be had from [`Read::own`]; one text.
    Own,
    /// The same, as items ([`Read::own_items`]).
    OwnItems,
}

/// A front's names. Keys whose own name is not among them can be given by it, too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// What an input is called: `input`, `parameter`.
    pub(crate) noun: &'static str,
    /// How names are written: `build-args`, `BUILD_ARGS`.
    pub(crate) spelling: fn(&str) -> String,
    /// Other names, and names that no other front has.
    pub(crate) names: &'static [(&'static str, Meaning)],
    /// What inputs are by default in what users reference: such a value was not chosen, and a configuration
    /// file counts more.
    pub(crate) defaults: &'static [(Key, &'static str)],
}

/// What a front was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Read {
    /// What everybody understands.
    pub(crate) settings: Settings,
    own: BTreeMap<String, Vec<String>>,
}

impl Read {
    /// A text that only this front understands; an empty one is unset.
    pub(crate) fn own(&self, name: &str) -> Option<&str> {
        let text = self.own.get(name)?.first()?;
        Some(text.as_str()).filter(|text| !text.trim().is_empty())
    }

    /// Items that only this front understands.
    pub(crate) fn own_items(&self, name: &str) -> &[String] {
        self.own.get(name).map_or(&[], Vec::as_slice)
    }

    /// A boolean that only this front understands.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn own_boolean(&self, name: &str) -> Result<Option<bool>, Usage> {
        self.own(name).map(|text| crate::vocabulary::boolean(name, text)).transpose()
    }
}

impl Dialect {
    /// What a name stands for.
    pub(crate) fn meaning(&self, name: &str) -> Option<Meaning> {
        let other = self.names.iter().find(|(spelling, _)| key::same(spelling, name));
        other.map(|(_, meaning)| *meaning).or_else(|| Key::named(name).map(Meaning::Is))
    }

    /// Takes what a name was given, as one text.
    ///
    /// # Errors
    /// An unknown name, with the one that was meant, or a broken value. `shown` is what errors call it.
    pub(crate) fn put(&self, to: &mut Read, name: &str, text: &str, shown: &str) -> Result<(), Usage> {
        let origin = || Origin::input(shown);
        match self.meaning(name).ok_or_else(|| self.unknown(name, shown))? {
            Meaning::Is(key) if self.is_default(key, text.trim()) => {
                to.settings.put(key, text, Origin::platform(format!("default of {shown}")))
            }
            Meaning::Is(key) => to.settings.put(key, text, origin()),
            Meaning::Not(_) if text.trim().is_empty() => Ok(()),
            Meaning::Not(key) => {
                let value = crate::vocabulary::boolean(shown, text)?;
                to.settings.add(key, Value::Boolean(!value), origin())
            }
            Meaning::Own | Meaning::OwnItems => {
                to.own.insert(key::plain(name), vec![text.to_owned()]);
                Ok(())
            }
        }
    }

    fn is_default(&self, key: Key, text: &str) -> bool {
        // A directory of the platform's with a default behind it.
        let composed = key == Key::Context && text.ends_with("/./");
        composed || self.defaults.contains(&(key, text))
    }

    /// Takes what a name was given, as items that are apart already.
    ///
    /// # Errors
    /// As [`Dialect::put`].
    pub(crate) fn put_items(
        &self,
        to: &mut Read,
        name: &str,
        items: &[String],
        shown: &str,
    ) -> Result<(), Usage> {
        match self.meaning(name) {
            Some(Meaning::Is(key)) => to.settings.put_items(key, items, Origin::input(shown)),
            Some(Meaning::OwnItems) => {
                let items = items.iter().filter(|item| !item.is_empty()).cloned();
                to.own.entry(key::plain(name)).or_default().extend(items);
                Ok(())
            }
            None => Err(self.unknown(name, shown)),
            _ => match items {
                [] => Ok(()),
                [one] => self.put(to, name, one, shown),
                _ => Err(Usage::new(format!("{shown} takes one value and is given {}", items.len()))),
            },
        }
    }

    /// Whether a name takes several items.
    pub(crate) fn many(&self, name: &str) -> bool {
        match self.meaning(name) {
            Some(Meaning::Is(key)) => matches!(key.kind(), Kind::List(_) | Kind::Pairs),
            Some(Meaning::OwnItems) => true,
            _ => false,
        }
    }

    /// The variables of a prefix: `YADOKARI_BUILD_ARGS`, `INPUT_BUILD-ARGS`. A variable has hyphens where a
    /// runner made it, and underscores where a shell had to pass it on.
    ///
    /// # Errors
    /// One that stands for nothing, or has a broken value.
    pub(crate) fn variables(&self, env: &Env, prefix: &str) -> Result<Read, Usage> {
        let mut read = Read::default();
        let mut seen = BTreeSet::new();
        for (variable, text) in env.iter() {
            let Some(name) = variable.strip_prefix(prefix).filter(|name| !is_service(name)) else { continue };
            let plain = key::plain(name);
            // A runner may leave its own spelling beside the shell's.
            if !text.trim().is_empty() && !seen.insert(plain.clone()) {
                continue;
            }
            let shown = match prefix {
                "INPUT_" => format!("{} {plain}", self.noun),
                _ => format!("{} {plain} (variable {variable})", self.noun),
            };
            self.put(&mut read, name, text, &shown)?;
        }
        Ok(read)
    }

    fn unknown(&self, name: &str, shown: &str) -> Usage {
        let known: Vec<&str> =
            self.names.iter().map(|(name, _)| *name).chain(KEYS.iter().map(|key| key.name())).collect();
        let error = Usage::new(format!("there is no {shown}"));
        match suggest(&key::plain(name), &known) {
            Some(meant) => error.help(format!("did you mean {}?", (self.spelling)(meant))),
            None => {
                let known: Vec<String> = known.into_iter().map(self.spelling).collect();
                error.help(format!("the {}s are {}", self.noun, known.join(", ")))
            }
        }
    }
}

/// `build-args`
pub(crate) fn kebab(name: &str) -> String {
    key::plain(name)
}

/// `BUILD_ARGS`
pub(crate) fn shouted(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

/// Whether the rest of a variable's name is one that Kubernetes makes for a service of the prefix's name.
pub(crate) fn is_service(name: &str) -> bool {
    ["SERVICE_HOST", "SERVICE_PORT", "PORT"]
        .iter()
        .any(|start| name.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}
