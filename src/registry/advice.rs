//! The way out of what a registry did not do.

use super::error::NO_CREDENTIALS;
use super::{ConnectionKind, RegistryError};
use crate::image::is_same_registry;

/// Docker Hub, which limits pulls.
const HUB: &str = "docker.io";

impl RegistryError {
    /// One way out.
    pub fn help(&self) -> Option<String> {
        match self {
            RegistryError::Connection { kind, host, .. } => of_connection(*kind, host),
            RegistryError::Status { status, host, request, message, tried, .. } => {
                let answer = Answer { status: *status, host, request, message, tried };
                answer.help(self.is_immutable_tag())
            }
            RegistryError::Token { registry, tried, .. } => Some(of_refusal(registry, tried)),
            RegistryError::Keychain { source, .. } => source.help(),
            RegistryError::Nowhere { failures, .. } => failures.last().and_then(|(_, e)| e.help()),
            _ => None,
        }
    }
}

fn of_connection(kind: ConnectionKind, host: &str) -> Option<String> {
    match kind {
        ConnectionKind::Network => None,
        ConnectionKind::Name => {
            Some("check the registry's name, and the name servers in /etc/resolv.conf".to_owned())
        }
        ConnectionKind::Certificate => Some(format!(
            "name the file of the registry's CA with --registry-certificate={host}=FILE or in \
             SSL_CERT_FILE, or skip the check with --skip-tls-verify-registry={host}"
        )),
        ConnectionKind::ClientCertificate => Some(format!(
            "name a certificate that {host} accepts, and its key, with \
             --registry-client-cert={host}=CERTIFICATE,KEY"
        )),
        ConnectionKind::NotTls => Some(format!("allow plain HTTP with --insecure-registry={host}")),
    }
}

fn of_refusal(host: &str, tried: &str) -> String {
    if tried == NO_CREDENTIALS {
        return format!(
            "give credentials for {host}: `docker login {host}`, then mount its config.json and name its \
             directory in DOCKER_CONFIG, or put its text into DOCKER_AUTH_CONFIG"
        );
    }
    format!("check that the {tried} are right and allow this")
}

/// An answer that said no.
struct Answer<'a> {
    status: u16,
    host: &'a str,
    request: &'a str,
    message: &'a str,
    tried: &'a str,
}

impl Answer<'_> {
    fn help(&self, is_immutable_tag: bool) -> Option<String> {
        if is_immutable_tag {
            let text = "push a tag that does not exist yet; --push-ignore-immutable-tag-errors takes the one that is there";
            return Some(text.to_owned());
        }
        match self.status {
            401 | 403 => Some(of_refusal(self.host, self.tried)),
            404 if self.is_push() => Some(format!(
                "create the repository, or the project it lies in, first: {} does not make it by itself",
                self.host
            )),
            404 => Some("check the names, and that the repository exists".to_owned()),
            413 => {
                Some(format!("raise the limit for request bodies of {} or of the proxy before it", self.host))
            }
            429 => Some(self.of_limit()),
            _ => None,
        }
    }

    /// Uploads and manifests are what a push sends.
    fn is_push(&self) -> bool {
        ["POST ", "PUT ", "PATCH "].iter().any(|method| self.request.starts_with(method))
    }

    fn of_limit(&self) -> String {
        let hub = is_same_registry(self.host, HUB);
        let limit = if hub || self.message.contains("pull rate limit") { "pulls" } else { "requests" };
        let who = if self.tried == NO_CREDENTIALS {
            "give credentials, for which the limit is higher"
        } else {
            "use credentials with a higher limit"
        };
        let mirror = if hub { ", or pull through a mirror (--registry-mirror)" } else { "" };
        format!("{} limits {limit}: {who}{mirror}, or wait", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(status: u16, request: &str, message: &str, tried: &str) -> String {
        let error = RegistryError::Status {
            what: "do it".to_owned(),
            host: "registry-1.docker.io".to_owned(),
            status,
            request: request.to_owned(),
            message: message.to_owned(),
            tried: tried.to_owned(),
        };
        error.help().unwrap_or_default()
    }

    #[test]
    fn ways_out() {
        for (status, request, message, tried, words) in [
            (401, "GET /v2/a/manifests/1", "", NO_CREDENTIALS, "docker login"),
            (
                403,
                "POST /v2/a/blobs/uploads/",
                ": DENIED: no",
                "credentials from x",
                "check that the credentials from x",
            ),
            (404, "GET /v2/a/manifests/1", "", NO_CREDENTIALS, "check the names"),
            (
                404,
                "POST /v2/a/blobs/uploads/",
                ": NAME_UNKNOWN: no",
                "credentials from x",
                "create the repository",
            ),
            (413, "PUT /v2/a/blobs/uploads/1", "", NO_CREDENTIALS, "request bodies"),
            (429, "GET /v2/a/manifests/1", "", NO_CREDENTIALS, "limits pulls: give credentials"),
            (429, "GET /v2/a/manifests/1", "", "credentials from x", "--registry-mirror"),
            (
                400,
                "PUT /v2/a/manifests/1",
                ": MANIFEST_INVALID: cannot update tag 1. The repository has enabled tag immutability",
                "credentials from x",
                "--push-ignore-immutable-tag-errors",
            ),
            (
                412,
                "PUT /v2/a/manifests/1",
                ": PRECONDITION: Failed to process request due to 'a:1' configured as immutable.",
                "credentials from x",
                "does not exist yet",
            ),
        ] {
            let help = help(status, request, message, tried);
            assert!(help.contains(words), "{status} {request}: {help}");
        }
        assert_eq!(help(500, "GET /v2/", "", NO_CREDENTIALS), "");
    }
}
