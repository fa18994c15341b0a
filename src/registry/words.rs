//! What servers say for themselves when they say no.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::error::plain;
use super::retry::retry_after;

/// The registry's own words from the body of an answer that said no (distribution spec, "Error
/// Codes"), with a colon before them; empty if there are none.
pub(crate) fn own_words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => words_of(&json),
        Err(_) if text.trim_start().starts_with('<') => {
            Some("an HTML page, perhaps of a proxy before the registry".to_owned())
        }
        Err(_) => Some(plain(&text)),
    };
    words.filter(|w| !w.is_empty()).map(|w| format!(": {w}")).unwrap_or_default()
}

fn words_of(json: &serde_json::Value) -> Option<String> {
    let text = |value: &serde_json::Value, name: &str| value[name].as_str().map(plain);
    if let Some(errors) = json["errors"].as_array() {
        let each =
            errors.iter().take(3).filter_map(|error| match (text(error, "code"), text(error, "message")) {
                (Some(code), Some(message)) if !message.is_empty() => Some(format!("{code}: {message}")),
                (code, message) => message.filter(|m| !m.is_empty()).or(code),
            });
        return Some(each.collect::<Vec<_>>().join("; "));
    }
    // Token servers: OAuth2's error_description, or docker's details.
    ["error_description", "details", "message", "error"].iter().find_map(|name| text(json, name))
}

/// What an answer of status 429 says of limits, with a semicolon before it: how many requests are
/// allowed (Docker Hub's `ratelimit-limit: 100;w=21600`, RFC drafts of the same), and when to come
/// back.
pub(super) fn limits(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let limit = text("ratelimit-limit").and_then(|limit| {
        let (count, rest) = limit.split_once(';').unwrap_or((limit, ""));
        let window = rest.split(';').find_map(|part| number(part.trim().strip_prefix("w=")?));
        let window = window.map(|s| format!(" in {}", period(Duration::from_secs(s)))).unwrap_or_default();
        Some(format!("{} requests{window} are allowed", number(count)?))
    });
    let back = retry_after(headers).map(|after| format!("it says to come back in {}", period(after)));
    [limit, back].into_iter().flatten().map(|words| format!("; {words}")).collect()
}

/// A time for people, in its largest whole unit.
fn period(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 3600 && seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_requests() {
        let said = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().expect("a header"));
            }
            limits(&headers)
        };
        assert_eq!(said(&[]), "");
        assert_eq!(said(&[("ratelimit-limit", "100;w=21600")]), "; 100 requests in 6 h are allowed");
        assert_eq!(
            said(&[("ratelimit-limit", "10"), ("retry-after", "90")]),
            "; 10 requests are allowed; it says to come back in 90 s"
        );
        assert_eq!(
            said(&[("ratelimit-limit", "many"), ("retry-after", "120")]),
            "; it says to come back in 2 min"
        );
    }

    #[test]
    fn own_words_of_registries() {
        for (body, words) in [
            ("", ""),
            (r#"{"errors":[{"code":"DENIED","message":"no\u001b[31m way\n"}]}"#, ": DENIED: no [31m way"),
            (r#"{"errors":[{"code":"DENIED","message":""},{"message":"x"}]}"#, ": DENIED; x"),
            (r#"{"errors":[{"code":"A"},{"code":"B"},{"code":"C"},{"code":"D"}]}"#, ": A; B; C"),
            (r#"{"details":"incorrect username or password"}"#, ": incorrect username or password"),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, ": expired"),
            ("404 page not found\r\n", ": 404 page not found"),
            ("<html><b>Bad</b>", ": an HTML page, perhaps of a proxy before the registry"),
            ("{}", ""),
        ] {
            assert_eq!(own_words(body.as_bytes()), words, "{body}");
        }
        assert!(own_words("long ".repeat(10_000).as_bytes()).len() < 600);
        assert!(own_words(&[0xff; 3000]).chars().count() < 510);
    }
}
