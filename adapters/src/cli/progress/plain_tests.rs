use std::sync::Arc;

use pretty_assertions::assert_eq;
use yadokari::event::Stream;

use super::*;

/// A writer that a test can read.
#[derive(Clone, Default)]
pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a build's events look like with a platform's markup.
pub(crate) fn shown(markup: Box<dyn Markup>, secrets: &[&str], events: Vec<Event>) -> String {
    let page = Page::default();
    let redactor = Redactor::new(secrets.iter().map(|s| (*s).to_owned()));
    let log = PlainLog::new(Box::new(page.clone()), Box::new(|| "  0.0s".to_owned()), redactor, markup);
    for event in events {
        log.event(event);
    }
    log.close();
    page.text()
}

pub(crate) fn step(stage: usize, number: usize, text: &str) -> Event {
    Event::StepStarted {
        id: StepId { stage, step: number },
        stage_name: format!("stage-{stage}"),
        number,
        total: 2,
        text: text.to_owned(),
        line: number,
    }
}

pub(crate) fn output(stage: usize, number: usize, line: &[u8]) -> Event {
    let id = StepId { stage, step: number };
    Event::StepOutput { id, stream: Stream::Stdout, line: line.to_vec() }
}

pub(crate) fn finished(stage: usize, number: usize) -> Event {
    let layer = Some((2_000_000, 500_000));
    Event::StepFinished { id: StepId { stage, step: number }, duration: Duration::from_millis(1500), layer }
}

#[test]
fn a_build_in_lines() {
    let transfer = TransferId(1);
    let text = shown(
        Box::new(Bare),
        &[],
        vec![
            Event::Info("in place, because mount is not permitted".into()),
            Event::TransferStarted {
                id: transfer,
                kind: TransferKind::Push,
                what: "abc".into(),
                total: Some(10),
            },
            step(0, 1, "FROM scratch"),
            finished(0, 1),
            step(0, 2, "RUN echo hi"),
            output(0, 2, b"hi"),
            Event::Warning("two\nlines".into()),
            Event::StepFailed { id: StepId { stage: 0, step: 2 }, duration: Duration::from_secs(61) },
            Event::TransferProgress { id: transfer, bytes: 5 },
            Event::TransferFinished { id: transfer, end: TransferEnd::Mounted },
        ],
    );
    assert_eq!(
        text,
        "  0.0s  in place, because mount is not permitted
  0.0s  [stage-0 1/2] FROM scratch
  0.0s  [stage-0 1/2] done in 1.5s, layer 2.0 MB (500.0 kB compressed)
  0.0s  [stage-0 2/2] RUN echo hi
  0.0s  [stage-0 2/2] hi
  0.0s  warning: two
  0.0s  lines
  0.0s  [stage-0 2/2] failed after 1m01s
  0.0s  mounted abc: 10 B
"
    );
}

#[test]
fn nothing_of_others_controls_the_terminal() {
    let text = shown(
        Box::new(Bare),
        &[],
        vec![
            step(0, 1, "RUN \x1b[2Jx\nfake line"),
            output(0, 1, b"\x1b]0;t\x07a\x08\nfake"),
            Event::Info("i\x1b[1mn".into()),
            Event::Warning("w\x07".into()),
            Event::StepFailed { id: StepId { stage: 0, step: 1 }, duration: Duration::ZERO },
        ],
    );
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.lines().all(|line| line.starts_with("  0.0s")), "{text:?}");
}

#[test]
fn secrets_are_not_shown() {
    let text = shown(
        Box::new(Bare),
        &["hunter22"],
        vec![
            step(0, 1, "RUN login hunter22"),
            output(0, 1, b"hunter\x1b[0m22"),
            Event::Warning("hunter22".into()),
        ],
    );
    assert!(!text.contains("hunter22"), "{text}");
    assert_eq!(text.matches("***").count(), 3);
}

#[test]
fn a_failure_is_told_without_secrets() {
    let page = Page::default();
    let redactor = Redactor::new(["hunter22".to_owned()]);
    let log = PlainLog::new(Box::new(page.clone()), Box::new(String::new), redactor, Box::new(Bare));
    log.failure(&Failure { report: "error: hunter22\n --> D:1".into(), places: Vec::new() });
    assert_eq!(page.text(), "error: ***\n --> D:1\n");
}
