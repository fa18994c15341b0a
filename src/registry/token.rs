//! Access tokens: what they are for, how to get one, and for how long it is good.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Direction;

/// What a token lives where its server does not say (distribution, token authentication).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// A token is renewed this long before its end, so that a request does not outlive it.
const MARGIN: Duration = Duration::from_secs(30);

/// What a token is to allow: `repository:<name>:<actions>`, the repository acted on first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scopes(pub(super) Vec<String>);

impl Scopes {
    /// Reading from, or writing to, one repository.
    pub(super) fn new(repository: &str, direction: Direction) -> Self {
        let actions = match direction {
            Direction::Pull => "pull",
            Direction::Push => "pull,push",
        };
        Scopes(vec![format!("repository:{repository}:{actions}")])
    }

    /// Removing from one repository (the distribution project asks for an action of its own).
    pub(super) fn removing(repository: &str) -> Self {
        Scopes(vec![format!("repository:{repository}:pull,push,delete")])
    }

    /// Reading from another repository too: mounting needs both in one token.
    pub(super) fn and_pull(mut self, repository: &str) -> Self {
        let more = format!("repository:{repository}:pull");
        if !self.0.contains(&more) {
            self.0.push(more);
        }
        self
    }
}

/// A token server's answer (docker's and OAuth2's names).
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl TokenAnswer {
    /// The token, if there is one.
    pub(super) fn token(self) -> Option<Token> {
        let some = |text: Option<String>| text.filter(|t| !t.is_empty());
        let value = some(self.token).or_else(|| some(self.access_token))?;
        let life = self.expires_in.filter(|seconds| *seconds > 0.0);
        let life = life.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(DEFAULT_LIFE);
        // Counted from now: `issued_at` is of another clock.
        let good_for = life - MARGIN.min(life / 4);
        Some(Token { value: value.into(), until: Instant::now() + good_for.min(Duration::from_secs(86_400)) })
    }
}

/// A token and when to renew it.
#[derive(Clone)]
pub(super) struct Token {
    value: Arc<str>,
    until: Instant,
}

/// A token as it is handed out.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) value: Arc<str>,
    /// Whether it was made just now, so that another one would be no better.
    pub(super) fresh: bool,
}

/// Whom a token is from, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) registry: String,
    pub(super) scopes: Scopes,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The tokens of a build.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<TokenKey, Slot>>,
}

impl Tokens {
    /// A token that is still good and is not `rejected`; asks for one if there is none. Of
    /// several callers only one asks, the others wait for it.
    pub(super) async fn get<E>(
        &self,
        key: TokenKey,
        rejected: Option<&str>,
        fetch: impl Future<Output = Result<Token, E>>,
    ) -> Result<Issued, E> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(key).or_default().clone()
        };
        let mut known = slot.lock().await;
        if let Some(token) = known.as_ref()
            && token.until > Instant::now()
            && rejected != Some(&*token.value)
        {
            return Ok(Issued { value: token.value.clone(), fresh: false });
        }
        *known = None;
        let token = fetch.await?;
        let value = token.value.clone();
        *known = Some(token);
        Ok(Issued { value, fresh: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Option<(String, u64)> {
        let token = serde_json::from_str::<TokenAnswer>(json).expect("JSON").token()?;
        let left = token.until.duration_since(Instant::now()).as_secs_f64().round();
        Some((token.value.to_string(), left as u64))
    }

    #[test]
    fn answers_of_token_servers() {
        let cases = [
            (r#"{"token":"t"}"#, Some(("t", 45))),
            (r#"{"access_token":"a","expires_in":300}"#, Some(("a", 270))),
            (r#"{"token":"t","access_token":"a","expires_in":3600}"#, Some(("t", 3570))),
            (r#"{"token":"","access_token":"a","expires_in":0}"#, Some(("a", 45))),
            (r#"{"token":"t","expires_in":-5}"#, Some(("t", 45))),
            (r#"{"token":"t","expires_in":1e300}"#, Some(("t", 45))),
            (r#"{"token":"t","expires_in":1000000000}"#, Some(("t", 86_400))),
            (r#"{"token":""}"#, None),
            ("{}", None),
        ];
        for (json, expected) in cases {
            assert_eq!(answer(json), expected.map(|(t, s)| (t.to_owned(), s)), "{json}");
        }
    }

    #[test]
    fn scopes() {
        let push = Scopes::new("a/b", Direction::Push).and_pull("c").and_pull("c");
        assert_eq!(push.0, ["repository:a/b:pull,push", "repository:c:pull"]);
        assert_eq!(Scopes::new("a", Direction::Pull).0, ["repository:a:pull"]);
        assert_eq!(Scopes::removing("a").0, ["repository:a:pull,push,delete"]);
    }
}
