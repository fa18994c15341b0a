//! References of Tasks, StepActions and Pipelines that lead nowhere, which Tekton's admission does not
//! find, and habits of ours that a schema cannot say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::reference::{Reference, references};

/// Objects that refer to each other by name.
#[derive(Debug, Default)]
pub struct Objects {
    all: Vec<(String, Value)>,
}

/// What may be referred to in an object.
#[derive(Default)]
struct Scope<'a> {
    params: BTreeMap<&'a str, &'a str>,
    workspaces: BTreeSet<&'a str>,
    results: BTreeSet<&'a str>,
    used: std::cell::RefCell<BTreeSet<String>>,
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or("<no name>")
}

impl<'a> Scope<'a> {
    fn of(spec: &'a Value) -> Scope<'a> {
        let kind = |param: &'a Value| match (&param["type"], &param["default"]) {
            (Value::String(kind), _) => kind.as_str(),
            (_, Value::Array(_)) => "array",
            _ => "string",
        };
        Scope {
            params: list(spec, "params").map(|p| (name(p), kind(p))).collect(),
            workspaces: list(spec, "workspaces").map(name).collect(),
            results: list(spec, "results").map(name).collect(),
            used: Default::default(),
        }
    }

    /// What is wrong with a parameter's use; arrays may only stand where a list takes them in.
    fn param(&self, reference: &Reference, in_list: bool) -> Option<String> {
        let text = reference.text();
        let Some(kind) = reference.parts.get(1).and_then(|name| self.params.get(name.as_str())) else {
            return Some(format!("{text} is not declared"));
        };
        self.used.borrow_mut().insert(reference.parts[1].clone());
        match (*kind, reference.index.as_deref()) {
            ("array", Some("*")) if in_list && reference.whole => None,
            ("array", Some("*")) => Some(format!("{text} is not an item of its own in a list")),
            ("array", Some(_)) => None,
            ("array", None) => Some(format!("{text} is an array and lacks [*]")),
            (_, Some(_)) => Some(format!("{text} is no array")),
            (_, None) => None,
        }
    }
}

/// Calls `visit` with each string in a value, its path, and whether it is an item of a list of strings.
fn strings<'a>(value: &'a Value, path: &str, visit: &mut impl FnMut(&str, &'a str, bool)) {
    match value {
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                match item {
                    Value::String(text) => visit(&format!("{path}[{n}]"), text, true),
                    other => strings(other, &format!("{path}[{n}]"), visit),
                }
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields.iter().filter(|(key, _)| *key != "description") {
                strings(field, &format!("{path}.{key}"), visit);
            }
        }
        Value::String(text) => visit(path, text, false),
        _ => {}
    }
}

impl Objects {
    /// Adds an object that was read from somewhere.
    pub fn add(&mut self, place: &str, object: Value) {
        self.all.push((place.to_owned(), object));
    }

    /// Every finding, a line each.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (place, object) in &self.all {
            let found = match object["kind"].as_str().unwrap_or_default() {
                "Task" => task(&object["spec"], false),
                "StepAction" => task(&object["spec"], true),
                "Pipeline" => self.pipeline(&object["spec"]),
                "PipelineRun" => self.run(&object["spec"], "Pipeline"),
                "TaskRun" => self.run(&object["spec"], "Task"),
                _ => Vec::new(),
            };
            findings.extend(found.into_iter().map(|text| format!("{place}: {text}")));
        }
        findings
    }

    fn named(&self, kind: &str, wanted: &str) -> Option<&Value> {
        let matching = |o: &&(String, Value)| o.1["kind"] == kind && o.1["metadata"]["name"] == wanted;
        self.all.iter().find(matching).map(|(_, object)| &object["spec"])
    }

    fn run(&self, spec: &Value, kind: &str) -> Vec<String> {
        let key = format!("{}Ref", kind.to_lowercase());
        let inline = &spec[format!("{}Spec", kind.to_lowercase())];
        let Some(target) = self.target(&spec[&key], kind) else {
            return match inline {
                Value::Null => Vec::new(),
                inline if kind == "Task" => task(inline, false),
                inline => self.pipeline(inline),
            };
        };
        let mut findings = given(spec, target, &BTreeSet::new());
        for bound in list(spec, "workspaces").map(name) {
            if !list(target, "workspaces").any(|w| name(w) == bound) {
                findings.push(format!("the workspace {bound} is not declared"));
            }
        }
        findings
    }

    /// What a reference by name or by a resolver's parameters leads to among these objects.
    fn target(&self, reference: &Value, kind: &str) -> Option<&Value> {
        let named = reference["name"].as_str();
        let by_path = list(reference, "params").find(|p| p["name"] == "pathInRepo");
        let by_path = by_path
            .and_then(|p| p["value"].as_str())
            .and_then(|path| path.rsplit('/').next().and_then(|file| file.strip_suffix(".yaml")));
        named.or(by_path).and_then(|wanted| self.named(kind, wanted))
    }

    fn pipeline(&self, spec: &Value) -> Vec<String> {
        let scope = Scope::of(spec);
        let mut findings = Vec::new();
        let tasks: Vec<&Value> = list(spec, "tasks").chain(list(spec, "finally")).collect();
        for task_of in &tasks {
            let mut found = Vec::new();
            let matrix: BTreeSet<&str> = list(&task_of["matrix"], "params").map(name).collect();
            if let Some(target) = self.target(&task_of["taskRef"], "Task") {
                found.extend(given(task_of, target, &matrix));
                for used in list(task_of, "workspaces") {
                    if !list(target, "workspaces").any(|w| name(w) == name(used)) {
                        found.push(format!("the workspace {} is not the Task's", name(used)));
                    }
                }
            }
            for used in list(task_of, "workspaces").filter_map(|w| w["workspace"].as_str()) {
                if !scope.workspaces.contains(used) {
                    found.push(format!("the workspace {used} is not the Pipeline's"));
                }
            }
            for after in list(task_of, "runAfter").filter_map(Value::as_str) {
                if !tasks.iter().any(|t| name(t) == after) {
                    found.push(format!("it runs after {after}, which is not there"));
                }
            }
            if !task_of["taskSpec"].is_null() {
                found.extend(task(&task_of["taskSpec"], false));
                found.extend(given(task_of, &task_of["taskSpec"], &matrix));
            }
            let mut outside = (*task_of).clone();
            outside["taskSpec"] = Value::Null;
            strings(&outside, "", &mut |path, text, in_list| {
                let in_list = in_list || path.ends_with(".value");
                let own = path == ".displayName" || path.starts_with(".podTemplate");
                for r in references(text) {
                    let matrix_param = own && r.parts.get(1).is_some_and(|p| matrix.contains(p.as_str()));
                    if !matrix_param {
                        found.extend(self.pipeline_reference(&r, &scope, &tasks, in_list));
                    }
                }
            });
            findings.extend(found.into_iter().map(|text| format!("{}: {text}", name(task_of))));
        }
        for result in list(spec, "results") {
            for r in references(result["value"].as_str().unwrap_or_default()) {
                findings.extend(self.pipeline_reference(&r, &scope, &tasks, true));
            }
        }
        findings.extend(unused(spec, &scope));
        findings
    }

    fn pipeline_reference(
        &self,
        r: &Reference,
        scope: &Scope<'_>,
        tasks: &[&Value],
        in_list: bool,
    ) -> Option<String> {
        let parts: Vec<&str> = r.parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["params", ..] => scope.param(r, in_list),
            ["tasks", of, "results", result, ..] => {
                let Some(of) = tasks.iter().find(|t| name(t) == *of) else {
                    return Some(format!("{}: no such Task", r.text()));
                };
                let target =
                    self.target(&of["taskRef"], "Task").or(Some(&of["taskSpec"]).filter(|s| !s.is_null()));
                // Tasks of others are not here.
                let declared = target.is_none_or(|t| list(t, "results").any(|d| name(d) == *result));
                let aggregated = of["matrix"].is_null() != (r.index.as_deref() == Some("*"));
                (!declared || !aggregated).then(|| format!("{} leads nowhere", r.text()))
            }
            ["tasks", of, "status"] => {
                (!tasks.iter().any(|t| name(t) == *of)).then(|| format!("{}: no such Task", r.text()))
            }
            ["context", "pipelineRun", "name" | "namespace" | "uid"] | ["context", "pipeline", "name"] => {
                None
            }
            ["workspaces", workspace, "bound"] if scope.workspaces.contains(workspace) => None,
            _ => Some(format!("{} leads nowhere", r.text())),
        }
    }
}

/// Whether parameters that are given are declared, those without a default given, and types the same.
fn given(giver: &Value, target: &Value, matrix: &BTreeSet<&str>) -> Vec<String> {
    let mut findings = Vec::new();
    let scope = Scope::of(target);
    let names: BTreeSet<&str> = list(giver, "params").map(name).chain(matrix.iter().copied()).collect();
    for param in list(giver, "params") {
        let is_list = param["value"].is_array()
            || references(param["value"].as_str().unwrap_or_default())
                .iter()
                .any(|r| r.whole && r.index.as_deref() == Some("*"));
        match scope.params.get(name(param)) {
            None => findings.push(format!("the parameter {} is not declared", name(param))),
            Some(kind) if (*kind == "array") != is_list => {
                findings.push(format!("the parameter {} is no {kind}", name(param)));
            }
            Some(_) => {}
        }
    }
    for declared in list(target, "params") {
        if declared["default"].is_null() && !names.contains(name(declared)) {
            findings.push(format!("the parameter {} is not given", name(declared)));
        }
    }
    findings
}

/// A Task's specification, or a StepAction's, which is that of one step.
fn task(spec: &Value, action: bool) -> Vec<String> {
    let scope = Scope::of(spec);
    let mut findings = Vec::new();
    let steps: Vec<&Value> = if action { vec![spec] } else { list(spec, "steps").collect() };
    let volumes: BTreeSet<&str> = list(spec, "volumes").map(name).collect();
    for step in &steps {
        let label = if action { "step" } else { name(step) };
        let mut say = |text: String| findings.push(format!("{label}: {text}"));
        if step["command"].is_null() && step["script"].is_null() && step["ref"].is_null() {
            say("it has no command: the cluster would look for the image's".to_owned());
        }
        let script = step["script"].as_str().unwrap_or_default();
        if references(script).iter().any(|r| r.parts[0] == "params") {
            say("a parameter in a script is an injection".to_owned());
        }
        if step["securityContext"]["privileged"] == true {
            say("it is privileged".to_owned());
        }
        for used in list(step, "workspaces").map(name).filter(|_| !action) {
            if !scope.workspaces.contains(used) {
                say(format!("the workspace {used} is not declared"));
            }
        }
        for mount in list(step, "volumeMounts").map(name).filter(|_| !action) {
            if !volumes.contains(mount) {
                say(format!("the volume {mount} is not declared"));
            }
        }
        let mut own = (*step).clone();
        for declaration in ["params", "results", "workspaces"] {
            if action || declaration != "params" {
                own[declaration] = Value::Null;
            }
        }
        strings(&own, "", &mut |path, text, in_list| {
            let in_list = in_list && (path.starts_with(".args") || path.starts_with(".command"));
            for r in references(text) {
                if let Some(text) = task_reference(&r, &scope, &steps, action, in_list) {
                    findings.push(format!("{label}{path}: {text}"));
                }
            }
        });
    }
    for result in list(spec, "results") {
        if result["type"] == "object" && !result["properties"].is_object() {
            findings.push(format!("the result {} is an object without properties", name(result)));
        }
        for r in references(result["value"].as_str().unwrap_or_default()) {
            findings.extend(task_reference(&r, &scope, &steps, action, true));
        }
    }
    findings.extend(unused(spec, &scope));
    findings
}

fn task_reference(
    r: &Reference,
    scope: &Scope<'_>,
    steps: &[&Value],
    action: bool,
    in_list: bool,
) -> Option<String> {
    let parts: Vec<&str> = r.parts.iter().map(String::as_str).collect();
    let nowhere = || Some(format!("{} leads nowhere", r.text()));
    match parts.as_slice() {
        ["params", ..] => scope.param(r, in_list),
        ["workspaces", of, "path" | "bound" | "claim" | "volume"] if !action => {
            if scope.workspaces.contains(of) { None } else { nowhere() }
        }
        ["results", of, "path"] if !action => {
            if scope.results.contains(of) {
                None
            } else {
                nowhere()
            }
        }
        ["step", "results", of, "path"] if action => {
            if scope.results.contains(of) {
                None
            } else {
                nowhere()
            }
        }
        // What another's action declares is not known here.
        ["steps", of, "results", result] => {
            let step = steps.iter().find(|s| name(s) == *of);
            let known = |s: &&Value| !s["ref"].is_null() || list(s, "results").any(|d| name(d) == *result);
            if step.is_some_and(known) { None } else { nowhere() }
        }
        ["credentials", "path"] | ["context", "taskRun", "name" | "namespace" | "uid"] => None,
        ["context", "task", "name" | "retry-count"] => None,
        _ => nowhere(),
    }
}

/// Parameters that nothing reads, but for those that say so.
fn unused(spec: &Value, scope: &Scope<'_>) -> Vec<String> {
    let used = scope.used.borrow();
    let silent = |p: &&Value| !p["description"].as_str().unwrap_or_default().starts_with("Not used");
    let unread = list(spec, "params").filter(silent).map(name).filter(|n| !used.contains(*n));
    unread.map(|n| format!("the parameter {n} is not used")).collect()
}
