//! Platforms: operating system, architecture, variant.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a text names no platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{text}' is not a platform: write os/architecture[/variant], such as linux/amd64 or linux/arm/v7")]
pub struct ParsePlatformError {
    /// The text.
    pub text: String,
}

/// A platform in Go's names (OCI image spec, image-index.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `GOARCH`
    pub architecture: String,
    /// `GOOS`
    pub os: String,
    /// CPU variant, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Version of the operating system.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Fields we do not know, such as `os.features`.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

impl Platform {
    /// A platform without a version, normalised.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = normalise(architecture, variant);
        Platform {
            architecture,
            os: os.to_ascii_lowercase(),
            variant,
            os_version: None,
            extra: BTreeMap::new(),
        }
    }

    /// The platform this program was compiled for.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Self::new("linux", architecture, variant)
    }

    /// How well an image of platform `offered` runs where `self` is wanted: higher is better,
    /// `None` is not at all. Arm variants are compatible downwards, as in containerd's
    /// `platforms.Only`.
    pub fn accepts(&self, offered: &Platform) -> Option<u32> {
        let (architecture, variant) = normalise(&offered.architecture, offered.variant.as_deref());
        if self.os != offered.os || self.architecture != architecture {
            return None;
        }
        let (wanted, variant) = (self.variant_number(), variant_number(&architecture, variant.as_deref()));
        match architecture.as_str() {
            "arm" | "amd64" => (variant <= wanted).then_some(variant + 1),
            _ => (variant == wanted).then_some(1),
        }
    }

    fn variant_number(&self) -> u32 {
        variant_number(&self.architecture, self.variant.as_deref())
    }
}

fn variant_number(architecture: &str, variant: Option<&str>) -> u32 {
    let implied = match architecture {
        "arm" => 7,
        "amd64" => 1,
        "arm64" => 8,
        _ => 0,
    };
    variant.and_then(|v| v.trim_start_matches('v').parse().ok()).unwrap_or(implied)
}

/// The names that containerd's `platforms.Normalize` gives.
fn normalise(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let variant = variant.filter(|v| !v.is_empty()).map(str::to_ascii_lowercase);
    let (architecture, variant) = match (architecture.to_ascii_lowercase().as_str(), variant.as_deref()) {
        ("x86_64" | "x86-64", v) => ("amd64".to_owned(), v.map(str::to_owned)),
        ("i386", _) => ("386".to_owned(), None),
        ("aarch64", v) => ("arm64".to_owned(), v.map(str::to_owned)),
        ("armhf", _) => ("arm".to_owned(), Some("v7".to_owned())),
        ("armel", _) => ("arm".to_owned(), Some("v6".to_owned())),
        ("arm", None) => ("arm".to_owned(), Some("v7".to_owned())),
        ("arm", Some(v)) => {
            ("arm".to_owned(), Some(if v.starts_with('v') { v.to_owned() } else { format!("v{v}") }))
        }
        (other, v) => (other.to_owned(), v.map(str::to_owned)),
    };
    let redundant = matches!(
        (architecture.as_str(), variant.as_deref()),
        ("arm64", Some("v8" | "8")) | ("amd64", Some("v1"))
    );
    let variant = if redundant { None } else { variant };
    (architecture, variant)
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, ParsePlatformError> {
        let bad = || ParsePlatformError { text: text.to_owned() };
        let parts: Vec<&str> = text.split('/').collect();
        let word =
            |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !parts.iter().all(|p| word(p)) {
            return Err(bad());
        }
        match parts.as_slice() {
            [os, architecture] => Ok(Platform::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Platform::new(os, architecture, Some(variant))),
            // One word is an architecture or an operating system, as in containerd.
            [one @ ("linux" | "windows" | "darwin" | "freebsd")] => {
                Ok(Platform { os: (*one).to_owned(), ..Platform::host() })
            }
            [architecture] => Ok(Platform::new("linux", architecture, None)),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_normalised() {
        for (text, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("Linux/AMD64", "linux/amd64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), normal);
        }
        for text in ["", "/", "linux/", "linux/amd64/v1/x", "linux amd64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn arm_variants_are_compatible_downwards() {
        let wanted: Platform = "linux/arm/v7".parse().unwrap();
        let score = |t: &str| wanted.accepts(&t.parse().unwrap());
        assert!(score("linux/arm/v7") > score("linux/arm/v6"));
        assert!(score("linux/arm/v6").is_some());
        assert_eq!(score("linux/arm/v8"), None);
        assert_eq!(score("linux/arm64"), None);
    }
}
