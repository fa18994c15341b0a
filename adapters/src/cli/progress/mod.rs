//! Shows what happens while building: live on a terminal, as lines or as JSON in a log.

mod held;
mod json;
pub(crate) mod plain;
pub(crate) mod text;
mod tree;

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use yadokari::event::{Event, EventSink, Events};

use super::flags::ProgressFlag;
use super::log::{Format, Level, LogOptions};
use crate::env::Env;
use crate::usage::Usage;
use held::Held;

pub(crate) use plain::{Bare, Markup};
pub(crate) use text::Redactor;

/// Where events and a front's own words are shown.
pub(crate) trait Screen: Send + Sync {
    /// Shows an event.
    fn event(&self, event: Event);

    /// Shows what went wrong: several lines, already rendered.
    fn failure(&self, report: &Failure);

    /// Takes away what is only shown while building.
    fn close(&self);
}

/// An error as it is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure {
    /// For people: the rendered report.
    pub(crate) report: String,
    /// For programs: one for each place, or one without a place.
    pub(crate) places: Vec<Place>,
}

/// What is wrong at a place.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Place {
    /// What is wrong.
    pub(crate) message: String,
    /// The check that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'static str>,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// File as shown to people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
    /// Line of the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_line: Option<usize>,
    /// Column of the last character.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_column: Option<usize>,
    /// One way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) help: Option<String>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It ends the build.
    #[default]
    Error,
    /// It is questionable.
    Warning,
}

/// A screen, and the handle to send events to it.
#[derive(Clone)]
pub(crate) struct Display {
    screen: Arc<dyn Screen>,
    level: Level,
    color: bool,
    /// What comes while a shell has the terminal.
    held: Arc<Mutex<Held>>,
}

impl Display {
    /// The display for a log that a person or a platform reads.
    ///
    /// # Errors
    /// A live display was asked for where there is no terminal.
    pub(crate) fn open(
        options: LogOptions,
        env: &Env,
        redactor: Redactor,
        markup: Box<dyn Markup>,
        to: Sink,
    ) -> Result<Self, Usage> {
        let terminal = std::io::stderr().is_terminal() && env.get("TERM") != Some("dumb");
        let color = match options.format {
            Format::Auto => terminal && env.get("NO_COLOR").is_none(),
            Format::Color => true,
            Format::Text | Format::Json => false,
        };
        let live = match options.progress {
            ProgressFlag::Tty if !terminal => {
                return Err(Usage::new("--progress=tty needs a terminal")
                    .help("leave it out, or write --progress=plain"));
            }
            ProgressFlag::Tty => true,
            ProgressFlag::Plain => false,
            ProgressFlag::Auto => terminal && options.format != Format::Json && to == Sink::Stderr,
        };
        let writer: Box<dyn Write + Send> = match to {
            Sink::Stdout => Box::new(std::io::stdout()),
            Sink::Stderr => Box::new(std::io::stderr()),
        };
        let screen: Arc<dyn Screen> = match (options.format, live) {
            (Format::Json, _) => Arc::new(json::JsonLog::new(writer, redactor)),
            (_, true) => Arc::new(tree::Tree::new(redactor, color)),
            (_, false) => {
                Arc::new(plain::PlainLog::new(writer, plain::clock(options.timestamp), redactor, markup))
            }
        };
        Ok(Display { screen, level: options.level, color, held: Arc::default() })
    }

    /// A handle for the core.
    pub(crate) fn events(&self) -> Events {
        Events::new(Arc::new(self.clone()))
    }

    /// Whether colours may be used.
    pub(crate) fn color(&self) -> bool {
        self.color
    }

    /// Shows what went wrong.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.screen.failure(failure);
    }

    /// Takes away what is only shown while building.
    pub(crate) fn close(&self) {
        self.screen.close();
    }
}

impl EventSink for Display {
    fn event(&self, event: Event) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Shell { open: true } => {
                self.screen.event(event);
                held.begin();
            }
            Event::Shell { open: false } => {
                self.screen.event(event);
                held.end().into_iter().for_each(|event| self.screen.event(event));
            }
            event if importance(&event) < self.level => {}
            event => {
                if let Some(event) = held.pass(event) {
                    self.screen.event(event);
                }
            }
        }
    }
}

/// Which stream a log goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Where CI platforms read commands.
    Stdout,
    /// Keeps standard output free for a result, such as `--digest-file /dev/stdout`.
    Stderr,
}

/// What commands print is always shown, as kaniko does.
fn importance(event: &Event) -> Level {
    match event {
        Event::Debug(_) => Level::Debug,
        Event::Warning(_) | Event::Checked(_) => Level::Warning,
        Event::StepOutput { .. } | Event::StepFailed { .. } => Level::Error,
        _ => Level::Info,
    }
}
