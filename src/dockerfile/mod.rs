//! The Dockerfile language: text to instructions, with the place of every token.
//!
//! Knows nothing of files, images or builds. The rules are BuildKit's Dockerfile frontend's
//! (`frontend/dockerfile/{parser,instructions,shell}`), version 1.26.

pub mod checks;
mod device;
mod directive;
mod duration;
mod expand;
mod fields;
mod flags;
mod glob;
mod heredoc;
mod ignore;
mod instruction;
mod json;
mod lines;
mod mount;
mod parse;
mod place;
mod ports;
mod quote;
mod report;
mod run_form;
mod signal;
mod source;
mod suggest;
mod unicode;
mod words;

#[cfg(test)]
mod tests;

pub use device::Device;
pub use duration::go_duration;
pub use expand::{ExpandError, Expander, Lookup};
pub use glob::{BadPattern, clean, go_match};
pub use ignore::{IgnoreError, IgnoreMatcher, IgnoreRule, ParentMatches};
pub use instruction::*;
pub use mount::{Mount, MountError, MountType, Sharing};
pub use parse::{Node, parse, parse_all, parse_tree, parse_trigger};
pub use ports::expose_ports;
pub use quote::{go_quote, go_quote_all};
pub use run_form::RunForm;
pub use signal::is_signal;
pub use source::{Diagnostic, Source, Span};
pub use suggest::suggest;
