//! What the registry for tests keeps, and how it is asked for and changed.

use super::State;
use super::message::{Reply, Request, reply};
use crate::image::Digest;

/// How an upload's address is written, from host, repository and session.
pub(in crate::registry::tests) type Location = fn(&str, &str, &str) -> String;

/// A path without scheme and query, as most registries have it.
pub(super) fn usual(_: &str, repository: &str, session: &str) -> String {
    format!("/v2/{repository}/blobs/uploads/{session}")
}

/// A path without what all paths begin with; Google's uploads begin otherwise.
pub(super) fn below_root(path: &str) -> &str {
    path.strip_prefix("/v2/").or_else(|| path.strip_prefix("/artifacts-uploads/")).unwrap_or_default()
}

/// The repository and the upload of a path; GitHub's uploads have a singular.
fn upload_of(path: &str) -> Option<(&str, &str)> {
    path.split_once("/blobs/uploads/").or_else(|| path.split_once("/blobs/upload/"))
}

impl State {
    pub(super) fn registry(&mut self, request: &Request, address: &str) -> Reply {
        if request.path() == "/v2/" {
            return reply(200);
        }
        let path = below_root(request.path()).to_owned();
        if let Some((repository, session)) = upload_of(&path) {
            return self.upload(request, repository, session, address);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            let Some(bytes) = self.blobs.get(&(repository.to_owned(), digest.to_owned())) else {
                return reply(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#);
            };
            return ranged(request, bytes, self.ranges);
        }
        match path.split_once("/manifests/") {
            Some((repository, version)) => self.manifest(request, repository, version),
            None => reply(404),
        }
    }

    fn upload(&mut self, request: &Request, repository: &str, session: &str, address: &str) -> Reply {
        match request.method.as_str() {
            "POST" => {
                if let ([digest], [from]) = (&request.query("mount")[..], &request.query("from")[..])
                    && self.mounting
                    && let Some(bytes) = self.blobs.get(&((*from).to_owned(), (*digest).to_owned())).cloned()
                {
                    self.blobs.insert((repository.to_owned(), (*digest).to_owned()), bytes);
                    return reply(201);
                }
                self.sessions += 1;
                let location = (self.location)(address, repository, &self.sessions.to_string());
                let location = format!("{location}?_state=a%2Bb");
                reply(202).with("Location", location)
            }
            "PATCH" if !session.is_empty() => {
                self.received.entry(session.to_owned()).or_default().extend(&request.body);
                let location = (self.location)(address, repository, session);
                let location = format!("{location}?_state=c%2Bd");
                reply(202).with("Location", location)
            }
            "PUT" if !session.is_empty() => {
                let digest = request.query("digest").first().map(|d| (*d).to_owned()).unwrap_or_default();
                let mut bytes = self.received.remove(session).unwrap_or_default();
                bytes.extend(&request.body);
                if Digest::of(&bytes).to_string() != digest {
                    return reply(400).body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]}"#);
                }
                self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
                self.digested(reply(201), &digest)
            }
            "DELETE" => {
                self.received.remove(session);
                reply(204)
            }
            _ => reply(405),
        }
    }

    fn manifest(&mut self, request: &Request, repository: &str, version: &str) -> Reply {
        let key = (repository.to_owned(), version.to_owned());
        if request.method == "DELETE" {
            self.manifests.remove(&key);
            return reply(202);
        }
        if request.method == "PUT" {
            let digest = Digest::of(&request.body).to_string();
            let kind = request.header("content-type").unwrap_or_default().to_owned();
            self.manifests
                .insert((repository.to_owned(), digest.clone()), (kind.clone(), request.body.clone()));
            self.manifests.insert(key, (kind, request.body.clone()));
            return self.digested(reply(201), &digest);
        }
        let Some((kind, bytes)) = self.manifests.get(&key).cloned() else {
            return reply(404)
                .body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
        };
        let digest = Digest::of(&bytes).to_string();
        self.digested(reply(200).with("Content-Type", kind).body(bytes), &digest)
    }

    fn digested(&self, reply: Reply, digest: &str) -> Reply {
        if self.no_content_digest { reply } else { reply.with("Docker-Content-Digest", digest) }
    }
}

fn ranged(request: &Request, bytes: &[u8], ranges: bool) -> Reply {
    let start =
        request.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match start.filter(|start| ranges && *start < bytes.len()) {
        None => reply(200).body(bytes),
        Some(start) => reply(206)
            .with("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[start..]),
    }
}
