//! `registry-auths`: accounts at registries, as a YAML or JSON list, as lines, or as docker's config.json.

use yadokari::config::{CredentialLocation, CredentialSource};

use super::list::fields;
use crate::cli::credentials;
use crate::usage::Usage;
use crate::yaml::{self, Node};

/// A larger text is no list of accounts.
const LARGEST: usize = 1 << 20;

/// An account.
struct Account {
    registry: Option<String>,
    username: String,
    password: String,
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
    let wrong = |line: usize| help(Usage::new(format!("{name} is no list of accounts: line {line}")));
    let documents = yaml::parse(text).map_err(|e| wrong(e.line))?;
    let [root] = documents.as_slice() else { return Err(wrong(1)) };
    let list = match &root.value {
        yaml::Value::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(root),
    };
    list.iter().map(|node| account(node).ok_or_else(|| wrong(node.line))).collect()
}

/// An account, with the names of docker/login-action's `registry-auth`; sessions end with the process, so
/// that there is nothing to log out of.
fn account(node: &Node) -> Option<Account> {
    let known = |name: &Node| {
        name.text().is_some_and(|name| ["registry", "username", "password", "logout"].contains(&name))
    };
    let field = |name: &str| node.get(name).and_then(Node::text).map(str::to_owned);
    node.entries().iter().all(|(name, _)| known(name)).then_some(())?;
    Some(Account { registry: field("registry"), username: field("username")?, password: field("password")? })
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
        accounts.push(Account { registry, username, password });
    }
    Ok(accounts)
}
