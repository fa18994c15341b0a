//! Indexes: the records of a build in one document, so that the next one needs one request
//! (`docs/cache-format.md`, "Indexes").

use std::collections::BTreeMap;

use super::key::{Components, Key, KeyKind};
use super::record::Record;

/// Most records of an index; those not used for longest go first.
const MAX_RECORDS: usize = 400;

/// Most bytes of records in an index: registries take manifests of 4 MiB.
const MAX_BYTES: usize = 2 << 20;

/// A record that is still as good as its last use is told again after this many seconds.
pub(super) const REFRESH: i64 = 24 * 3600;

/// A record and when a build last used it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// Last use, in seconds since 1970.
    pub used: i64,
}

/// The records of the builds of one target, newest use first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl Index {
    /// The records by key.
    pub fn by_key(&self) -> BTreeMap<Key, Record> {
        let mut all = BTreeMap::new();
        for entry in self.entries.iter().rev() {
            for key in &entry.record.keys {
                all.insert(*key, entry.record.clone());
            }
        }
        all
    }

    /// This index after a build that used these records at `now`; what nobody used since `oldest`
    /// goes. `None` if nothing worth a request would change.
    #[must_use]
    pub fn after(&self, used: &[Record], now: i64, oldest: i64) -> Option<Index> {
        let known = |record: &Record| {
            let same = |e: &Entry| {
                let Record { keys, layer, fetched, .. } = &e.record;
                *keys == record.keys && *layer == record.layer && *fetched == record.fetched
            };
            self.entries.iter().any(|e| same(e) && e.used + REFRESH > now)
        };
        if used.iter().all(known) {
            return None;
        }
        let mut entries: Vec<Entry> =
            used.iter().map(|record| Entry { record: record.clone(), used: now }).collect();
        let replaced = |old: &Entry| used.iter().any(|r| r.keys.first() == old.record.keys.first());
        entries.extend(self.entries.iter().filter(|e| e.used >= oldest && !replaced(e)).cloned());
        entries.sort_by_key(|e| std::cmp::Reverse(e.used));
        let mut bytes = 0;
        let mut kept = 0;
        for entry in entries.iter().take(MAX_RECORDS) {
            bytes += entry.record.to_json().len();
            if bytes > MAX_BYTES {
                break;
            }
            kept += 1;
        }
        entries.truncate(kept);
        Some(Index { entries })
    }
}

/// The name of an index: what a build makes, not where or from what.
pub fn name(scope: &str, image: &str, target: &str, platform: &str) -> Key {
    let mut parts = Components::new();
    parts.add("scope", scope).add("image", image).add("target", target).add("platform", platform);
    parts.key(KeyKind::Index)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    fn with(name: &str) -> Record {
        let mut parts = Components::new();
        parts.add("instruction", name);
        Record { keys: vec![parts.key(KeyKind::Definition)], ..record() }
    }

    #[test]
    fn a_build_that_used_the_same_writes_nothing_for_a_day() {
        let (a, b) = (with("a"), with("b"));
        let index = Index::default().after(&[a.clone(), b.clone()], 1000, 0).unwrap();
        assert_eq!(index.after(std::slice::from_ref(&b), 1000 + REFRESH - 1, 0), None);
        let later = index.after(std::slice::from_ref(&b), 1000 + REFRESH, 0).unwrap();
        assert_eq!(later.entries[0], Entry { record: b, used: 1000 + REFRESH });
        assert_eq!(later.entries[1], Entry { record: a, used: 1000 });
    }

    #[test]
    fn what_is_old_goes_and_what_is_new_replaces() {
        let (a, b) = (with("a"), with("b"));
        let index = Index::default().after(&[a], 1000, 0).unwrap();
        let next = index.after(std::slice::from_ref(&b), 2000, 1001).unwrap();
        assert_eq!(next.entries.len(), 1);
        let again = Record { milliseconds: 7, keys: [b.keys.clone(), with("c").keys].concat(), ..b };
        let replaced = next.after(std::slice::from_ref(&again), 3000, 0).unwrap();
        assert_eq!(replaced.entries, [Entry { record: again.clone(), used: 3000 }]);
        let layer = crate::image::Descriptor { size: 1, ..again.layer.clone() };
        let repaired = Record { layer, ..again };
        let index = replaced.after(std::slice::from_ref(&repaired), 3001, 0).unwrap();
        assert_eq!(index.entries, [Entry { record: repaired, used: 3001 }], "another layer is news");
    }

    #[test]
    fn an_index_is_bounded() {
        let many: Vec<Record> = (0..MAX_RECORDS + 50).map(|n| with(&n.to_string())).collect();
        assert_eq!(Index::default().after(&many, 1, 0).unwrap().entries.len(), MAX_RECORDS);
        let mut fat = with("fat");
        fat.components = (0..1000).map(|n| (format!("file {n:032}"), "0".into())).collect();
        let fats: Vec<Record> =
            (0..100).map(|n| Record { keys: with(&n.to_string()).keys, ..fat.clone() }).collect();
        let kept = Index::default().after(&fats, 1, 0).unwrap().entries.len();
        assert!((10..100).contains(&kept), "{kept}");
    }
}
