//! kaniko's images, ours in their place, and what we make of kaniko's arguments.

use super::edit::Edits;
use crate::cli::missing;
use crate::front;
use crate::yaml::Node;

/// Ours, without a tag.
const OURS: &str = "ghcr.io/yadokari-build/yadokari";

/// Whether an image is kaniko's executor: the archived one, its forks, or somebody's copy.
pub(super) fn is_kaniko(image: &str) -> bool {
    let name = image.split(['@']).next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => &name,
    };
    let last = repository.rsplit('/').next().unwrap_or_default();
    let own = last == "executor" && repository.contains("kaniko");
    own || ["kaniko", "kaniko-executor", "kaniko-debug"].contains(&last)
}

/// Ours in its place: with a shell where kaniko's had one, or where one is needed.
pub(super) fn ours(kanikos: &str, shell: bool) -> String {
    let tag = kanikos.split('@').next().and_then(|name| name.rsplit_once(':')).map(|(_, tag)| tag);
    let debug = shell || tag.is_some_and(|tag| tag == "debug" || tag.ends_with("-debug"));
    format!("{OURS}:v{}{}", env!("CARGO_PKG_VERSION"), if debug { "-debug" } else { "" })
}

/// Remarks on arguments that are refused.
pub(super) fn check_arguments(arguments: &[&Node], edits: &mut Edits<'_>) {
    let words: Vec<String> = arguments.iter().filter_map(|node| node.text()).map(str::to_owned).collect();
    let Some(first) = arguments.first() else { return };
    match front::flags(&words) {
        Ok(flags) => {
            if let Err(error) = missing::refuse(&flags) {
                let help = error.help.map_or(String::new(), |help| format!(": {help}"));
                edits.remark(first, format!("{}{help}", error.message));
            }
        }
        Err(text) => {
            let text = text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
            edits.remark(first, format!("these arguments are not understood: {text}"));
        }
    }
}
