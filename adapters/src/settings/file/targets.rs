//! Which targets a file's user means, and what each is told.

use std::collections::BTreeSet;

use super::File;
use crate::settings::{Key, Layer, Origin, Settings};
use crate::usage::Usage;
use crate::vocabulary::suggest;

/// One of the things to build.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name; none where the file has no targets.
    pub(crate) name: Option<String>,
    /// What the file tells of it.
    pub(crate) settings: Settings,
}

impl File {
    /// The targets of these names, groups resolved, each once. Without names the group or target
    /// `default`; without that all but those whose names start with an underscore.
    ///
    /// # Errors
    /// An unknown name, a circle, or a broken value; with file and line.
    pub(crate) fn select(&self, names: &[String]) -> Result<Vec<Target>, Usage> {
        if self.targets.is_empty() {
            return match names.first() {
                Some(name) => {
                    Err(Usage::new(format!("{} has no targets, and {name} is asked for", self.path))
                        .help("leave the name out, or write the target below targets:"))
                }
                None => Ok(vec![Target { name: None, settings: self.settings(None)? }]),
            };
        }
        let mut chosen = Vec::new();
        for name in if names.is_empty() { self.default_names() } else { names.to_vec() } {
            self.resolve(&name, None, &mut Vec::new(), &mut chosen)?;
        }
        if chosen.is_empty() {
            return Err(Usage::new(format!("{} has no target to build", self.path))
                .help("a name that starts with an underscore is only inherited; name a target, or add one"));
        }
        let targets = chosen
            .into_iter()
            .map(|name| Ok(Target { settings: self.settings(Some(&name))?, name: Some(name) }));
        targets.collect()
    }

    fn default_names(&self) -> Vec<String> {
        let default = "default";
        if self.groups.contains_key(default) || self.targets.contains_key(default) {
            return vec![default.to_owned()];
        }
        self.order.iter().filter(|name| !name.starts_with('_')).cloned().collect()
    }

    fn resolve(
        &self,
        name: &str,
        line: Option<u64>,
        path: &mut Vec<String>,
        chosen: &mut Vec<String>,
    ) -> Result<(), Usage> {
        if self.targets.contains_key(name) {
            if !chosen.iter().any(|other| other == name) {
                chosen.push(name.to_owned());
            }
            return Ok(());
        }
        let Some(members) = self.groups.get(name) else { return Err(self.unknown(name, line)) };
        if path.iter().any(|other| other == name) {
            return Err(Usage::new(format!("{}: the group {name} contains itself", self.path)));
        }
        path.push(name.to_owned());
        for (member, line) in members {
            self.resolve(member, Some(*line), path, chosen)?;
        }
        path.pop();
        Ok(())
    }

    fn unknown(&self, name: &str, line: Option<u64>) -> Usage {
        let known: Vec<&str> = self.targets.keys().chain(self.groups.keys()).map(String::as_str).collect();
        let place = line.map_or_else(|| self.path.clone(), |line| format!("{}:{line}", self.path));
        let error = Usage::new(format!("{place}: there is no target {name}"));
        match suggest(name, &known) {
            Some(meant) => error.help(format!("did you mean {meant}?")),
            None => error.help(format!("there are {}", known.join(", "))),
        }
    }

    /// What is told of a target: what all share, then what it inherits, the first the weakest, then its own.
    fn settings(&self, name: Option<&str>) -> Result<Settings, Usage> {
        let mut settings = Settings::default();
        let directory = self.directory.display().to_string();
        settings.put(Key::Context, &directory, Origin::platform(format!("directory of {}", self.path)))?;
        for (key, node) in &self.common {
            self.put(&mut settings, 0, *key, node)?;
        }
        let mut order = Vec::new();
        if let Some(name) = name {
            self.ancestors(name, None, &mut Vec::new(), &mut order)?;
        }
        for (rank, name) in order.iter().enumerate() {
            let rank = u16::try_from(rank + 1).unwrap_or(u16::MAX);
            for (key, node) in &self.targets[name.as_str()].values {
                self.put(&mut settings, rank, *key, node)?;
            }
        }
        debug_assert!(order.len() < usize::from(u16::MAX) && Layer::File(u16::MAX) < Layer::Input);
        Ok(settings)
    }

    /// A target after everything it inherits, each once.
    fn ancestors(
        &self,
        name: &str,
        line: Option<u64>,
        path: &mut Vec<String>,
        order: &mut Vec<String>,
    ) -> Result<(), Usage> {
        let Some(target) = self.targets.get(name) else { return Err(self.unknown(name, line)) };
        if path.iter().any(|other| other == name) {
            let place = line.map_or_else(String::new, |line| format!(":{line}"));
            return Err(Usage::new(format!("{}{place}: the target {name} inherits itself", self.path)));
        }
        path.push(name.to_owned());
        for (parent, line) in &target.inherits {
            self.ancestors(parent, Some(*line), path, order)?;
        }
        path.pop();
        if !BTreeSet::from_iter(order.iter()).contains(&name.to_owned()) {
            order.push(name.to_owned());
        }
        Ok(())
    }
}
