//! Tekton Chains' extractor of images from results (`pkg/artifacts/signable.go`), and the limit that
//! Tekton's entrypoint puts on them.

use serde_json::{Value, json};

/// An image that Chains would sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `host/repository`, with the tag if the result had one.
    pub name: String,
    /// `sha256:…`
    pub digest: String,
}

/// The images in results, each a name and the file's content.
pub fn images(results: &[(String, String)]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut add = |text: &str| {
        let Some(image) = parse(text) else { return };
        // A second tag of the same bytes is the same artefact.
        let same = |f: &Found| f.digest == image.digest && without_tag(&f.name) == without_tag(&image.name);
        if !found.iter().any(same) {
            found.push(image);
        }
    };
    for (name, value) in results {
        if let Some(marker) = name.strip_suffix("IMAGE_URL") {
            let digest = results.iter().find(|(n, _)| n == &format!("{marker}IMAGE_DIGEST"));
            if let Some((_, digest)) = digest {
                add(&format!("{}@{}", value.trim(), digest.trim()));
            }
        }
    }
    for (_, value) in results.iter().filter(|(name, _)| name == "IMAGES") {
        value.split([',', '\n']).map(str::trim).filter(|image| !image.is_empty()).for_each(&mut add);
    }
    for (_, value) in results.iter().filter(|(name, _)| name.ends_with("ARTIFACT_OUTPUTS")) {
        let Ok(object) = serde_json::from_str::<Value>(value) else { continue };
        // A string, not a boolean.
        if object["isBuildArtifact"] == "true" {
            let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
            add(&format!("{}@{}", text("uri"), text("digest")));
        }
    }
    found
}

/// go-containerregistry's `name.NewDigest`: one repository with an optional tag, and a whole digest.
fn parse(text: &str) -> Option<Found> {
    let (name, digest) = text.split_once('@')?;
    let hex = digest.strip_prefix("sha256:")?;
    let is_hex = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (repository, tag) = (without_tag(name), name.strip_prefix(without_tag(name)).unwrap_or_default());
    let path =
        repository.split_once('/').filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost");
    let path = path.map_or(repository, |(_, path)| path);
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-./".contains(&c);
    let tag_fits = |c: u8| c.is_ascii_alphanumeric() || b"_-.:".contains(&c);
    let good = (2..=255).contains(&path.len()) && path.bytes().all(fits) && tag.bytes().all(tag_fits);
    (is_hex && good).then(|| Found { name: name.to_owned(), digest: digest.to_owned() })
}

fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// Bytes of the termination message that Tekton's entrypoint makes of these results; it may have 4096
/// (`pkg/termination/write.go`), else the step fails after it pushed the image.
pub fn message_size(results: &[(String, String)]) -> usize {
    let started = json!({"key": "StartedAt", "value": "2026-01-01T00:00:00.000Z", "type": 3});
    let entries = results.iter().map(|(name, value)| json!({"key": name, "value": value, "type": 1}));
    let message: Vec<Value> = entries.chain([started]).collect();
    serde_json::to_string(&message).expect("JSON can be written").len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(results: &[(&str, &str)]) -> Vec<String> {
        let results: Vec<_> = results.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        images(&results).into_iter().map(|f| format!("{}@{}", f.name, &f.digest[..8])).collect()
    }

    /// What the real extractor was seen to do.
    #[test]
    fn type_hints() {
        let d = format!("sha256:{}", "a".repeat(64));
        let d = d.as_str();
        let line = format!("{d}\n");
        let none: [&str; 0] = [];
        assert_eq!(
            found(&[("IMAGE_URL", "h.io/aa/b:v1"), ("IMAGE_DIGEST", &line)]),
            ["h.io/aa/b:v1@sha256:a"]
        );
        assert_eq!(found(&[("x-IMAGE_URL", "h.io/app"), ("x-IMAGE_DIGEST", d)]), ["h.io/app@sha256:a"]);
        assert_eq!(found(&[("IMAGE_URL", "h.io/app")]), none);
        assert_eq!(found(&[("IMAGE-URL", "h.io/app"), ("IMAGE-DIGEST", d)]), none);
        assert_eq!(found(&[("IMAGE_URL", "h.io/app:1,h.io/app:2"), ("IMAGE_DIGEST", d)]), none);
        let images = format!("h.io/app:1@{d},h.io/app:2@{d}\nh.io/bb@{d}");
        assert_eq!(found(&[("IMAGES", &images)]), ["h.io/app:1@sha256:a", "h.io/bb@sha256:a"]);
        let object = |more: &str| format!(r#"{{"uri":"h.io/app","digest":"{d}"{more}}}"#);
        assert_eq!(found(&[("x_ARTIFACT_OUTPUTS", &object(""))]), none);
        assert_eq!(found(&[("x_ARTIFACT_OUTPUTS", &object(r#","isBuildArtifact":true"#))]), none);
        let outputs = object(r#","isBuildArtifact":"true""#);
        assert_eq!(found(&[("x_ARTIFACT_OUTPUTS", &outputs)]), ["h.io/app@sha256:a"]);
    }

    #[test]
    fn one_large_result_fits_as_it_was_measured() {
        let of = |n: usize| message_size(&[("R".to_owned(), "x".repeat(n))]);
        assert!(of(3950) <= 4096 && of(4000) > 4096, "{} {}", of(3950), of(4000));
    }
}
