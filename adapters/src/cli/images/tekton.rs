//! `yadokari bundle push`: Tekton resources as a bundle (TEP-0005), as `tkn bundle push` makes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use yadokari::image::Reference;
use yadokari::ship::ArtifactFile;

use super::flags::Files;
use super::ship;
use crate::cli::files;
use crate::cli::flags::{Log, Registry};
use crate::cli::places;
use crate::env::Env;
use crate::usage::Usage;
use crate::yaml::{self, Node};

/// Most resources of a bundle (tektoncd/pipeline, `pkg/resolution/resolver/bundle`).
const MAX_RESOURCES: usize = 20;
/// Most bytes of a file with resources.
const MAX_FILE: u64 = 4 << 20;

/// What is done with bundles.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum BundleCommand {
    /// Push Tasks, Pipelines and StepActions as a bundle, which the bundles resolver reads
    Push(Box<BundleFlags>),
}

/// `yadokari bundle push`
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct BundleFlags {
    /// Where to push the bundle, as --tag
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Where to push the bundle; repeatable
    #[arg(long, short = 't', visible_short_alias = 'd', alias = "destination", value_name = "IMAGE")]
    tag: Vec<String>,
    /// File with resources in YAML or JSON, several parted by ---; - is standard input; repeatable
    #[arg(long = "filename", short = 'f', alias = "filenames", value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    results: Files,
    #[command(flatten)]
    registry: Registry,
    #[command(flatten)]
    log: Log,
}

/// Pushes a bundle; the exit code.
///
/// # Errors
/// Values that make no sense, files that hold no resources.
pub(super) fn push(flags: &BundleFlags, env: &Env) -> Result<u8, Usage> {
    let destinations = flags.images.iter().chain(&flags.tag).filter(|d| !d.is_empty());
    let destinations = destinations.map(|d| places::destination(d)).collect::<Result<Vec<Reference>, _>>()?;
    if destinations.is_empty() {
        return Err(Usage::new("there is nowhere to push the bundle to").help("give --tag"));
    }
    let mut resources = Vec::new();
    for file in flags.files.iter().filter(|f| !f.is_empty()) {
        let text = read(file).map_err(|e| Usage::new(format!("cannot read {file}: {e}")))?;
        resources.extend(parse(file, &text)?);
    }
    check(&resources)?;
    let wanted = flags.results.wanted()?;
    ship::with_carrier(&flags.registry, &flags.log, env, |carrier, events| {
        carrier.check(&destinations)?;
        let shipped = carrier.send_files(&resources, &destinations)?;
        files::write_shipped(&wanted, &destinations, &shipped.digest)?;
        for resource in &resources {
            events.info(format!("in the bundle: {} {}", resource.annotations[KIND], resource.name));
        }
        ship::report(events, &destinations, &shipped);
        Ok(())
    })
}

// tektoncd/pipeline, `pkg/remote/oci/resolver.go`.
const NAME: &str = "dev.tekton.image.name";
const KIND: &str = "dev.tekton.image.kind";
const VERSION: &str = "dev.tekton.image.apiVersion";

fn read(file: &str) -> io::Result<String> {
    let input: Box<dyn Read> = match file {
        "-" => Box::new(io::stdin()),
        path => Box::new(File::open(path)?),
    };
    let mut text = String::new();
    input.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes")));
    }
    Ok(text)
}

/// The resources of a file, each as JSON, which is what tkn stores.
fn parse(file: &str, text: &str) -> Result<Vec<ArtifactFile>, Usage> {
    let documents = yaml::parse(text)
        .map_err(|e| Usage::new(format!("{file} is no YAML: line {}: {}", e.line, e.message)))?;
    // A list at the top of JSON is several resources.
    let flat = documents.iter().map(json).flat_map(|document| match document {
        Value::Array(items) => items,
        one => vec![one],
    });
    flat.filter(|document| !document.is_null()).map(|document| resource(file, &document)).collect()
}

/// A value as Kubernetes' tools read it (sigs.k8s.io/yaml, which follows YAML 1.1 in what is a boolean).
fn json(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Sequence(items) => items.iter().map(json).collect(),
        yaml::Value::Mapping(entries) => {
            let mut object = Map::new();
            for (_, value) in entries.iter().filter(|(name, _)| name.text() == Some("<<")) {
                let merged = match json(value) {
                    Value::Array(several) => several,
                    one => vec![one],
                };
                // Of several, the first that has a name wins.
                for one in merged.into_iter().rev() {
                    object.extend(one.as_object().cloned().unwrap_or_default());
                }
            }
            let own = entries.iter().filter(|(name, _)| name.text() != Some("<<"));
            object.extend(own.map(|(name, value)| (name.text().unwrap_or_default().to_owned(), json(value))));
            Value::Object(object)
        }
        yaml::Value::Scalar(text, false) => text.as_str().into(),
        yaml::Value::Scalar(text, true) => plain(node, text),
    }
}

/// A scalar without quotes.
fn plain(node: &Node, text: &str) -> Value {
    if node.is_null() {
        return Value::Null;
    }
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return true.into(),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return false.into(),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_octal =
        digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let radix = |prefix: &str, radix| i64::from_str_radix(digits.strip_prefix(prefix)?, radix).ok();
    let unsigned = match is_octal {
        true => i64::from_str_radix(digits, 8).ok(),
        false => radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)),
    };
    if let Some(number) = unsigned {
        return (if text.starts_with('-') { -number } else { number }).into();
    }
    if let Ok(number) = text.trim_start_matches('+').parse::<i64>() {
        return number.into();
    }
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && digits.contains(|c: char| c.is_ascii_digit());
    match text.parse::<f64>().ok().filter(|_| is_number).and_then(serde_json::Number::from_f64) {
        Some(number) => Value::Number(number),
        None => text.into(),
    }
}

fn resource(file: &str, document: &Value) -> Result<ArtifactFile, Usage> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let field = |name: &str, value: &Value| {
        text(value).ok_or_else(|| {
            Usage::new(format!("a resource in {file} has no {name}"))
                .help("a bundle holds whole resources: apiVersion, kind and metadata.name")
        })
    };
    let api = field("apiVersion", &document["apiVersion"])?;
    let kind = field("kind", &document["kind"])?;
    let name = field("metadata.name", &document["metadata"]["name"])?;
    let Some(("tekton.dev", version)) = api.split_once('/') else {
        return Err(Usage::new(format!("{file}: {kind} '{name}' is of {api}, not of tekton.dev"))
            .help("a bundle holds Tekton's resources only"));
    };
    // It becomes the name of a file.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.len() > 253 || !name.chars().all(plain) || name.starts_with('.') {
        return Err(Usage::new(format!("{file}: '{}' is no name of a resource", name.escape_debug()))
            .help("names have lower case letters, digits, '-' and '.'"));
    }
    let annotations = BTreeMap::from([
        (NAME.to_owned(), name.clone()),
        (KIND.to_owned(), kind.to_lowercase()),
        (VERSION.to_owned(), version.to_owned()),
    ]);
    Ok(ArtifactFile { name, content: document.to_string().into_bytes(), annotations })
}

/// What the resolver would refuse, or of which it would find only the first.
fn check(resources: &[ArtifactFile]) -> Result<(), Usage> {
    if resources.is_empty() {
        return Err(Usage::new("there are no resources to push").help("give --filename"));
    }
    if resources.len() > MAX_RESOURCES {
        let count = resources.len();
        return Err(Usage::new(format!(
            "a bundle holds at most {MAX_RESOURCES} resources, and these are {count}"
        ))
        .help("push several bundles"));
    }
    for (at, resource) in resources.iter().enumerate() {
        let same = |other: &&ArtifactFile| {
            other.name == resource.name && other.annotations[KIND] == resource.annotations[KIND]
        };
        if resources[..at].iter().any(|other| same(&other)) {
            let kind = &resource.annotations[KIND];
            return Err(Usage::new(format!("there are two resources {kind} '{}'", resource.name))
                .help("give each once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: one}\nspec: {steps: []}\n";

    #[test]
    fn documents_become_layers() {
        let two = format!("# a remark\n---\n{TASK}---\n{}---\n", TASK.replace("Task", "Pipeline"));
        let found = parse("f", &two).unwrap();
        assert_eq!(found.len(), 2);
        let expected = [(VERSION, "v1"), (KIND, "task"), (NAME, "one")];
        assert_eq!(
            found[0].annotations,
            expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        );
        let json: Value = serde_json::from_slice(&found[0].content).unwrap();
        assert_eq!(json["spec"]["steps"], Value::Array(Vec::new()));
        check(&found).unwrap();
        let list = format!("[{}, {}]", json, json.to_string().replace("one", "two"));
        assert_eq!(parse("f", &list).unwrap().len(), 2);
    }

    #[test]
    fn scalars_are_what_kubernetes_takes_them_for() {
        let yaml = "a: 1\nb: \"1\"\nc: 1.5\nd: yes\ne: 0644\nf: 1.20.3\ng: ~\nh: 12e\ni: |\n  x\nj: 'no'\nk: 0x1f\nl: -2\n";
        let anchors = "base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\n";
        let of = |text: &str| json(&yaml::parse(text).unwrap()[0]);
        assert_eq!(
            of(yaml),
            serde_json::json!({
                "a": 1, "b": "1", "c": 1.5, "d": true, "e": 420, "f": "1.20.3", "g": null, "h": "12e",
                "i": "x\n", "j": "no", "k": 31, "l": -2,
            })
        );
        assert_eq!(of(anchors)["more"], serde_json::json!({"x": 1, "y": 3}));
    }

    #[test]
    fn what_no_resolver_would_take_is_refused() {
        for text in [
            "a: b",
            &TASK.replace("tekton.dev/v1", "v1"),
            &TASK.replace("one", "../one"),
            &TASK.replace("one", "One"),
            "{",
        ] {
            assert!(parse("f", text).is_err(), "{text}");
        }
        assert!(check(&[]).is_err());
        let one = parse("f", TASK).unwrap().remove(0);
        assert!(check(&[one.clone(), one.clone()]).is_err());
        let many = (0..21).map(|n| ArtifactFile { name: n.to_string(), ..one.clone() });
        assert!(check(&many.collect::<Vec<_>>()).is_err());
    }
}
