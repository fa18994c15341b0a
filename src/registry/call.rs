//! One request before it is sent.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::endpoint::Endpoint;
use super::feed::Feed;
use crate::transport::Traffic;

/// One request.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Whether the answer is the bytes of a blob.
    pub(super) download: bool,
}

/// What a request carries.
pub(super) enum Body {
    None,
    Bytes(Bytes),
    Feed(Arc<Feed>),
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Call { method, url, headers: HeaderMap::new(), body: Body::None, download: false }
    }

    pub(super) fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A GET whose answer may be large.
    pub(super) fn download(url: Url) -> Self {
        Call { download: true, ..Self::get(url) }
    }

    /// Servers want to be told that there is no body.
    pub(super) fn post(url: Url) -> Self {
        Self::new(Method::POST, url).header(CONTENT_LENGTH, HeaderValue::from(0))
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn bytes(mut self, bytes: Bytes) -> Self {
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        self.body = Body::Bytes(bytes);
        self
    }

    pub(super) fn feed(mut self, feed: Arc<Feed>) -> Self {
        // Without a length the body goes in chunks.
        if let Some(size) = feed.size() {
            self.headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        }
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        self.body = Body::Feed(feed);
        self
    }

    /// What its connection is wanted for.
    pub(super) fn traffic(&self) -> Traffic {
        match self.body {
            Body::Feed(_) => Traffic::Body,
            _ if self.download => Traffic::Body,
            _ => Traffic::Question,
        }
    }

    /// Method and path for people; the query and the paths of other hosts may hold tokens.
    pub(super) fn describe(&self, answered: &Url, endpoint: &Endpoint) -> String {
        if endpoint.owns(answered) {
            format!("{} {}", self.method, answered.path())
        } else {
            format!("{} (sent there by {})", self.method, endpoint.name)
        }
    }
}
