//! `yadokari outline` and `yadokari targets`: what a Dockerfile can be asked for, as tables or
//! in the form of BuildKit's `--call=outline,format=json`.

use std::io::IsTerminal;

use clap::Args;
use serde_json::{Value, json};
use yadokari::build;
use yadokari::dockerfile::{Source, Span};
use yadokari::plan::{Outline, OutlineMount, Target};

use super::flags::{Flags, Registry, Result as ResultFlags, TableFlag};
use super::progress::Redactor;
use super::progress::text::clean;
use super::{config, diagnostic, secrets};
use crate::env::Env;
use crate::usage::Usage;

/// Which Dockerfile to look at, and how it would be built.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Look {
    /// Dockerfile, looked for relative to the working directory, then to the context
    #[arg(value_name = "DOCKERFILE", default_value = "", hide_default_value = true)]
    file: String,
    /// The Dockerfile, as a flag
    #[arg(long, short = 'f', alias = "file", value_name = "FILE", default_value = "Dockerfile")]
    dockerfile: String,
    /// Build context: a directory
    #[arg(long, short = 'c', value_name = "DIR", default_value = ".")]
    context: String,
    /// Sub-directory of the context that becomes its root
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    context_sub_path: String,
    /// Stage that would be built
    #[arg(long, value_name = "STAGE")]
    target: Vec<String>,
    /// Value of an ARG, NAME=VALUE; NAME alone takes the environment's; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// Another context, as of yadokari build; repeatable
    #[arg(long, value_name = "NAME=WHERE")]
    build_context: Vec<String>,
    /// Platform of base images; the host's by default
    #[arg(
        long,
        aliases = ["customPlatform", "platform"],
        value_name = "OS/ARCH",
        default_value = "",
        hide_default_value = true
    )]
    custom_platform: String,
}

impl Look {
    /// The flags of a build that would do it.
    pub(super) fn flags(&self, registry: Registry) -> Flags {
        let dockerfile = if self.file.is_empty() { &self.dockerfile } else { &self.file };
        Flags {
            context: self.context.clone(),
            context_sub_path: self.context_sub_path.clone(),
            dockerfile: dockerfile.clone(),
            target: self.target.clone(),
            build_arg: self.build_arg.clone(),
            build_context: self.build_context.clone(),
            custom_platform: self.custom_platform.clone(),
            registry,
            ..Flags::default()
        }
    }

    /// The flags of a build that would do it, with nothing said of registries.
    pub(crate) fn offline_flags(&self) -> Flags {
        self.flags(Registry::default())
    }
}

/// What to describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// What a target takes.
    Outline,
    /// The stages.
    Targets,
}

/// Prints it; the exit code.
///
/// # Errors
/// Flags that make no sense.
pub(crate) fn run(what: What, flags: &Flags, format: TableFlag, env: &Env) -> Result<u8, Usage> {
    let flags = Flags { result: ResultFlags { no_push: true, ..flags.result.clone() }, ..flags.clone() };
    let job = config::job(&flags, env)?;
    let redactor = Redactor::new(secrets::of(&job.config));
    let text = match what {
        What::Outline => build::outline(&job.config).map(|(source, outline)| match format {
            TableFlag::Table => outline_table(&source, &outline),
            TableFlag::Json => outline_json(&source, &outline),
        }),
        What::Targets => build::targets(&job.config).map(|(source, targets)| match format {
            TableFlag::Table => targets_table(&targets),
            TableFlag::Json => targets_json(&source, &targets),
        }),
    };
    match text {
        Ok(text) => Ok(crate::print(&redactor.redact(text))),
        Err(error) => {
            let color = std::io::stderr().is_terminal() && env.get("NO_COLOR").is_none();
            let report = diagnostic::of_build(&error, color).report;
            Ok(crate::complain(&format!("{}\n", redactor.redact(report))))
        }
    }
}

fn outline_table(source: &Source, outline: &Outline) -> String {
    let mut text = format!("TARGET:       {}\n", outline.name.as_deref().unwrap_or("(default)"));
    if let Some(description) = &outline.description {
        text += &format!("DESCRIPTION:  {description}\n");
    }
    let args = outline.args.iter().map(|arg| {
        let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
        let default = or_empty(&arg.default);
        vec![arg.name.clone(), default, or_empty(&arg.value), or_empty(&arg.description)]
    });
    text += &table(&["BUILD ARG", "DEFAULT", "VALUE", "DESCRIPTION"], args.collect());
    for (title, mounts) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        let row = |mount: &OutlineMount| {
            let required = if mount.required { "true" } else { "" };
            vec![mount.id.clone(), required.to_owned()]
        };
        text += &table(&[title, "REQUIRED"], mounts.iter().map(row).collect());
    }
    let row = |mount: &OutlineMount| vec![mount.id.clone(), lines(source, mount.lines).0.to_string()];
    text += &table(&["CACHE", "LINE"], outline.caches.iter().map(row).collect());
    text
}

fn targets_table(targets: &[Target]) -> String {
    let row = |target: &Target| {
        let name = match (&target.name, target.default) {
            (Some(name), true) => format!("{name} (default)"),
            (Some(name), false) => name.clone(),
            (None, true) => "(default)".to_owned(),
            (None, false) => "(no name)".to_owned(),
        };
        vec![name, target.base.clone(), target.description.clone().unwrap_or_default()]
    };
    table(&["TARGET", "BASE", "DESCRIPTION"], targets.iter().map(row).collect()).trim_start().to_owned()
}

/// Columns as wide as their widest cell, with an empty line before; nothing without rows.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut all: Vec<Vec<String>> = vec![head.iter().map(|cell| (*cell).to_owned()).collect()];
    let clean_row = |row: Vec<String>| row.iter().map(|cell| clean(cell.as_bytes())).collect();
    all.extend(rows.into_iter().map(clean_row));
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = "\n".to_owned();
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("   ").trim_end();
        text.push('\n');
    }
    text
}

fn outline_json(source: &Source, outline: &Outline) -> String {
    let args = outline.args.iter().map(|arg| {
        object([
            ("name", Some(arg.name.clone().into())),
            ("description", arg.description.clone().map(Value::from)),
            ("default", arg.default.clone().map(Value::from)),
            ("value", arg.value.clone().map(Value::from)),
            ("location", Some(location(source, arg.lines))),
        ])
    });
    let mounts = |mounts: &[OutlineMount], key| -> Vec<Value> {
        let mount = |mount: &OutlineMount| {
            object([
                (key, Some(mount.id.clone().into())),
                ("required", mount.required.then(|| true.into())),
                ("location", Some(location(source, mount.lines))),
            ])
        };
        mounts.iter().map(mount).collect()
    };
    let some = |list: Vec<Value>| (!list.is_empty()).then_some(Value::Array(list));
    let root = object([
        ("name", outline.name.clone().map(Value::from)),
        ("description", outline.description.clone().map(Value::from)),
        ("args", some(args.collect())),
        ("secrets", some(mounts(&outline.secrets, "name"))),
        ("ssh", some(mounts(&outline.ssh, "name"))),
        ("cache", some(mounts(&outline.caches, "ID"))),
        ("sources", Some(json!([encoded(source)]))),
    ]);
    format!("{root:#}\n")
}

fn targets_json(source: &Source, targets: &[Target]) -> String {
    let target = |target: &Target| {
        object([
            ("name", target.name.clone().map(Value::from)),
            ("default", target.default.then(|| true.into())),
            ("description", target.description.clone().map(Value::from)),
            ("base", Some(target.base.clone().into())),
            ("platform", target.platform.clone().map(Value::from)),
            ("location", Some(location(source, target.lines))),
        ])
    };
    let targets: Vec<Value> = targets.iter().map(target).collect();
    format!("{:#}\n", json!({ "targets": targets, "sources": [encoded(source)] }))
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect())
}

fn encoded(source: &Source) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(source.text())
}

fn lines(source: &Source, span: Span) -> (usize, usize) {
    (source.line(span.start), source.line(span.end.saturating_sub(1).max(span.start)))
}

/// One range for each line, as BuildKit's parser gives them.
fn location(source: &Source, span: Span) -> Value {
    let (first, last) = lines(source, span);
    let ranges: Vec<Value> =
        (first..=last).map(|line| json!({ "start": { "line": line }, "end": { "line": line } })).collect();
    json!({ "ranges": ranges })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_hold_no_control_characters() {
        let rows =
            vec![vec!["a".to_owned(), "\x1b[2Jb".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(table(&["N", "V"], rows), "\nN        V\na        b\nlonger\n");
        assert_eq!(table(&["N"], Vec::new()), "");
    }
}
