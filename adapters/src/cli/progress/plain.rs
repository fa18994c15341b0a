//! A log of lines: each with its time, none with control characters of others.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use yadokari::event::{Event, StepId, TransferEnd, TransferId, TransferKind};

use super::text::{Redactor, bytes, clean, clean_lines, seconds};
use super::{Failure, Place, Screen};
use crate::cli::diagnostic;

/// How a platform folds lines and marks what matters. Everything returned is written as it is.
pub(crate) trait Markup: Send {
    /// Before everything.
    fn start(&mut self) -> String {
        String::new()
    }
    /// Before a step's lines, if no other fold is open.
    fn open(&mut self, title: &str) -> String {
        let _ = title;
        String::new()
    }
    /// After the lines of the step that opened the fold.
    fn close(&mut self) -> String {
        String::new()
    }
    /// Before lines that a command printed, where lines of ours came last.
    fn enter_output(&mut self) -> String {
        String::new()
    }
    /// Before lines of ours, where a command's came last.
    fn leave_output(&mut self) -> String {
        String::new()
    }
    /// A warning, in addition to its line.
    fn warning(&mut self, text: &str) -> String {
        let _ = text;
        String::new()
    }
    /// What a check found, in addition to its line.
    fn found(&mut self, place: &Place) -> String {
        self.warning(&diagnostic::line_of(place))
    }
    /// An error, in addition to its report.
    fn error(&mut self, place: &Place) -> String {
        let _ = place;
        String::new()
    }
    /// A line of ours that quotes others.
    fn line(&self, line: String) -> String {
        line
    }
    /// A line that a command printed.
    fn printed(&self, line: String) -> String {
        line
    }
}

/// No platform: lines only.
pub(crate) struct Bare;

impl Markup for Bare {}

/// Tells the time at the start of a line.
pub(crate) type Clock = Box<dyn Fn() -> String + Send>;

/// Seconds since now, or date and time.
pub(crate) fn clock(timestamp: bool) -> Clock {
    let start = Instant::now();
    if timestamp {
        // Whole seconds, as kaniko's (RFC 3339).
        Box::new(|| jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    } else {
        Box::new(move || format!("{:>7.1}s", start.elapsed().as_secs_f64()))
    }
}

/// The log.
pub(crate) struct PlainLog {
    state: Mutex<State>,
}

struct State {
    writer: Box<dyn Write + Send>,
    clock: Clock,
    redactor: Redactor,
    markup: Box<dyn Markup>,
    steps: BTreeMap<StepId, String>,
    transfers: BTreeMap<TransferId, Transfer>,
    folded: Option<StepId>,
    in_output: bool,
}

struct Transfer {
    kind: TransferKind,
    what: String,
    total: Option<u64>,
    moved: u64,
    started: Instant,
    told: Instant,
}

/// A transfer that takes longer says how far it is this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl PlainLog {
    /// Writes to `writer`.
    pub(crate) fn new(
        writer: Box<dyn Write + Send>,
        clock: Clock,
        redactor: Redactor,
        markup: Box<dyn Markup>,
    ) -> Self {
        let mut state = State {
            writer,
            clock,
            redactor,
            markup,
            steps: BTreeMap::new(),
            transfers: BTreeMap::new(),
            folded: None,
            in_output: false,
        };
        let command = state.markup.start();
        state.put(&command);
        PlainLog { state: Mutex::new(state) }
    }

    /// A log goes on after a thread that was writing to it panicked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screen for PlainLog {
    fn event(&self, event: Event) {
        self.state().event(event);
    }

    fn failure(&self, failure: &Failure) {
        let mut state = self.state();
        state.end_fold();
        for place in &failure.places {
            let place = state.redacted(place.clone());
            let command = state.markup.error(&place);
            state.command(&command);
        }
        let report = state.redactor.redact(failure.report.clone());
        for line in report.lines() {
            state.ours(line.to_owned());
        }
        state.flush();
    }

    fn close(&self) {
        let mut state = self.state();
        state.end_fold();
        state.flush();
    }
}

impl State {
    fn event(&mut self, event: Event) {
        match event {
            // The log goes on.
            Event::Shell { .. } => {}
            Event::Debug(text) | Event::Info(text) => self.say(&text),
            Event::Warning(text) => {
                let text = self.redactor.redact(clean_lines(&text));
                let command = self.markup.warning(&text);
                self.command(&command);
                self.say(&format!("warning: {text}"));
            }
            Event::Checked(found) => {
                for place in found.iter().map(diagnostic::place_of) {
                    let place = self.redacted(place);
                    let command = self.markup.found(&place);
                    self.command(&command);
                    self.say(&format!("warning: {}", diagnostic::line_of(&place)));
                }
            }
            Event::StepStarted { id, stage_name, number, total, text, .. } => {
                let label = clean(format!("[{stage_name} {number}/{total}]").as_bytes());
                let title = self.redactor.redact(format!("{label} {}", clean(text.as_bytes())));
                if self.folded.is_none() {
                    let command = self.markup.open(&title);
                    self.command(&command);
                    self.folded = Some(id);
                }
                self.steps.insert(id, label);
                self.say(&title);
            }
            Event::StepCached { stage_name, number, total, text, .. } => {
                let label = clean(format!("[{stage_name} {number}/{total}]").as_bytes());
                self.say(&format!("{label} CACHED {}", clean(text.as_bytes())));
            }
            Event::StepOutput { id, line, .. } => self.output(id, &line),
            Event::StepFinished { id, duration, layer } => {
                let layer = layer.map_or(String::new(), |(plain, packed)| {
                    format!(", layer {} ({} compressed)", bytes(plain), bytes(packed))
                });
                self.ended(id, &format!("done in {}{layer}", seconds(duration)));
            }
            Event::StepFailed { id, duration } => {
                self.ended(id, &format!("failed after {}", seconds(duration)));
            }
            Event::TransferStarted { id, kind, what, total } => {
                let now = Instant::now();
                let what = clean(what.as_bytes());
                self.transfers.insert(id, Transfer { kind, what, total, moved: 0, started: now, told: now });
            }
            Event::TransferProgress { id, bytes } => self.progress(id, bytes),
            Event::TransferFinished { id, end } => {
                if let Some(text) = self.transfers.remove(&id).and_then(|t| t.ended(end)) {
                    self.say(&text);
                }
            }
        }
        self.flush();
    }

    fn redacted(&self, mut place: Place) -> Place {
        place.message = self.redactor.redact(place.message);
        place.help = place.help.map(|help| self.redactor.redact(help));
        place
    }

    fn progress(&mut self, id: TransferId, moved: u64) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        transfer.moved = moved;
        if transfer.told.elapsed() >= TELL_EVERY {
            transfer.told = Instant::now();
            let total = transfer.total.map_or(String::new(), |t| format!(" of {}", bytes(t)));
            let (verb, _) = verbs(transfer.kind);
            let text = format!("{verb} {}: {}{total}", transfer.what, bytes(moved));
            self.say(&text);
        }
    }

    fn ended(&mut self, id: StepId, how: &str) {
        let label = self.steps.remove(&id).unwrap_or_default();
        self.say(&format!("{label} {how}"));
        if self.folded == Some(id) {
            self.end_fold();
        }
    }

    fn end_fold(&mut self) {
        if self.folded.take().is_some() {
            let command = self.markup.close();
            self.command(&command);
        }
    }

    /// A line that a command printed.
    fn output(&mut self, id: StepId, line: &[u8]) {
        if !self.in_output {
            self.in_output = true;
            let command = self.markup.enter_output();
            self.put(&command);
        }
        let label = self.steps.get(&id).map_or("", String::as_str);
        let line = format!("{}  {label} {}", (self.clock)(), self.redactor.redact(clean(line)));
        let line = self.markup.printed(line);
        self.put(&line);
        self.put("\n");
    }

    /// Lines of ours with their time.
    fn say(&mut self, text: &str) {
        for line in text.lines() {
            let line = self.redactor.redact(clean(line.as_bytes()));
            let line = format!("{}  {line}", (self.clock)());
            self.ours(line);
        }
    }

    fn ours(&mut self, line: String) {
        self.leave_output();
        let line = self.markup.line(line);
        self.put(&line);
        self.put("\n");
    }

    fn command(&mut self, command: &str) {
        if !command.is_empty() {
            self.leave_output();
            self.put(command);
        }
    }

    fn leave_output(&mut self) {
        if self.in_output {
            self.in_output = false;
            let command = self.markup.leave_output();
            self.put(&command);
        }
    }

    fn put(&mut self, text: &str) {
        // Nobody reads the log any more: no reason to break off a build.
        let _ = self.writer.write_all(text.as_bytes());
    }

    fn flush(&mut self) {
        let _ = self.writer.flush(); // as in `put`
    }
}

impl Transfer {
    /// The line about its end; blobs that were there already are no news.
    fn ended(&self, end: TransferEnd) -> Option<String> {
        let (_, done) = verbs(self.kind);
        let size = bytes(self.total.unwrap_or(self.moved));
        match end {
            TransferEnd::Moved => {
                Some(format!("{done} {}: {size} in {}", self.what, seconds(self.started.elapsed())))
            }
            TransferEnd::Mounted => Some(format!("mounted {}: {size}", self.what)),
            TransferEnd::Existed | TransferEnd::Failed => None,
        }
    }
}

fn verbs(kind: TransferKind) -> (&'static str, &'static str) {
    match kind {
        TransferKind::Pull => ("pulling", "pulled"),
        TransferKind::Push => ("pushing", "pushed"),
        TransferKind::Copy => ("copying", "copied"),
        TransferKind::Fetch => ("fetching", "fetched"),
    }
}

#[cfg(test)]
#[path = "plain_tests.rs"]
pub(crate) mod tests;
