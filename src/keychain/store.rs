//! Writing docker's `config.json`: `docker login` and `docker logout`.

use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::config_file::{ConfigFile, Found, key_covers};
use super::{HUB_KEY, KeychainError, host_of, is_hub};

/// Larger files are no config.
const LIMIT: u64 = 4 << 20;

/// Writes a user name and a password for a registry, in place of what is there for it.
///
/// # Errors
/// The file cannot be read or written, is no `config.json`, or gives the registry to a helper program.
pub fn store(path: &Path, registry: &str, username: &str, password: &str) -> Result<(), KeychainError> {
    let host = host_of(registry);
    let mut config = Config::read(path)?;
    config.refuse_helper(host)?;
    let auths = config.auths()?;
    auths.retain(|key, _| !key_covers(key, host));
    let key = if is_hub(host) { HUB_KEY } else { host };
    let auth = STANDARD.encode(format!("{username}:{password}"));
    auths.insert(key.to_owned(), json!({ "auth": auth }));
    config.write()
}

/// Forgets what there is for a registry; says whether there was something.
///
/// # Errors
/// As [`store`].
pub fn erase(path: &Path, registry: &str) -> Result<bool, KeychainError> {
    let host = host_of(registry);
    let mut config = Config::read(path)?;
    config.refuse_helper(host)?;
    let auths = config.auths()?;
    let before = auths.len();
    auths.retain(|key, _| !key_covers(key, host));
    if auths.len() == before {
        return Ok(false);
    }
    config.write()?;
    Ok(true)
}

struct Config {
    name: String,
    path: PathBuf,
    content: Map<String, Value>,
}

impl Config {
    fn read(path: &Path) -> Result<Config, KeychainError> {
        let name = path.display().to_string();
        let failed = |source| KeychainError::Read { name: name.clone(), source };
        // What a link leads to is written, and not the link.
        let path = match std::fs::canonicalize(path) {
            Ok(path) => path,
            Err(e) if e.kind() == ErrorKind::NotFound => path.to_owned(),
            Err(e) => return Err(failed(e)),
        };
        let content = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > LIMIT => {
                return Err(failed(io::Error::other("it is too large")));
            }
            Ok(_) => std::fs::read(&path).map_err(failed)?,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(failed(e)),
        };
        // Checks all that is read of it later.
        let _checked = ConfigFile::parse(&name, &content)?;
        let content = match serde_json::from_slice(&content) {
            Ok(Value::Object(content)) => content,
            _ => Map::new(),
        };
        Ok(Config { name, path, content })
    }

    /// A registry whose credentials a program keeps would not be asked for ours.
    fn refuse_helper(&self, host: &str) -> Result<(), KeychainError> {
        let text = Value::Object(self.content.clone()).to_string();
        match ConfigFile::parse(&self.name, text.as_bytes())?.helper_of(&self.name, host)? {
            Found::Helper { program, server, .. } => {
                Err(KeychainError::KeptElsewhere { name: self.name.clone(), program, server })
            }
            _ => Ok(()),
        }
    }

    fn auths(&mut self) -> Result<&mut Map<String, Value>, KeychainError> {
        let auths = self.content.entry("auths").or_insert_with(|| json!({}));
        if auths.is_null() {
            *auths = json!({});
        }
        let name = self.name.clone();
        auths.as_object_mut().ok_or(KeychainError::Json {
            name,
            problem: "auths is no object",
            line: 1,
            column: 1,
        })
    }

    /// Writes it for its owner's eyes only, by rename.
    fn write(&self) -> Result<(), KeychainError> {
        let failed = |source| KeychainError::Write { name: self.name.clone(), source };
        let directory = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let text = serde_json::to_string_pretty(&self.content).map_err(|e| failed(e.into()))?;
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.write_all(b"\n").map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}
