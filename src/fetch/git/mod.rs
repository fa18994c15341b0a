//! Git repositories: how they are named, and how the `git` program brings one.

mod checkout;
mod credentials;
mod program;
mod source;

pub use checkout::Checkout;
pub(super) use checkout::checkout;
pub(super) use source::parse;
pub use source::{GitSource, GitTime, History};
