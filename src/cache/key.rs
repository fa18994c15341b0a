//! Keys: the documented format (`docs/cache-format.md`, "Keys"). Changing what goes into a key, or
//! how, means raising [`VERSION`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Version of the format; a part of every key.
pub const VERSION: u8 = 1;

/// What every key starts with.
const DOMAIN: &[u8] = b"yadokari cache key\0";

/// Identifies what a step makes of what it reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The first twelve hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// A text is no key.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no cache key: 64 hexadecimal digits in lower case are")]
pub struct ParseKeyError(String);

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digest: crate::image::Digest =
            format!("sha256:{text}").parse().map_err(|_| ParseKeyError(text.to_owned()))?;
        Ok(Key(*digest.bytes()))
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a key is a key of. Keys of different kinds are never equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A step, by the definitions of what it reads.
    Definition,
    /// A step, by the contents of what it reads.
    Content,
    /// The files of a stage after a step.
    State,
    /// The name of a build's index.
    Index,
    /// The name of a saved directory of `RUN --mount=type=cache`.
    Mount,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            KeyKind::Definition => b'd',
            KeyKind::Content => b'c',
            KeyKind::State => b's',
            KeyKind::Index => b'i',
            KeyKind::Mount => b'm',
        }
    }
}

/// SHA-256 of one value that goes into a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of these bytes.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Fingerprint(Sha256::digest(bytes.as_ref()).into())
    }

    /// Of a list of values, each framed by its length.
    pub fn of_list<T: AsRef<[u8]>>(values: impl IntoIterator<Item = T>) -> Self {
        let mut hash = Sha256::new();
        for value in values {
            let value = value.as_ref();
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        }
        Fingerprint(hash.finalize().into())
    }

    /// The first eight hexadecimal digits: enough to see that a value changed, too few to find out
    /// what it was.
    pub fn hint(&self) -> String {
        self.0[..4].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hint())
    }
}

/// The named values that a key is made of, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Components(Vec<(String, Fingerprint)>);

impl Components {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    pub fn add(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> &mut Self {
        self.put(name, Fingerprint::of(value))
    }

    /// Adds a list of values.
    pub fn add_list<T: AsRef<[u8]>>(
        &mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.put(name, Fingerprint::of_list(values))
    }

    /// Adds a fingerprint.
    pub fn put(&mut self, name: impl Into<String>, value: Fingerprint) -> &mut Self {
        self.0.push((name.into(), value));
        self
    }

    /// The same with these before them.
    #[must_use]
    pub fn after(&self, first: &[(&str, Fingerprint)]) -> Components {
        let first = first.iter().map(|(name, value)| ((*name).to_owned(), *value));
        Components(first.chain(self.0.iter().cloned()).collect())
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Fingerprint)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The key.
    pub fn key(&self, kind: KeyKind) -> Key {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update([VERSION, kind.byte()]);
        for (name, value) in &self.0 {
            hash.update((name.len() as u32).to_be_bytes());
            hash.update(name);
            hash.update(value.0);
        }
        Key(hash.finalize().into())
    }
}

/// The state of a stage's files after a step.
pub fn state_after(before: &Key, step: &[u8; 32]) -> Key {
    let mut parts = Components::new();
    parts.add("before", before.bytes()).add("step", step);
    parts.key(KeyKind::State)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Components {
        let mut parts = Components::new();
        parts.add("instruction", "RUN").add_list("command", ["/bin/sh", "-c", "make"]);
        parts
    }

    /// The format is a promise: a change here makes every cache in the world cold, or wrong.
    #[test]
    fn golden_keys() {
        let key = |kind| sample().key(kind).hex();
        assert_eq!(
            key(KeyKind::Definition),
            "1dd01df9725d10d76aa49da980c47ba0d1e8c77e561f9b200dec8bf3508c461b"
        );
        assert_eq!(key(KeyKind::Content), "14a1e702987f62f7d1f8c82e068537f5c32cc7bf15b2c0d3bb800dda2ce0cdde");
        let before = Components::new().key(KeyKind::State);
        assert_eq!(
            state_after(&before, &[7; 32]).hex(),
            "711399ea9ec2d1160dda83c2f66ed2750b8fb27313633d5bdeb176a84c662132"
        );
    }

    #[test]
    fn names_values_order_and_kind_count() {
        let mut other = vec![Components::new(), sample()];
        other.push(sample().after(&[("platform", Fingerprint::of("linux/amd64"))]));
        let mut renamed = Components::new();
        renamed.add("instruction", "RUN").add_list("commands", ["/bin/sh", "-c", "make"]);
        other.push(renamed);
        let mut reframed = Components::new();
        reframed.add("instruction", "RUN").add_list("command", ["/bin/sh", "-c make"]);
        other.push(reframed);
        let mut turned = Components::new();
        turned.add_list("command", ["/bin/sh", "-c", "make"]).add("instruction", "RUN");
        other.push(turned);
        let kinds = [KeyKind::Definition, KeyKind::Content, KeyKind::State, KeyKind::Index, KeyKind::Mount];
        let keys: Vec<Key> = other.iter().flat_map(|c| kinds.map(|k| c.key(k))).collect();
        let different: std::collections::BTreeSet<&Key> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn keys_are_texts_of_64_digits() {
        let key = sample().key(KeyKind::Content);
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
        for text in ["", "00", &"G".repeat(64), &"A".repeat(64), "../../../../etc/passwd"] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }
}
