//! Workspaces, and the Secrets that Tekton mounts by itself.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use yadokari::config::{CredentialLocation, StepAgent};
use yadokari::fetch::Remote;

use crate::cli::job::Job;
use crate::cli::{credentials, handover};
use crate::settings::Key;
use crate::settings::dialect::Read;
use crate::usage::Usage;

/// Where Tekton mounts the Secrets of the service account, a directory each
/// (`pkg/credentials/initialize.go`).
const SECRETS: &str = "/tekton/creds-secrets";

/// The context below the workspace `source`, unless it is a URL; none if there is no word of a workspace.
///
/// # Errors
/// The context is relative to a workspace that is not bound.
pub(super) fn context(read: &Read, has_source: bool) -> Result<Option<String>, Usage> {
    let context = read.settings.text(Key::Context).unwrap_or("./");
    let remote = context.contains("://") || matches!(Remote::parse(context), Ok(Some(_)) | Err(_));
    match read.own("source") {
        _ if remote => Ok(None),
        Some(source) => Ok(Some(format!("{}/{context}", source.trim_end_matches('/')))),
        None if has_source && !context.starts_with('/') => {
            Err(Usage::new(format!("CONTEXT is '{context}', and the workspace source is not bound"))
                .help("bind the workspace source, or let CONTEXT be the URL of a repository"))
        }
        None => Ok(None),
    }
}

/// Puts what the workspaces hold into a job.
///
/// # Errors
/// A workspace is bound to what it cannot be.
pub(super) fn complete(read: &Read, job: &mut Job) -> Result<(), Usage> {
    let sources = &mut job.config.keychain.sources;
    let is_file = |location: &CredentialLocation| matches!(location, CredentialLocation::File(_));
    let files = sources.iter().position(|s| is_file(&s.location)).unwrap_or(sources.len());
    sources.splice(files..files, mounted_secrets(Path::new(SECRETS)).into_iter().map(credentials::file));
    if let Some(dir) = read.own("dockerconfig") {
        let paths = handover::CONFIG_FILES.map(|name| Path::new(dir).join(name));
        if !paths.iter().any(|p| p.exists()) {
            job.warnings.push(format!(
                "the workspace dockerconfig ({dir}) has neither config.json nor .dockerconfigjson"
            ));
        }
        sources.splice(0..0, paths.map(credentials::file));
    }
    if let Some(dir) = read.own("credentials-once") {
        handover::take(Path::new(dir))?.put_in(&mut job.config);
    }
    if let Some(dir) = read.own("sslcertdir") {
        job.config.registry.ca_paths.push(PathBuf::from(dir));
    }
    if let Some(dir) = read.own("output-dir") {
        job.files.metadata.get_or_insert_with(|| Path::new(dir).join("build-metadata.json"));
    }
    if let Some(dir) = read.own("ssh-dir") {
        job.config.steps.agents.splice(0..0, agents(Path::new(dir))?);
    }
    Ok(())
}

/// The service account's Secrets with accounts of registries. Tekton's own copy of them has neither
/// identity tokens nor credential helpers.
fn mounted_secrets(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|e| e.path().join(".dockerconfigjson")).filter(|p| p.exists()).collect();
    files.sort();
    files
}

/// The SSH agents of a directory: its sockets, of which a single one is `default`; without any, one with
/// the keys there, by the names that ssh and Kubernetes' Secrets give them.
fn agents(directory: &Path) -> Result<Vec<StepAgent>, Usage> {
    let failed = |e: std::io::Error| Usage::new(format!("cannot read {}: {e}", directory.display()));
    let (mut agents, mut keys) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().map_err(failed)?.is_socket() {
            agents.push(StepAgent { id: name, paths: vec![path] });
        } else if (name.starts_with("id_") && !name.ends_with(".pub")) || name == "ssh-privatekey" {
            keys.push(path);
        }
    }
    keys.sort();
    match agents.as_mut_slice() {
        [] if keys.is_empty() => {
            return Err(Usage::new(format!(
                "the workspace ssh ({}) has neither the socket of an SSH agent nor a key (id_* or ssh-privatekey)",
                directory.display()
            ))
            .help("bind a Secret of type kubernetes.io/ssh-auth, or a volume with the socket of an ssh-agent in a sidecar"));
        }
        [] => agents.push(StepAgent { id: "default".to_owned(), paths: keys }),
        [one] => one.id = "default".to_owned(),
        _ => agents.sort_by(|a, b| a.id.cmp(&b.id)),
    }
    Ok(agents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_with_accounts_are_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for (name, file) in [("b", ".dockerconfigjson"), ("a", ".dockerconfigjson"), ("git", "password")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(file), "{}").unwrap();
        }
        let expected = ["a", "b"].map(|n| dir.path().join(n).join(".dockerconfigjson"));
        assert_eq!(mounted_secrets(dir.path()), expected);
        assert!(mounted_secrets(&dir.path().join("missing")).is_empty());
    }

    #[test]
    fn agents_are_sockets_or_have_keys() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("known_hosts"), "").unwrap();
        assert!(agents(dir.path()).unwrap_err().help.unwrap().contains("ssh-agent"));
        for name in ["id_rsa", "id_ed25519", "id_ed25519.pub", "ssh-privatekey"] {
            fs::write(dir.path().join(name), "key").unwrap();
        }
        let of_keys = agents(dir.path()).unwrap();
        assert_eq!(of_keys[0].paths, ["id_ed25519", "id_rsa", "ssh-privatekey"].map(|n| dir.path().join(n)));
        let _one = std::os::unix::net::UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let ids = |list: Vec<StepAgent>| list.into_iter().map(|a| a.id).collect::<Vec<_>>();
        assert_eq!((ids(of_keys), ids(agents(dir.path()).unwrap())), (ids_of("default"), ids_of("default")));
        let _two = std::os::unix::net::UnixListener::bind(dir.path().join("b")).unwrap();
        assert_eq!(ids(agents(dir.path()).unwrap()), ["agent.sock", "b"]);
    }

    fn ids_of(one: &str) -> Vec<String> {
        vec![one.to_owned()]
    }
}
