//! Who said something, and how much it counts.

use std::fmt;

use super::key::Key;

/// How much an origin counts; the later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// What the platform does where nobody says anything.
    Platform,
    /// The configuration file; a target's own values count more than those it inherits.
    File(u16),
    /// What the platform's user gave.
    Input,
    /// What follows from the circumstances whatever was given.
    Decided,
}

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// How much it counts.
    pub(crate) layer: Layer,
    /// What it is called.
    pub(crate) name: String,
}

impl Origin {
    /// A platform's default, or a variable of its own, such as `CI_COMMIT_TIMESTAMP`.
    pub(crate) fn platform(name: impl Into<String>) -> Self {
        Origin { layer: Layer::Platform, name: name.into() }
    }

    /// An input of a platform, as its user knows it.
    pub(crate) fn input(name: impl Into<String>) -> Self {
        Origin { layer: Layer::Input, name: name.into() }
    }

    /// A circumstance that outweighs everything, such as a merge request from a fork.
    pub(crate) fn decided(name: impl Into<String>) -> Self {
        Origin { layer: Layer::Decided, name: name.into() }
    }

    /// A line of the configuration file.
    pub(crate) fn file(rank: u16, path: &str, line: u64) -> Self {
        Origin { layer: Layer::File(rank), name: format!("{path}:{line}") }
    }

    /// What errors call a key's value of this origin.
    pub(crate) fn of(&self, key: Key) -> String {
        match self.layer {
            Layer::Input => self.name.clone(),
            _ => format!("{} ({})", key.name(), self.name),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
