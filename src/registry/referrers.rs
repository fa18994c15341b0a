//! What refers to an image: signatures, attestations and the like (distribution spec, "Listing
//! Referrers" and "Backwards Compatibility").

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, HeaderValue, LINK};

use super::call::Call;
use super::{Direction, Registry, RegistryError};
use crate::image::{Digest, Index, MediaType, Reference};

/// Most bytes of one page, as of a manifest.
const PAGE_LIMIT: usize = 4 << 20;
/// Most pages that are read.
const PAGES: usize = 100;

impl Registry {
    /// What the registry says refers to a manifest; none where it does not know that question. Then
    /// the repository may have an index under the tag that [`referrers_tag`] gives.
    ///
    /// # Errors
    /// [`RegistryError`]
    pub async fn referrers(
        &self,
        repository: &Reference,
        digest: &Digest,
        direction: Direction,
    ) -> Result<Option<Index>, RegistryError> {
        let client = &self.client;
        let what = format!("list what refers to {} in {}", digest.short(), repository.repository());
        client
            .download
            .retry(&client.events, || async {
                let target = client.target(repository, direction, what.clone()).await?;
                let mut url = target.endpoint.url(&format!("{}/referrers/{digest}", target.repository));
                let mut all: Option<Index> = None;
                for _ in 0..PAGES {
                    let accept = HeaderValue::from_static(MediaType::OCI_INDEX);
                    let call = Call::get(url).header(ACCEPT, accept);
                    let response = client.send(&target, &call).await?;
                    let unknown = [
                        StatusCode::NOT_FOUND,
                        StatusCode::METHOD_NOT_ALLOWED,
                        StatusCode::NOT_IMPLEMENTED,
                        StatusCode::BAD_REQUEST,
                    ];
                    if all.is_none() && unknown.contains(&response.status()) {
                        return Ok(None);
                    }
                    if response.status() != StatusCode::OK {
                        return Err(client.refusal(&target, &call, response).await);
                    }
                    let next = response.headers().get(LINK).and_then(|link| link.to_str().ok());
                    let next = next.and_then(next_page).and_then(|next| response.url().join(next).ok());
                    let bytes = client.bounded(&target, response, PAGE_LIMIT).await?;
                    // Servers that know no such path may answer anything that is no index.
                    let Ok(page) = serde_json::from_slice::<Index>(&bytes) else { return Ok(all) };
                    match &mut all {
                        Some(all) => all.manifests.extend(page.manifests),
                        None => all = Some(page),
                    }
                    match next.filter(|next| next.origin() == call.url.origin()) {
                        Some(next) => url = next,
                        None => break,
                    }
                }
                Ok(all)
            })
            .await
    }
}

/// The target of `<…>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let (target, relation) = link.trim().strip_prefix('<')?.split_once('>')?;
    relation.contains("next").then_some(target)
}

/// The tag of the index that stands in for the question where a registry does not know it.
pub fn referrers_tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::next_page;

    #[test]
    fn the_next_page_is_in_a_link() {
        assert_eq!(
            next_page("</v2/a/referrers/sha256:1?n=2>; rel=\"next\""),
            Some("/v2/a/referrers/sha256:1?n=2")
        );
        assert_eq!(next_page("</v2/a>; rel=\"last\""), None);
        assert_eq!(next_page("nonsense"), None);
    }
}
