//! `yadokari.yaml`: what is built of a repository, beside its sources. The keys are those of every front,
//! for all targets at the top, and for each of several below `targets`.

mod targets;
mod values;
mod variables;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Key, Origin, Settings};
use crate::env::Env;
use crate::settings::key;
use crate::usage::Usage;
use crate::vocabulary::suggest;
use crate::yaml::{self, Node};

pub(crate) use targets::Target;
use variables::Variables;

/// Names that are looked for where no file is named.
const NAMES: [&str; 2] = ["yadokari.yaml", "yadokari.yml"];

/// A larger file is refused.
const LARGEST: u64 = 1 << 20;

/// Names at the top that are no keys.
const PARTS: [&str; 3] = ["variables", "targets", "groups"];

/// A configuration file that was read; values are not understood yet.
#[derive(Debug)]
pub(crate) struct File {
    path: String,
    directory: PathBuf,
    variables: Variables,
    common: Vec<(Key, Node)>,
    targets: BTreeMap<String, TargetNode>,
    order: Vec<String>,
    groups: BTreeMap<String, Vec<(String, u64)>>,
}

#[derive(Debug)]
struct TargetNode {
    values: Vec<(Key, Node)>,
    inherits: Vec<(String, u64)>,
}

/// The file of a directory that has one.
pub(crate) fn find(directory: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is no YAML, or says something that is no key; with file and line.
    pub(crate) fn read(path: &Path, env: &Env) -> Result<File, Usage> {
        let shown = path.strip_prefix("./").unwrap_or(path).display().to_string();
        let failed =
            |e: std::io::Error| Usage::new(format!("the configuration file {shown} cannot be read: {e}"));
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > LARGEST {
            return Err(Usage::new(format!("the configuration file {shown} is larger than 1 MiB")));
        }
        let directory =
            path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        File::parse(&text, &shown, directory, env)
    }

    fn parse(text: &str, path: &str, directory: PathBuf, env: &Env) -> Result<File, Usage> {
        let mut documents =
            yaml::parse(text).map_err(|e| Usage::new(format!("{path}:{}: {e}", e.line)))?.into_iter();
        let mut file = File {
            path: path.to_owned(),
            directory,
            variables: Variables::of(env),
            common: Vec::new(),
            targets: BTreeMap::new(),
            order: Vec::new(),
            groups: BTreeMap::new(),
        };
        let Some(root) = documents.next() else { return Ok(file) };
        if documents.next().is_some() {
            return Err(
                Usage::new(format!("{path} has several documents")).help("write one, with several targets")
            );
        }
        file.take(&root, env)?;
        Ok(file)
    }

    fn take(&mut self, root: &Node, env: &Env) -> Result<(), Usage> {
        self.mapping(root, "the file")?;
        let part = |name: &str| root.get(name).filter(|node| !node.is_null());
        if let Some(node) = part("variables") {
            self.mapping(node, "variables")?;
            self.variables = Variables::read(node, &self.path, env)?;
        }
        for (name, node) in root.entries() {
            match name.text() {
                Some(text) if PARTS.contains(&text) => {}
                _ => self.common.push(self.value(name, node, &PARTS)?),
            }
        }
        if let Some(node) = part("targets") {
            self.mapping(node, "targets")?;
            for (name, node) in node.entries() {
                let target = self.target(node)?;
                self.order.push(self.name(name)?);
                self.targets.insert(self.name(name)?, target);
            }
        }
        if let Some(node) = part("groups") {
            self.mapping(node, "groups")?;
            for (name, node) in node.entries() {
                let (name, members) = (self.name(name)?, self.names(node)?);
                if self.targets.contains_key(&name) {
                    return Err(self.wrong(node, format!("{name} is a target already")));
                }
                self.groups.insert(name, members);
            }
        }
        Ok(())
    }

    fn target(&self, node: &Node) -> Result<TargetNode, Usage> {
        let mut target = TargetNode { values: Vec::new(), inherits: Vec::new() };
        if node.is_null() {
            return Ok(target);
        }
        self.mapping(node, "a target")?;
        for (name, node) in node.entries() {
            match name.text() {
                Some("inherits") => target.inherits = self.names(node)?,
                _ => target.values.push(self.value(name, node, &["inherits"])?),
            }
        }
        Ok(target)
    }

    /// A key and what it was given.
    fn value(&self, name: &Node, node: &Node, others: &[&'static str]) -> Result<(Key, Node), Usage> {
        let text = name.text().unwrap_or_default();
        match Key::named(text) {
            Some(Key::Config | Key::Targets) | None => {
                let mut known: Vec<&str> = key::KEYS.iter().map(|key| key.name()).collect();
                known.extend(others);
                let error = self.wrong(name, format!("there is no key {text}"));
                Err(match suggest(&key::plain(text), &known) {
                    Some(meant) => error.help(format!("did you mean {meant}?")),
                    None => error.help("docs/config-file.md lists the keys"),
                })
            }
            Some(key) => Ok((key, node.clone())),
        }
    }

    fn mapping(&self, node: &Node, what: &str) -> Result<(), Usage> {
        match node.value {
            yaml::Value::Mapping(_) => Ok(()),
            _ => Err(self.wrong(node, format!("{what} is no mapping")).help("write name: value lines")),
        }
    }

    /// A target's or group's name: it becomes part of files' and variables' names.
    fn name(&self, node: &Node) -> Result<String, Usage> {
        let fits = |text: &&str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        match node.text().filter(fits) {
            Some(text) if !text.starts_with(['-', '.']) => Ok(text.to_owned()),
            _ => {
                Err(self.wrong(node, "a name has letters, digits, hyphens, underscores and dots".to_owned()))
            }
        }
    }

    fn names(&self, node: &Node) -> Result<Vec<(String, u64)>, Usage> {
        let items = match &node.value {
            yaml::Value::Sequence(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        items.iter().map(|item| Ok((self.name(item)?, item.line as u64))).collect()
    }

    fn wrong(&self, node: &Node, message: String) -> Usage {
        Usage::new(format!("{}:{}: {message}", self.path, node.line))
    }

    /// Takes one key's value.
    fn put(&self, to: &mut Settings, rank: u16, key: Key, node: &Node) -> Result<(), Usage> {
        for (text, line) in values::values(self, key, node)? {
            let origin = Origin::file(rank, &self.path, line);
            match text {
                values::Text::Whole(text) => to.put(key, &text, origin)?,
                values::Text::Item(text) => to.put_items(key, &[text], origin)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
