//! What identities and buckets of clouds are found by.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the clouds' own tools read of the environment: variables such as `AWS_REGION`, and where
/// their files are. Everything empty means that there is no cloud.
#[derive(Clone, Default)]
pub struct CloudConfig {
    /// Variables by name; those of clouds only.
    pub variables: BTreeMap<String, String>,
    /// Directory of `.aws` and `.config/gcloud`.
    pub home: Option<PathBuf>,
}

/// Parts of the names of variables that hold secrets.
const SECRET_WORDS: [&str; 6] = ["SECRET", "TOKEN", "KEY", "SAS", "CONNECTION_STRING", "HEADER"];

impl CloudConfig {
    /// A variable that is set to something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Values that nobody must see.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let secret = |name: &str| SECRET_WORDS.iter().any(|word| name.contains(word));
        // Names and addresses of secrets are none.
        let place =
            |name: &str| name.ends_with("_FILE") || name.ends_with("_URI") || name.ends_with("_KEY_ID");
        self.variables
            .iter()
            .filter(move |(name, _)| secret(name) && !place(name))
            .map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Debug for CloudConfig {
    /// Names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// A cloud whose registries answer to an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloudRegistry {
    /// Container Registry and Artifact Registry of Google.
    Google,
    /// Elastic Container Registry of Amazon.
    Ecr,
    /// Container Registry of Azure.
    Acr,
}
