//! AWS CodeBuild: CodePipeline's image files for deployments to ECS, and a file of variables for the buildspec's
//! `exported-variables`
//! (<https://docs.aws.amazon.com/codepipeline/latest/userguide/file-reference.html>).

use std::path::Path;

use serde_json::{Value, json};
use yadokari::config::BuildOutcome;

use super::commit::Variables;
use super::{DIALECT, PLAIN, System, commit, env_file, sinks};
use crate::settings::Key;
use crate::settings::dialect::{Dialect, Meaning, Read};

pub(super) static SYSTEM: System = System {
    name: "codebuild",
    title: "AWS CodeBuild",
    detect: |env| env.get("CODEBUILD_BUILD_ID").is_some(),
    dialect: Dialect {
        names: &[
            ("file", Meaning::Is(Key::Dockerfile)),
            ("platform", Meaning::Is(Key::Platforms)),
            ("destination", Meaning::Is(Key::Destinations)),
            ("container-name", Meaning::Own),
        ],
        ..DIALECT
    },
    settle: |read, env| env_file(read, env, "CODEBUILD_SRC_DIR"),
    gives: ("imagedefinitions.json and imageDetail.json", "$CODEBUILD_SRC_DIR"),
    report: |results, read, env| {
        let directory = env.get("CODEBUILD_SRC_DIR").map(Path::new).filter(|path| path.is_dir());
        let directory = directory.unwrap_or(Path::new(""));
        let definitions: Vec<Value> =
            results.outcomes().filter_map(|outcome| definition(outcome, read)).collect();
        let Some(uri) = definitions.first().map(|first| first["imageUri"].clone()) else { return Ok(()) };
        sinks::json(&directory.join("imagedefinitions.json"), &Value::Array(definitions))?;
        sinks::json(&directory.join("imageDetail.json"), &json!({ "ImageURI": uri }))
    },
    commit: Variables {
        reference: &["CODEBUILD_WEBHOOK_HEAD_REF"],
        sha: &["CODEBUILD_RESOLVED_SOURCE_VERSION"],
        base: &["CODEBUILD_WEBHOOK_BASE_REF"],
        ..commit::UNKNOWN
    },
    ..PLAIN
};

/// The container's name, and its image by digest.
fn definition(outcome: &BuildOutcome, read: &Read) -> Option<Value> {
    let first = outcome.pushed.first()?;
    let repository = first.repository().rsplit('/').next().unwrap_or_default();
    let name = read.own("container-name").map_or(repository, str::trim);
    let uri = format!("{}/{}@{}", first.registry(), first.repository(), outcome.digest);
    Some(json!({ "name": name, "imageUri": uri }))
}
