//! What must not be shown: values of build arguments whose names sound secret, and credentials.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use yadokari::config::{BuildConfig, ContextSource, CredentialLocation, GitSecret, SecretSource};

/// A larger file is no `config.json`.
const LARGEST_CONFIG: u64 = 1 << 20;

/// All secrets that this build knows of.
pub(crate) fn of(config: &BuildConfig) -> Vec<String> {
    let args =
        config.build_args.iter().filter(|(name, _)| sounds_secret(name)).map(|(_, value)| value.clone());
    let mut secrets: Vec<String> = args.collect();
    for source in &config.keychain.sources {
        match &source.location {
            CredentialLocation::Inline(json) => secrets.extend(in_json(json)),
            CredentialLocation::Basic { password, username, .. }
            | CredentialLocation::Named { password, username, .. } => {
                secrets.push(password.clone());
                secrets.push(STANDARD.encode(format!("{username}:{password}")));
            }
            CredentialLocation::Cloud(_) => {}
            CredentialLocation::File(path) => {
                secrets.extend(read(path).iter().flat_map(|text| in_json(text)))
            }
        }
    }
    secrets.extend(config.keychain.clouds.secrets().map(str::to_owned));
    if let ContextSource::Bucket(address) = &config.context {
        // A shared access signature in the URL.
        let query = address.split_once('?').map_or("", |(_, query)| query);
        secrets.extend(query.split('&').filter_map(|pair| pair.strip_prefix("sig=")).map(str::to_owned));
    }
    for authorization in &config.fetch.http_authorizations {
        secrets.extend(authorization.value.split_whitespace().last().map(str::to_owned));
    }
    for credential in &config.fetch.git_credentials {
        match &credential.secret {
            GitSecret::Header(header) => {
                secrets.extend(header.split_whitespace().last().map(str::to_owned));
            }
            GitSecret::Basic { username, password } => {
                // A token alone is a user name.
                secrets.push(if password.is_empty() { username.clone() } else { password.clone() });
                secrets.push(STANDARD.encode(format!("{username}:{password}")));
            }
        }
    }
    for secret in &config.steps.secrets {
        let text = match &secret.source {
            SecretSource::File(path) => read(path),
            SecretSource::Value(value) => String::from_utf8(value.0.clone()).ok(),
        };
        if let Some(text) = text {
            secrets.extend(in_header(&secret.id, &text));
            secrets.push(text);
        }
    }
    secrets
}

/// What a server of repositories or files is shown of a secret that is for it by its name.
fn in_header(id: &str, text: &str) -> Option<String> {
    let text = text.trim_end_matches(['\r', '\n']);
    if id.starts_with("GIT_AUTH_TOKEN") {
        return Some(STANDARD.encode(format!("x-access-token:{text}")));
    }
    let header = id.starts_with("GIT_AUTH_HEADER") || id.starts_with("HTTP_AUTH_HEADER_");
    text.split_whitespace().last().filter(|_| header).map(str::to_owned)
}

/// BuildKit's rule for names (its check `SecretsUsedInArgOrEnv`): one of these words between
/// underscores.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let words = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    let name = name.to_ascii_lowercase();
    let public = name.split(['_', '-']).any(|w| w == "public");
    !public && name.split(['_', '-']).any(|w| words.contains(&w))
}

/// The text of a credential file, if it can be read: whoever needs the file reports errors.
fn read(path: &Path) -> Option<String> {
    // Opening a pipe would wait for its writer.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    File::open(path).ok()?.take(LARGEST_CONFIG).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The secrets in docker's `config.json`.
fn in_json(text: &str) -> Vec<String> {
    let Ok(config) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let mut secrets = Vec::new();
    for entry in config["auths"].as_object().into_iter().flat_map(|auths| auths.values()) {
        for field in ["password", "identitytoken", "registrytoken", "auth"] {
            secrets.extend(entry[field].as_str().map(str::to_owned));
        }
        let decoded = entry["auth"].as_str().and_then(|auth| STANDARD.decode(auth.trim()).ok());
        let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        secrets.extend(pair.and_then(|p| p.split_once(':').map(|(_, password)| password.to_owned())));
    }
    secrets.retain(|s| !s.is_empty());
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_sound_secret() {
        for name in ["TOKEN", "NPM_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY", "apikey"] {
            assert!(sounds_secret(name), "{name}");
        }
        for name in ["VERSION", "KEYBOARD", "TOKENIZER", "PUBLIC_KEY", "MONKEY_X"] {
            assert!(!sounds_secret(name), "{name}");
        }
    }

    #[test]
    fn headers_made_of_secrets() {
        for (id, text, expected) in [
            ("GIT_AUTH_TOKEN.h", "abc\n", Some("eC1hY2Nlc3MtdG9rZW46YWJj")),
            ("GIT_AUTH_HEADER", "Basic abc", Some("abc")),
            ("HTTP_AUTH_HEADER_h", "Bearer abc\n", Some("abc")),
            ("HTTP_AUTH_TOKEN_h", "abc", None),
            ("npm", "a word", None),
        ] {
            assert_eq!(in_header(id, text).as_deref(), expected, "{id}");
        }
    }

    #[test]
    fn secrets_of_a_docker_config() {
        // user:hunter22
        let json = r#"{"auths":{"h":{"auth":"dXNlcjpodW50ZXIyMg=="},"i":{"identitytoken":"idtok"}},"credsStore":"x"}"#;
        assert_eq!(in_json(json), ["dXNlcjpodW50ZXIyMg==", "hunter22", "idtok"]);
        for broken in ["", "{", "[]", r#"{"auths":[1]}"#, r#"{"auths":{"h":1}}"#] {
            assert!(in_json(broken).is_empty(), "{broken}");
        }
    }
}
