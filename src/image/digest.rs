//! Content digests. A digest of compressed bytes, a diff id and a chain id are three types,
//! because mixing them up is the classic mistake of image tools.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Why a text is no digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{text}' is not a digest of the form sha256:<64 hexadecimal digits>")]
pub struct ParseDigestError {
    /// The text.
    pub text: String,
}

macro_rules! sha256_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The value of these bytes.
            pub fn of(bytes: &[u8]) -> Self {
                Self(Sha256::digest(bytes).into())
            }

            /// From a finished SHA-256.
            pub fn from_sha256(hash: [u8; 32]) -> Self {
                Self(hash)
            }

            /// The 32 bytes.
            pub fn bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The 64 lower-case hexadecimal digits.
            pub fn hex(&self) -> String {
                self.0.iter().map(|b| format!("{b:02x}")).collect()
            }

            /// The first twelve hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.hex()[..12].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "sha256:{}", self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                parse_sha256(text).map(Self).ok_or_else(|| ParseDigestError { text: text.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

sha256_type!(
    /// Digest of bytes as they are stored and sent: a manifest, a config, a compressed layer.
    Digest
);
sha256_type!(
    /// Digest of a layer's uncompressed tar (OCI image spec, config, `rootfs.diff_ids`).
    DiffId
);
sha256_type!(
    /// Digest of a stack of layers (OCI image spec, config, "Layer ChainID").
    ChainId
);
sha256_type!(
    /// What a layer holds, times left out (`docs/cache-format.md`, "Content ids").
    ContentId
);

impl ChainId {
    /// The chain id of a stack of layers from the bottom; none for an empty stack.
    pub fn of_layers(diff_ids: &[DiffId]) -> Option<ChainId> {
        let (first, rest) = diff_ids.split_first()?;
        let start = ChainId(first.0);
        Some(rest.iter().fold(start, |chain, diff| ChainId::of(format!("{chain} {diff}").as_bytes())))
    }
}

fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let hex = text.strip_prefix("sha256:")?.as_bytes();
    if hex.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(hash)
}

/// Lower case only, as the OCI image spec demands of sha256.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_text() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }

    #[test]
    fn what_is_no_digest() {
        for text in
            ["", "sha256:", "sha256:AB", "sha512:00", &format!("sha256:{}", "A".repeat(64)), "../../etc"]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn chain_ids_fold_from_the_bottom() {
        let (a, b) = (DiffId::of(b"a"), DiffId::of(b"b"));
        assert_eq!(ChainId::of_layers(&[]), None);
        assert_eq!(ChainId::of_layers(&[a]).map(|c| c.hex()), Some(a.hex()));
        assert_eq!(ChainId::of_layers(&[a, b]), Some(ChainId::of(format!("{a} {b}").as_bytes())));
    }
}
