//! The step's summary, in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use yadokari::config::{BuildOutcome, ImageOutcome, LayerOutcome, StepOutcome};

use crate::cli::progress::text::{bytes, clean, seconds};
use crate::cli::progress::{Place, Redactor, Severity};
use crate::joined::Joined;

/// GitHub drops a summary above 1 MiB; what people read ends long before.
const MOST_ROWS: usize = 100;

/// An instruction or a message is shown up to this many characters.
const LONGEST_TEXT: usize = 120;

/// The longest report of an error, in characters.
const LONGEST_REPORT: usize = 20_000;

/// The bar of the step that took longest.
const WIDEST_BAR: f64 = 20.0;

/// Writes summaries without secrets.
pub(super) struct Summary<'a> {
    /// What is shown to nobody.
    pub(super) redactor: &'a Redactor,
    /// What checks found, and errors that no annotation shows.
    pub(super) places: &'a [Place],
}

impl Summary<'_> {
    /// Of an image.
    pub(super) fn built(&self, outcome: &BuildOutcome) -> String {
        let title = if outcome.pushed.is_empty() { "Image built" } else { "Image pushed" };
        let mut out = format!("### {title}\n\n| | |\n|---|---|\n");
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "| {name} | {value} |"); // writing to a String cannot fail
        };
        row("Digest", &code(&outcome.digest.to_string()));
        if let [image] = outcome.images.as_slice() {
            row("Platform", &code(&image.platform.to_string()));
            row("Size", &format!("{} in {} layers", bytes(image.compressed_size()), image.layers.len()));
        }
        for reference in outcome.pushed.iter().take(MOST_ROWS) {
            row("Tag", &code(&reference.whole()));
        }
        row("Time", &seconds(outcome.duration));
        if let Some(cache) = &outcome.cache {
            let known = format!("{} of {} steps known", cache.hits, cache.hits + cache.misses);
            let saved = format!("saved {} of layers", bytes(cache.bytes_saved));
            row("Cache", &format!("{known}, {saved} and {} of work", seconds(cache.time_saved)));
        }
        if let Some(first) = outcome.pushed.first() {
            let _ = writeln!(out, "\n```\ndocker pull {}@{}\n```", place(first), outcome.digest);
        }
        platforms(&outcome.images, &mut out);
        self.steps(&outcome.steps, &mut out);
        for image in &outcome.images {
            let of = if outcome.images.len() > 1 { format!(" of {}", image.platform) } else { String::new() };
            self.layers(&of, &image.layers, &mut out);
        }
        self.findings(&mut out);
        out.push('\n');
        out
    }

    /// Of an index.
    pub(super) fn joined(&self, joined: &Joined) -> String {
        let mut out = "### Index pushed\n\n| | |\n|---|---|\n".to_owned();
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "| {name} | {} |", code(value)); // writing to a String cannot fail
        };
        row("Digest", &joined.digest.to_string());
        for reference in joined.pushed.iter().take(MOST_ROWS) {
            row("Tag", &reference.whole());
        }
        for (platform, digest) in joined.platforms.iter().take(MOST_ROWS) {
            row(&code(platform), &digest.to_string());
        }
        out.push('\n');
        out
    }

    /// Of a build that failed.
    pub(super) fn failed(&self, report: &str) -> String {
        let report: String = self.redactor.redact(report.to_owned()).chars().take(LONGEST_REPORT).collect();
        let lines: Vec<String> = report.lines().map(|line| escaped(&clean(line.as_bytes()))).collect();
        let mut out = format!("### Build failed\n\n<pre>\n{}\n</pre>\n", lines.join("\n"));
        self.findings(&mut out);
        out.push('\n');
        out
    }

    fn steps(&self, steps: &[StepOutcome], out: &mut String) {
        if steps.is_empty() {
            return;
        }
        let longest = steps.iter().map(|step| step.duration).max().unwrap_or_default();
        out.push_str("\n#### Steps\n\n| Stage | Step | Time | |\n|---|---|--:|---|\n");
        for step in steps.iter().take(MOST_ROWS) {
            let time = if step.cached { "cached".to_owned() } else { seconds(step.duration) };
            let bar = if step.cached { String::new() } else { bar(step.duration, longest) };
            let (stage, text) = (code(&clean(step.stage.as_bytes())), self.text(&step.instruction));
            let _ = writeln!(out, "| {stage} | {text} | {time} | {bar} |");
        }
        more(steps.len(), "steps", out);
    }

    /// New layers one by one, the base's together.
    fn layers(&self, of: &str, layers: &[LayerOutcome], out: &mut String) {
        if layers.is_empty() {
            return;
        }
        let _ = write!(out, "\n#### Layers{of}\n\n| Made by | Size |\n|---|--:|\n");
        let (base, new): (Vec<_>, Vec<_>) = layers.iter().partition(|layer| layer.from_base);
        if !base.is_empty() {
            let size: u64 = base.iter().map(|layer| layer.descriptor.size).sum();
            let _ = writeln!(out, "| the base image ({}) | {} |", base.len(), bytes(size));
        }
        for layer in new.iter().take(MOST_ROWS) {
            let _ = writeln!(out, "| {} | {} |", self.text(&layer.created_by), bytes(layer.descriptor.size));
        }
        more(new.len(), "layers", out);
    }

    /// What checks found; the page shows ten of them at most beside the files.
    fn findings(&self, out: &mut String) {
        if self.places.is_empty() {
            return;
        }
        out.push_str("\n#### Findings\n\n| | Where | What |\n|---|---|---|\n");
        let mut places: Vec<&Place> = self.places.iter().collect();
        places.sort_by_key(|place| place.severity == Severity::Warning);
        for place in places.into_iter().take(MOST_ROWS) {
            let kind = if place.severity == Severity::Error { "error" } else { "warning" };
            let line = place.line.map_or_else(String::new, |line| format!(":{line}"));
            let file = place.file.as_deref().map_or_else(String::new, |f| code(&format!("{f}{line}")));
            let id = place.id.map_or_else(String::new, |id| format!("{} ", code(id)));
            let _ = writeln!(out, "| {kind} | {file} | {id}{} |", self.text(&place.message));
        }
        more(self.places.len(), "findings", out);
    }

    fn text(&self, text: &str) -> String {
        let text = self.redactor.redact(clean(text.replace(['\n', '\r'], " ").as_bytes()));
        code(&text.chars().take(LONGEST_TEXT).collect::<String>())
    }
}

/// The images of an index.
fn platforms(images: &[ImageOutcome], out: &mut String) {
    if images.len() < 2 {
        return;
    }
    out.push_str("\n#### Platforms\n\n| Platform | Digest | Layers | Size |\n|---|---|--:|--:|\n");
    for image in images.iter().take(MOST_ROWS) {
        let (platform, digest) = (code(&image.platform.to_string()), code(&image.digest.to_string()));
        let size = bytes(image.compressed_size());
        let _ = writeln!(out, "| {platform} | {digest} | {} | {size} |", image.layers.len());
    }
    more(images.len(), "platforms", out);
}

fn place(reference: &yadokari::image::Reference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

fn more(all: usize, what: &str, out: &mut String) {
    let more = all.saturating_sub(MOST_ROWS);
    if more > 0 {
        let _ = writeln!(out, "\n{more} more {what}.");
    }
}

/// Blocks for a time beside the longest.
fn bar(time: Duration, longest: Duration) -> String {
    let share = time.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE);
    "█".repeat((share * WIDEST_BAR).round() as usize)
}

/// Text as code in a table: nothing in it is Markdown, HTML or the end of a cell.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(&text.replace(['\n', '\r'], " ")))
}

/// Text that is neither HTML nor Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Punctuation that starts emphasis, links, mentions, code or a cell.
            '&' | '<' | '>' | '|' | '`' | '\\' | '*' | '_' | '[' | ']' | '@' | '~' => {
                let _ = write!(out, "&#{};", c as u32); // writing to a String cannot fail
            }
            c => out.push(c),
        }
    }
    out
}
