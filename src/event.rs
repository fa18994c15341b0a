//! What happens while building, as data. Adapters render it; nothing here knows a terminal.

use std::sync::Arc;
use std::time::Duration;

/// Identifies a step within a build: position of the stage and step number in it, both from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId {
    /// Position of the stage in the plan.
    pub stage: usize,
    /// Number of the step in the stage; `FROM` is 0.
    pub step: usize,
}

/// Identifies one transfer of bytes; unique in a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u64);

/// Output stream of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a transfer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferKind {
    /// A blob comes from a registry or a layout.
    Pull,
    /// A blob goes to a registry.
    Push,
    /// A blob goes from one registry to another through us.
    Copy,
    /// A file comes from another server than a registry.
    Fetch,
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEnd {
    /// Bytes were moved.
    Moved,
    /// The other side already had the blob.
    Existed,
    /// The registry mounted the blob from another repository.
    Mounted,
    /// It failed; the error is reported by the build.
    Failed,
}

/// Something questionable that a check found in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The check's id.
    pub id: &'static str,
    /// What is questionable, one sentence without a full stop.
    pub message: String,
    /// One way out.
    pub help: Option<String>,
    /// The file as people are shown it.
    pub file: String,
    /// First line and column, in characters; both from 1.
    pub start: (usize, usize),
    /// Last line and column.
    pub end: (usize, usize),
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A remark that matters only to somebody looking closely.
    Debug(String),
    /// A fact worth a line, such as the chosen placement and why.
    Info(String),
    /// Something the user should change or know.
    Warning(String),
    /// What checks found, all at once, before the first step.
    Checked(Vec<Found>),
    /// A step begins.
    StepStarted {
        /// Which.
        id: StepId,
        /// The stage's name, or `stage-N`; with the platform where there are several.
        stage_name: String,
        /// Number of the step shown to people, from 1.
        number: usize,
        /// Steps of the stage.
        total: usize,
        /// The instruction in one line.
        text: String,
        /// Line of the instruction in the Dockerfile, from 1.
        line: usize,
    },
    /// A step is not carried out: its result is known.
    StepCached {
        /// Which.
        id: StepId,
        /// The stage's name, or `stage-N`; with the platform where there are several.
        stage_name: String,
        /// Number of the step shown to people, from 1.
        number: usize,
        /// Steps of the stage.
        total: usize,
        /// The instruction in one line.
        text: String,
        /// Which cache knew it.
        from: String,
    },
    /// A line a command wrote, without its newline. Untrusted bytes.
    StepOutput {
        /// Which step.
        id: StepId,
        /// Where it was written.
        stream: Stream,
        /// The bytes.
        line: Vec<u8>,
    },
    /// A step ended well.
    StepFinished {
        /// Which.
        id: StepId,
        /// How long it took.
        duration: Duration,
        /// Uncompressed and compressed bytes of its layer, if it has one.
        layer: Option<(u64, u64)>,
    },
    /// A step failed; the error itself is the build's result.
    StepFailed {
        /// Which.
        id: StepId,
        /// How long it took.
        duration: Duration,
    },
    /// A shell takes the terminal, or gives it back.
    Shell {
        /// Whether it has it.
        open: bool,
    },
    /// A transfer begins.
    TransferStarted {
        /// Which.
        id: TransferId,
        /// What it does.
        kind: TransferKind,
        /// What is moved: a shortened digest or a URL, for people.
        what: String,
        /// Bytes to move, where known.
        total: Option<u64>,
    },
    /// A transfer has moved this many bytes in all.
    TransferProgress {
        /// Which.
        id: TransferId,
        /// Bytes so far.
        bytes: u64,
    },
    /// A transfer ended.
    TransferFinished {
        /// Which.
        id: TransferId,
        /// How.
        end: TransferEnd,
    },
}

/// Receives events, from any thread.
pub trait EventSink: Send + Sync {
    /// Takes one event. Must not block for long: builders wait for it.
    fn event(&self, event: Event);
}

/// A handle to send events with; cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<dyn EventSink>);

impl Events {
    /// Sends everything to `sink`.
    pub fn new(sink: Arc<dyn EventSink>) -> Self {
        Events(sink)
    }

    /// Sends nothing anywhere; for tests and for work nobody watches.
    pub fn none() -> Self {
        struct Nobody;
        impl EventSink for Nobody {
            fn event(&self, _: Event) {}
        }
        Events(Arc::new(Nobody))
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        self.0.event(event);
    }

    /// Sends an [`Event::Info`].
    pub fn info(&self, text: impl Into<String>) {
        self.send(Event::Info(text.into()));
    }

    /// Sends an [`Event::Warning`].
    pub fn warn(&self, text: impl Into<String>) {
        self.send(Event::Warning(text.into()));
    }

    /// Sends an [`Event::Debug`].
    pub fn debug(&self, text: impl Into<String>) {
        self.send(Event::Debug(text.into()));
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
