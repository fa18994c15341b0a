//! `yadokari inspect`: what an image is, for people and for programs.

use clap::Args;
use serde_json::{Map, Value, json};
use yadokari::image::{Descriptor, ImageConfig, Index, Manifest, ManifestOrIndex};
use yadokari::ship::{Carrier, Source};

use super::flags::Common;
use super::place;
use super::ship::{Failed, open, with_carrier};
use crate::cli::describe::table;
use crate::cli::flags::TableFlag;
use crate::cli::progress::text::{bytes, clean};
use crate::env::Env;
use crate::usage::Usage;

/// `yadokari inspect`
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct InspectFlags {
    /// The image: in a registry, an OCI layout or an archive
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: TableFlag,
    /// Print the manifest or the index as it is
    #[arg(long)]
    raw: bool,
    /// Print the config, with --raw as it is
    #[arg(long)]
    config: bool,
    #[command(flatten)]
    common: Common,
}

/// Prints what an image is; the exit code.
///
/// # Errors
/// Values that make no sense.
pub(super) fn run(flags: &InspectFlags, env: &Env) -> Result<u8, Usage> {
    let place = place::source(&flags.image)?;
    let platform = flags.common.platform()?;
    let wanted = flags.common.files.wanted()?;
    let mut output = Vec::new();
    let code = with_carrier(&flags.common.registry, &flags.common.log, env, |carrier, _| {
        let source = open(carrier, &place, platform.as_ref(), false)?;
        output = describe(carrier, &source, flags)?;
        let named: Vec<_> = source.reference().cloned().into_iter().collect();
        crate::cli::files::write_shipped(&wanted, &named, &source.root().digest)?;
        Ok(())
    })?;
    Ok(if code == 0 { crate::print_bytes(&output) } else { code })
}

fn describe(carrier: &Carrier, source: &Source, flags: &InspectFlags) -> Result<Vec<u8>, Failed> {
    let parsed = source.parsed()?;
    if flags.raw && !flags.config {
        return Ok(source.root().bytes.clone());
    }
    let manifest = match &parsed {
        ManifestOrIndex::Index(index) if !flags.config => {
            return Ok(match flags.format {
                TableFlag::Table => index_table(source, index),
                TableFlag::Json => safe(&index_json(source, index)),
            }
            .into_bytes());
        }
        ManifestOrIndex::Index(_) => {
            return Err(yadokari::ship::ShipError::new(format!("{} is several images", source.name()))
                .help("choose one with --platform")
                .into());
        }
        ManifestOrIndex::Manifest(manifest) => manifest,
    };
    let config = source.config(carrier, &manifest.config)?;
    if flags.config && flags.raw {
        return Ok(config);
    }
    if flags.config {
        let value: Value = serde_json::from_slice(&config).map_err(|e| not_valid(source, &e))?;
        return Ok(safe(&value).into_bytes());
    }
    // Other documents than images have a config of their own kind, or an empty one.
    let config: ImageConfig = match serde_json::from_slice(&config) {
        Ok(config) => config,
        Err(_) if !is_image(manifest) => ImageConfig::default(),
        Err(e) => return Err(not_valid(source, &e)),
    };
    Ok(match flags.format {
        TableFlag::Table => image_table(source, manifest, &config),
        TableFlag::Json => safe(&image_json(source, manifest, &config)),
    }
    .into_bytes())
}

fn not_valid(source: &Source, error: &serde_json::Error) -> Failed {
    yadokari::ship::ShipError::new(format!("{}: the config is not valid: {error}", source.name())).into()
}

fn is_image(manifest: &Manifest) -> bool {
    let kind = manifest.config.media_type.as_str();
    kind.contains("image.config") || kind.contains("container.image")
}

/// JSON in which nothing moves a terminal's cursor or reorders its text: what JSON itself lets pass
/// is escaped too.
fn safe(value: &Value) -> String {
    let text = format!("{value:#}\n");
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let harmless = c == '\n' || clean(c.encode_utf8(&mut [0; 4]).as_bytes()).starts_with(c);
        if harmless {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

fn index_json(source: &Source, index: &Index) -> Value {
    let root = source.root();
    let manifests: Vec<Value> = index
        .manifests
        .iter()
        .map(|entry| {
            object([
                ("platform", entry.platform.as_ref().map(|p| p.to_string().into())),
                ("digest", Some(entry.digest.to_string().into())),
                ("mediaType", Some(entry.media_type.to_string().into())),
                ("size", Some(entry.size.into())),
                ("annotations", annotations(&entry.annotations)),
            ])
        })
        .collect();
    object([
        ("name", Some(source.name().into())),
        ("digest", Some(root.digest.to_string().into())),
        ("mediaType", Some(root.media_type.to_string().into())),
        ("annotations", annotations(&index.annotations)),
        ("manifests", Some(manifests.into())),
    ])
}

fn image_json(source: &Source, manifest: &Manifest, config: &ImageConfig) -> Value {
    let root = source.root();
    let diff_ids = &config.rootfs.diff_ids;
    let steps = steps(manifest, config);
    let layers: Vec<Value> = manifest
        .layers
        .iter()
        .enumerate()
        .map(|(at, layer)| {
            object([
                ("digest", Some(layer.digest.to_string().into())),
                ("mediaType", Some(layer.media_type.to_string().into())),
                ("size", Some(layer.size.into())),
                ("diffId", diff_ids.get(at).map(|id| id.to_string().into())),
                ("annotations", annotations(&layer.annotations)),
            ])
        })
        .collect();
    let history: Vec<Value> = steps
        .iter()
        .map(|step| {
            object([
                ("created", step.created.clone().map(Value::from)),
                ("createdBy", Some(step.text.clone().into())),
                ("comment", step.comment.clone().map(Value::from)),
                ("size", step.layer.map(|layer| layer.size.into())),
                ("digest", step.layer.map(|layer| layer.digest.to_string().into())),
            ])
        })
        .collect();
    object([
        ("name", Some(source.name().into())),
        ("digest", Some(root.digest.to_string().into())),
        ("mediaType", Some(root.media_type.to_string().into())),
        ("imageId", Some(manifest.config.digest.to_string().into())),
        ("platform", (!config.os.is_empty()).then(|| config.platform().to_string().into())),
        ("created", config.created.clone().map(Value::from)),
        ("author", config.author.clone().map(Value::from)),
        ("size", Some(size(manifest).into())),
        ("annotations", annotations(&manifest.annotations)),
        ("config", serde_json::to_value(&config.config).ok()),
        ("layers", Some(layers.into())),
        ("history", Some(history.into())),
    ])
}

fn annotations(all: &std::collections::BTreeMap<String, String>) -> Option<Value> {
    (!all.is_empty()).then(|| json!(all))
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

/// Bytes of all layers as they are stored.
fn size(manifest: &Manifest) -> u64 {
    manifest.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add)
}

/// One line of the history, with its layer.
struct Step<'a> {
    created: Option<String>,
    text: String,
    comment: Option<String>,
    layer: Option<&'a Descriptor>,
}

/// The history with its layers; layers that the history does not speak of come last.
fn steps<'a>(manifest: &'a Manifest, config: &ImageConfig) -> Vec<Step<'a>> {
    let mut layers = manifest.layers.iter();
    let mut steps: Vec<Step<'a>> = config
        .history
        .iter()
        .map(|entry| Step {
            created: entry.created.clone(),
            text: entry.created_by.clone().unwrap_or_default(),
            comment: entry.comment.clone(),
            layer: if entry.empty_layer { None } else { layers.next() },
        })
        .collect();
    let rest = |layer| Step { created: None, text: String::new(), comment: None, layer: Some(layer) };
    steps.extend(layers.map(rest));
    steps
}

fn line(out: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        *out += &format!("{:<14}{}\n", format!("{name}:"), clean(value.as_bytes()));
    }
}

/// A value for each line; the name stands before the first.
fn lines(out: &mut String, name: &str, values: impl IntoIterator<Item = String>) {
    for (at, value) in values.into_iter().enumerate() {
        let name = if at == 0 { format!("{name}:") } else { String::new() };
        *out += &format!("{name:<14}{}\n", clean(one_line(&value).as_bytes()));
    }
}

/// Line ends as people write them: a value must not look like the next one.
fn one_line(text: &str) -> String {
    text.replace('\r', "\\r").replace('\n', "\\n")
}

fn head(source: &Source) -> String {
    let root = source.root();
    let mut out = String::new();
    line(&mut out, "Name", source.name());
    line(&mut out, "Digest", &root.digest.to_string());
    line(&mut out, "Media type", &one_line(root.media_type.as_str()));
    out
}

fn pairs(all: &std::collections::BTreeMap<String, String>) -> impl Iterator<Item = String> {
    all.iter().map(|(key, value)| format!("{key}={value}"))
}

fn index_table(source: &Source, index: &Index) -> String {
    let mut out = head(source);
    lines(&mut out, "Annotations", pairs(&index.annotations));
    let row = |entry: &Descriptor| {
        let platform = entry.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind = entry.annotations.get("vnd.docker.reference.type").cloned().unwrap_or_default();
        vec![one_line(&platform), entry.digest.to_string(), bytes(entry.size), one_line(&kind)]
    };
    let rows = index.manifests.iter().map(row).collect();
    out + &table(&["PLATFORM", "DIGEST", "MANIFEST", "KIND"], rows)
}

fn image_table(source: &Source, manifest: &Manifest, config: &ImageConfig) -> String {
    let mut out = head(source);
    line(&mut out, "Image id", &manifest.config.digest.to_string());
    if !config.os.is_empty() {
        line(&mut out, "Platform", &one_line(&config.platform().to_string()));
    }
    line(&mut out, "Created", &one_line(config.created.as_deref().unwrap_or_default()));
    line(&mut out, "Author", &one_line(config.author.as_deref().unwrap_or_default()));
    let count = manifest.layers.len();
    let layers = if count == 1 { "1 layer".to_owned() } else { format!("{count} layers") };
    line(&mut out, "Size", &format!("{} in {layers}", bytes(size(manifest))));
    settings(&mut out, config);
    lines(&mut out, "Annotations", pairs(&manifest.annotations));
    let layers = manifest.layers.iter().enumerate().map(|(at, layer)| {
        let kind = layer.media_type.as_str().rsplit(['.', '/']).next().unwrap_or_default();
        vec![(at + 1).to_string(), bytes(layer.size), layer.digest.to_string(), one_line(kind)]
    });
    out += &table(&["LAYER", "SIZE", "DIGEST", "TYPE"], layers.collect());
    let history = steps(manifest, config);
    let rows = history.iter().filter(|_| !config.history.is_empty()).map(|step| {
        let size = step.layer.map(|layer| bytes(layer.size)).unwrap_or_default();
        vec![one_line(step.created.as_deref().unwrap_or_default()), size, one_line(&step.text)]
    });
    out + &table(&["CREATED", "SIZE", "HISTORY"], rows.collect())
}

/// How a container of the image is run.
fn settings(out: &mut String, config: &ImageConfig) {
    let run = &config.config;
    let words = |words: &Option<Vec<String>>| {
        words.as_ref().map(|words| json!(words).to_string()).unwrap_or_default()
    };
    let values = [
        ("User", run.user.clone()),
        ("Workdir", run.working_dir.clone()),
        ("Entrypoint", words(&run.entrypoint)),
        ("Cmd", words(&run.cmd)),
        ("Shell", words(&run.shell)),
        ("Stop signal", run.stop_signal.clone()),
        ("Healthcheck", run.healthcheck.as_ref().map(|h| json!(h.test).to_string()).unwrap_or_default()),
    ];
    for (name, value) in values {
        line(out, name, &one_line(&value));
    }
    lines(out, "Env", run.env.iter().cloned());
    lines(out, "Ports", run.exposed_ports.keys().cloned());
    lines(out, "Volumes", run.volumes.keys().cloned());
    lines(out, "Labels", pairs(&run.labels));
    lines(out, "On build", run.on_build.iter().cloned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_moves_no_cursor() {
        let text = safe(&json!({ "l": "a\u{1b}[2J\u{9b}2J\u{202e}b\u{7f} ü €" }));
        assert_eq!(text, "{\n  \"l\": \"a\\u001b[2J\\u009b2J\\u202eb\\u007f ü €\"\n}\n");
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap()["l"],
            "a\u{1b}[2J\u{9b}2J\u{202e}b\u{7f} ü €"
        );
    }

    #[test]
    fn a_value_does_not_look_like_the_next_line() {
        let mut out = String::new();
        lines(&mut out, "Labels", ["a=1\nDigest:   sha256:0\r\u{1b}[2K".to_owned(), "b=2".to_owned()]);
        assert_eq!(out, "Labels:       a=1\\nDigest:   sha256:0\\r\n              b=2\n");
    }
}
