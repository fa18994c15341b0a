//! What is sent as `Authorization`, and what to do when a registry does not like it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};

use super::call::Call;
use super::challenge::Challenge;
use super::client::{Client, Target};
use super::error::NO_CREDENTIALS;
use super::retry::{Failure, is_transient, retry_after};
use super::token::{Issued, Token, TokenAnswer, TokenKey};
use super::words::own_words;
use super::{RegistryError, endpoint};
use crate::keychain::Secret;

/// Tokens and error messages are smaller.
const ANSWER_LIMIT: usize = 1 << 20;

/// What is sent as `Authorization`.
#[derive(Clone)]
pub(super) enum Authorization {
    /// Nothing.
    None,
    /// User name and password, or a token that cannot be renewed.
    Fixed(HeaderValue),
    /// A token of a token server.
    Token(Issued, HeaderValue),
}

impl Authorization {
    pub(super) fn header(&self) -> Option<&HeaderValue> {
        match self {
            Authorization::None => None,
            Authorization::Fixed(value) | Authorization::Token(_, value) => Some(value),
        }
    }
}

impl Client {
    /// What the registry wants to see for a target, as far as it said and we have it.
    pub(super) async fn authorization(
        &self,
        target: &Target,
        rejected: Option<&str>,
    ) -> Result<Authorization, Failure> {
        let secret = target.credential.as_ref().map(|c| &c.secret);
        match (target.endpoint.challenge(), secret) {
            (None, _) => Ok(Authorization::None),
            (Some(_), Some(Secret::Registry(token))) => Ok(Authorization::Fixed(bearer(target, token)?)),
            (Some(Challenge::Basic), Some(Secret::Basic { username, password })) => {
                Ok(Authorization::Fixed(basic(username, password)))
            }
            (Some(Challenge::Basic), _) => Ok(Authorization::None),
            (Some(Challenge::Bearer { realm, service }), _) => {
                let key = TokenKey {
                    realm: realm.clone(),
                    service: service.clone(),
                    registry: target.endpoint.name.clone(),
                    scopes: target.scopes.clone(),
                };
                let fetch = self.fetch_token(target, &realm, service.as_deref());
                let issued = self.tokens.get(key, rejected, fetch).await?;
                let header = bearer(target, &issued.value)?;
                Ok(Authorization::Token(issued, header))
            }
        }
    }

    /// After a 401: what to send now; none if nothing better is to be had.
    pub(super) async fn better(
        &self,
        target: &Target,
        refused: &Authorization,
        headers: &HeaderMap,
    ) -> Result<Option<Authorization>, Failure> {
        let new = Challenge::of(headers).is_some_and(|challenge| target.endpoint.learn(challenge));
        let next = match refused {
            Authorization::Token(issued, _) if !issued.fresh || new => {
                self.authorization(target, Some(&issued.value)).await?
            }
            Authorization::None => self.authorization(target, None).await?,
            Authorization::Fixed(_) if new => self.authorization(target, None).await?,
            _ => return Ok(None),
        };
        let same = next.header() == refused.header();
        Ok(if same { None } else { Some(next) })
    }

    async fn fetch_token(
        &self,
        target: &Target,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Token, Failure> {
        let url: Url = realm
            .parse()
            .ok()
            .filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| target.protocol("its token server's URL makes no sense"))?;
        let host = endpoint::host(&url);
        let failed = |reason: String| RegistryError::Token {
            what: target.what.clone(),
            registry: target.endpoint.name.clone(),
            host: host.clone(),
            reason,
            tried: target.tried(),
        };
        let downgraded = url.scheme() == "http" && target.endpoint.base.scheme() == "https";
        if downgraded && target.credential.is_some() && !self.may_be_plain(&host) {
            let reason = "it speaks plain HTTP, and credentials are not sent there";
            return Err(failed(reason.to_owned()).into());
        }
        let (mut status, mut headers, mut body) =
            self.token_answer(target, token_call(target, url.clone(), service)).await?;
        if let Some(Secret::Identity(token)) = target.credential.as_ref().map(|c| &c.secret)
            && matches!(status.as_u16(), 400 | 401 | 404 | 405)
        {
            let by_get = token_by_get(target, url, service, Some(("", token)));
            let again = self.token_answer(target, by_get).await?;
            // What the first one said is about what there is; the second is a guess.
            if again.0.is_success() {
                (status, headers, body) = again;
            }
        }
        if !status.is_success() {
            let words = own_words(&body);
            let error = failed(format!("it answered {}{words}", status.as_u16()));
            return Err(Failure {
                transient: is_transient(status),
                after: retry_after(&headers),
                ..Failure::from(error)
            });
        }
        let answer: Option<TokenAnswer> = serde_json::from_slice(&body).ok();
        let token = answer.and_then(TokenAnswer::token);
        token.ok_or_else(|| failed("its answer holds no token".to_owned()).into())
    }

    async fn token_answer(
        &self,
        target: &Target,
        (call, header): (Call, Option<HeaderValue>),
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
        let response = self.follow(target, &call, header.as_ref(), &call.url).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok((status, headers, self.bounded(target, response, ANSWER_LIMIT).await?))
    }
}

/// The request for a token: a POST with an identity token (OAuth2, RFC 6749, 6), otherwise a
/// GET with what we have. Servers that have no POST get the identity token by GET (containerd,
/// `FetchTokenWithOAuth`).
fn token_call(target: &Target, url: Url, service: Option<&str>) -> (Call, Option<HeaderValue>) {
    let secret = target.credential.as_ref().map(|c| &c.secret);
    if let Some(Secret::Identity(token)) = secret {
        let scopes = target.scopes.0.join(" ");
        let mut fields = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", &scopes),
            ("client_id", "yadokari"),
        ];
        fields.extend(service.map(|s| ("service", s)));
        // A query and a form are written alike.
        let mut form = url.clone();
        form.set_query(None);
        form.query_pairs_mut().extend_pairs(fields);
        let body = form.query().unwrap_or_default().to_owned();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        return (Call::post(url).header(CONTENT_TYPE, form).bytes(body.into()), None);
    }
    let account = match secret {
        Some(Secret::Basic { username, password }) => Some((username.as_str(), password.as_str())),
        _ => None,
    };
    token_by_get(target, url, service, account)
}

/// A GET with a name and a password, or with nobody's (distribution, token authentication).
fn token_by_get(
    target: &Target,
    mut url: Url,
    service: Option<&str>,
    account: Option<(&str, &str)>,
) -> (Call, Option<HeaderValue>) {
    url.query_pairs_mut().extend_pairs(service.map(|s| ("service", s)));
    url.query_pairs_mut().extend_pairs(target.scopes.0.iter().map(|s| ("scope", s)));
    if let Some((username, _)) = account.filter(|(username, _)| !username.is_empty()) {
        url.query_pairs_mut().append_pair("account", username);
    }
    (Call::get(url), account.map(|(username, password)| basic(username, password)))
}

fn basic(username: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    sensitive(HeaderValue::try_from(format!("Basic {encoded}"))).expect("base64 is visible ASCII")
}

fn bearer(target: &Target, token: &str) -> Result<HeaderValue, Failure> {
    sensitive(HeaderValue::try_from(format!("Bearer {token}")))
        .ok_or_else(|| target.protocol("its token holds characters that no header may hold").into())
}

fn sensitive<E>(value: Result<HeaderValue, E>) -> Option<HeaderValue> {
    let mut value = value.ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Target {
    /// What errors call the credentials.
    pub(super) fn tried(&self) -> String {
        match &self.credential {
            Some(credential) => format!("credentials from {}", credential.source),
            None => NO_CREDENTIALS.to_owned(),
        }
    }

    /// An error about an answer that breaks the protocol.
    pub(super) fn protocol(&self, problem: impl Into<String>) -> RegistryError {
        RegistryError::Protocol {
            what: self.what.clone(),
            host: self.endpoint.name.clone(),
            problem: problem.into(),
        }
    }
}
