//! `WWW-Authenticate`: what a registry wants to see before it answers (RFC 9110, 11.6.1; token
//! authentication of the distribution project).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The way a registry wants to be convinced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token from this server.
    Bearer {
        /// The token server's URL.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
    },
}

impl Challenge {
    /// The challenge of an answer that we can meet; tokens before passwords.
    pub(super) fn of(headers: &HeaderMap) -> Option<Challenge> {
        let mut basic = None;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            for (scheme, parameters) in parse(&String::from_utf8_lossy(value.as_bytes())) {
                let parameter = |name: &str| {
                    parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone())
                };
                if scheme.eq_ignore_ascii_case("bearer")
                    && let Some(realm) = parameter("realm")
                {
                    return Some(Challenge::Bearer { realm, service: parameter("service") });
                }
                if scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Challenge::Basic);
                }
            }
        }
        basic
    }
}

type Parsed = (String, Vec<(String, String)>);

/// The challenges of one header: schemes with their parameters. What makes no sense is skipped.
fn parse(text: &str) -> Vec<Parsed> {
    let mut challenges: Vec<Parsed> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(value) = after.trim_start().strip_prefix('=') {
            let (value, after) = parameter_value(value.trim_start());
            if let Some((_, parameters)) = challenges.last_mut()
                && !word.is_empty()
            {
                parameters.push((word.to_owned(), value));
            }
            rest = after;
        } else if word.is_empty() {
            return challenges;
        } else {
            challenges.push((word.to_owned(), Vec::new()));
            rest = after;
        }
    }
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().expect("a header"));
        }
        Challenge::of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn challenges() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(of(&[hub]), bearer("https://auth.docker.io/token", Some("registry.docker.io")));
        assert_eq!(of(&[r#"Basic realm="Registry Realm""#]), Some(Challenge::Basic));
        assert_eq!(of(&["Basic"]), Some(Challenge::Basic));
        assert_eq!(of(&["basic realm=x", "BEARER Realm=\"u\""]), bearer("u", None));
        assert_eq!(of(&[r#"Basic realm="a, b=c", Bearer realm="u" , service=s"#]), bearer("u", Some("s")));
        assert_eq!(of(&[r#"Bearer realm = "a\"b""#]), bearer("a\"b", None));
        assert_eq!(of(&[r#"Bearer error="insufficient_scope""#]), None);
        assert_eq!(of(&["Negotiate abc==", r#"Bearer realm="u"#]), bearer("u", None));
        for none in [&[] as &[&str], &[""], &[",,"], &["="], &["=\"x\""], &["Negotiate"]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
