//! What a stage takes over from its base, and what is made of it in the end.

use serde_json::Value;

use crate::image::{ImageConfig, Platform};

use super::lower::entered;
use super::metadata::{DEFAULT_PATH, set_env};

/// The fields of an image's config that an image built on it keeps: those that BuildKit knows
/// (moby/docker-image-spec). Others, such as `container_config`, say how the base was made.
pub(super) fn of_image(mut config: ImageConfig) -> ImageConfig {
    config.created = None;
    config.extra.retain(|field, _| field == OS_FEATURES);
    config.config.extra.clear();
    for entry in &mut config.history {
        entry.extra.clear();
    }
    config
}

/// The config `FROM scratch` starts with (BuildKit, `dockerfile2llb/image.go`).
pub(super) fn of_scratch(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig::default();
    config.set_platform(platform);
    config.config.working_dir = "/".to_owned();
    set_env(&mut config, "PATH", DEFAULT_PATH);
    config
}

/// Makes the base's config the stage's own: triggers are used up, the working directory is an
/// absolute path. A relative one is below itself: BuildKit enters it as a `WORKDIR` does, from where
/// it is already (`dispatchWorkdir`).
pub(super) fn begin(config: &mut ImageConfig) {
    config.config.on_build.clear();
    let directory = &mut config.config.working_dir;
    if !directory.is_empty() {
        *directory = entered(directory, directory);
    }
}

const OS_FEATURES: &str = "os.features";

/// Stamps the result with the target platform if one was asked for, and writes the platform in
/// its usual form (BuildKit, `finalizeResultImage`).
pub(super) fn finish(config: &mut ImageConfig, target: &Platform, asked: bool) {
    if asked {
        let same = config.os == target.os && config.architecture == target.architecture;
        config.os.clone_from(&target.os);
        config.architecture.clone_from(&target.architecture);
        if target.variant.is_some() || !same {
            config.variant.clone_from(&target.variant);
        }
        if target.os_version.is_some() || !same {
            config.os_version.clone_from(&target.os_version);
        }
        if let Some(features) = target.extra.get(OS_FEATURES) {
            config.extra.insert(OS_FEATURES.to_owned(), features.clone());
        }
    }
    let normal = Platform::new(&config.os, &config.architecture, config.variant.as_deref());
    config.os = normal.os;
    config.architecture = normal.architecture;
    config.variant = normal.variant;
    if let Some(Value::Array(features)) = config.extra.get_mut(OS_FEATURES) {
        features.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        features.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ImageConfig {
        serde_json::from_str(text).unwrap()
    }

    fn json(config: &ImageConfig) -> Value {
        serde_json::to_value(config).unwrap()
    }

    #[test]
    fn only_known_fields_are_inherited() {
        let base = config(
            r#"{"created": "2020-01-01T00:00:00Z", "author": "me", "architecture": "amd64", "os": "linux",
                "os.features": ["b"], "docker_version": "20", "container_config": {"Image": "x"},
                "config": {"Hostname": "h", "Image": "sha256:0", "StopTimeout": 3, "User": "u"},
                "rootfs": {"type": "layers", "diff_ids": []},
                "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "x", "more": 1}]}"#,
        );
        let expected = config(
            r#"{"author": "me", "architecture": "amd64", "os": "linux", "os.features": ["b"],
                "config": {"User": "u"}, "rootfs": {"type": "layers", "diff_ids": []},
                "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "x"}]}"#,
        );
        assert_eq!(json(&of_image(base)), json(&expected));
    }

    #[test]
    fn platforms_are_stamped_and_normalised() {
        let arm = r#""architecture": "arm", "os": "linux", "variant": "v6", "os.version": "1""#;
        for (fields, target, asked, expected) in [
            (arm, "linux/arm/v7", false, ("linux", "arm", Some("v6"), Some("1"))),
            (arm, "linux/arm/v7", true, ("linux", "arm", Some("v7"), Some("1"))),
            (arm, "linux/amd64", true, ("linux", "amd64", None, None)),
            (
                r#""architecture": "aarch64", "os": "Linux", "variant": "v8""#,
                "linux/amd64",
                false,
                ("linux", "arm64", None, None),
            ),
            (r#""architecture": "arm", "os": """#, "linux/amd64", false, ("linux", "arm", Some("v7"), None)),
        ] {
            let mut config = config(&format!("{{{fields}}}"));
            finish(&mut config, &target.parse().unwrap(), asked);
            let found = (config.os.as_str(), config.architecture.as_str());
            let (os, architecture, variant, version) = expected;
            assert_eq!(found, (os, architecture), "{fields}");
            assert_eq!(
                (config.variant.as_deref(), config.os_version.as_deref()),
                (variant, version),
                "{fields}"
            );
        }
        let mut config =
            config(r#"{"architecture": "amd64", "os": "linux", "os.features": ["b", "a", "b"]}"#);
        finish(&mut config, &"linux/amd64".parse().unwrap(), false);
        assert_eq!(config.extra[OS_FEATURES], serde_json::json!(["a", "b"]));
    }
}
