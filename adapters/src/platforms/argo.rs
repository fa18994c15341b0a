//! Argo Workflows: each output parameter of the template is a file, whose path the template names.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::sinks::Results;
use super::{DIALECT, PLAIN, System, sinks};
use crate::cli::results::{NAMES, Name};
use crate::env::Env;
use crate::session::EmitError;
use crate::settings::Key;
use crate::settings::dialect::{Dialect, Meaning, Read};

pub(super) static SYSTEM: System = System {
    name: "argo",
    title: "Argo Workflows",
    detect: |env| ["ARGO_TEMPLATE", "ARGO_NODE_ID"].iter().any(|name| env.get(name).is_some()),
    dialect: Dialect {
        names: &[
            ("file", Meaning::Is(Key::Dockerfile)),
            ("platform", Meaning::Is(Key::Platforms)),
            ("destination", Meaning::Is(Key::Destinations)),
            ("results-dir", Meaning::Own),
        ],
        ..DIALECT
    },
    gives: ("output parameters", "the files that the template names"),
    report,
    ..PLAIN
};

/// Where the emissary puts the template of the container it starts.
const TEMPLATE: &str = "/var/run/argo/template";
/// Where results go that the template does not name.
const DIRECTORY: &str = "/tmp/yadokari";
/// A larger file is no template: objects of Kubernetes have 1.5 MiB at most.
const LARGEST: u64 = 4 << 20;

fn report(results: &Results<'_>, read: &Read, env: &Env) -> Result<(), EmitError> {
    let directory = read.own("results-dir").map(|text| PathBuf::from(text.trim()));
    let named = match directory {
        Some(_) => Vec::new(),
        None => template(env).map_or_else(Vec::new, |template| parameters(&template)),
    };
    let all = || {
        let directory = directory.clone().unwrap_or_else(|| DIRECTORY.into());
        NAMES.map(|name| (name, directory.join(name.output))).to_vec()
    };
    for (name, path) in if named.is_empty() { all() } else { named } {
        if let Some(value) = results.value(name) {
            sinks::write(&path, &value)?;
        }
    }
    Ok(())
}

/// The template, from the variable that some versions set or the file that others mount.
fn template(env: &Env) -> Option<Value> {
    match env.get("ARGO_TEMPLATE") {
        Some(text) => serde_json::from_str(text).ok(),
        None => {
            let path = Path::new(TEMPLATE);
            path.metadata().ok().filter(|meta| meta.is_file() && meta.len() <= LARGEST)?;
            serde_json::from_slice(&std::fs::read(path).ok()?).ok()
        }
    }
}

/// The output parameters that are named as results are, each with its file.
fn parameters(template: &Value) -> Vec<(Name, PathBuf)> {
    let all = template["outputs"]["parameters"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    let named = all.iter().filter_map(|parameter| {
        let name = Name::parse(parameter["name"].as_str()?).ok()?;
        Some((name, PathBuf::from(parameter["valueFrom"]["path"].as_str()?)))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_template_says_where_results_go() {
        let template = json!({ "outputs": { "parameters": [
            { "name": "digest", "valueFrom": { "path": "/out/d" } },
            { "name": "image-ref", "valueFrom": { "path": "/out/r", "default": "" } },
            { "name": "other", "valueFrom": { "path": "/out/o" } },
            { "name": "size", "valueFrom": { "supplied": {} } },
        ] } });
        let found: Vec<_> =
            parameters(&template).into_iter().map(|(name, path)| (name.output, path)).collect();
        assert_eq!(found, [("digest", "/out/d".into()), ("image-ref", PathBuf::from("/out/r"))]);
        assert!(parameters(&json!({})).is_empty());
    }
}
