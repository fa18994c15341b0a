//! OpenSSH's own form of private keys (its `PROTOCOL.key`).

use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};

use super::key::{CURVES, KeyError, Pair};
use super::wire::{Wiped, integer, number, string, without_zeros};

/// Bytes of the largest RSA modulus that can be used.
const LONGEST: usize = 512;

/// The key in the bytes of an `OPENSSH PRIVATE KEY`.
///
/// # Errors
/// They are something else, need a passphrase, or hold a key that cannot be used.
pub(super) fn read(content: &[u8]) -> Result<Pair, KeyError> {
    let mut rest = content.strip_prefix(b"openssh-key-v1\0").ok_or(KeyError::Form)?;
    let cipher = string(&mut rest).ok_or(KeyError::Form)?;
    if cipher != b"none" {
        return Err(KeyError::Passphrase);
    }
    let mut private = private(rest).ok_or(KeyError::Form)?;
    let kind = string(&mut private).ok_or(KeyError::Form)?;
    match kind {
        b"ssh-ed25519" => ed25519(private),
        b"ssh-rsa" => rsa(private),
        _ => ecdsa(kind, private),
    }
}

/// The private part, after the kdf, its options and the number of keys, which is 1.
fn private(mut rest: &[u8]) -> Option<&[u8]> {
    let (_kdf, _options) = (string(&mut rest)?, string(&mut rest)?);
    let count = number(&mut rest)?;
    let _public = string(&mut rest)?;
    let mut private = string(&mut rest)?;
    let checks = (number(&mut private)?, number(&mut private)?);
    (count == 1 && checks.0 == checks.1).then_some(private)
}

fn ed25519(mut rest: &[u8]) -> Result<Pair, KeyError> {
    let mut parts = || Some((string(&mut rest)?, string(&mut rest)?.get(..32)?));
    let (public, seed) = parts().ok_or(KeyError::Form)?;
    Ed25519KeyPair::from_seed_and_public_key(seed, public).map(Pair::Ed25519).map_err(|_| KeyError::Form)
}

fn ecdsa(kind: &[u8], mut rest: &[u8]) -> Result<Pair, KeyError> {
    let name = kind.strip_prefix(b"ecdsa-sha2-").unwrap_or_default();
    let Some(curve) = CURVES.iter().find(|curve| curve.name.as_bytes() == name) else {
        return Err(KeyError::Kind(format!("it is of the kind {}", kind.escape_ascii())));
    };
    let mut parts = || Some((string(&mut rest)?, string(&mut rest)?, integer(&mut rest)?));
    let (_curve, point, scalar) = parts().ok_or(KeyError::Form)?;
    let zeros = curve.size.checked_sub(scalar.len()).ok_or(KeyError::Form)?;
    let mut padded = Wiped(vec![0; curve.size]);
    padded.0[zeros..].copy_from_slice(scalar);
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm, &padded.0, point, &random);
    pair.map(|pair| Pair::Ecdsa(curve, pair)).map_err(|_| KeyError::Form)
}

#[allow(non_snake_case)] // the names of RFC 8017
fn rsa(mut rest: &[u8]) -> Result<Pair, KeyError> {
    let mut next = || integer(&mut rest).ok_or(KeyError::Form);
    let (n, e, d, qInv, p, q) = (next()?, next()?, next()?, next()?, next()?, next()?);
    if [n, d, p, q].iter().any(|number| number.len() > LONGEST) {
        return Err(KeyError::Kind(format!("it is an RSA key of {} bits", n.len() * 8)));
    }
    let (dP, dQ) = (exponent(d, p), exponent(d, q));
    let (dP, dQ) = (without_zeros(&dP.0), without_zeros(&dQ.0));
    let public_key = PublicKeyComponents { n, e };
    Pair::rsa(RsaKeyPair::from_components(&KeyPairComponents { public_key, d, p, q, dP, dQ, qInv }))
}

/// `d mod (prime - 1)`, which the form leaves out: a long division, bit by bit.
fn exponent(d: &[u8], prime: &[u8]) -> Wiped {
    let mut modulus = Wiped(vec![0; 1]);
    modulus.0.extend(prime);
    if let Some(last) = modulus.0.last_mut() {
        // A prime is odd.
        *last &= !1;
    }
    let mut rest = Wiped(vec![0; modulus.0.len()]);
    for bit in d.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        let mut carry = bit;
        for byte in rest.0.iter_mut().rev() {
            (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
        }
        if rest.0 >= modulus.0 {
            let mut borrow = false;
            for (byte, less) in rest.0.iter_mut().zip(&modulus.0).rev() {
                let (once, first) = byte.overflowing_sub(*less);
                let (twice, second) = once.overflowing_sub(borrow.into());
                (*byte, borrow) = (twice, first || second);
            }
        }
    }
    rest
}
