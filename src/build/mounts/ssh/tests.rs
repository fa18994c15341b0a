use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaPublicKeyComponents};

use super::answer::answer;
use super::key::{CURVES, Key, KeyError};
use super::wire::{integer, string, strings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

/// In OpenSSH's form.
const RSA: &[u8] = include_bytes!("testdata/rsa.key");
const DATA: &[u8] = b"what is signed";

fn file(label: &str, content: &[u8]) -> Vec<u8> {
    let body = STANDARD.encode(content);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
}

fn pkcs8(content: &[u8]) -> Key {
    Key::read(&file("PRIVATE KEY", content)).unwrap()
}

/// A request to sign with a key.
fn request(key: &Key, flags: u32) -> Vec<u8> {
    [&[13][..], &strings([key.public(), DATA]), &flags.to_be_bytes()].concat()
}

/// The name of a signature and its bytes, as the agent answers.
fn signature(key: Key, flags: u32) -> Option<(String, Vec<u8>)> {
    let asked = request(&key, flags);
    let answer = answer(&[key], &asked);
    let (kind, mut rest) = answer.split_first().unwrap();
    let mut signature = (*kind == 14).then(|| string(&mut rest).unwrap())?;
    let name = string(&mut signature).unwrap();
    let bytes = string(&mut signature).unwrap();
    assert!(rest.is_empty() && signature.is_empty());
    Some((String::from_utf8(name.to_vec()).unwrap(), bytes.to_vec()))
}

fn is_right(algorithm: &'static dyn VerificationAlgorithm, public: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, public).verify(DATA, signature).is_ok()
}

#[test]
fn an_rsa_key_signs_what_is_asked_for_but_no_sha1() {
    let key = || Key::read(RSA).unwrap();
    let public = key();
    let mut parts = public.public();
    assert_eq!(string(&mut parts), Some(&b"ssh-rsa"[..]));
    let (e, n) = (integer(&mut parts).unwrap(), integer(&mut parts).unwrap());
    for (flags, name, parameters) in
        [(2, "rsa-sha2-256", &RSA_PKCS1_2048_8192_SHA256), (4, "rsa-sha2-512", &RSA_PKCS1_2048_8192_SHA512)]
    {
        let (found, signature) = signature(key(), flags).unwrap();
        assert_eq!(found, name);
        RsaPublicKeyComponents { n, e }.verify(parameters, DATA, &signature).unwrap();
    }
    assert_eq!(signature(key(), 0), None);
}

#[test]
fn keys_on_curves_sign() {
    let random = SystemRandom::new();
    let key = || pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref());
    let ed25519 = key();
    let public = ed25519.public()[19..].to_vec();
    let (name, bytes) = signature(ed25519, 0).unwrap();
    assert!(name == "ssh-ed25519" && is_right(&ED25519, &public, &bytes), "{name}");
    for (curve, algorithm) in CURVES.iter().zip([&ECDSA_P256_SHA256_FIXED, &ECDSA_P384_SHA384_FIXED]) {
        // Numbers that need a zero before them, and shorter ones, come by themselves.
        for _ in 0..32 {
            let key = pkcs8(EcdsaKeyPair::generate_pkcs8(curve.algorithm, &random).unwrap().as_ref());
            let mut parts = key.public();
            let (_, named, point) = (string(&mut parts), string(&mut parts), string(&mut parts));
            let (named, point) = (named.unwrap().to_vec(), point.unwrap().to_vec());
            let (name, bytes) = signature(key, 0).unwrap();
            assert!(name.ends_with(curve.name) && named == curve.name.as_bytes(), "{name}");
            let mut rest = &bytes[..];
            let mut fixed = Vec::new();
            for _ in 0..2 {
                let number = integer(&mut rest).unwrap();
                fixed.extend(vec![0; curve.size - number.len()]);
                fixed.extend(number);
            }
            assert!(is_right(algorithm, &point, &fixed), "{}", curve.name);
        }
    }
}

#[test]
fn an_agent_signs_with_its_keys_only() {
    let random = SystemRandom::new();
    let key = || pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref());
    let (own, other) = ([key(), key()], key());
    assert_eq!(answer(&own, &request(&own[1], 0))[0], 14);
    assert_eq!(answer(&own, &request(&other, 0)), [5]);
    assert_eq!(answer(&own, &[11])[..5], [12, 0, 0, 0, 2]);
    for wrong in [&[][..], &[13], &[11, 0], &[17], &[13, 255, 255, 255, 255]] {
        assert_eq!(answer(&own, wrong), [5], "{wrong:?}");
    }
}

#[test]
fn what_is_no_usable_key_is_named() {
    let encrypted = [b"openssh-key-v1\0".to_vec(), strings([b"aes256-ctr", b"bcrypt", b""])].concat();
    let header = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A,B\n\nAAAA\n-----END RSA PRIVATE KEY-----";
    for (content, expected) in [
        (file("OPENSSH PRIVATE KEY", &encrypted), KeyError::Passphrase),
        (file("ENCRYPTED PRIVATE KEY", b"x"), KeyError::Passphrase),
        (header.into(), KeyError::Passphrase),
        (b"ssh-ed25519 AAAA me@here".to_vec(), KeyError::Form),
        (file("CERTIFICATE", b"x"), KeyError::Form),
        (file("OPENSSH PRIVATE KEY", b"x"), KeyError::Form),
    ] {
        assert_eq!(Key::read(&content).err(), Some(expected), "{}", content.escape_ascii());
    }
    for label in ["RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "PRIVATE KEY"] {
        assert!(matches!(Key::read(&file(label, b"x")), Err(KeyError::Kind(_))), "{label}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damaged_keys_are_errors_and_nothing_worse(at in 0usize..1700, byte in any::<u8>(), cut in any::<bool>()) {
        let text = std::str::from_utf8(RSA).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let mut content = STANDARD.decode(body).unwrap();
        let at = at % content.len();
        if cut { content.truncate(at) } else { content[at] = byte }
        if let Ok(key) = Key::read(&file("OPENSSH PRIVATE KEY", &content)) {
            key.sign(DATA, super::key::Hash::Sha256);
        }
    }
}
