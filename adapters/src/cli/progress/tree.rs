//! The live display: a tree of stages with the steps at work below them, then the transfers.
//! What is finished, and what commands print, stays above it as ordinary lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use yadokari::event::{Event, StepId, TransferEnd, TransferId, TransferKind};

use super::text::{Redactor, bytes, clean, clean_lines, seconds};
use super::{Failure, Screen};
use crate::cli::diagnostic;

/// How often a moving part is drawn.
const TICK: Duration = Duration::from_millis(100);

/// The display.
pub(crate) struct Tree {
    multi: MultiProgress,
    writer: Mutex<Box<dyn Write + Send>>,
    state: Mutex<State>,
    redactor: Redactor,
    color: bool,
}

#[derive(Default)]
struct State {
    stages: BTreeMap<usize, Stage>,
    steps: BTreeMap<StepId, Step>,
    transfers: BTreeMap<TransferId, ProgressBar>,
}

struct Stage {
    header: ProgressBar,
    name: String,
}

struct Step {
    bar: ProgressBar,
    title: String,
    last: bool,
}

impl Tree {
    /// Draws on standard error.
    pub(crate) fn new(redactor: Redactor, color: bool) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let writer: Box<dyn Write + Send> = Box::new(std::io::stderr());
        Tree { multi, writer: Mutex::new(writer), state: Mutex::default(), redactor, color }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines that stay. Not by `MultiProgress::println`, which fills lines with spaces up to the
    /// terminal's width where it draws nothing below them, and ends none.
    fn print(&self, text: &str) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.multi.suspend(|| {
            // A terminal that went away ends no build.
            let _ = writeln!(writer, "{text}").and_then(|()| writer.flush());
        });
    }

    fn say(&self, text: &str) {
        self.print(&self.redactor.redact(clean_lines(text)));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn start_step(&self, id: StepId, stage: &str, number: usize, total: usize, text: &str) {
        let name = clean(stage.as_bytes());
        let text = self.redactor.redact(clean(text.as_bytes()));
        let mut state = self.state();
        let header = state.stages.entry(id.stage).or_insert_with(|| {
            let header = self.multi.add(ProgressBar::new_spinner().with_style(style("{msg}")));
            Stage { header, name: name.clone() }
        });
        header.header.set_message(format!("{} {number}/{total}", header.name));
        let bar = ProgressBar::new_spinner().with_style(style("  {spinner} {wide_msg} {elapsed}"));
        let bar = self.multi.insert_after(&header.header, bar);
        bar.set_message(text.clone());
        bar.enable_steady_tick(TICK);
        let title = format!("[{name} {number}/{total}] {text}");
        state.steps.insert(id, Step { bar, title, last: number == total });
    }

    fn end_step(&self, id: StepId, mark: &str, how: &str) {
        let mut state = self.state();
        let Some(step) = state.steps.remove(&id) else { return };
        step.bar.finish_and_clear();
        self.multi.remove(&step.bar);
        if step.last
            && let Some(stage) = state.stages.remove(&id.stage)
        {
            stage.header.finish_and_clear();
            self.multi.remove(&stage.header);
        }
        self.print(&format!("{mark} {}  {how}", step.title));
    }

    fn start_transfer(&self, id: TransferId, kind: TransferKind, what: &str, total: Option<u64>) {
        let verb = match kind {
            TransferKind::Pull => "pull",
            TransferKind::Push => "push",
            TransferKind::Copy => "copy",
            TransferKind::Fetch => "fetch",
        };
        let bar = match total {
            Some(total) => ProgressBar::new(total)
                .with_style(style("  {msg} {bar:20} {bytes}/{total_bytes} {bytes_per_sec}")),
            None => ProgressBar::new_spinner().with_style(style("  {msg} {bytes} {bytes_per_sec}")),
        };
        let bar = self.multi.add(bar);
        bar.set_message(format!("{verb} {}", clean(what.as_bytes())));
        self.state().transfers.insert(id, bar);
    }

    fn end_transfer(&self, id: TransferId, end: TransferEnd) {
        let Some(bar) = self.state().transfers.remove(&id) else { return };
        bar.finish_and_clear();
        self.multi.remove(&bar);
        let size = bytes(bar.length().unwrap_or_else(|| bar.position()));
        match end {
            TransferEnd::Moved => self.print(&format!("  {}: {size}", bar.message())),
            TransferEnd::Mounted => self.print(&format!("  {}: {size}, mounted", bar.message())),
            TransferEnd::Existed | TransferEnd::Failed => {}
        }
    }
}

impl Screen for Tree {
    fn event(&self, event: Event) {
        match event {
            Event::Shell { open } => {
                let target = if open { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
                self.multi.set_draw_target(target);
            }
            Event::Debug(text) | Event::Info(text) => self.say(&text),
            Event::Warning(text) => {
                let text = self.redactor.redact(clean_lines(&text));
                self.print(&format!("{} {text}", self.paint("33", "warning:")));
            }
            Event::Checked(found) => {
                for place in found.iter().map(diagnostic::place_of) {
                    let text = self.redactor.redact(diagnostic::line_of(&place));
                    self.print(&format!("{} {text}", self.paint("33", "warning:")));
                }
            }
            Event::StepStarted { id, stage_name, number, total, text, .. } => {
                self.start_step(id, &stage_name, number, total, &text);
            }
            Event::StepCached { stage_name, number, total, text, .. } => {
                let label = clean(format!("[{stage_name} {number}/{total}]").as_bytes());
                let text = self.redactor.redact(clean(text.as_bytes()));
                self.print(&format!("{} {label} {text} cached", self.paint("32", "✓")));
            }
            Event::StepOutput { line, .. } => {
                let line = self.redactor.redact(clean(&line));
                self.print(&format!("    {line}"));
            }
            Event::StepFinished { id, duration, layer } => {
                let layer = layer.map_or(String::new(), |(_, packed)| format!(", {}", bytes(packed)));
                self.end_step(id, &self.paint("32", "✓"), &format!("{}{layer}", seconds(duration)));
            }
            Event::StepFailed { id, duration } => {
                self.end_step(id, &self.paint("31", "✗"), &seconds(duration));
            }
            Event::TransferStarted { id, kind, what, total } => self.start_transfer(id, kind, &what, total),
            Event::TransferProgress { id, bytes } => {
                if let Some(bar) = self.state().transfers.get(&id) {
                    bar.set_position(bytes);
                }
            }
            Event::TransferFinished { id, end } => self.end_transfer(id, end),
        }
    }

    fn failure(&self, failure: &Failure) {
        self.close();
        self.print(&self.redactor.redact(failure.report.clone()));
    }

    fn close(&self) {
        let mut state = self.state();
        let bars = std::mem::take(&mut state.transfers).into_values();
        let bars = bars.chain(std::mem::take(&mut state.steps).into_values().map(|s| s.bar));
        for bar in bars.chain(std::mem::take(&mut state.stages).into_values().map(|s| s.header)) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }
}

/// A style of ours; the templates are constants and a test reads each.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use indicatif::TermLike;

    use super::*;

    /// Columns of the terminal.
    const WIDTH: usize = 60;

    /// A terminal of lines that a test can read.
    #[derive(Debug, Clone, Default)]
    struct Terminal(Arc<Mutex<Cells>>);

    #[derive(Debug, Default)]
    struct Cells {
        lines: Vec<Vec<char>>,
        row: usize,
        column: usize,
    }

    impl Terminal {
        fn contents(&self) -> String {
            let cells = self.0.lock().unwrap();
            let line = |l: &Vec<char>| l.iter().collect::<String>().trim_end().to_owned() + "\n";
            cells.lines.iter().map(line).collect()
        }

        fn change(&self, change: impl FnOnce(&mut Cells)) -> io::Result<()> {
            change(&mut self.0.lock().unwrap());
            Ok(())
        }
    }

    impl Cells {
        fn write(&mut self, text: &str) {
            for c in text.chars() {
                match c {
                    '\n' => (self.row, self.column) = (self.row + 1, 0),
                    '\r' => self.column = 0,
                    c => {
                        if self.column == WIDTH {
                            (self.row, self.column) = (self.row + 1, 0);
                        }
                        let (row, column) = (self.row, self.column);
                        self.lines.resize_with(self.lines.len().max(row + 1), Vec::new);
                        let line = &mut self.lines[row];
                        line.resize(line.len().max(column + 1), ' ');
                        line[column] = c;
                        self.column += 1;
                    }
                }
            }
        }
    }

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.change(|c| c.write(std::str::from_utf8(bytes).unwrap()))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            WIDTH as u16
        }

        fn height(&self) -> u16 {
            40
        }

        fn move_cursor_up(&self, n: usize) -> io::Result<()> {
            self.change(|c| c.row = c.row.saturating_sub(n))
        }

        fn move_cursor_down(&self, n: usize) -> io::Result<()> {
            self.change(|c| c.row += n)
        }

        fn move_cursor_right(&self, n: usize) -> io::Result<()> {
            self.change(|c| c.column += n)
        }

        fn move_cursor_left(&self, n: usize) -> io::Result<()> {
            self.change(|c| c.column = c.column.saturating_sub(n))
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.change(|c| c.write(&format!("{text}\n")))
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.change(|c| c.write(text))
        }

        fn clear_line(&self) -> io::Result<()> {
            self.change(|c| {
                c.column = 0;
                let row = c.row;
                if let Some(line) = c.lines.get_mut(row) {
                    line.clear();
                }
            })
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The templates given to [`style`].
    const TEMPLATES: [&str; 4] = [
        "{msg}",
        "  {spinner} {wide_msg} {elapsed}",
        "  {msg} {bar:20} {bytes}/{total_bytes} {bytes_per_sec}",
        "  {msg} {bytes} {bytes_per_sec}",
    ];

    #[test]
    fn the_templates_are_sound() {
        let source = include_str!("tree.rs");
        for template in TEMPLATES {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
        assert_eq!(source.matches("style(\"").count(), TEMPLATES.len());
    }

    fn tree_on(term: &Terminal) -> Tree {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(term.clone())));
        let redactor = Redactor::new(["hunter22".to_owned()]);
        let writer: Box<dyn Write + Send> = Box::new(term.clone());
        Tree { multi, writer: Mutex::new(writer), state: Mutex::default(), redactor, color: false }
    }

    fn started(stage: usize, number: usize) -> Event {
        Event::StepStarted {
            id: StepId { stage, step: number },
            stage_name: format!("stage-{stage}"),
            number,
            total: 2,
            text: format!("RUN step {number}"),
            line: number,
        }
    }

    #[test]
    fn stages_hold_the_steps_at_work_and_finished_ones_stay_above() {
        let term = Terminal::default();
        let tree = tree_on(&term);
        tree.event(started(0, 1));
        tree.event(started(1, 1));
        let id = StepId { stage: 0, step: 1 };
        let line = b"\x1b[2Jhunter22".to_vec();
        tree.event(Event::StepOutput { id, stream: yadokari::event::Stream::Stdout, line });
        tree.event(Event::StepFinished { id, duration: Duration::from_secs(2), layer: Some((9, 7)) });
        tree.event(started(0, 2));
        let shown = term.contents();
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("no '{text}' in\n{shown}"));
        assert!(at("    ***") < at("✓ [stage-0 1/2] RUN step 1  2.0s, 7 B"));
        assert!(at("✓") < at("stage-0 2/2\n") && at("stage-0 2/2\n") < at("RUN step 2"));
        assert!(at("RUN step 2") < at("stage-1 1/2\n"));
        tree.close();
        assert!(!term.contents().contains("RUN step 2"), "{}", term.contents());
    }
}
