//! What Tekton does with our objects, written down again without a cluster: what its admission leaves
//! unchecked, how it fills in arguments, what it reads back, and what Chains would sign.

mod chains;
mod lint;
mod reference;

pub use chains::{Found, images, message_size};
pub use lint::Objects;
pub use reference::{Reference, references};
