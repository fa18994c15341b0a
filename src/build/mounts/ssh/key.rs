//! A private key: what it is called, and signing with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};

use super::openssh;
use super::wire::{Wiped, integer_string, put, strings};

/// Why a file's key cannot be used; follows the file's name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// It is encrypted.
    #[error("has a passphrase")]
    Passphrase,
    /// It is something else.
    #[error("holds no private key of a form that is known here (OpenSSH's, PKCS#1, PKCS#8 or SEC 1)")]
    Form,
    /// A kind that nothing here signs with.
    #[error(
        "holds a key that cannot be used here: {0} (RSA of 2048 to 4096 bits, Ed25519 and ECDSA on nistp256 and nistp384 can)"
    )]
    Kind(String),
}

/// Which hash of the data is signed by an RSA key; the others have theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    /// As servers do not take it any more (OpenSSH since 8.8).
    Sha1,
    Sha256,
    Sha512,
}

/// A private key.
pub(in super::super) struct Key {
    /// The public key as the protocol has it, by which it is asked for.
    public: Vec<u8>,
    pair: Pair,
}

/// What signs.
pub(super) enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
    Ecdsa(&'static Curve, EcdsaKeyPair),
}

/// A curve of ECDSA.
pub(super) struct Curve {
    /// As in the key's name.
    pub(super) name: &'static str,
    pub(super) algorithm: &'static EcdsaSigningAlgorithm,
    /// Bytes of a number.
    pub(super) size: usize,
    /// What precedes the key of SEC 1 in PKCS#8: the version, and the algorithm with the curve.
    prefix: &'static [u8],
}

/// The curves that can be used.
pub(super) static CURVES: [Curve; 2] = [
    Curve {
        name: "nistp256",
        algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
        size: 32,
        prefix: b"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    },
    Curve {
        name: "nistp384",
        algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
        size: 48,
        prefix: b"\x02\x01\x00\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
    },
];

impl Key {
    /// The key in a file.
    ///
    /// # Errors
    /// There is none, or none that can be used.
    pub(super) fn read(file: &[u8]) -> Result<Key, KeyError> {
        let text = std::str::from_utf8(file).map_err(|_| KeyError::Form)?;
        let (label, content) = pem(text)?;
        let content = &content.0;
        let pair = match label {
            "OPENSSH" => openssh::read(content)?,
            "RSA" => Pair::rsa(RsaKeyPair::from_der(content))?,
            "EC" => Pair::sec1(content)?,
            "" => Pair::pkcs8(content)?,
            other => return Err(KeyError::Kind(format!("it is a {other} key"))),
        };
        Ok(Key { public: pair.public(), pair })
    }

    /// The public key as the protocol has it.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// A signature as the protocol has it; none with what nobody accepts any more.
    pub(super) fn sign(&self, data: &[u8], hash: Hash) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let (name, padding) = match hash {
                    Hash::Sha1 => return None,
                    Hash::Sha256 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    Hash::Sha512 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, data, &mut signature).ok()?;
                Some(strings([name.as_bytes(), &signature]))
            }
            Pair::Ed25519(pair) => Some(strings([b"ssh-ed25519", pair.sign(data).as_ref()])),
            Pair::Ecdsa(curve, pair) => {
                let signature = pair.sign(&random, data).ok()?;
                let (r, s) = signature.as_ref().split_at_checked(curve.size)?;
                let both = strings([&integer_string(r), &integer_string(s)]);
                Some(strings([format!("ecdsa-sha2-{}", curve.name).as_bytes(), &both]))
            }
        }
    }
}

impl Pair {
    /// An RSA key.
    pub(super) fn rsa(read: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<Pair, KeyError> {
        let refused = |e: ring::error::KeyRejected| KeyError::Kind(format!("it is an RSA key with {e}"));
        read.map(|pair| Pair::Rsa(Box::new(pair))).map_err(refused)
    }

    /// `ECPrivateKey` of RFC 5915, as in `BEGIN EC PRIVATE KEY`.
    fn sec1(content: &[u8]) -> Result<Pair, KeyError> {
        for curve in &CURVES {
            let mut inside = Wiped(curve.prefix.to_vec());
            der(&mut inside.0, 0x04, content);
            let mut whole = Wiped(Vec::new());
            der(&mut whole.0, 0x30, &inside.0);
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve.algorithm, &whole.0, &SystemRandom::new()) {
                return Ok(Pair::Ecdsa(curve, pair));
            }
        }
        Err(KeyError::Kind("it is an ECDSA key on another curve".to_owned()))
    }

    fn pkcs8(content: &[u8]) -> Result<Pair, KeyError> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(content) {
            return Ok(Pair::Rsa(Box::new(pair)));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(content) {
            return Ok(Pair::Ed25519(pair));
        }
        let mut curves = CURVES.iter();
        let found = curves.find_map(|curve| {
            let read = EcdsaKeyPair::from_pkcs8(curve.algorithm, content, &SystemRandom::new());
            read.ok().map(|pair| Pair::Ecdsa(curve, pair))
        });
        found.ok_or_else(|| KeyError::Kind("it is of another kind or size".to_owned()))
    }

    /// The public key (RFC 4253, section 6.6; RFC 8709, section 4; RFC 5656, section 3.1).
    fn public(&self) -> Vec<u8> {
        match self {
            Pair::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                strings([b"ssh-rsa", &integer_string(&public.e), &integer_string(&public.n)])
            }
            Pair::Ed25519(pair) => strings([b"ssh-ed25519", pair.public_key().as_ref()]),
            Pair::Ecdsa(curve, pair) => {
                let mut public = strings([format!("ecdsa-sha2-{}", curve.name).as_bytes()]);
                put(&mut public, curve.name.as_bytes());
                put(&mut public, pair.public_key().as_ref());
                public
            }
        }
    }
}

/// The first private key of a PEM file: what stands before `PRIVATE KEY`, and the bytes.
fn pem(text: &str) -> Result<(&str, Wiped), KeyError> {
    let key = |part: &'_ str| {
        let (label, rest) = part.split_once("-----")?;
        let (body, _) = rest.split_once("-----END ")?;
        Some((label.strip_suffix("PRIVATE KEY")?.trim_end().len(), label.len(), body.len()))
    };
    for part in text.split("-----BEGIN ").skip(1) {
        let Some((kind, label, body)) = key(part) else { continue };
        let (kind, body) = (&part[..kind], &part[label + 5..label + 5 + body]);
        // RFC 1421, as OpenSSL writes it: headers before the bytes.
        if kind == "ENCRYPTED" || body.contains("ENCRYPTED") {
            return Err(KeyError::Passphrase);
        }
        let packed = Wiped(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
        let content = STANDARD.decode(&packed.0).map_err(|_| KeyError::Form)?;
        return Ok((kind, Wiped(content)));
    }
    Err(KeyError::Form)
}

/// Appends a value of DER with its tag and length.
fn der(all: &mut Vec<u8>, tag: u8, content: &[u8]) {
    let length = (content.len() as u32).to_be_bytes();
    all.push(tag);
    match content.len() {
        0..0x80 => all.push(length[3]),
        0x80..0x100 => all.extend([0x81, length[3]]),
        0x100..0x1_0000 => all.extend([0x82, length[2], length[3]]),
        // No key is as long: it is refused.
        _ => all.extend([0x84, length[0], length[1], length[2], length[3]]),
    }
    all.extend(content);
}
