//! A log of JSON objects, one a line: `time`, `level`, `msg` as kaniko's, and what else there is.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use yadokari::event::{Event, StepId, Stream, TransferEnd};

use super::text::{Redactor, clean, seconds};
use super::{Failure, Place, Screen};
use crate::cli::diagnostic;

/// The log.
pub(crate) struct JsonLog {
    state: Mutex<State>,
    redactor: Redactor,
}

struct State {
    writer: Box<dyn Write + Send>,
    steps: BTreeMap<StepId, String>,
}

impl JsonLog {
    /// Writes to `writer`.
    pub(crate) fn new(writer: Box<dyn Write + Send>, redactor: Redactor) -> Self {
        JsonLog { state: Mutex::new(State { writer, steps: BTreeMap::new() }), redactor }
    }

    fn write(&self, level: &str, message: &str, more: Value) {
        let mut object = Map::new();
        object
            .insert("time".into(), jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into());
        object.insert("level".into(), level.into());
        object.insert("msg".into(), self.redactor.redact(message.to_owned()).into());
        if let Value::Object(more) = more {
            for (key, value) in more {
                object.insert(key, self.redacted(value));
            }
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody reads the log any more: no reason to break off a build.
        let _ = writeln!(state.writer, "{}", Value::Object(object));
        let _ = state.writer.flush();
    }

    fn place(&self, level: &str, place: &Place) {
        // A struct of strings and numbers always has a JSON form.
        let mut more = serde_json::to_value(place).unwrap_or(Value::Null);
        if let Value::Object(map) = &mut more {
            map.remove("message");
        }
        self.write(level, &place.message, more);
    }

    fn redacted(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redactor.redact(text)),
            other => other,
        }
    }

    fn label(&self, id: StepId) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.steps.get(&id).cloned().unwrap_or_default()
    }
}

impl Screen for JsonLog {
    fn event(&self, event: Event) {
        match event {
            // The log goes on.
            Event::Shell { .. } => {}
            Event::Debug(text) => self.write("debug", &text, Value::Null),
            Event::Info(text) => self.write("info", &text, Value::Null),
            Event::Warning(text) => self.write("warning", &text, Value::Null),
            Event::Checked(found) => {
                found.iter().map(diagnostic::place_of).for_each(|place| self.place("warning", &place));
            }
            Event::StepStarted { id, stage_name, number, total, text, line } => {
                let label = format!("{stage_name} {number}/{total}");
                {
                    let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.steps.insert(id, label.clone());
                }
                self.write("info", &text, json!({ "step": label, "line": line }));
            }
            Event::StepCached { stage_name, number, total, text, from, .. } => {
                let label = format!("{stage_name} {number}/{total}");
                self.write("info", &text, json!({ "step": label, "cached": true, "cache": from }));
            }
            Event::StepOutput { id, stream, line } => {
                let stream = match stream {
                    Stream::Stdout => "stdout",
                    Stream::Stderr => "stderr",
                };
                self.write("info", &clean(&line), json!({ "step": self.label(id), "stream": stream }));
            }
            Event::StepFinished { id, duration, layer } => {
                let mut more = json!({ "step": self.label(id), "seconds": duration.as_secs_f64() });
                if let Some((plain, packed)) = layer {
                    more["layer_bytes"] = plain.into();
                    more["compressed_bytes"] = packed.into();
                }
                self.write("info", &format!("done in {}", seconds(duration)), more);
            }
            Event::StepFailed { id, duration } => {
                let more = json!({ "step": self.label(id), "seconds": duration.as_secs_f64() });
                self.write("error", &format!("failed after {}", seconds(duration)), more);
            }
            Event::TransferStarted { id, what, total, .. } => {
                self.write(
                    "debug",
                    &format!("transfer of {what}"),
                    json!({ "transfer": id.0, "bytes": total }),
                );
            }
            Event::TransferProgress { .. } => {}
            Event::TransferFinished { id, end } => {
                let end = match end {
                    TransferEnd::Moved => "moved",
                    TransferEnd::Existed => "existed",
                    TransferEnd::Mounted => "mounted",
                    TransferEnd::Failed => "failed",
                };
                self.write("debug", &format!("transfer {end}"), json!({ "transfer": id.0, "end": end }));
            }
        }
    }

    fn failure(&self, failure: &Failure) {
        failure.places.iter().for_each(|place| self.place("error", place));
    }

    fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pretty_assertions::assert_eq;

    use super::*;
    use crate::cli::progress::plain::tests::{Page, finished, output, step};

    #[test]
    fn every_line_is_an_object_with_time_level_and_message() {
        let page = Page::default();
        let log = JsonLog::new(Box::new(page.clone()), Redactor::new(["hunter22".to_owned()]));
        log.event(Event::Warning("hunter22\n".into()));
        log.event(step(0, 1, "RUN a"));
        log.event(output(0, 1, b"\x1b[1mb hunter22"));
        log.event(finished(0, 1));
        log.event(Event::StepFailed { id: StepId { stage: 0, step: 1 }, duration: Duration::ZERO });
        let place = Place { message: "m".into(), file: Some("D".into()), line: Some(3), ..Place::default() };
        log.failure(&Failure { report: String::new(), places: vec![place] });

        let text = page.text();
        let mut lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        for line in &mut lines {
            let time = line.as_object_mut().unwrap().remove("time").unwrap();
            assert!(time.as_str().unwrap().ends_with('Z'));
        }
        let expected = [
            json!({ "level": "warning", "msg": "***\n" }),
            json!({ "level": "info", "msg": "RUN a", "step": "stage-0 1/2", "line": 1 }),
            json!({ "level": "info", "msg": "b ***", "step": "stage-0 1/2", "stream": "stdout" }),
            json!({ "level": "info", "msg": "done in 1.5s", "step": "stage-0 1/2", "seconds": 1.5,
                "layer_bytes": 2_000_000, "compressed_bytes": 500_000 }),
            json!({ "level": "error", "msg": "failed after 0.0s", "step": "stage-0 1/2", "seconds": 0.0 }),
            json!({ "level": "error", "msg": "m", "severity": "error", "file": "D", "line": 3 }),
        ];
        assert_eq!(lines, expected);
    }
}
