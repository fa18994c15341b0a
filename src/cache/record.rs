//! Records: what is kept of a step (`docs/cache-format.md`, "Records").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::key::{Components, Key};
use crate::image::{ContentId, Descriptor, DiffId, Digest, MediaType};

/// Version of the document.
const RECORD_VERSION: u32 = 1;

/// Most bytes of a record as JSON.
pub(super) const MAX_RECORD: usize = 64 << 10;

/// Most details of one record; beyond that the files of a directory count as one.
const MAX_DETAILS: usize = 400;

/// What a step made, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of the document.
    pub version: u32,
    /// The keys it answers to.
    pub keys: Vec<Key>,
    /// Type, digest and size of the layer.
    pub layer: Descriptor,
    /// Digest of the layer's tar.
    pub diff_id: DiffId,
    /// What the layer holds, times left out.
    pub content_id: ContentId,
    /// When the step ended, in seconds since 1970.
    pub created: i64,
    /// The latest time in the layer, in seconds since 1970.
    pub newest: i64,
    /// How long the step took, in milliseconds.
    pub milliseconds: u64,
    /// Which step it was.
    pub step: StepName,
    /// What servers said of the files that it fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<Seen>,
    /// Hints at the values its definition key was made of, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, String>,
}

/// A file that a step fetched, and what its server said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Hint at its URL.
    pub source: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// What the server calls this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When the server says it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Seen {
    /// Most of one record.
    pub const MOST: usize = 64;
}

/// Names a step for people, without its text: that may hold values that are nobody's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepName {
    /// The stage's name.
    pub stage: String,
    /// Number of the step in its stage, from 1.
    pub number: usize,
    /// The instruction's keyword.
    pub instruction: String,
}

/// Why a record is not believed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Too long.
    #[error("it has more than {MAX_RECORD} bytes")]
    TooLong,
    /// Not the JSON it should be.
    #[error("it is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// Of a version we do not know.
    #[error("its version is {0}, not {RECORD_VERSION}")]
    Version(u32),
    /// It is the record of something else.
    #[error("it is of another key")]
    OtherKey,
    /// What it names is no layer.
    #[error("'{0}' is no type of a layer")]
    NoLayer(String),
}

impl Record {
    /// A record's version.
    pub fn current_version() -> u32 {
        RECORD_VERSION
    }

    /// Reads a record that should answer to `key`.
    ///
    /// # Errors
    /// It contradicts itself or what was asked for.
    pub fn parse(bytes: &[u8], key: Option<&Key>) -> Result<Record, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::TooLong);
        }
        let record: Record = serde_json::from_slice(bytes)?;
        if record.version != RECORD_VERSION {
            return Err(RecordError::Version(record.version));
        }
        if record.keys.is_empty() || key.is_some_and(|key| !record.keys.contains(key)) {
            return Err(RecordError::OtherKey);
        }
        let kind = record.layer.media_type.as_str();
        if ![MediaType::OCI_LAYER_GZIP, MediaType::OCI_LAYER_ZSTD].contains(&kind) {
            return Err(RecordError::NoLayer(kind.escape_debug().to_string()));
        }
        Ok(record)
    }

    /// The JSON document; without hints where these would make it too long.
    pub fn to_json(&self) -> Vec<u8> {
        let bytes = |record: &Record| serde_json::to_vec(record).expect("a record is plain data");
        let whole = bytes(self);
        if whole.len() <= MAX_RECORD {
            return whole;
        }
        bytes(&Record { components: BTreeMap::new(), ..self.clone() })
    }
}

/// Hints at the values of a key and of the files behind one of them, bounded.
pub fn hints(components: &Components, files: &[(String, String)]) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        components.iter().map(|(name, value)| (name.to_owned(), value.hint())).collect();
    if files.len() <= MAX_DETAILS {
        all.extend(files.iter().map(|(path, hint)| (format!("file {path}"), hint.clone())));
        return all;
    }
    let mut depth = 6;
    loop {
        let mut directories: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (path, hint) in files {
            let parts: Vec<&str> = path.split('/').collect();
            let kept = parts.len().saturating_sub(1).min(depth);
            directories.entry(parts[..kept].join("/")).or_default().push(hint);
        }
        if directories.len() <= MAX_DETAILS || depth == 0 {
            all.extend(directories.into_iter().map(|(path, hints)| {
                let value = super::key::Fingerprint::of_list(hints).hint();
                (format!("files of {}/", if path.is_empty() { "." } else { &path }), value)
            }));
            return all;
        }
        depth -= 1;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::key::KeyKind;
    use super::*;

    pub(in crate::cache) fn record() -> Record {
        let mut parts = Components::new();
        parts.add("instruction", "RUN").add("command", "make");
        let layer =
            Descriptor::new(MediaType::from(MediaType::OCI_LAYER_GZIP), crate::image::Digest::of(b"l"), 9);
        Record {
            version: RECORD_VERSION,
            keys: vec![parts.key(KeyKind::Definition), parts.key(KeyKind::Content)],
            layer,
            diff_id: DiffId::of(b"t"),
            content_id: ContentId::of(b"c"),
            created: 1_700_000_000,
            newest: 1_600_000_000,
            milliseconds: 1500,
            step: StepName { stage: "build".into(), number: 3, instruction: "RUN".into() },
            fetched: vec![Seen {
                source: "0123abcd".into(),
                digest: Digest::of(b"f"),
                etag: Some("\"1\"".into()),
                last_modified: None,
            }],
            components: hints(&parts, &[]),
        }
    }

    #[test]
    fn a_record_survives_json() {
        let record = record();
        let json = record.to_json();
        assert_eq!(Record::parse(&json, Some(&record.keys[1])).unwrap(), record);
    }

    #[test]
    fn records_that_contradict_are_refused() {
        let good = record();
        let other = Components::new().key(KeyKind::Content);
        assert!(matches!(Record::parse(&good.to_json(), Some(&other)), Err(RecordError::OtherKey)));
        let newer = Record { version: 2, ..good.clone() };
        assert!(matches!(Record::parse(&newer.to_json(), None), Err(RecordError::Version(2))));
        let mut odd = good.clone();
        odd.layer.media_type = MediaType::from("text/plain");
        assert!(matches!(Record::parse(&odd.to_json(), None), Err(RecordError::NoLayer(_))));
        let nobodys = Record { keys: Vec::new(), ..good };
        assert!(matches!(Record::parse(&nobodys.to_json(), None), Err(RecordError::OtherKey)));
        assert!(matches!(Record::parse(b"{}", None), Err(RecordError::Json(_))));
        assert!(matches!(Record::parse(&vec![b' '; MAX_RECORD + 1], None), Err(RecordError::TooLong)));
    }

    #[test]
    fn many_files_are_told_by_directory() {
        let files: Vec<(String, String)> =
            (0..40_000).map(|n| (format!("tree/{:03}/{n}", n / 200), "00".to_owned())).collect();
        let all = hints(&Components::new(), &files);
        assert_eq!(all.len(), 200);
        assert!(all.contains_key("files of tree/199/"));
        let few = hints(&Components::new(), &files[..3]);
        assert!(few.contains_key("file tree/000/2"));
    }
}
