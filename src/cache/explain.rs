//! Why a step's result was not known: what is different from the record it is nearest to.

use std::collections::BTreeMap;

use super::record::{Record, StepName};

/// What is different between a step and a record of an earlier build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The step of the record.
    pub step: StepName,
    /// Names of values that changed, in the order that matters most first.
    pub changed: Vec<String>,
    /// Names of values that the record has not.
    pub added: Vec<String>,
    /// Names of values that only the record has.
    pub removed: Vec<String>,
}

/// Compares a step with the record of the same stage and instruction that has most in common;
/// none if there is no such record.
pub fn nearest(
    step: &StepName,
    components: &BTreeMap<String, String>,
    known: &[Record],
) -> Option<Difference> {
    let same = |r: &&Record| r.step.stage == step.stage && r.step.instruction == step.instruction;
    let score = |record: &&Record| {
        let equal = record.components.iter().filter(|(n, v)| components.get(*n) == Some(v)).count();
        (record.step.number == step.number, equal, record.created)
    };
    let record = known.iter().filter(same).filter(|r| !r.components.is_empty()).max_by_key(score)?;
    let old = &record.components;
    let mut changed: Vec<String> = components
        .iter()
        .filter(|(n, v)| old.get(*n).is_some_and(|o| o != *v))
        .map(|(n, _)| n.clone())
        .collect();
    let mut added: Vec<String> = components.keys().filter(|n| !old.contains_key(*n)).cloned().collect();
    let mut removed: Vec<String> = old.keys().filter(|n| !components.contains_key(*n)).cloned().collect();
    for list in [&mut changed, &mut added, &mut removed] {
        list.sort_by_key(|name| weight(name));
    }
    Some(Difference { step: record.step.clone(), changed, added, removed })
}

/// What a person wants to read first: a file rather than the sum of all files, and the step's own
/// text rather than the steps before it.
fn weight(name: &str) -> u8 {
    match name {
        _ if name.starts_with("file ") => 0,
        _ if name.starts_with("files of ") => 1,
        _ if name.starts_with("variable ") => 2,
        "command" | "script" => 3,
        "previous step" => 8,
        "files" => 9,
        _ => 5,
    }
}

impl Difference {
    /// In one line, the first reason.
    pub fn reason(&self) -> String {
        let first = |list: &[String], how: &str| {
            let name = list.first()?;
            let more = list.iter().filter(|n| *n != "files").count().saturating_sub(1);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Some(format!("{name}{more} {how}"))
        };
        let only_before = |l: &[String]| l.iter().all(|n| n == "previous step");
        if !self.changed.is_empty()
            && only_before(&self.changed)
            && self.added.is_empty()
            && self.removed.is_empty()
        {
            return "a step before it changed".to_owned();
        }
        let sum =
            |l: &Vec<String>| l.iter().filter(|n| *n != "files" && *n != "previous step").cloned().collect();
        let (changed, added, removed): (Vec<String>, Vec<String>, Vec<String>) =
            (sum(&self.changed), sum(&self.added), sum(&self.removed));
        first(&changed, "changed")
            .or_else(|| first(&added, "is new"))
            .or_else(|| first(&removed, "is gone"))
            .or_else(|| first(&self.changed, "changed"))
            .unwrap_or_else(|| "its record is gone".to_owned())
    }

    /// The whole comparison, a line a value.
    pub fn lines(&self) -> Vec<String> {
        let each = |list: &[String], sign: char| -> Vec<String> {
            list.iter().map(|name| format!("{sign} {name}")).collect()
        };
        [each(&self.changed, '~'), each(&self.added, '+'), each(&self.removed, '-')].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    fn parts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn reasons() {
        let old =
            [("previous step", "1"), ("files", "1"), ("file a", "1"), ("variable A", "1"), ("command", "1")];
        let known = Record { components: parts(&old), ..record() };
        let reason = |new: &[(&str, &str)]| {
            nearest(&known.step, &parts(new), std::slice::from_ref(&known)).unwrap().reason()
        };
        let with = |name: &'static str, value: &'static str| {
            let mut new: Vec<(&str, &str)> = old.to_vec();
            new.retain(|(n, _)| *n != name);
            if !value.is_empty() {
                new.push((name, value));
            }
            new
        };
        assert_eq!(reason(&old), "its record is gone");
        assert_eq!(reason(&with("previous step", "2")), "a step before it changed");
        assert_eq!(reason(&with("variable A", "2")), "variable A changed");
        assert_eq!(reason(&with("variable B", "2")), "variable B is new");
        assert_eq!(reason(&with("file a", "")), "file a is gone");
        let mut many = with("file a", "2");
        many.retain(|(n, _)| *n != "files" && *n != "command");
        many.extend([("files", "2"), ("command", "2")]);
        assert_eq!(reason(&many), "file a and 1 more changed");
    }

    #[test]
    fn the_nearest_is_of_the_same_stage_and_instruction() {
        let known = record();
        let step = |stage: &str, instruction: &str| StepName {
            stage: stage.into(),
            number: 9,
            instruction: instruction.into(),
        };
        let of = |step: StepName| nearest(&step, &parts(&[("x", "1")]), std::slice::from_ref(&known));
        assert!(of(step("build", "RUN")).is_some());
        assert_eq!(of(step("build", "COPY")), None);
        assert_eq!(of(step("other", "RUN")), None);
    }
}
