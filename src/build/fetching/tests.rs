use super::*;
use crate::config::{SecretBytes, SecretSource};

fn fetching(secrets: &[(&str, &str)]) -> Result<FetchConfig, Error> {
    let of = |(id, value): &(&str, &str)| StepSecret {
        id: (*id).to_owned(),
        source: SecretSource::Value(SecretBytes(value.as_bytes().to_vec())),
    };
    let given: Vec<StepSecret> = secrets.iter().map(of).collect();
    let own = GitCredential { host: Some("own".to_owned()), secret: GitSecret::Header("own".to_owned()) };
    let configured = FetchConfig { git_credentials: vec![own], ..FetchConfig::default() };
    config(&configured, &given)
}

/// What is shown to whom, a line each.
fn shown(secrets: &[(&str, &str)]) -> Vec<String> {
    let fetching = fetching(secrets).expect("right");
    let git = fetching.git_credentials.iter().map(|credential| {
        let host = credential.host.as_deref().unwrap_or("*");
        match &credential.secret {
            GitSecret::Basic { username, password } => format!("git {host} {username}:{password}"),
            GitSecret::Header(header) => format!("git {host} {header}"),
        }
    });
    git.chain(fetching.http_authorizations.iter().map(|a| format!("http {} {}", a.host, a.value))).collect()
}

#[test]
fn names_say_whom_a_secret_is_for() {
    for (id, expected) in [
        ("GIT_AUTH_TOKEN", "git * x-access-token:v"),
        ("GIT_AUTH_TOKEN.h.example", "git h.example x-access-token:v"),
        ("GIT_AUTH_TOKEN.h:81", "git h:81 x-access-token:v"),
        ("GIT_AUTH_HEADER", "git * v"),
        ("GIT_AUTH_HEADER.h", "git h v"),
    ] {
        assert_eq!(shown(&[(id, "v\n")]), [expected, "git own own"], "{id}");
    }
    for (id, expected) in [
        ("HTTP_AUTH_TOKEN_h.example", "http h.example Bearer v"),
        ("HTTP_AUTH_HEADER_h", "http h v"),
        ("HTTP_AUTH_HEADER_::1", "http [::1] v"),
        ("HTTP_AUTH_HEADER_[::1]", "http [::1] v"),
    ] {
        assert_eq!(shown(&[(id, "v")]), ["git own own", expected], "{id}");
    }
    for id in [
        "GIT_AUTH_TOKEN.",
        "GIT_AUTH_TOKENS",
        "GIT_AUTH_TOKEN_h",
        "git_auth_token",
        "HTTP_AUTH_TOKEN",
        "HTTP_AUTH_TOKEN_",
        "HTTP_AUTH_HEADER.h",
        "npm",
    ] {
        assert_eq!(shown(&[(id, "v")]), ["git own own"], "{id}");
    }
}

#[test]
fn of_two_one_counts() {
    let twice = shown(&[("GIT_AUTH_TOKEN.h", "old"), ("GIT_AUTH_TOKEN.h", "new")]);
    assert_eq!(twice, ["git h x-access-token:new", "git own own"]);
    let both = shown(&[
        ("HTTP_AUTH_HEADER_h", "a"),
        ("HTTP_AUTH_TOKEN_h", "b"),
        ("GIT_AUTH_TOKEN.h", "c"),
        ("GIT_AUTH_HEADER.h", "d"),
    ]);
    assert_eq!(both, ["git h d", "git h x-access-token:c", "git own own", "http h Bearer b", "http h a"]);
}

#[test]
fn what_is_no_header_is_refused_and_not_shown() {
    let values = ["", "\n", "to\nken", "to\rken", "to\0ken", "to\tken", "tokén"];
    for value in values {
        let Err(error) = fetching(&[("HTTP_AUTH_TOKEN_h", value)]) else { panic!("{value}: taken") };
        let error = error.to_string();
        assert!(error.contains("'HTTP_AUTH_TOKEN_h'"), "{error}");
        assert!(value.trim().is_empty() || !error.contains(value), "{error}");
        assert!(fetching(&[("GIT_AUTH_TOKEN", value)]).is_err() && fetching(&[("npm", value)]).is_ok());
    }
    let large = "x".repeat(600 * 1024);
    assert!(fetching(&[("GIT_AUTH_TOKEN", &large)]).is_err());
}
