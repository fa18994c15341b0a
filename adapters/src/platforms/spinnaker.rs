//! Spinnaker's Run Job stage: results as lines of the job's log, which Spinnaker reads when the stage names the
//! container. Nothing tells a job that Spinnaker runs it, so it must be asked for: `yadokari ci spinnaker`.
//!
//! Clouddriver takes `SPINNAKER_PROPERTY_NAME=VALUE` from anywhere in a line, and `SPINNAKER_CONFIG_JSON=…` from
//! its start; a value ends at the next `=` (`PropertyParser`).

use serde_json::{Value, json};

use super::markup::{Folds, part};
use super::sinks::Results;
use super::{PLAIN, System, markup, sinks};
use crate::session::EmitError;

pub(super) static SYSTEM: System = System {
    name: "spinnaker",
    title: "Spinnaker",
    folds: Folds { guard, reads_log: true, ..markup::NONE },
    gives: ("properties and an artifact", "the log"),
    report: |results, _, _| report(results),
    ..PLAIN
};

fn guard(line: &str) -> String {
    let words = ["spinnaker_property_", "spinnaker_config_json"];
    words.iter().fold(line.to_owned(), |line, word| part(&line, word, "spinnaker".len()))
}

fn report(results: &Results<'_>) -> Result<(), EmitError> {
    let mut text = results.lines(|name, value| format!("SPINNAKER_PROPERTY_{name}={value}"));
    let artifacts: Vec<Value> = results
        .outcomes()
        .filter_map(|outcome| {
            let first = outcome.pushed.first()?;
            let name = format!("{}/{}", first.registry(), first.repository());
            let (version, reference) = (outcome.digest.to_string(), format!("{name}@{}", outcome.digest));
            Some(json!({ "type": "docker/image", "name": name, "version": version, "reference": reference }))
        })
        .collect();
    if !artifacts.is_empty() {
        text += &format!("SPINNAKER_CONFIG_JSON={}\n", json!({ "artifacts": artifacts }));
    }
    sinks::say(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_is_a_property() {
        for line in ["SPINNAKER_PROPERTY_A=b", "  0.1s x SPINNAKER_PROPERTY_A", " SPINNAKER_CONFIG_JSON={}"] {
            let guarded = guard(line);
            assert!(!guarded.contains("SPINNAKER_PROPERTY_"), "{guarded}");
            assert!(!guarded.trim_start().starts_with("SPINNAKER_CONFIG_JSON="), "{guarded}");
        }
    }
}
