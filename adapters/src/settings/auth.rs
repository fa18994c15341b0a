//! `registry-auths`: accounts at registries, as a YAML or JSON list, as lines, or as docker's config.json.

use serde::Deserialize;
use yadokari::config::{CredentialLocation, CredentialSource};

use super::list::fields;
use crate::cli::credentials;
use crate::usage::Usage;

/// A larger text is no list of accounts.
const LARGEST: usize = 1 << 20;

/// An account, with the names of docker/login-action's `registry-auth`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    registry: Option<String>,
    username: String,
    password: String,
    /// Sessions end with the process.
    #[serde(rename = "logout")]
    _logout: Option<bool>,
}

/// The accounts of a text. `name` is what logs call them.
///
/// # Errors
/// No account, or a broken one; nothing of the text is in the error.
pub(super) fn sources(name: &str, text: &str) -> Result<Vec<CredentialSource>, Usage> {
    if text.len() > LARGEST {
        return Err(Usage::new(format!("{name} is larger than 1 MiB")));
    }
    if is_docker_config(text) {
        let location = CredentialLocation::Inline(text.to_owned());
        return Ok(vec![CredentialSource { name: name.to_owned(), location }]);
    }
    let start = text.trim_start();
    let accounts = match start.starts_with("registry=") || start.starts_with("username=") {
        true => lines(name, text)?,
        false => document(name, text)?,
    };
    let sources = accounts.into_iter().map(|account| {
        let registry = account.registry.unwrap_or_else(|| "docker.io".to_owned());
        let host = registry.trim().trim_start_matches("https://").trim_end_matches('/').to_owned();
        credentials::basic(&format!("{name} ({host})"), &host, &account.username, &account.password)
    });
    Ok(sources.collect())
}

/// Whether this is the content of docker's `config.json`.
fn is_docker_config(text: &str) -> bool {
    let json: Result<serde_json::Value, _> = serde_json::from_str(text);
    json.is_ok_and(|json| json.get("auths").is_some() || json.get("credHelpers").is_some())
}

fn help(error: Usage) -> Usage {
    error.help("give each account a registry, a username and a password: as a YAML list, a JSON array, or lines registry=HOST,username=NAME,password=SECRET")
}

/// A YAML or JSON list of accounts, or a single one.
fn document(name: &str, text: &str) -> Result<Vec<Account>, Usage> {
    let wrong = |error: &serde_saphyr::Error| {
        let place = error.location().map_or_else(String::new, |l| format!(" at line {}", l.line()));
        help(Usage::new(format!("{name} is no list of accounts{place}")))
    };
    if text.trim_start().starts_with(['-', '[']) {
        return serde_saphyr::from_str::<Vec<Account>>(text).map_err(|e| wrong(&e));
    }
    serde_saphyr::from_str::<Account>(text).map(|one| vec![one]).map_err(|e| wrong(&e))
}

/// Lines of comma separated fields, in which a password may be quoted as in CSV.
fn lines(name: &str, text: &str) -> Result<Vec<Account>, Usage> {
    let mut accounts = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: &str| help(Usage::new(format!("{name}: line {} {what}", number + 1)));
        let (mut registry, mut username, mut password) = (None, None, None);
        for field in fields(name, line)? {
            match field.split_once('=') {
                Some(("registry", value)) => registry = Some(value.to_owned()),
                Some(("username", value)) => username = Some(value.to_owned()),
                Some(("password", value)) => password = Some(value.to_owned()),
                _ => return Err(wrong("has a field that is none of registry, username and password")),
            }
        }
        let (Some(username), Some(password)) = (username, password) else {
            return Err(wrong("lacks a username or a password"));
        };
        accounts.push(Account { registry, username, password, _logout: None });
    }
    Ok(accounts)
}
