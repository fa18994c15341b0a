//! Why a tar stream cannot be read.

use std::io;

/// Why a tar stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The bytes below it could not be read, or are no valid compression.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The stream ends inside an entry.
    #[error("the tar ends in the middle of {place}")]
    Truncated {
        /// A header, or the content of an entry.
        place: String,
    },
    /// A header makes no sense.
    #[error("not a valid tar: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// A limit of [`Limits`].
    #[error("the tar has {what}, more than the {limit} allowed")]
    Limit {
        /// What there is too much of.
        what: String,
        /// How much is allowed.
        limit: u64,
    },
    /// More bytes than [`Limits::layer_size`].
    #[error("it unpacks to more than the {} that --max-layer-size allows", binary(*limit))]
    TooLarge {
        /// How many are allowed.
        limit: u64,
    },
    /// More entries than [`Limits::entries`].
    #[error("it has more than the {limit} entries that --max-image-entries allows")]
    TooMany {
        /// How many are allowed.
        limit: u64,
    },
    /// An entry of an unknown type.
    #[error("'{path}' has the unknown tar type '{}'", char::from(*flag).escape_default())]
    UnknownType {
        /// The entry.
        path: String,
        /// Its type flag.
        flag: u8,
    },
}

impl TarError {
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        TarError::Invalid { reason: reason.into() }
    }
}

/// A number of bytes for people.
fn binary(bytes: u64) -> String {
    match bytes {
        gib if gib >= 1 << 30 => format!("{:.1} GiB", gib as f64 / f64::from(1 << 30)),
        mib if mib >= 1 << 20 => format!("{:.1} MiB", mib as f64 / f64::from(1 << 20)),
        bytes => format!("{bytes} bytes"),
    }
}
