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
        Platform { architecture, os: normalise_os(os), variant, os_version: None, extra: BTreeMap::new() }
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
    let architecture = architecture.to_ascii_lowercase();
    let (name, variant) = match (architecture.as_str(), variant.as_deref()) {
        ("i386", _) => ("386", None),
        ("x86_64" | "x86-64" | "amd64", Some("v1")) => ("amd64", None),
        ("x86_64" | "x86-64", _) => ("amd64", variant),
        ("aarch64" | "arm64", Some("8" | "v8")) => ("arm64", None),
        ("aarch64", _) => ("arm64", variant),
        ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7".to_owned())),
        ("armel", _) => ("arm", Some("v6".to_owned())),
        ("arm", Some(number @ ("5" | "6" | "8"))) => ("arm", Some(format!("v{number}"))),
        _ => return (architecture, variant),
    };
    (name.to_owned(), variant)
}

fn normalise_os(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "" => "linux".to_owned(),
        "macos" => "darwin".to_owned(),
        os => os.to_owned(),
    }
}

// containerd's lists, which are Go's.
const SYSTEMS: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];
const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

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
        let (system, rest) = parts.split_first().ok_or_else(bad)?;
        let (os, version, features) = system_of(system).ok_or_else(bad)?;
        let word =
            |w: &&str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !rest.iter().all(word) {
            return Err(bad());
        }
        let mut platform = match rest {
            [] => one_word(os).ok_or_else(bad)?,
            [architecture] => Platform::new(os, architecture, None),
            [architecture, variant] => Platform::new(os, architecture, Some(variant)),
            _ => return Err(bad()),
        };
        platform.os_version = version;
        if !features.is_empty() {
            platform.extra.insert("os.features".to_owned(), features.into());
        }
        Ok(platform)
    }
}

/// One word is an operating system, or else an architecture.
fn one_word(word: &str) -> Option<Platform> {
    let os = normalise_os(word);
    if SYSTEMS.contains(&os.as_str()) {
        return Some(Platform { os, ..Platform::host() });
    }
    let platform = Platform::new("linux", word, None);
    ARCHITECTURES.contains(&platform.architecture.as_str()).then_some(platform)
}

/// `os`, or `os(version+feature+…)`.
fn system_of(text: &str) -> Option<(&str, Option<String>, Vec<String>)> {
    let is = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    let (os, options) = match text.split_once('(') {
        None => (text, ""),
        Some((os, rest)) => (os, rest.strip_suffix(')')?),
    };
    if os.is_empty() || !is(os, b"_-") || !is(options, b"_.%-+") {
        return None;
    }
    let mut options = options.split('+').map(decoded);
    let version = options.next()??;
    let features = options.collect::<Option<Vec<_>>>()?;
    Some((os, Some(version).filter(|v| !v.is_empty()), features))
}

/// `%2B` and the like taken back (Go's `url.PathUnescape`).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
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
            ("linux/arm/v5l", "linux/arm/v5l"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/i386", "linux/386"),
            ("linux/toaster", "linux/toaster"),
            ("Linux/AMD64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("armhf", "linux/arm/v7"),
            ("macOS/arm64", "darwin/arm64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), normal);
        }
        for text in [
            "",
            "/",
            "linux/",
            "linux/amd64/v1/x",
            "linux amd64",
            "toaster",
            "lin.ux/amd64",
            "linux(/amd64",
            "*",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
        assert_eq!("Windows".parse::<Platform>().unwrap().os, "windows");
    }

    #[test]
    fn versions_and_features_stand_in_brackets() {
        let platform: Platform = "windows(10.0.17763+win32k+a%2Bb)/amd64".parse().unwrap();
        assert_eq!(platform.os_version.as_deref(), Some("10.0.17763"));
        assert_eq!(platform.extra["os.features"], serde_json::json!(["win32k", "a+b"]));
        let platform: Platform = "linux(+f)/arm64".parse().unwrap();
        assert_eq!((platform.os_version, platform.extra.len()), (None, 1));
        for text in
            ["linux(1/amd64", "linux(1)x/amd64", "linux(1 2)/amd64", "linux(%2)/amd64", "linux(%zz)/amd64"]
        {
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
