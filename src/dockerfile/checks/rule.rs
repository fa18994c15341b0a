//! The rules: BuildKit's 22 under its ids (`frontend/dockerfile/linter/ruleset.go`), and ours.

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// What `# check=skip=…` names.
    pub id: &'static str,
    /// What it is about, one sentence without a full stop.
    pub summary: &'static str,
    /// Whose id it is.
    pub origin: Origin,
    /// Whether it runs only where `experimental=` names it.
    pub experimental: bool,
}

/// Whose rule it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// BuildKit has it; the last part of its page's address, if it has one.
    BuildKit(Option<&'static str>),
    /// Only we have it.
    Own,
}

impl Rule {
    const fn buildkit(id: &'static str, page: &'static str, summary: &'static str) -> Rule {
        Rule { id, summary, origin: Origin::BuildKit(Some(page)), experimental: false }
    }

    const fn own(id: &'static str, summary: &'static str) -> Rule {
        Rule { id, summary, origin: Origin::Own, experimental: false }
    }

    /// The page that explains it.
    pub fn url(&self) -> Option<String> {
        match self.origin {
            Origin::BuildKit(Some(page)) => {
                Some(format!("https://docs.docker.com/go/dockerfile/rule/{page}/"))
            }
            Origin::BuildKit(None) => None,
            Origin::Own => Some(format!(
                "https://github.com/yadokari-build/yadokari/blob/main/docs/checks.md#{}",
                self.id.to_ascii_lowercase()
            )),
        }
    }
}

macro_rules! rules {
    ($($name:ident = $rule:expr;)*) => {
        $(#[doc = concat!("`", stringify!($name), "`")] pub static $name: Rule = $rule;)*

        /// All of them: BuildKit's, then ours.
        pub static ALL: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    STAGE_NAME_CASING = Rule::buildkit("StageNameCasing", "stage-name-casing",
        "a stage's name is in lower case");
    FROM_AS_CASING = Rule::buildkit("FromAsCasing", "from-as-casing",
        "`AS` is written in the case of its `FROM`");
    NO_EMPTY_CONTINUATION = Rule::buildkit("NoEmptyContinuation", "no-empty-continuation",
        "no empty line stands in the middle of an instruction");
    CONSISTENT_INSTRUCTION_CASING = Rule::buildkit("ConsistentInstructionCasing", "consistent-instruction-casing",
        "all instructions are in upper case, or all in lower case");
    DUPLICATE_STAGE_NAME = Rule::buildkit("DuplicateStageName", "duplicate-stage-name",
        "no two stages have one name");
    RESERVED_STAGE_NAME = Rule::buildkit("ReservedStageName", "reserved-stage-name",
        "no stage is called `scratch` or `context`");
    JSON_ARGS_RECOMMENDED = Rule::buildkit("JSONArgsRecommended", "json-args-recommended",
        "`CMD` and `ENTRYPOINT` are JSON arrays, so that signals reach the program and not a shell");
    MAINTAINER_DEPRECATED = Rule::buildkit("MaintainerDeprecated", "maintainer-deprecated",
        "the author is named by a label, not by `MAINTAINER`");
    UNDEFINED_ARG_IN_FROM = Rule::buildkit("UndefinedArgInFrom", "undefined-arg-in-from",
        "a variable in `FROM` is declared by an `ARG` before the first `FROM`");
    WORKDIR_RELATIVE_PATH = Rule::buildkit("WorkdirRelativePath", "workdir-relative-path",
        "the first `WORKDIR` is absolute, so that it does not depend on the base image's");
    UNDEFINED_VAR = Rule::buildkit("UndefinedVar", "undefined-var",
        "a variable is defined before it is used");
    MULTIPLE_INSTRUCTIONS_DISALLOWED = Rule::buildkit("MultipleInstructionsDisallowed", "multiple-instructions-disallowed",
        "a stage has one `CMD`, `ENTRYPOINT` and `HEALTHCHECK` at most: only the last counts");
    LEGACY_KEY_VALUE_FORMAT = Rule::buildkit("LegacyKeyValueFormat", "legacy-key-value-format",
        "`ENV` and `LABEL` have an `=` between name and value");
    INVALID_BASE_IMAGE_PLATFORM = Rule {
        id: "InvalidBaseImagePlatform",
        summary: "a base image has the platform that was asked for",
        origin: Origin::BuildKit(None),
        experimental: false,
    };
    REDUNDANT_TARGET_PLATFORM = Rule::buildkit("RedundantTargetPlatform", "redundant-target-platform",
        "`FROM --platform=$TARGETPLATFORM` says what is so anyway");
    SECRETS_USED_IN_ARG_OR_ENV = Rule::buildkit("SecretsUsedInArgOrEnv", "secrets-used-in-arg-or-env",
        "no `ARG` or `ENV` holds a secret: the image's history and config show it");
    INVALID_DEFAULT_ARG_IN_FROM = Rule::buildkit("InvalidDefaultArgInFrom", "invalid-default-arg-in-from",
        "the defaults of global `ARG`s make `FROM` name an image");
    FROM_PLATFORM_FLAG_CONST_DISALLOWED = Rule::buildkit("FromPlatformFlagConstDisallowed", "from-platform-flag-const-disallowed",
        "`FROM --platform` is a variable, or the stage's name says which platform it is for");
    COPY_IGNORED_FILE = Rule::buildkit("CopyIgnoredFile", "copy-ignored-file",
        "no ignore rule leaves out what `COPY` or `ADD` takes");
    INVALID_DEFINITION_DESCRIPTION = Rule {
        experimental: true,
        ..Rule::buildkit("InvalidDefinitionDescription", "invalid-definition-description",
            "a comment right above a stage or `ARG` begins with its name, as a description does")
    };
    EXPOSE_PROTO_CASING = Rule::buildkit("ExposeProtoCasing", "expose-proto-casing",
        "the protocol of a port is in lower case");
    EXPOSE_INVALID_FORMAT = Rule::buildkit("ExposeInvalidFormat", "expose-invalid-format",
        "`EXPOSE` names a port of the container, without address and host port");
    IGNORED_FLAGS = Rule::own("IgnoredFlags",
        "no flags are given to an instruction that takes none and says nothing");
    JSON_MISSPELT = Rule::own("JSONMisspelt",
        "what looks like a JSON array is one: otherwise a shell gets it as text");
    EMPTY_HEREDOC = Rule::own("EmptyHeredoc",
        "no heredoc stands in a JSON array, where it has no body");
    BROKEN_HEREDOC = Rule::own("BrokenHeredoc",
        "no blank stands between `<<` and the name in a `COPY` or `ADD`");
    ONBUILD_FAILS = Rule::own("OnbuildFails",
        "a trigger of `ONBUILD` is an instruction that can be carried out");
    UNUSED_BUILD_ARG = Rule::own("UnusedBuildArg",
        "every `--build-arg` is declared by an `ARG` that the build reaches");
    MISSPELT_STAGE = Rule::own("MisspeltStage",
        "`from` does not name an image almost as a stage is called");
    WILDCARD_MATCHED_NOTHING = Rule::own("WildcardMatchedNothing",
        "a pattern of `COPY` or `ADD` matches a file");
    UNSEARCHABLE_DIRECTORY = Rule::own("UnsearchableDirectory",
        "a `--chmod` in digits that is applied to directories lets them be entered");
    UNKNOWN_CHOWN_NAME = Rule::own("UnknownChownName",
        "`--chown` names users and groups only where there can be any");
}
