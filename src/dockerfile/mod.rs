//! The Dockerfile language: text to instructions, with the place of every token.
//!
//! Knows nothing of files, images or builds. The rules are BuildKit's Dockerfile frontend's
//! (`frontend/dockerfile/{parser,instructions,shell}`), version 1.26. Its packages and what stands
//! for them here:
//!
//! | BuildKit | here |
//! |---|---|
//! | `parser.Parse`, `Node.Dump` | [`parse_tree`], [`Node`] and its `Display` |
//! | `instructions.Parse` | [`parse`], [`parse_trigger`] |
//! | `instructions.GetMounts`, `ParseDevice` | [`Mount::parse`], [`Device::parse`] |
//! | `shell.Lex`: `ProcessWord`, `ProcessWords`, `SkipProcessQuotes` | [`Expander`]: `word`, `words`, `raw` |
//! | `patternmatcher`: `MatchesOrParentMatches`, `MatchesUsingParentResults` | [`IgnoreMatcher`]: `matches`, `matches_below` |
//! | `dockerfile2llb`: config, history, copy operations | [`crate::plan::plan`] |
//! | `parsePorts`, `signal.ParseSignal` | [`expose_ports`], [`is_signal`] |
//!
//! ```
//! use yadokari::dockerfile::{Expander, IgnoreMatcher, Source, parse, parse_tree};
//!
//! let source = Source::new("Dockerfile", "FROM alpine AS base\nRUN --network=none echo \"a\"\n");
//! let tree = parse_tree(&source).unwrap();
//! assert_eq!(tree[1].to_string(), r#"run ["--network=none"] "echo \"a\"""#);
//! let dockerfile = parse(&source).unwrap();
//! assert_eq!(dockerfile.stages[0].instructions[0].original, "RUN --network=none echo \"a\"");
//! let value = |name: &str| (name == "A").then(|| "x.tar".to_owned());
//! assert_eq!(Expander { escape: '\\' }.word("${A%.*}/$B", &value).unwrap(), "x/");
//! assert!(IgnoreMatcher::parse("**/node_modules\n!a\n").unwrap().matches("b/node_modules/c"));
//! ```

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
pub use glob::{BadPattern, clean, go_match, is_well_formed};
pub use ignore::{IgnoreError, IgnoreMatcher, IgnoreRule, ParentMatches};
pub use instruction::*;
pub use mount::{Mount, MountError, MountType, Sharing};
pub use parse::{Node, parse, parse_all, parse_tree, parse_trigger};
pub use ports::expose_ports;
pub use quote::{go_quote, go_quote_all};
pub use run_form::RunForm;
pub use signal::is_signal;
pub use source::{Diagnostic, Origin, Source, Span};
pub use suggest::suggest;
