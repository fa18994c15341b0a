//! The step's summary, in Markdown.

use std::fmt::Write as _;

use yadokari::config::BuildOutcome;

use crate::cli::progress::text::{bytes, clean, seconds};

/// GitHub drops a summary above 1 MiB; what people read ends long before.
const MOST_STEPS: usize = 100;

/// An instruction is shown up to this many characters.
const LONGEST_INSTRUCTION: usize = 120;

/// The summary.
pub(crate) fn markdown(outcome: &BuildOutcome) -> String {
    let mut out = String::from("### Image\n\n| | |\n|---|---|\n");
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "| {name} | {value} |"); // writing to a String cannot fail
    };
    for reference in &outcome.pushed {
        row("Image", &code(&reference.whole()));
    }
    if outcome.pushed.is_empty() {
        row("Image", "not pushed");
    }
    row("Digest", &code(&outcome.digest.to_string()));
    row("Platform", &code(&outcome.platform.to_string()));
    row("Size", &format!("{} in {} layers", bytes(outcome.compressed_size()), outcome.layers.len()));
    row("Time", &seconds(outcome.duration));
    if !outcome.steps.is_empty() {
        out.push_str("\n| Stage | Step | Time |\n|---|---|---|\n");
        for step in outcome.steps.iter().take(MOST_STEPS) {
            let text: String = clean(step.instruction.replace('\n', " ").as_bytes())
                .chars()
                .take(LONGEST_INSTRUCTION)
                .collect();
            let _ = writeln!(out, "| {} | {} | {} |", code(&step.stage), code(&text), seconds(step.duration));
        }
        let more = outcome.steps.len().saturating_sub(MOST_STEPS);
        if more > 0 {
            let _ = writeln!(out, "\n{more} more steps.");
        }
    }
    out.push('\n');
    out
}

/// Text as code in a table: nothing in it is Markdown, HTML or the end of a cell.
fn code(text: &str) -> String {
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('|', "&#124;")
        .replace('`', "&#96;")
        .replace('\\', "&#92;")
        .replace(['\n', '\r'], " ");
    // Punctuation that starts emphasis, links or mentions.
    let escaped =
        escaped.replace('*', "&#42;").replace('_', "&#95;").replace('[', "&#91;").replace('@', "&#64;");
    format!("<code>{escaped}</code>")
}
