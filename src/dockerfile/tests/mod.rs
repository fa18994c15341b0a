//! The language as a whole.

mod errors;
mod expansion;
mod instructions;
mod properties;
mod tree;

use super::*;

fn source(text: &str) -> Source {
    Source::new("Dockerfile", text)
}

fn parsed(text: &str) -> Dockerfile {
    parse(&source(text)).unwrap_or_else(|errors| panic!("{text:?}: {}", errors[0]))
}

/// The only instruction of a stage that holds just this text.
fn instruction(text: &str) -> Instruction {
    let dockerfile = parsed(&format!("FROM scratch\n{text}"));
    let [instruction] = dockerfile.stages[0].instructions.as_slice() else {
        panic!("{text:?}: not one instruction")
    };
    instruction.clone()
}

fn texts<'w>(words: impl IntoIterator<Item = &'w Word>) -> Vec<&'w str> {
    words.into_iter().map(|word| word.text.as_str()).collect()
}
