//! The layer cache: keys, records, and where they are kept.
//!
//! A step's key is made of what the step is and of what it reads; its record says which layer it
//! made. Records and layers are kept in a registry's repository or in a directory, and are found
//! by key. Nothing here knows a plan: [`crate::build`] says what keys are made of.
//! `docs/cache-format.md` is the format.

mod bases;
mod error;
pub mod explain;
mod index;
mod inline;
mod keep;
mod key;
mod local;
mod lookup;
mod maintain;
mod mounts;
mod place;
mod record;
mod repository;
mod store;

pub use bases::{BaseCache, Remembered, is_whole};
pub use error::CacheError;
pub use index::{Entry, Index, name as index_name};
pub use inline::write as write_inline;
pub use key::{Components, Fingerprint, Key, KeyKind, ParseKeyError, VERSION, state_after};
pub use local::LocalCache;
pub use lookup::{Cache, CacheSettings, Hit, LayerPlace};
pub use maintain::{Kept, Maintained, PruneRules, Pruned};
pub use mounts::{Difference, Found, MountSet, SavedMounts, State, Updated};
pub use record::{Record, RecordError, Seen, StepName, hints};
pub use repository::RepositoryCache;
pub use store::{LayerSource, Made};
