//! `yadokari login` and `yadokari logout`: docker's own, with the flags of kaniko's fork.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use yadokari::cloud::Clouds;
use yadokari::config::KeychainConfig;
use yadokari::event::Events;
use yadokari::keychain::{self, Keychain};
use yadokari::registry::{Network, Registry as Registries};

use super::flags::Registry;
use super::{credentials, places, registries};
use crate::env::Env;
use crate::usage::Usage;

/// A longer password is none.
const LONGEST: u64 = 1 << 20;

/// The flags of `yadokari login`.
#[derive(Debug, Clone, Args)]
#[command(args_override_self = true)]
pub(crate) struct LoginFlags {
    /// The registry, such as ghcr.io
    #[arg(value_name = "REGISTRY")]
    registry: String,
    /// User name
    #[arg(long, short = 'u', value_name = "NAME", default_value = "", hide_default_value = true)]
    username: String,
    /// Password or token; others on this machine may see it: better --password-stdin
    #[arg(long, short = 'p', value_name = "PASSWORD", default_value = "", hide_default_value = true)]
    password: String,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    settings: Registry,
}

/// The flags of `yadokari logout`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogoutFlags {
    /// The registry, such as ghcr.io
    #[arg(value_name = "REGISTRY")]
    registry: String,
    /// The file to change, rather than docker's config.json
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    authfile: String,
}

/// Asks the registry whether it knows the user, and keeps what it was shown.
///
/// # Errors
/// It does not, or the file cannot be written.
pub(crate) fn login(flags: &LoginFlags, env: &Env) -> Result<String, Usage> {
    let failed = |e: &dyn std::fmt::Display| Usage::new(e.to_string());
    let password = password(flags)?;
    let host = host(&flags.registry)?;
    let reference = places::reference("REGISTRY", &format!("{host}/login"))?;
    let settings = registries::config(&flags.settings, env)?;
    let sources = KeychainConfig {
        sources: vec![credentials::basic("the command line", &host, &flags.username, &password)],
        ..KeychainConfig::default()
    };
    let network = Network::new().map_err(|e| failed(&e))?;
    let clouds = Clouds::new(&sources.clouds, &settings, &network, Events::none());
    let keychain = Keychain::new(&sources, clouds, Events::none()).map_err(|e| failed(&e))?;
    let registry = Registries::new(&settings, keychain, Events::none(), &network).map_err(|e| failed(&e))?;
    network.block_on(registry.check_login(&reference)).map_err(|error| {
        let usage = Usage::new(error.to_string());
        match error.help() {
            Some(help) => usage.help(help),
            None => usage,
        }
    })?;
    let path = path(&flags.settings.authfile, env);
    keychain::store(&path, &host, &flags.username, &password).map_err(|e| of_keychain(&e))?;
    Ok(format!("logged in to {host}; written to {}\n", path.display()))
}

/// Forgets a registry's credentials.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn logout(flags: &LogoutFlags, env: &Env) -> Result<String, Usage> {
    let host = host(&flags.registry)?;
    let path = path(&flags.authfile, env);
    let forgotten = keychain::erase(&path, &host).map_err(|e| of_keychain(&e))?;
    let place = path.display();
    Ok(match forgotten {
        true => format!("removed the credentials for {host} from {place}\n"),
        false => format!("there are no credentials for {host} in {place}\n"),
    })
}

fn password(flags: &LoginFlags) -> Result<String, Usage> {
    let help = "write yadokari login REGISTRY -u NAME --password-stdin <FILE";
    if flags.username.is_empty() {
        return Err(Usage::new("there is no user name").help(help));
    }
    let password = match (flags.password_stdin, flags.password.is_empty()) {
        (true, false) => {
            return Err(Usage::new("--password and --password-stdin exclude each other").help(help));
        }
        (false, _) => flags.password.clone(),
        (true, true) => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
            read.map_err(|e| Usage::new(format!("cannot read the password from standard input: {e}")))?;
            let text = text.strip_suffix('\n').unwrap_or(&text);
            text.strip_suffix('\r').unwrap_or(text).to_owned()
        }
    };
    if password.is_empty() {
        return Err(Usage::new("there is no password").help(help));
    }
    Ok(password)
}

/// The registry's host; people write it as a URL, too.
fn host(text: &str) -> Result<String, Usage> {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let host = bare.trim_end_matches('/');
    let host = host.strip_suffix("/v1").or_else(|| host.strip_suffix("/v2")).unwrap_or(host);
    if host.is_empty() || host.contains('/') {
        return Err(Usage::new(format!("'{text}' is no registry")).help("write its host, such as ghcr.io"));
    }
    Ok(match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    })
}

/// The file that is written: the one that was named, else docker's.
fn path(authfile: &str, env: &Env) -> PathBuf {
    if !authfile.is_empty() {
        return PathBuf::from(authfile);
    }
    let directory = env.get("DOCKER_CONFIG").map_or_else(|| env.home().join(".docker"), PathBuf::from);
    directory.join("config.json")
}

fn of_keychain(error: &keychain::KeychainError) -> Usage {
    let usage = Usage::new(error.to_string());
    match error.help() {
        Some(help) => usage.help(help),
        None => usage,
    }
}
