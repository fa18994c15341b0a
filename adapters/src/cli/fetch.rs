//! How files and repositories are fetched: bounds, and the environment that `git` runs in.

use yadokari::config::{ContextSource, FetchConfig, GitCredential, GitSecret};

use super::flags::Flags;
use crate::env::Env;
use crate::usage::Usage;

/// Variables that `git` needs; nothing of them is ours to keep secret.
const GIT_VARIABLES: [&str; 12] = [
    "PATH",
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "TMPDIR",
];

/// What the flags and the environment say about fetching.
///
/// # Errors
/// A bound that is none.
pub(crate) fn config(flags: &Flags, env: &Env, context: &ContextSource) -> Result<FetchConfig, Usage> {
    let variable = |name: &&str| Some(((*name).to_owned(), env.get(name)?.to_owned()));
    Ok(FetchConfig {
        max_size: size(&flags.fetch_limit)?,
        git_credentials: credentials(env, context).into_iter().collect(),
        git_environment: GIT_VARIABLES.iter().filter_map(variable).collect(),
        ..FetchConfig::default()
    })
}

/// kaniko's credentials for a context's repository: a token stands alone as the user name. They are
/// for its host only, whatever the Dockerfile names.
fn credentials(env: &Env, context: &ContextSource) -> Option<GitCredential> {
    let ContextSource::Git(git) = context else { return None };
    let host = host(&git.url)?;
    let text = |name: &str| env.get(name).unwrap_or_default().to_owned();
    let (username, password) = match env.get("GIT_TOKEN") {
        Some(token) => (token.to_owned(), String::new()),
        None => (text("GIT_USERNAME"), text("GIT_PASSWORD")),
    };
    if username.is_empty() && password.is_empty() {
        return None;
    }
    Some(GitCredential { host: Some(host), secret: GitSecret::Basic { username, password } })
}

/// `host[:port]` of a web server's URL.
pub(super) fn host(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match url.starts_with("https://") {
        true => host.strip_suffix(":443").unwrap_or(host),
        false => host.strip_suffix(":80").unwrap_or(host),
    };
    Some(host.to_ascii_lowercase())
}

/// Bytes, with `k`, `m`, `g` or `t` for powers of 1024.
fn size(text: &str) -> Result<u64, Usage> {
    if text.is_empty() {
        return Ok(FetchConfig::default().max_size);
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match lower.char_indices().last() {
        Some((at, 'k')) => (&lower[..at], 10),
        Some((at, 'm')) => (&lower[..at], 20),
        Some((at, 'g')) => (&lower[..at], 30),
        Some((at, 't')) => (&lower[..at], 40),
        _ => (lower, 0),
    };
    let number = digits.parse::<u64>().ok().filter(|n| *n > 0);
    number.and_then(|n| n.checked_mul(1 << shift)).ok_or_else(|| {
        Usage::new(format!("'{text}' for --fetch-limit is no size"))
            .help("write a number and k, m or g, such as 500m")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use yadokari::config::GitContext;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1", 1),
            ("10k", 10 << 10),
            ("500M", 500 << 20),
            ("16g", 16 << 30),
            ("1tb", 1 << 40),
            ("", 16 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["0", "-1", "g", "1.5g", "1x", "99999999999t"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn git_sees_only_what_it_needs() {
        let env = Env::of(&[("PATH", "/bin"), ("HTTPS_PROXY", "http://p"), ("AWS_SECRET_ACCESS_KEY", "x")]);
        let flags = Flags::default();
        let config = config(&flags, &env, &ContextSource::Empty).expect("right");
        let names: Vec<&str> = config.git_environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PATH", "HTTPS_PROXY"]);
    }

    #[test]
    fn a_contexts_credentials_are_for_its_host() {
        let given = |pairs: &[(&str, &str)], url: &str| {
            let git = GitContext { url: url.to_owned(), ..GitContext::default() };
            credentials(&Env::of(pairs), &ContextSource::Git(git)).map(|found| match found.secret {
                GitSecret::Basic { username, password } => {
                    (found.host.unwrap_or_default(), username, password)
                }
                GitSecret::Header(header) => panic!("{header}"),
            })
        };
        let is = |host: &str, user: &str, password: &str| {
            Some((host.to_owned(), user.to_owned(), password.to_owned()))
        };
        let token = [("GIT_TOKEN", "t"), ("GIT_USERNAME", "u"), ("GIT_PASSWORD", "p")];
        assert_eq!(given(&token, "https://H.example:443/r#main"), is("h.example", "t", ""));
        assert_eq!(given(&token[1..], "http://x@h:8080/r"), is("h:8080", "u", "p"));
        assert_eq!(given(&[], "https://h/r"), None);
        assert_eq!(given(&token, "ssh://git@h/r"), None);
    }
}
