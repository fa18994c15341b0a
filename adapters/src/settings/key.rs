//! The table of everything a build can be told, whatever tells it.

use super::list::Split;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One line of text.
    Text,
    /// True or false.
    Boolean,
    /// A whole number.
    Number,
    /// A time: seconds since 1970, or as in RFC 3339.
    Time,
    /// Items.
    List(Split),
    /// `NAME=VALUE` items, one a name.
    Pairs,
}

/// What a value of a weaker origin is to one of a stronger origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Nothing: the stronger one replaces it.
    Replaced,
    /// Kept, but for the names that the stronger one has too.
    ByName,
    /// Kept, before it.
    Kept,
}

/// How a value gets into a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landing {
    /// As this flag of `yadokari build`, once for each item.
    Flag(&'static str),
    /// As this flag, the other way round.
    Negated(&'static str),
    /// By code of its own ([`super::land`]).
    Apart,
}

use Kind::{Boolean, List, Number, Pairs, Text, Time};
use Landing::{Apart, Flag, Negated};
use Merge::{ByName, Kept, Replaced};
use Split::{Commas, Lines, Literal, Untrimmed};

macro_rules! keys {
    ($($key:ident $name:literal $kind:expr, $merge:expr, $landing:expr, $what:literal;)*) => {
        /// A thing that a build can be told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Key { $(#[doc = $what] $key,)* }

        /// Every key, in the order in which they are explained.
        pub(crate) const KEYS: &[Key] = &[$(Key::$key,)*];

        impl Key {
            /// The name in `yadokari.yaml`, and a platform's that has no other.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Key::$key => $name,)* }
            }

            /// What its values look like.
            pub(crate) fn kind(self) -> Kind {
                match self { $(Key::$key => $kind,)* }
            }

            /// What becomes of values of weaker origins.
            pub(crate) fn merge(self) -> Merge {
                match self { $(Key::$key => $merge,)* }
            }

            /// How its value gets into a build.
            pub(crate) fn landing(self) -> Landing {
                match self { $(Key::$key => $landing,)* }
            }

            /// What it is, in a line, as the documentation has it.
            #[cfg(test)]
            pub(crate) fn what(self) -> &'static str {
                match self { $(Key::$key => $what,)* }
            }
        }
    };
}

keys! {
    Config "config" Text, Replaced, Apart, "Configuration file; yadokari.yaml in the context if it is there";
    Targets "targets" List(Commas), Replaced, Apart, "Targets or groups of the configuration file";
    Context "context" Text, Replaced, Flag("--context"), "Build context";
    ContextSubPath "context-sub-path" Text, Replaced, Flag("--context-sub-path"), "Sub-directory of the context that becomes its root";
    Git "git" List(Commas), Replaced, Flag("--git"), "How a git context is fetched";
    Dockerfile "dockerfile" Text, Replaced, Flag("--dockerfile"), "Path of the Dockerfile";
    Target "target" Text, Replaced, Flag("--target"), "Stage to build";
    Platforms "platforms" List(Commas), Replaced, Flag("--platform"), "Platforms of base images and of the result";
    Destinations "destinations" List(Commas), Replaced, Flag("--destination"), "Whole references to push to";
    Image "image" List(Commas), Replaced, Apart, "Repository that tags are of, or a whole reference";
    Tags "tags" List(Commas), Replaced, Apart, "Tags of image, or whole references";
    TagRules "tag-rules" List(Lines), Replaced, Apart, "Rules that make tags of what the platform knows of the commit";
    Flavor "flavor" List(Lines), Replaced, Apart, "What all tag rules have in common";
    Push "push" Boolean, Replaced, Negated("--no-push"), "Whether to push the image";
    PushByDigest "push-by-digest" Boolean, Replaced, Flag("--push-by-digest"), "Whether to push without a tag, by the digest alone";
    Outputs "outputs" List(Literal), Replaced, Apart, "Where the image goes beside or in place of a registry, type=…,dest=…";
    Load "load" Boolean, Replaced, Apart, "Whether to load the image into a docker engine";
    TarPath "tar-path" Text, Replaced, Flag("--tar-path"), "docker archive to write";
    OciLayoutPath "oci-layout-path" Text, Replaced, Flag("--oci-layout-path"), "OCI layout to write";
    OciArchivePath "oci-archive-path" Text, Replaced, Flag("--oci-archive-path"), "OCI layout to write as an archive";
    BuildArgs "build-args" Pairs, ByName, Flag("--build-arg"), "Values of ARGs";
    BuildContexts "build-contexts" Pairs, ByName, Flag("--build-context"), "More contexts";
    Labels "labels" Pairs, ByName, Flag("--label"), "Labels of the image";
    Annotations "annotations" Pairs, ByName, Flag("--annotation"), "Annotations of the manifest, or LEVEL:KEY=VALUE as in --annotation";
    Secrets "secrets" List(Lines), Kept, Apart, "Secrets of steps: NAME=env:VARIABLE, NAME=file:PATH, or as in --secret";
    SecretEnvs "secret-envs" List(Commas), Kept, Apart, "Secrets of steps in variables, NAME=VARIABLE";
    SecretFiles "secret-files" List(Lines), Kept, Apart, "Secrets of steps in files, NAME=PATH";
    SecretValues "secret-values" List(Untrimmed), Kept, Apart, "Secrets of steps, NAME=VALUE";
    Ssh "ssh" List(Commas), Kept, Flag("--ssh"), "SSH agents of steps";
    Network "network" Text, Replaced, Flag("--network"), "Network of steps";
    AddHosts "add-hosts" List(Commas), Kept, Flag("--add-host"), "Lines of the steps' /etc/hosts, NAME:ADDRESS";
    Hostname "hostname" Text, Replaced, Flag("--hostname"), "Host name that steps see";
    Cache "cache" Boolean, Replaced, Flag("--cache"), "Whether results of steps are looked up and kept in cache-repo";
    CacheRepo "cache-repo" Text, Replaced, Flag("--cache-repo"), "Repository of the cache";
    CacheDir "cache-dir" Text, Replaced, Flag("--cache-dir"), "Directory with base images and results of steps";
    CacheFrom "cache-from" List(Lines), Replaced, Flag("--cache-from"), "Where results are looked up too";
    CacheTo "cache-to" List(Lines), Replaced, Flag("--cache-to"), "Where results are kept too";
    CacheTtl "cache-ttl" Text, Replaced, Flag("--cache-ttl"), "Age from which results are not used";
    CacheScope "cache-scope" Text, Replaced, Flag("--cache-scope"), "Name that separates results";
    NoCache "no-cache" Boolean, Replaced, Flag("--no-cache"), "Look nothing up";
    NoCacheFilters "no-cache-filters" List(Commas), Replaced, Flag("--no-cache-filter"), "Stages that look nothing up";
    Pull "pull" Boolean, Replaced, Apart, "Whether registries are always asked for base images";
    Registry "registry" Text, Replaced, Apart, "Registry of username and password";
    Username "username" Text, Replaced, Apart, "User name at the registry";
    Password "password" Text, Replaced, Apart, "Password or token at the registry";
    RegistryAuths "registry-auths" Text, Kept, Apart, "Accounts at registries, each registry, username and password";
    InsecureRegistries "insecure-registries" List(Commas), Kept, Flag("--insecure-registry"), "Registries spoken to in plain HTTP";
    SkipTlsVerifyRegistries "skip-tls-verify-registries" List(Commas), Kept, Flag("--skip-tls-verify-registry"), "Registries whose certificates are not checked";
    TlsVerify "tls-verify" Boolean, Replaced, Negated("--skip-tls-verify"), "Whether certificates are checked";
    CaFile "ca-file" Text, Kept, Apart, "PEM file with CA certificates of registries";
    CaDir "ca-dir" Text, Kept, Apart, "Directory of PEM files with CA certificates of registries";
    Mirrors "mirrors" List(Commas), Replaced, Apart, "Mirrors of Docker Hub, or REGISTRY=MIRROR";
    Format "format" Text, Replaced, Flag("--image-format"), "Media types: oci or docker";
    Compression "compression" Text, Replaced, Flag("--compression"), "Compression of layers: gzip or zstd";
    CompressionLevel "compression-level" Number, Replaced, Flag("--compression-level"), "Level of the compression";
    Reproducible "reproducible" Boolean, Replaced, Flag("--reproducible"), "Zero all times";
    SourceDateEpoch "source-date-epoch" Time, Replaced, Apart, "Time after which nothing in the image was made";
    SingleSnapshot "single-snapshot" Boolean, Replaced, Flag("--single-snapshot"), "One layer at the end of each stage";
    IgnorePaths "ignore-paths" List(Commas), Replaced, Flag("--ignore-path"), "Paths whose changes are in no layer";
    Sbom "sbom" Text, Replaced, Apart, "Software bill of materials";
    Provenance "provenance" Text, Replaced, Apart, "Provenance attestation";
    Attests "attests" List(Lines), Replaced, Apart, "Attestations";
    Check "check" Boolean, Replaced, Flag("--check"), "Check the Dockerfile and build nothing";
    Call "call" Text, Replaced, Flag("--call"), "Build nothing: check, outline or targets";
    Isolation "isolation" Text, Replaced, Flag("--isolation"), "How steps get their root filesystem";
    RequireHiddenCredentials "require-hidden-credentials" Boolean, Replaced, Flag("--require-hidden-credentials"), "Fail where credential files cannot be hidden from steps";
    WorkDir "work-dir" Text, Replaced, Flag("--work-dir"), "Directory for intermediate files";
    Jobs "jobs" Number, Replaced, Flag("--jobs"), "Threads, and commands at once";
    Verbosity "verbosity" Text, Replaced, Flag("--verbosity"), "How much is shown";
    LogFormat "log-format" Text, Replaced, Flag("--log-format"), "Form of the log";
    DigestFile "digest-file" Text, Replaced, Flag("--digest-file"), "File for the digest";
    MetadataFile "metadata-file" Text, Replaced, Flag("--metadata-file"), "File for BuildKit's metadata, in JSON";
    EnvFile "env-file" Text, Replaced, Flag("--env-file"), "File for the results as NAME=VALUE lines";
    OutputFiles "output-files" Pairs, ByName, Flag("--output-file"), "Files for single results, RESULT=PATH";
    ExtraArgs "extra-args" List(Lines), Kept, Apart, "More flags of yadokari build";
}

impl Key {
    /// Whether its value is shown to nobody.
    pub(crate) fn secret(self) -> bool {
        matches!(self, Key::Password | Key::RegistryAuths | Key::SecretValues)
    }

    /// The key of this name, in any case, with hyphens or underscores.
    pub(crate) fn named(name: &str) -> Option<Key> {
        KEYS.iter().copied().find(|key| same(key.name(), name))
    }
}

/// Whether two names are the same: case, hyphens and underscores do not count.
pub(crate) fn same(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

/// A name in lower case with hyphens.
pub(crate) fn plain(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_differ_and_are_found_in_every_spelling() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name()).collect();
        assert_eq!(names.len(), KEYS.len());
        for key in KEYS {
            assert_eq!(key.name(), plain(key.name()), "{key:?}");
            assert_eq!(Key::named(&key.name().to_uppercase().replace('-', "_")), Some(*key));
            assert!(!key.what().is_empty() && !key.what().ends_with('.'), "{key:?}");
        }
        assert_eq!(Key::named("build-arg"), None);
    }

    #[test]
    fn the_documentation_has_every_key() {
        let page = include_str!("../../../docs/config-file.md");
        for key in KEYS.iter().filter(|key| ![Key::Config, Key::Targets].contains(key)) {
            let row = format!("| `{}` |", key.name());
            let line = page.lines().find(|line| line.starts_with(&row));
            let line = line.unwrap_or_else(|| panic!("docs/config-file.md has no {row}"));
            assert!(line.ends_with(&format!("| {} |", key.what())), "{line}");
        }
    }

    #[test]
    fn every_flag_exists() {
        for key in KEYS {
            let (Landing::Flag(flag) | Landing::Negated(flag)) = key.landing() else { continue };
            let value = match key.kind() {
                Kind::Boolean => "true",
                Kind::Number | Kind::Time => "1",
                Kind::Pairs => "A=b",
                Kind::Text | Kind::List(_) if *key == Key::Isolation => "auto",
                Kind::Text | Kind::List(_) => "x",
            };
            let parsed = crate::front::flags(&[format!("{flag}={value}")]);
            assert!(parsed.is_ok(), "{flag}: {:?}", parsed.err());
        }
    }
}
