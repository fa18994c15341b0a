//! What `git` is given to show who we are: a configuration and an answer in memory files that only
//! it and its children inherit. Nothing secret is in an argument, the environment or on disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::config::{FetchConfig, GitSecret};

use super::source::GitSource;
use crate::fetch::remote::percent_decoded;

/// Memory files that `git` inherits, and no other program.
pub(super) struct Credentials {
    config: File,
    /// What a helper answers.
    answer: Option<File>,
}

/// Settings that hold for every repository: nothing of this machine, nothing that executes.
const SETTINGS: &str = "\
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tautocrlf = false
[credential]
\thelper =
[safe]
\tdirectory = *
[submodule]
\trecurse = false
[fetch]
\trecurseSubmodules = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[advice]
\tdetachedHead = false
[init]
\tdefaultBranch = master
[http]
\tlowSpeedLimit = 1
\tlowSpeedTime = 60
";

impl Credentials {
    /// Everything `git` shall know for a repository.
    pub(super) fn new(config: &FetchConfig, source: &GitSource) -> io::Result<Credentials> {
        let mut text = SETTINGS.to_owned();
        if source.skip_tls_verify {
            text.push_str("\tsslVerify = false\n");
        }
        let mut answer = None;
        if let Some((scope, secret)) = secret(config, &source.remote) {
            match secret {
                GitSecret::Basic { username, password } => {
                    let file = memory(&format!("username={username}\npassword={password}\n"))?;
                    // Only reading is answered; a builtin writes the lines, so they are in no argument.
                    let script = format!(
                        "!f() {{ test \\\"$1\\\" = get || return 0; while IFS= read -r l; do printf '%s\\\\n' \\\"$l\\\"; done </proc/self/fd/{}; }}; f",
                        file.as_raw_fd()
                    );
                    text.push_str(&format!("[credential \"{scope}\"]\n\thelper = \"{script}\"\n"));
                    answer = Some(file);
                }
                GitSecret::Header(header) => {
                    // A header goes wherever the server sends us, so it may send us nowhere.
                    let header = escaped(&header);
                    text.push_str(&format!(
                        "[http \"{scope}\"]\n\textraHeader = \"Authorization: {header}\"\n\tfollowRedirects = false\n"
                    ));
                }
            }
        }
        Ok(Credentials { config: memory(&text)?, answer })
    }

    /// The path by which `git` and its children read the configuration.
    pub(super) fn config_path(&self) -> String {
        format!("/proc/self/fd/{}", self.config.as_raw_fd())
    }

    /// What `git` must inherit.
    pub(super) fn files(&self) -> Vec<&File> {
        std::iter::once(&self.config).chain(&self.answer).collect()
    }
}

/// The secrets of a repository, longest first, in every form in which a program may print them.
pub(super) fn hidden(config: &FetchConfig, remote: &str) -> Vec<String> {
    let mut hidden = Vec::new();
    if let Some((_, secret)) = secret(config, remote) {
        match secret {
            GitSecret::Basic { username, password } => {
                hidden.push(STANDARD.encode(format!("{username}:{password}")));
                // A token alone is a user name.
                hidden.push(if password.is_empty() { username } else { password });
            }
            GitSecret::Header(header) => {
                hidden.extend(header.split_whitespace().last().map(str::to_owned));
                hidden.push(header);
            }
        }
    }
    if let Ok(url) = Url::parse(remote) {
        hidden.extend(url.password().map(str::to_owned));
    }
    hidden.retain(|text| text.len() > 2);
    hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
    hidden
}

/// The secret for a repository, and the URL it is for: none of another host ever sees it.
fn secret(config: &FetchConfig, remote: &str) -> Option<(String, GitSecret)> {
    let url = Url::parse(remote).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let host = url.host_str()?;
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let scope = format!("{}://{host}/", url.scheme());
    if !url.username().is_empty() || url.password().is_some() {
        let username = percent_decoded(url.username());
        let password = percent_decoded(url.password().unwrap_or_default());
        return Some((scope, GitSecret::Basic { username, password }));
    }
    let all = &config.git_credentials;
    let own = all.iter().find(|c| c.host.as_ref().is_some_and(|h| h.eq_ignore_ascii_case(&host)));
    let found = own.or_else(|| all.iter().find(|c| c.host.is_none()))?;
    Some((scope, found.secret.clone()))
}

/// A repository's URL without the credentials that [`Credentials`] holds for it.
pub(super) fn without_userinfo(remote: &str) -> String {
    match Url::parse(remote) {
        Ok(mut url) if matches!(url.scheme(), "http" | "https") && url.has_authority() => {
            // Both fail only for URLs that cannot have credentials.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        _ => remote.to_owned(),
    }
}

/// A value inside double quotes of git's configuration.
fn escaped(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect()
}

/// A memory file.
fn memory(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("git", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GitCredential;

    fn config(host: Option<&str>) -> FetchConfig {
        let secret = GitSecret::Basic { username: "me".to_owned(), password: "pass".to_owned() };
        let credential = GitCredential { host: host.map(str::to_owned), secret };
        FetchConfig { git_credentials: vec![credential], ..FetchConfig::default() }
    }

    #[test]
    fn secrets_are_for_one_host() {
        for (host, remote, expected) in [
            (Some("h"), "https://h/a.git", Some("https://h/")),
            (Some("h:81"), "http://H:81/a.git", Some("http://h:81/")),
            (Some("h"), "https://h:81/a.git", None),
            (Some("h"), "https://other/a.git", None),
            (None, "https://other/a.git", Some("https://other/")),
            (None, "git@h:a.git", None),
            (None, "ssh://git@h/a.git", None),
        ] {
            let found = secret(&config(host), remote).map(|(scope, _)| scope);
            assert_eq!(found.as_deref(), expected, "{host:?} {remote}");
        }
    }

    #[test]
    fn credentials_leave_the_url() {
        for (remote, bare) in [
            ("https://u:p@h:81/a.git", "https://h:81/a.git"),
            ("ssh://git@h/a.git", "ssh://git@h/a.git"),
            ("git@h:a.git", "git@h:a.git"),
        ] {
            assert_eq!(without_userinfo(remote), bare);
        }
    }

    #[test]
    fn only_git_inherits_the_files() {
        use crate::run::{spawn, spawn_with};
        use std::process::{Command, Stdio};
        let source = super::super::source::parse("https://h/a.git").unwrap().unwrap();
        let credentials = Credentials::new(&config(None), &source).unwrap();
        let lister = || {
            let mut command = Command::new("ls");
            command.args(["-l", "/proc/self/fd"]).stdout(Stdio::piped());
            command
        };
        let inherited = |child: io::Result<std::process::Child>| {
            let output = child.unwrap().wait_with_output().unwrap();
            String::from_utf8(output.stdout).unwrap().matches("/memfd:git").count()
        };
        std::thread::scope(|scope| {
            let gits = scope.spawn(|| {
                let started = (0..20).map(|_| spawn_with(&mut lister(), &credentials.files()));
                started.map(inherited).collect::<Vec<_>>()
            });
            let others: Vec<_> = (0..20).map(|_| inherited(spawn(&mut lister()))).collect();
            assert_eq!((gits.join().unwrap(), others), (vec![2; 20], vec![0; 20]));
        });
    }

    #[test]
    fn what_is_hidden() {
        assert_eq!(hidden(&config(None), "https://h/a.git"), ["bWU6cGFzcw==", "pass"]);
        let in_url = hidden(&config(None), "https://tok:s%2Fcret@h/a.git");
        assert_eq!(in_url, ["dG9rOnMvY3JldA==", "s%2Fcret", "s/cret"]);
        assert_eq!(hidden(&config(None), "https://token@h/a.git"), ["dG9rZW46", "token"]);
        assert!(hidden(&FetchConfig::default(), "ssh://git@h/a.git").is_empty());
    }
}
