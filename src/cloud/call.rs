//! One request to a cloud: bounded in time and size, with what went wrong in words.

use std::time::Duration;

use reqwest::{Client, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::{CloudError, Clouds};
use crate::transport::{plain, reason};

/// Tokens have some kilobytes.
const ANSWER_LIMIT: usize = 1 << 20;
/// What a service of the network may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a service of this machine may take: where there is no cloud, nothing answers.
const NEAR_PATIENCE: Duration = Duration::from_millis(1500);
/// Attempts where the other side is out of order.
const ATTEMPTS: u32 = 3;

/// An answer that is no refusal.
pub(super) struct Answer {
    pub(super) source_name: String,
    pub(super) host: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, CloudError> {
        serde_json::from_slice(&self.body).map_err(|e| {
            // The parser's own words may quote a secret.
            let place = format!("not the JSON it should be, at line {}, column {}", e.line(), e.column());
            self.senseless(place)
        })
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    pub(super) fn senseless(&self, problem: impl Into<String>) -> CloudError {
        let (source_name, host) = (self.source_name.clone(), self.host.clone());
        CloudError::Answer { source_name, host, problem: problem.into() }
    }
}

/// How far away somebody is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Distance {
    /// Beside this machine: a metadata service. Never through a proxy.
    Near,
    /// Anywhere.
    Far,
}

impl Clouds {
    /// Sends a request, for the sake of `source_name`, again where that may help.
    pub(super) async fn ask(
        &self,
        source_name: &str,
        distance: Distance,
        request: Request,
    ) -> Result<Answer, CloudError> {
        let transport = self.transport()?;
        let client = match distance {
            Distance::Near if request.url().scheme() == "http" => transport.direct(),
            _ => transport.client(request.url()).map_err(|e| CloudError::Setup { problem: e.problem })?,
        };
        let mut attempt = 1;
        loop {
            let again = request.try_clone().filter(|_| attempt < ATTEMPTS);
            let call = Call { source_name, distance, host: host(request.url()) };
            let failure =
                match call.once(client, request.try_clone().unwrap_or_else(|| unclonable(&request))).await {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                };
            if !failure.transient || again.is_none() {
                return Err(failure.error);
            }
            self.inner.events.debug(format!("{}; trying again", failure.error));
            tokio::time::sleep(Duration::from_millis(300) * attempt).await;
            attempt += 1;
        }
    }
}

impl Clouds {
    /// A header of an answer, whatever the answer says; none if there is none.
    pub(super) async fn header(&self, name: &str, request: Request) -> Option<String> {
        let client = self.transport().ok()?.client(request.url()).ok()?;
        let response = tokio::time::timeout(PATIENCE, client.execute(request)).await.ok()?.ok()?;
        Some(response.headers().get(name)?.to_str().ok()?.to_owned())
    }
}

/// Bodies here are in memory, so that every request can be cloned; one without its body else.
fn unclonable(request: &Request) -> Request {
    Request::new(request.method().clone(), request.url().clone())
}

struct Failed {
    error: CloudError,
    transient: bool,
}

struct Call<'a> {
    source_name: &'a str,
    distance: Distance,
    host: String,
}

impl Call<'_> {
    async fn once(&self, client: &Client, request: Request) -> Result<Answer, Failed> {
        let limit = match self.distance {
            Distance::Near => NEAR_PATIENCE,
            Distance::Far => PATIENCE,
        };
        match tokio::time::timeout(limit, self.exchange(client, request)).await {
            Ok(end) => end,
            Err(_) => Err(self.silent(format!("nothing within {:.1} s", limit.as_secs_f64()))),
        }
    }

    async fn exchange(&self, client: &Client, request: Request) -> Result<Answer, Failed> {
        let response = client.execute(request).await.map_err(|e| self.silent(reason(&e)))?;
        let status = response.status();
        let body = self.body(response).await?;
        if status.is_success() {
            return Ok(Answer { source_name: self.source_name.to_owned(), host: self.host.clone(), body });
        }
        let error = CloudError::Refused {
            source_name: self.source_name.to_owned(),
            host: self.host.clone(),
            status: status.as_u16(),
            message: words(&body),
        };
        Err(Failed { error, transient: is_transient(status) })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failed> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| self.silent(reason(&e)))? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_LIMIT {
                let problem = format!("it has more than {ANSWER_LIMIT} bytes");
                let (source_name, host) = (self.source_name.to_owned(), self.host.clone());
                let error = CloudError::Answer { source_name, host, problem };
                return Err(Failed { error, transient: false });
            }
        }
        Ok(body)
    }

    fn silent(&self, reason: String) -> Failed {
        let (source_name, host) = (self.source_name.to_owned(), self.host.clone());
        // Who is not there does not come by asking again.
        let transient = self.distance == Distance::Far;
        Failed { error: CloudError::Silent { source_name, host, reason }, transient }
    }
}

/// The host of a URL, with its port where that is not the scheme's own.
pub(super) fn host(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(super) fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// A cloud's own words from an answer that said no, with a colon before them: JSON of OAuth2 and
/// of the three clouds, XML of buckets and STS.
pub(super) fn words(body: &[u8]) -> String {
    let said = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(json) => words_of_json(&json),
        Err(_) => words_of_xml(&String::from_utf8_lossy(body)),
    };
    said.filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default()
}

fn words_of_json(json: &serde_json::Value) -> Option<String> {
    let text = |value: &serde_json::Value| value.as_str().map(plain).filter(|t| !t.is_empty());
    let nested = [&json["error"]["message"], &json["Error"]["Message"], &json["errors"][0]["message"]];
    let flat = ["error_description", "message", "Message", "__type", "error"];
    nested.into_iter().find_map(text).or_else(|| flat.iter().find_map(|name| text(&json[*name])))
}

/// `<Code>` and `<Message>` wherever they are; other texts only where they are no page.
fn words_of_xml(body: &str) -> Option<String> {
    let inside = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once('<')?;
        Some(plain(text)).filter(|t| !t.is_empty())
    };
    match (inside("Code"), inside("Message")) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) if body.trim_start().starts_with('<') => None,
        (None, None) => Some(plain(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_words_of_clouds() {
        for (body, said) in [
            ("", ""),
            ("{}", ""),
            (r#"{"error":"invalid_grant","error_description":"Invalid JWT."}"#, ": Invalid JWT."),
            (r#"{"error":{"code":403,"message":"no access","status":"PERMISSION_DENIED"}}"#, ": no access"),
            (r#"{"__type":"UnrecognizedClientException","message":"wrong token"}"#, ": wrong token"),
            (r#"{"errors":[{"code":"UNAUTHORIZED","message":"denied"}]}"#, ": denied"),
            (
                "<?xml?><Error><Code>NoSuchKey</Code><Message>not there</Message></Error>",
                ": NoSuchKey: not there",
            ),
            ("<html>big page</html>", ""),
            ("plain words\n", ": plain words"),
        ] {
            assert_eq!(words(body.as_bytes()), said, "{body}");
        }
    }
}
