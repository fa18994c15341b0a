//! Google's identities: application default credentials (google.aip.dev/auth/4110), and kaniko's
//! own place for a key.

mod federation;
mod key;
mod metadata;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Deserialize;

use super::call::Distance;
use super::identity::{Identity, Login};
use super::{CloudError, Clouds};
use crate::config::CloudConfig;

const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Where kaniko's documentation mounts a service account's key.
const KANIKOS: &str = "/secret/kaniko-secret.json";
/// What our tokens may do; buckets and registries both want it.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The user name that goes with a token as a password.
const TOKEN_USER: &str = "oauth2accesstoken";

/// An access token.
#[derive(Clone)]
pub(super) struct Token(pub(super) String);

/// A token server's answer.
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Issued {
    fn identity(self, source: &str) -> Identity<Token> {
        Identity::passing(Token(self.access_token), source, self.expires_in.unwrap_or(3600))
    }
}

/// A file of credentials, by its `type`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum File {
    ServiceAccount(key::ServiceAccount),
    AuthorizedUser(AuthorizedUser),
    ExternalAccount(Box<federation::ExternalAccount>),
    #[serde(other)]
    Other,
}

/// What `gcloud auth application-default login` leaves.
#[derive(Deserialize)]
struct AuthorizedUser {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
}

/// Files that hold keys.
pub(super) fn files(config: &CloudConfig) -> Vec<PathBuf> {
    let named = config.get(VARIABLE).map(PathBuf::from);
    named.into_iter().chain(default_file(config)).chain([PathBuf::from(KANIKOS)]).collect()
}

fn default_file(config: &CloudConfig) -> Option<PathBuf> {
    let directory = match config.get("CLOUDSDK_CONFIG") {
        Some(directory) => PathBuf::from(directory),
        None => config.home.as_ref()?.join(".config/gcloud"),
    };
    Some(directory.join("application_default_credentials.json"))
}

/// Whether a registry is Google's (go-containerregistry, `google.Keychain`).
pub(super) fn is_registry(host: &str) -> bool {
    host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with(".pkg.dev")
}

impl Clouds {
    /// The token, from the first place that has one.
    pub(super) async fn google(&self) -> Result<Identity<Token>, CloudError> {
        self.inner.google.get(self.find_google()).await
    }

    /// What a registry of Google's is shown.
    pub(crate) async fn google_login(&self) -> Result<Login, CloudError> {
        let identity = self.google().await?;
        let until =
            identity.until.unwrap_or_else(|| super::identity::renewal(std::time::Duration::from_secs(3600)));
        let source = format!("Google by {}", identity.source);
        Ok(Login { username: Some(TOKEN_USER.to_owned()), secret: identity.secret.0, source, until })
    }

    async fn find_google(&self) -> Result<Identity<Token>, CloudError> {
        let config = self.config();
        let mut tried = Vec::new();
        if let Some(file) = config.get(VARIABLE) {
            let path = Path::new(file);
            let source = format!("{VARIABLE} ({file})");
            return match self.files().read(path) {
                Ok(bytes) => self.google_file(&source, &bytes).await,
                Err(source_error) => {
                    Err(CloudError::File { source_name: source, path: path.to_owned(), source: source_error })
                }
            };
        }
        tried.push(format!("{VARIABLE} is not set"));
        for path in default_file(config).into_iter().chain([PathBuf::from(KANIKOS)]) {
            let source = path.display().to_string();
            match self.files().read(&path) {
                Ok(bytes) => return self.google_file(&source, &bytes).await,
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
                    ) =>
                {
                    tried.push(format!("{source}: {e}"));
                }
                Err(e) => return Err(CloudError::File { source_name: source, path, source: e }),
            }
        }
        match self.google_metadata().await {
            Err(CloudError::Silent { source_name, host, reason }) => {
                tried.push(format!("{source_name}: no answer from {host} ({reason})"));
                Err(CloudError::NoIdentity { cloud: "Google", tried })
            }
            end => end,
        }
    }

    async fn google_file(&self, source: &str, bytes: &[u8]) -> Result<Identity<Token>, CloudError> {
        let wrong = |problem: String| CloudError::Place { source_name: source.to_owned(), problem };
        let file: File = serde_json::from_slice(bytes).map_err(|e| {
            // The parser's own words may quote a secret.
            wrong(format!("it is no file of Google credentials (line {}, column {})", e.line(), e.column()))
        })?;
        match file {
            File::ServiceAccount(account) => self.service_account(source, &account).await,
            File::AuthorizedUser(user) => self.authorized_user(source, &user).await,
            File::ExternalAccount(account) => self.external_account(source, &account).await,
            File::Other => Err(wrong(
                "its type is none of service_account, authorized_user and external_account".to_owned(),
            )),
        }
    }

    async fn authorized_user(
        &self,
        source: &str,
        user: &AuthorizedUser,
    ) -> Result<Identity<Token>, CloudError> {
        let url = user.token_uri.as_deref().unwrap_or(key::TOKEN_URI);
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", &user.client_id),
            ("client_secret", &user.client_secret),
            ("refresh_token", &user.refresh_token),
        ];
        let answer = self.ask(source, Distance::Far, form(parse(source, url)?, &fields)).await?;
        Ok(answer.json::<Issued>()?.identity(source))
    }
}

/// A URL of a file.
pub(super) fn parse(source: &str, text: &str) -> Result<Url, CloudError> {
    let wrong = |problem: String| CloudError::Place { source_name: source.to_owned(), problem };
    let url: Url = text.parse().map_err(|e| wrong(format!("'{text}' is no URL: {e}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(wrong(format!("'{text}' is no URL of a web server"))),
    }
}

/// A POST of fields.
pub(super) fn form(url: Url, fields: &[(&str, &str)]) -> Request {
    let mut written = url.clone();
    written.set_query(None);
    written.query_pairs_mut().extend_pairs(fields);
    let body = written.query().unwrap_or_default().to_owned();
    let mut request = Request::new(Method::POST, url);
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    *request.body_mut() = Some(body.into());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_registry() {
        for (host, googles) in [
            ("gcr.io", true),
            ("eu.gcr.io", true),
            ("europe-west1-docker.pkg.dev", true),
            ("notgcr.io", false),
            ("gcr.io.example", false),
            ("docker.io", false),
        ] {
            assert_eq!(is_registry(host), googles, "{host}");
        }
    }

    #[test]
    fn files_by_their_type() {
        for (text, kind) in [
            (r#"{"type":"service_account","client_email":"e","private_key":"k"}"#, "account"),
            (r#"{"type":"authorized_user","client_id":"i","client_secret":"s","refresh_token":"r"}"#, "user"),
            (r#"{"type":"impersonated_service_account","x":1}"#, "other"),
            (r#"{"client_email":"e"}"#, "wrong"),
        ] {
            let found = match serde_json::from_str::<File>(text) {
                Ok(File::ServiceAccount(_)) => "account",
                Ok(File::AuthorizedUser(_)) => "user",
                Ok(File::ExternalAccount(_)) => "external",
                Ok(File::Other) => "other",
                Err(_) => "wrong",
            };
            assert_eq!(found, kind, "{text}");
        }
    }
}
