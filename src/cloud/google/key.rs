//! A service account's key: a token for a statement signed with it (RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;

use super::{Issued, SCOPE, Token, form, parse};
use crate::cloud::call::Distance;
use crate::cloud::identity::Identity;
use crate::cloud::{CloudError, Clouds};

/// Where tokens are had if a file does not say.
pub(super) const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The file that a service account's key is handed out in.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

impl Clouds {
    pub(super) async fn service_account(
        &self,
        source: &str,
        account: &ServiceAccount,
    ) -> Result<Identity<Token>, CloudError> {
        let url = account.token_uri.as_deref().unwrap_or(TOKEN_URI);
        let statement = account
            .statement(url)
            .map_err(|problem| CloudError::Place { source_name: source.to_owned(), problem })?;
        let fields = [("grant_type", GRANT), ("assertion", &statement)];
        let answer = self.ask(source, Distance::Far, form(parse(source, url)?, &fields)).await?;
        Ok(answer.json::<Issued>()?.identity(source))
    }
}

impl ServiceAccount {
    /// Who we are, signed, for who gives tokens.
    fn statement(&self, audience: &str) -> Result<String, String> {
        let now = jiff::Timestamp::now().as_second();
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(id) = &self.private_key_id {
            header["kid"] = json!(id);
        }
        let claims = json!({
            "iss": self.client_email, "sub": self.client_email, "aud": audience, "scope": SCOPE,
            "iat": now, "exp": now + 3600,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let no_key = || "its private_key is no RSA key in PEM".to_owned();
        let pair = match PrivateKeyDer::from_pem_slice(self.private_key.as_bytes()).map_err(|_| no_key())? {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(no_key()),
        };
        let pair = pair.map_err(|e| format!("its private_key cannot be used: {e}"))?;
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), bytes, &mut signature)
            .map_err(|_| "its private_key cannot sign".to_owned())?;
        Ok(signature)
    }
}
