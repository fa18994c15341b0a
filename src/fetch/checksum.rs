//! What a downloaded file must hash to: `--checksum=algorithm:hex` (go-digest's grammar).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// The algorithms, with the number of hexadecimal digits of each.
const ALGORITHMS: [(Algorithm, &str, usize); 3] = [
    (Algorithm::Sha256, "sha256", 64),
    (Algorithm::Sha384, "sha384", 96),
    (Algorithm::Sha512, "sha512", 128),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// What a file must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    hex: String,
}

/// Why a text is no checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseChecksumError {
    /// No colon.
    #[error("it has no algorithm before a colon")]
    NoAlgorithm,
    /// Another algorithm.
    #[error("'{0}' is no algorithm known here: sha256, sha384 and sha512 are")]
    Algorithm(String),
    /// Not the right number of digits.
    #[error("{name} has {wanted} hexadecimal digits in lower case, and here are {found} characters")]
    Length {
        /// The algorithm.
        name: &'static str,
        /// Digits it has.
        wanted: usize,
        /// Characters found.
        found: usize,
    },
    /// Other characters than digits.
    #[error("'{0}' is no hexadecimal digit in lower case")]
    Digit(char),
}

impl FromStr for Checksum {
    type Err = ParseChecksumError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, hex) = text.split_once(':').ok_or(ParseChecksumError::NoAlgorithm)?;
        let known = ALGORITHMS.iter().find(|(_, known, _)| *known == name);
        let Some((algorithm, name, wanted)) = known.copied() else {
            return Err(ParseChecksumError::Algorithm(name.to_owned()));
        };
        if let Some(wrong) = hex.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
            return Err(ParseChecksumError::Digit(wrong));
        }
        if hex.len() != wanted {
            return Err(ParseChecksumError::Length { name, wanted, found: hex.len() });
        }
        Ok(Checksum { algorithm, hex: hex.to_owned() })
    }
}

impl Checksum {
    /// The SHA-256 that it names, if it names one.
    pub fn sha256(&self) -> Option<crate::image::Digest> {
        (self.algorithm == Algorithm::Sha256).then(|| self.to_string().parse().ok())?
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALGORITHMS.iter().find(|(a, ..)| *a == self.algorithm).map_or("", |(_, name, _)| name);
        write!(f, "{name}:{}", self.hex)
    }
}

/// Hashes a file as it comes: its SHA-256 always, and what a checksum wants beside it.
#[derive(Clone, Default)]
pub(super) struct Hasher {
    sha256: Sha256,
    wanted: Option<Other>,
}

#[derive(Clone)]
enum Other {
    Sha384(Box<Sha384>),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(super) fn new(checksum: Option<&Checksum>) -> Self {
        let wanted = match checksum.map(|c| c.algorithm) {
            Some(Algorithm::Sha384) => Some(Other::Sha384(Box::default())),
            Some(Algorithm::Sha512) => Some(Other::Sha512(Box::default())),
            Some(Algorithm::Sha256) | None => None,
        };
        Hasher { sha256: Sha256::new(), wanted }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        match &mut self.wanted {
            Some(Other::Sha384(hash)) => hash.update(bytes),
            Some(Other::Sha512(hash)) => hash.update(bytes),
            None => {}
        }
    }

    /// The SHA-256, and the hash that the checksum is about as it is written.
    pub(super) fn finish(self) -> (crate::image::Digest, String) {
        let digest = crate::image::Digest::from_sha256(self.sha256.finalize().into());
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let named = match self.wanted {
            Some(Other::Sha384(hash)) => format!("sha384:{}", hex(&hash.finalize())),
            Some(Other::Sha512(hash)) => format!("sha512:{}", hex(&hash.finalize())),
            None => digest.to_string(),
        };
        (digest, named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums() {
        for algorithm in ["sha256", "sha384", "sha512"] {
            let length = ALGORITHMS.iter().find(|(_, n, _)| *n == algorithm).expect("known").2;
            let text = format!("{algorithm}:{}", "0a".repeat(length / 2));
            assert_eq!(text.parse::<Checksum>().expect(&text).to_string(), text);
        }
        let wrong = |text: &str| text.parse::<Checksum>().expect_err(text);
        assert_eq!(wrong("abc"), ParseChecksumError::NoAlgorithm);
        assert_eq!(wrong("md5:abc"), ParseChecksumError::Algorithm("md5".to_owned()));
        assert_eq!(wrong("sha256:xyz"), ParseChecksumError::Digit('x'));
        assert_eq!(wrong("sha256:ABC"), ParseChecksumError::Digit('A'));
        let short = ParseChecksumError::Length { name: "sha256", wanted: 64, found: 3 };
        assert_eq!(wrong("sha256:abc"), short);
    }

    #[test]
    fn hashes_are_those_of_coreutils() {
        for (checksum, expected) in [
            (None, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                Some(format!("sha384:{}", "0".repeat(96))),
                "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                Some(format!("sha512:{}", "0".repeat(128))),
                "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
        ] {
            let checksum = checksum.map(|c| c.parse::<Checksum>().expect("right"));
            let mut hasher = Hasher::new(checksum.as_ref());
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish().1, expected);
        }
    }
}
