//! Which front was called: by the first word, or by the program's name.

use std::ffi::OsString;
use std::path::Path;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::describe::{Look, What};
use crate::cli::flags::{CheckFlags, Flags, Rootfs, TableFlag};
use crate::cli::handover::HandOver;
use crate::cli::images::{self, ImageCommand};
use crate::cli::login::{LoginFlags, LogoutFlags};
use crate::cli::pflag::as_pflag;
use crate::cli::upkeep::{CacheCommand, WarmFlags};
use crate::init::Init;
use crate::migrate::Migrate;

/// What to do.
#[derive(Debug)]
pub(crate) enum Front {
    /// Build from flags.
    Build(Box<Flags>),
    /// Check a Dockerfile.
    Check(Box<Look>, Box<CheckFlags>),
    /// Say what a Dockerfile can be asked for.
    Describe(What, Box<Look>, TableFlag),
    /// Build from a CI platform's inputs.
    Ci(Vec<String>),
    /// Say what works here.
    Doctor(Box<Rootfs>),
    /// Keep base images in a directory.
    Warm(Box<WarmFlags>),
    /// Look after a cache.
    Cache(CacheCommand),
    /// Copy credentials for a build in another container.
    HandOver(HandOver),
    /// Do something with images that are there.
    Images(ImageCommand),
    /// Rewrite a file of another builder's.
    Migrate(Migrate),
    /// Write a pipeline.
    Init(Init),
    /// Keep a registry's credentials.
    Login(Box<LoginFlags>),
    /// Forget a registry's credentials.
    Logout(LogoutFlags),
    /// Put a container's files back.
    Restore,
    /// Say which version this is.
    Version,
}

/// What a command line came to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Something to do.
    Front(Front),
    /// Text that was asked for.
    Help(String),
    /// What is wrong with it.
    Wrong(String),
}

/// Builds container images from Dockerfiles in any container, without a daemon or privileges
#[derive(Debug, Parser)]
#[command(name = "yadokari", version, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image and push it; kaniko's flags
    Build(Box<Flags>),
    /// Say what is wrong with a Dockerfile, and what is most likely not meant
    Check {
        #[command(flatten)]
        look: Box<Look>,
        #[command(flatten)]
        flags: Box<CheckFlags>,
    },
    /// Say which arguments, secrets, SSH agents and caches a target takes
    Outline(DescribeFlags),
    /// Say which stages can be built
    Targets(DescribeFlags),
    /// Build as configured by a CI system: Tekton, GitLab, GitHub, Jenkins and more (docs/platforms)
    Ci {
        /// Its name, if it shall not be recognised; then its words, or flags of build
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
        words: Vec<String>,
    },
    /// Say what works in this container
    Doctor(Box<Rootfs>),
    /// Keep base images in a directory; the flags of kaniko's warmer
    Warm(Box<WarmFlags>),
    /// Look after a layer cache
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Copy credentials to a volume, for a build in another container to read once
    HandOver(HandOver),
    #[command(flatten)]
    Images(ImageCommand),
    /// Rewrite what uses kaniko, the catalog's buildah Task or docker/build-push-action; show the difference
    Migrate(Migrate),
    /// Write a pipeline for the repository in this directory
    Init(Init),
    /// Keep credentials for a registry in docker's config.json, if the registry takes them
    Login(Box<LoginFlags>),
    /// Forget the credentials for a registry
    Logout(LogoutFlags),
    /// Put the container's own files back after a build in place was killed
    Restore,
    /// Print the version
    Version,
}

/// What was typed to have a Dockerfile described.
#[derive(Debug, Args)]
struct DescribeFlags {
    #[command(flatten)]
    look: Box<Look>,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: TableFlag,
}

impl DescribeFlags {
    fn front(self, what: What) -> Parsed {
        Parsed::Front(Front::Describe(what, self.look, self.format))
    }
}

/// kaniko's commands beside the build.
const NOT_THERE: [(&str, &str); 1] = [("completion", "see yadokari build --help")];

/// Reads a command line, the program's name included.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Parsed {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let program = args.first().and_then(|a| Path::new(a).file_name()).unwrap_or_default().to_owned();
    let mut word = args.get(1).and_then(|a| a.to_str()).unwrap_or_default().to_owned();
    if program == "executor" {
        let known = command().get_subcommands().any(|c| c.get_name() == word) || word == "help";
        let missing = NOT_THERE.iter().any(|(name, _)| *name == word);
        if !known && !missing {
            args.insert(1.min(args.len()), "build".into());
            word = "build".into();
        }
    }
    if program == "warmer" {
        args.insert(1.min(args.len()), "warm".into());
        word = "warm".into();
    }
    if let Some((name, way_out)) = NOT_THERE.iter().find(|(name, _)| *name == word) {
        return Parsed::Wrong(format!("error: the command {name} is not supported yet\nhelp: {way_out}\n"));
    }
    let parsed = command().try_get_matches_from(&args).and_then(|m| Cli::from_arg_matches(&m));
    match parsed {
        Ok(Cli { command: Command::Build(flags) }) => build(flags, &args),
        Ok(Cli { command: Command::Check { look, flags } }) => Parsed::Front(Front::Check(look, flags)),
        Ok(Cli { command: Command::Outline(flags) }) => flags.front(What::Outline),
        Ok(Cli { command: Command::Targets(flags) }) => flags.front(What::Targets),
        Ok(Cli { command: Command::Ci { words } }) => Parsed::Front(Front::Ci(words)),
        Ok(Cli { command: Command::Doctor(rootfs) }) => Parsed::Front(Front::Doctor(rootfs)),
        Ok(Cli { command: Command::Warm(flags) }) => Parsed::Front(Front::Warm(flags)),
        Ok(Cli { command: Command::Cache(command) }) => Parsed::Front(Front::Cache(command)),
        Ok(Cli { command: Command::HandOver(flags) }) => Parsed::Front(Front::HandOver(flags)),
        Ok(Cli { command: Command::Images(command) }) => Parsed::Front(Front::Images(command)),
        Ok(Cli { command: Command::Migrate(flags) }) => Parsed::Front(Front::Migrate(flags)),
        Ok(Cli { command: Command::Init(flags) }) => Parsed::Front(Front::Init(flags)),
        Ok(Cli { command: Command::Login(flags) }) => Parsed::Front(Front::Login(flags)),
        Ok(Cli { command: Command::Logout(flags) }) => Parsed::Front(Front::Logout(flags)),
        Ok(Cli { command: Command::Restore }) => Parsed::Front(Front::Restore),
        Ok(Cli { command: Command::Version }) => Parsed::Front(Front::Version),
        Err(e) if e.use_stderr() => Parsed::Wrong(e.to_string()),
        Err(e) => Parsed::Help(e.to_string()),
    }
}

/// A build from flags. Words that are no flags are targets, and those are of a file.
fn build(mut flags: Box<Flags>, args: &[OsString]) -> Parsed {
    if let Some(word) = flags.targets.first().filter(|_| flags.config.is_empty()) {
        let help = match word.as_str() {
            // pflag has no `--cache true` either, and people coming from it know.
            "true" | "false" => "a boolean is given as --flag or --flag=true",
            _ => "targets are of a file: name it with --config",
        };
        return Parsed::Wrong(format!("error: unexpected argument '{word}' found\nhelp: {help}\n"));
    }
    flags.words = args.iter().skip(2).filter_map(|word| word.to_str().map(str::to_owned)).collect();
    Parsed::Front(Front::Build(flags))
}

/// The flags of `yadokari build` in a list that has no program name.
///
/// # Errors
/// What is wrong with them, for people.
pub(crate) fn flags(args: &[String]) -> Result<Flags, String> {
    let words = ["yadokari", "build"].into_iter().map(OsString::from).chain(args.iter().map(OsString::from));
    match parse(words) {
        Parsed::Front(Front::Build(flags)) => Ok(*flags),
        Parsed::Front(_) => Err("no build flags".to_owned()),
        Parsed::Help(text) | Parsed::Wrong(text) => Err(text),
    }
}

fn command() -> clap::Command {
    images::as_pflag(Cli::command())
        .mut_subcommand("build", |c| as_pflag(c).override_usage("yadokari build [FLAGS] [TARGET…]"))
        .mut_subcommand("check", as_pflag)
        .mut_subcommand("outline", as_pflag)
        .mut_subcommand("targets", as_pflag)
        .mut_subcommand("doctor", as_pflag)
        .mut_subcommand("warm", as_pflag)
        .mut_subcommand("login", as_pflag)
        .mut_subcommand("hand-over", as_pflag)
        .mut_subcommand("cache", |c| c.mut_subcommand("ls", as_pflag).mut_subcommand("prune", as_pflag))
}

#[cfg(test)]
#[path = "front_page_tests.rs"]
mod page_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Parsed {
        parse(words.iter().map(OsString::from))
    }

    fn is_build(words: &[&str]) -> bool {
        matches!(parsed(words), Parsed::Front(Front::Build(_)))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn called_as_executor_it_builds() {
        assert!(is_build(&["/kaniko/executor", "--context", "/x", "--destination=h/r"]));
        assert!(is_build(&["executor"]));
        assert!(is_build(&["executor", "build", "--no-push"]));
        assert!(matches!(parsed(&["executor", "version"]), Parsed::Front(Front::Version)));
        let Parsed::Front(Front::Login(_)) = parsed(&["executor", "login", "h", "-u", "n", "-p=x"]) else {
            panic!("no front")
        };
        assert!(matches!(parsed(&["executor", "logout", "h"]), Parsed::Front(Front::Logout(_))));
        assert!(matches!(parsed(&["executor", "--help"]), Parsed::Help(_)));
    }

    #[test]
    fn called_as_warmer_it_warms() {
        let words =
            ["/kaniko/warmer", "-i", "a", "--image=b", "-c", "/c", "-f", "--customPlatform=linux/arm64"];
        let Parsed::Front(Front::Warm(flags)) = parsed(&words) else { panic!("no front") };
        assert_eq!((flags.image.len(), flags.cache_dir.as_str(), flags.force), (2, "/c", true));
        assert!(matches!(parsed(&["yadokari", "warm", "-d", "Dockerfile"]), Parsed::Front(Front::Warm(_))));
        assert!(matches!(
            parsed(&["yadokari", "cache", "ls", "--cache-dir=/c"]),
            Parsed::Front(Front::Cache(_))
        ));
    }

    #[test]
    fn other_names_need_a_front() {
        assert!(is_build(&["yadokari", "build", "-f", "x"]));
        assert!(matches!(parsed(&["yadokari"]), Parsed::Wrong(_)));
        assert!(matches!(parsed(&["yadokari", "--context", "/x"]), Parsed::Wrong(_)));
        assert!(matches!(parsed(&["yadokari", "help"]), Parsed::Help(_)));
    }

    #[test]
    fn words_for_a_platform_are_left_alone() {
        let Parsed::Front(Front::Ci(words)) =
            parsed(&["yadokari", "ci", "tekton", "--build-args", "A=1", "--", "-v", "debug"])
        else {
            panic!("no front");
        };
        assert_eq!(words, ["tekton", "--build-args", "A=1", "--", "-v", "debug"]);
    }

    #[test]
    fn unknown_flags_get_a_suggestion() {
        let Parsed::Wrong(text) = parsed(&["executor", "--destinaton=x"]) else { panic!("accepted") };
        assert!(text.contains("--destination"), "{text}");
    }
}
