//! Looking through a repository, and removing from it (distribution spec, "Content Discovery" and
//! "Content Management").

use reqwest::header::LINK;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::call::Call;
use super::token::Scopes;
use super::{Direction, Registry, RegistryError};
use crate::image::{Digest, Reference};

/// Tags asked for at once; registries may give fewer.
const PAGE: usize = 1000;
/// Most tags that are listed.
const MOST: usize = 100_000;
/// Most bytes of a page.
const PAGE_LIMIT: usize = 8 << 20;

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags of the repository of a reference; none where there is no such repository.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        let client = &self.client;
        let what = format!("list the tags of {}", repository.repository());
        let mut all: Vec<String> = Vec::new();
        loop {
            let last = all.last().cloned();
            let page = client
                .download
                .retry(&client.events, || async {
                    let target = client.target(repository, Direction::Pull, what.clone()).await?;
                    let mut url = target.endpoint.url(&format!("{}/tags/list", target.repository));
                    url.query_pairs_mut().append_pair("n", &PAGE.to_string());
                    if let Some(last) = &last {
                        url.query_pairs_mut().append_pair("last", last);
                    }
                    let call = Call::get(url);
                    let response = client.send(&target, &call).await?;
                    if response.status() == StatusCode::NOT_FOUND {
                        return Ok((Vec::new(), false));
                    }
                    if response.status() != StatusCode::OK {
                        return Err(client.refusal(&target, &call, response).await);
                    }
                    let more = response.headers().contains_key(LINK);
                    let bytes = client.bounded(&target, response, PAGE_LIMIT).await?;
                    let page: Tags = serde_json::from_slice(&bytes)
                        .map_err(|e| target.protocol(format!("its list of tags makes no sense: {e}")))?;
                    Ok((page.tags.unwrap_or_default(), more))
                })
                .await?;
            let (tags, more) = page;
            let grew = tags.iter().any(|tag| Some(tag) != all.last());
            all.extend(tags);
            if !more || !grew || all.len() >= MOST {
                return Ok(all);
            }
        }
    }

    /// Removes a manifest with all its tags; false where the registry removes nothing.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn remove_manifest(
        &self,
        repository: &Reference,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        let client = &self.client;
        let what = format!("remove {} from {}", digest.short(), repository.repository());
        client
            .upload
            .retry(&client.events, || async {
                let mut target = client.target(repository, Direction::Push, what.clone()).await?;
                target.scopes = Scopes::removing(&target.repository);
                let path = format!("{}/manifests/{digest}", target.repository);
                let call = Call::new(Method::DELETE, target.endpoint.url(&path));
                let response = client.send(&target, &call).await?;
                match response.status() {
                    StatusCode::ACCEPTED
                    | StatusCode::OK
                    | StatusCode::NO_CONTENT
                    | StatusCode::NOT_FOUND => Ok(true),
                    // What registries say that know no removing.
                    StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::BAD_REQUEST
                    | StatusCode::FORBIDDEN
                    | StatusCode::UNAUTHORIZED => Ok(false),
                    _ => Err(client.refusal(&target, &call, response).await),
                }
            })
            .await
    }
}
