//! What other steps do while a shell has the terminal: shown when it gives the terminal back.

use std::collections::VecDeque;

use yadokari::event::Event;

/// Most bytes of lines that are kept; of more the latest are.
const MOST: usize = 1 << 20;

/// Events in their order.
#[derive(Default)]
pub(super) struct Held {
    open: bool,
    events: VecDeque<Event>,
    /// Bytes of the lines among them.
    bytes: usize,
    /// Lines left out.
    lost: usize,
}

impl Held {
    /// A shell takes the terminal.
    pub(super) fn begin(&mut self) {
        self.open = true;
    }

    /// Gives an event back if it can be shown now.
    pub(super) fn pass(&mut self, event: Event) -> Option<Event> {
        if !self.open {
            return Some(event);
        }
        if !matches!(event, Event::TransferProgress { .. }) {
            self.bytes += size(&event);
            self.events.push_back(event);
            self.shorten();
        }
        None
    }

    /// The terminal is free: everything that came meanwhile.
    pub(super) fn end(&mut self) -> Vec<Event> {
        let lost = std::mem::take(self);
        let note = format!("{} lines that steps printed meanwhile are left out", lost.lost);
        let note = (lost.lost > 0).then_some(Event::Warning(note));
        note.into_iter().chain(lost.events).collect()
    }

    fn shorten(&mut self) {
        let mut at = 0;
        while self.bytes > MOST && at < self.events.len() {
            match size(&self.events[at]) {
                0 => at += 1,
                bytes => {
                    self.events.remove(at);
                    self.bytes -= bytes;
                    self.lost += 1;
                }
            }
        }
    }
}

/// Bytes of what a command printed, and something for the line's end.
fn size(event: &Event) -> usize {
    match event {
        Event::StepOutput { line, .. } => line.len() + 64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use yadokari::event::{StepId, Stream};

    use super::*;

    fn line(text: &str) -> Event {
        let id = StepId { stage: 0, step: 0 };
        Event::StepOutput { id, stream: Stream::Stdout, line: text.as_bytes().to_vec() }
    }

    #[test]
    fn events_wait_for_the_end_of_a_shell() {
        let mut held = Held::default();
        assert!(held.pass(line("before")).is_some());
        held.begin();
        assert!(held.pass(line("one")).is_none() && held.pass(Event::Info("two".into())).is_none());
        assert!(matches!(&held.end()[..], [Event::StepOutput { .. }, Event::Info(_)]));
        assert!(held.pass(line("after")).is_some());
    }

    #[test]
    fn of_too_many_lines_the_latest_are_kept() {
        let mut held = Held::default();
        held.begin();
        held.pass(Event::Info("first".into()));
        for number in 0..3000 {
            held.pass(line(&format!("{number:1000}")));
        }
        let shown = held.end();
        let Event::Warning(note) = &shown[0] else { panic!("{:?}", shown[0]) };
        let kept = shown.iter().filter(|e| matches!(e, Event::StepOutput { .. })).count();
        assert!(note.starts_with(&(3000 - kept).to_string()) && (900..1100).contains(&kept), "{note} {kept}");
        assert!(matches!(&shown[1], Event::Info(_)));
        assert!(matches!(shown.last(), Some(Event::StepOutput { line, .. }) if line.ends_with(b"2999")));
    }
}
