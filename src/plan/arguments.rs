//! Build arguments that nobody has to declare: platforms, proxies.

use crate::image::Platform;

/// Arguments that reach every `RUN` without an `ARG`, in both cases, and stay out of history
/// (BuildKit, `convert.go`, `proxyEnvFromBuildArgs`).
pub const PROXY_ARGUMENTS: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Arguments that mean something without an `ARG` (dockerfile reference, "BuildKit built-in build
/// args"), beside those for platforms and proxies.
const BUILT_IN: [&str; 12] = [
    "BUILDKIT_BUILD_NAME",
    "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT",
    "BUILDKIT_SBOM_SCAN_STAGE",
    "BUILDKIT_SYNTAX",
    "SOURCE_DATE_EPOCH",
    "TARGETSTAGE",
];

/// Whether an argument means something without an `ARG`.
pub(super) fn is_known(name: &str) -> bool {
    let platform = ["PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT"];
    let of_platform = ["BUILD", "TARGET"]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| platform.contains(&rest)));
    let proxy = PROXY_ARGUMENTS.iter().any(|proxy| proxy.eq_ignore_ascii_case(name));
    of_platform || proxy || BUILT_IN.contains(&name) || name.starts_with("BUILDKIT_ATTEST_")
}

/// The values given with `--build-arg`, and what follows from the platforms.
#[derive(Debug, Clone)]
pub struct Arguments {
    given: Vec<(String, String)>,
    platform: Platform,
    context_time: Option<i64>,
}

impl Arguments {
    /// Arguments for a build; the last of a name wins.
    pub fn new(given: &[(String, String)], platform: &Platform) -> Self {
        Arguments { given: given.to_vec(), platform: platform.clone(), context_time: None }
    }

    /// The same, with the time that `SOURCE_DATE_EPOCH=context` means.
    #[must_use]
    pub fn with_context_time(self, context_time: Option<i64>) -> Self {
        Arguments { context_time, ..self }
    }

    /// When what the context holds was committed, in seconds since 1970.
    pub fn context_time(&self) -> Option<i64> {
        self.context_time
    }

    /// The value given for a name.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// The names given, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.given.iter().map(|(name, _)| name.as_str())
    }

    /// The target platform.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The predefined global arguments (dockerfile reference, "Automatic platform ARGs"); a
    /// given value overrides.
    pub fn predefined(&self, target_stage: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (prefix, platform) in [("BUILD", &Platform::host()), ("TARGET", &self.platform)] {
            all.push((format!("{prefix}PLATFORM"), platform.to_string()));
            all.push((format!("{prefix}OS"), platform.os.clone()));
            all.push((format!("{prefix}OSVERSION"), platform.os_version.clone().unwrap_or_default()));
            all.push((format!("{prefix}ARCH"), platform.architecture.clone()));
            all.push((format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default()));
        }
        all.push(("TARGETSTAGE".to_owned(), target_stage.to_owned()));
        for (name, value) in &mut all {
            if let Some(given) = self.given(name) {
                *value = given.to_owned();
            }
        }
        all
    }

    /// The proxy settings a `RUN` sees, each name in upper and lower case.
    pub fn proxies(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for name in PROXY_ARGUMENTS {
            // Of several spellings the last in the order of their bytes counts.
            let spelt = self.given.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
            let last = spelt.map(|(given, _)| given).max();
            if let Some(value) = last.and_then(|given| self.given(given)).filter(|value| !value.is_empty()) {
                found.push((name.to_owned(), value.to_owned()));
                found.push((name.to_ascii_lowercase(), value.to_owned()));
            }
        }
        found
    }
}
