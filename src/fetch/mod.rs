//! Sources that are not on this machine: files of web servers, and git repositories.
//!
//! [`Remote`] says what a text names; [`Fetcher`] brings it. Files come over the connections of
//! [`registry`](crate::registry), repositories by the `git` program.

mod bucket;
mod checksum;
mod error;
mod fetcher;
mod git;
mod http;
mod remote;
mod version;

#[cfg(test)]
mod tests;

pub use checksum::{Checksum, ParseChecksumError};
pub use error::FetchError;
pub use fetcher::{Checkout, Download, Fetcher, Reply};
pub use git::{GitSource, GitTime, History};
pub use remote::{ParseRemoteError, Remote, UrlSource};
pub use version::Version;
