//! What our own agent answers (draft-ietf-sshm-ssh-agent).

use super::forward::{FAILURE, REQUEST_IDENTITIES, SIGN_REQUEST};
use super::key::{Hash, Key};
use super::wire::{number, put, string};

const IDENTITIES_ANSWER: u8 = 12;
const SIGN_RESPONSE: u8 = 14;

/// Flags of a request to sign: which hash an RSA key signs.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// The answer to a message, both without their length.
pub(super) fn answer(keys: &[Key], message: &[u8]) -> Vec<u8> {
    match message.split_first() {
        Some((&REQUEST_IDENTITIES, [])) => identities(keys),
        Some((&SIGN_REQUEST, rest)) => sign(keys, rest).unwrap_or_else(|| vec![FAILURE]),
        _ => vec![FAILURE],
    }
}

fn identities(keys: &[Key]) -> Vec<u8> {
    let mut answer = vec![IDENTITIES_ANSWER];
    answer.extend((keys.len() as u32).to_be_bytes());
    for key in keys {
        put(&mut answer, key.public());
        // No comment: it tells whose machine the key was made on.
        put(&mut answer, b"");
    }
    answer
}

fn sign(keys: &[Key], mut rest: &[u8]) -> Option<Vec<u8>> {
    let public = string(&mut rest)?;
    let data = string(&mut rest)?;
    let flags = number(&mut rest)?;
    let key = keys.iter().find(|key| key.public() == public)?;
    let hash = match flags {
        flags if flags & RSA_SHA2_256 != 0 => Hash::Sha256,
        flags if flags & RSA_SHA2_512 != 0 => Hash::Sha512,
        _ => Hash::Sha1,
    };
    let mut answer = vec![SIGN_RESPONSE];
    put(&mut answer, &key.sign(data, hash)?);
    Some(answer)
}
