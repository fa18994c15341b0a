//! How files and repositories are fetched: bounds, and the environment that `git` runs in.

use yadokari::config::FetchConfig;

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
pub(crate) fn config(flags: &Flags, env: &Env) -> Result<FetchConfig, Usage> {
    let variable = |name: &&str| Some(((*name).to_owned(), env.get(name)?.to_owned()));
    Ok(FetchConfig {
        max_size: size(&flags.fetch_limit)?,
        git_environment: GIT_VARIABLES.iter().filter_map(variable).collect(),
        ..FetchConfig::default()
    })
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
        let config = config(&flags, &env).expect("right");
        let names: Vec<&str> = config.git_environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PATH", "HTTPS_PROXY"]);
    }
}
