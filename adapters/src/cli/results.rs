//! What came out of a build, by names that programs read.

use serde_json::{Value, json};
use yadokari::config::{BuildConfig, BuildOutcome, ImageOutcome};
use yadokari::image::{Digest, Reference};

use crate::usage::Usage;
use crate::vocabulary::suggest;

/// A result, by its names: of an output, and of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    /// As in `--output-file digest=…`.
    pub(crate) output: &'static str,
    /// As in `--env-file`.
    pub(crate) variable: &'static str,
}

const fn name(output: &'static str, variable: &'static str) -> Name {
    Name { output, variable }
}

/// Every result, in the order of an environment file.
pub(crate) const NAMES: [Name; 9] = [
    name("digest", "IMAGE_DIGEST"),
    name("image", "IMAGE_URL"),
    name("image-ref", "IMAGE_REF"),
    name("tags", "IMAGE_TAGS"),
    name("images", "IMAGES"),
    name("image-id", "IMAGE_ID"),
    name("size", "IMAGE_SIZE"),
    name("platform", "IMAGE_PLATFORM"),
    name("metadata", "METADATA"),
];

impl Name {
    /// The result that a text names in either way, in any case, with hyphens or underscores.
    ///
    /// # Errors
    /// None, with the one that was meant.
    pub(crate) fn parse(text: &str) -> Result<Self, Usage> {
        let plain = |text: &str| text.trim().to_ascii_lowercase().replace('_', "-");
        let wanted = plain(text);
        let found = NAMES.into_iter().find(|n| plain(n.output) == wanted || plain(n.variable) == wanted);
        found.ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().flat_map(|n| [n.output, n.variable]).collect();
            let error = Usage::new(format!("there is no result '{text}'"));
            match suggest(text, &known) {
                Some(meant) => error.help(format!("did you mean {meant}?")),
                None => error.help(format!("the results are {}", NAMES.map(|n| n.output).join(", "))),
            }
        })
    }

    /// Its value; none of what names an image in a registry where nothing was pushed.
    pub(crate) fn value(self, config: &BuildConfig, outcome: &BuildOutcome) -> Option<String> {
        match self.output {
            "image-id" => Some(outcome.image_id().to_string()),
            "size" => Some(outcome.compressed_size().to_string()),
            "platform" => Some(outcome.platforms()),
            "metadata" => Some(metadata(config, outcome).to_string()),
            _ => self.of_pushed(&outcome.pushed, &outcome.digest),
        }
    }

    /// Whether it is known of everything that was pushed, built here or not.
    pub(crate) fn is_of_pushed(self) -> bool {
        matches!(self.output, "digest" | "image" | "image-ref" | "tags" | "images")
    }

    /// Its value for what was pushed, whatever that is; none of what only a build knows.
    pub(crate) fn of_pushed(self, pushed: &[Reference], digest: &Digest) -> Option<String> {
        let first = pushed.first();
        let all = |text: &dyn Fn(&Reference) -> String| {
            first.map(|_| pushed.iter().map(text).collect::<Vec<_>>().join(","))
        };
        match self.output {
            "digest" => Some(digest.to_string()),
            "image" => first.map(Reference::whole),
            "image-ref" => first.map(|r| format!("{}/{}@{digest}", r.registry(), r.repository())),
            "tags" => all(&Reference::whole),
            "images" => all(&|r| format!("{}@{digest}", r.whole())),
            _ => None,
        }
    }
}

/// `NAME=VALUE` lines that a shell may read as well: no value has blanks, quotes or newlines.
pub(crate) fn environment(config: &BuildConfig, outcome: &BuildOutcome) -> String {
    let lines = NAMES
        .iter()
        .filter(|name| name.output != "metadata")
        .filter_map(|name| name.value(config, outcome).map(|value| format!("{}={value}\n", name.variable)));
    lines.collect()
}

/// BuildKit's metadata of a build (`docker buildx build --metadata-file`).
pub(crate) fn metadata(config: &BuildConfig, outcome: &BuildOutcome) -> Value {
    let names: Vec<String> = config.destinations.iter().map(Reference::whole).collect();
    let mut metadata = json!({
        "containerimage.descriptor": {
            "mediaType": outcome.media_type.to_string(),
            "digest": outcome.digest.to_string(),
            "size": outcome.manifest_size,
        },
        "containerimage.digest": outcome.digest.to_string(),
    });
    // An index has neither a config nor a platform.
    if let [image] = outcome.images.as_slice() {
        let config = image.config_digest.to_string();
        metadata["containerimage.descriptor"]["annotations"] = json!({ "config.digest": config });
        metadata["containerimage.descriptor"]["platform"] = platform(image);
        metadata["containerimage.config.digest"] = config.into();
    }
    if !names.is_empty() {
        metadata["image.name"] = names.join(",").into();
    }
    metadata
}

fn platform(image: &ImageOutcome) -> Value {
    let text = image.platform.to_string();
    let mut parts = text.split('/');
    let mut platform = json!({ "os": parts.next(), "architecture": parts.next() });
    if let Some(variant) = parts.next() {
        platform["variant"] = variant.into();
    }
    platform
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_two_names() {
        for text in ["digest", "IMAGE_DIGEST", "image-digest", "Digest"] {
            assert_eq!(Name::parse(text).map(|n| n.output), Ok("digest"), "{text}");
        }
        assert_eq!(Name::parse("image_ref").map(|n| n.output), Ok("image-ref"));
        assert_eq!(Name::parse("diges").unwrap_err().help.as_deref(), Some("did you mean digest?"));
    }
}
