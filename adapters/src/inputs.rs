//! Inputs that a platform passes in variables with a prefix: `YADOKARI_BUILD_ARGS`,
//! `INPUT_BUILD-ARGS`. One vocabulary, whatever the prefix.

use crate::cli::flags::Flags;
use crate::env::Env;
use crate::usage::Usage;
use crate::vocabulary::{Separator, boolean, list, suggest};

/// The variables of a prefix.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    env: &'a Env,
    prefix: &'static str,
}

/// Inputs that all platforms of this kind have.
pub(crate) const COMMON: [&str; 12] = [
    "context",
    "target",
    "platforms",
    "build-args",
    "labels",
    "annotations",
    "build-contexts",
    "tags",
    "push",
    "format",
    "insecure-registries",
    "extra-args",
];

impl<'a> Inputs<'a> {
    /// The variables that start with `prefix`.
    ///
    /// # Errors
    /// One of them is no input: neither in [`COMMON`] nor in `more`.
    pub(crate) fn new(env: &'a Env, prefix: &'static str, more: &[&'static str]) -> Result<Self, Usage> {
        let known: Vec<&str> = COMMON.iter().chain(more).copied().collect();
        for (variable, _) in env.iter() {
            let Some(input) = variable.strip_prefix(prefix) else { continue };
            let input = input.to_ascii_lowercase().replace('_', "-");
            if !known.contains(&input.as_str()) {
                let error = Usage::new(format!("there is no input {input} (variable {variable})"));
                return Err(match suggest(&input, &known) {
                    Some(meant) => error.help(format!("did you mean {meant}?")),
                    None => error.help(format!("the inputs are {}", known.join(", "))),
                });
            }
        }
        Ok(Inputs { env, prefix })
    }

    /// An input; an empty one is unset. Its variable has hyphens where a runner made it, and
    /// underscores where a shell had to pass it on.
    pub(crate) fn get(&self, input: &str) -> Option<&'a str> {
        let name = format!("{}{}", self.prefix, input.to_ascii_uppercase());
        let shell = name.replace('-', "_");
        let value = self.env.get(&name).or_else(|| self.env.get(&shell))?;
        Some(value).filter(|v| !v.trim().is_empty())
    }

    /// An input that is true or false.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn boolean(&self, input: &str) -> Result<Option<bool>, Usage> {
        self.get(input).map(|text| boolean(input, text)).transpose()
    }

    /// An input with items.
    ///
    /// # Errors
    /// A broken list.
    pub(crate) fn list(&self, input: &str, separator: Separator) -> Result<Vec<String>, Usage> {
        self.get(input).map_or(Ok(Vec::new()), |text| list(input, text, separator))
    }

    /// Lays the common inputs over flags; tags and push are each platform's own matter.
    ///
    /// # Errors
    /// A broken value, or several platforms.
    pub(crate) fn lay_over(&self, flags: &mut Flags) -> Result<(), Usage> {
        let set = |to: &mut String, input: &str| {
            if let Some(value) = self.get(input) {
                value.trim().clone_into(to);
            }
        };
        set(&mut flags.context, "context");
        set(&mut flags.layers.image_format, "format");
        if let Some(target) = self.get("target") {
            flags.target = vec![target.trim().to_owned()];
        }
        match self.list("platforms", Separator::Comma)?.as_slice() {
            [] => {}
            [one] => one.clone_into(&mut flags.custom_platform),
            many => {
                return Err(Usage::new(format!(
                    "several platforms ({}) are not supported yet",
                    many.join(", ")
                ))
                .help("run a job for each platform, each with a tag of its own"));
            }
        }
        for (to, input) in [
            (&mut flags.build_arg, "build-args"),
            (&mut flags.label, "labels"),
            (&mut flags.annotation, "annotations"),
            (&mut flags.build_context, "build-contexts"),
        ] {
            // Before the extra arguments: those are the user's last word.
            let mut items = self.list(input, Separator::Newline)?;
            items.append(to);
            *to = items;
        }
        flags.registry.insecure_registry.extend(self.list("insecure-registries", Separator::Comma)?);
        Ok(())
    }
}

/// Extra arguments: the input `extra-args`, one a line, then the words of the command line.
///
/// # Errors
/// A broken list.
pub(crate) fn extra_args(inputs: &Inputs<'_>, words: &[String]) -> Result<Vec<String>, Usage> {
    let mut extra = inputs.list("extra-args", Separator::Newline)?;
    let words = match words.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => words,
    };
    extra.extend(words.iter().cloned());
    Ok(extra)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_has_two_spellings() {
        for name in ["INPUT_BUILD-ARGS", "INPUT_BUILD_ARGS"] {
            let env = Env::of(&[(name, "A=1\nB=2")]);
            let inputs = Inputs::new(&env, "INPUT_", &[]).unwrap();
            assert_eq!(inputs.list("build-args", Separator::Newline), Ok(vec!["A=1".into(), "B=2".into()]));
        }
    }

    #[test]
    fn an_unknown_input_is_refused_with_a_suggestion() {
        let env = Env::of(&[("YADOKARI_BUILD_ARG", "A=1")]);
        let error = Inputs::new(&env, "YADOKARI_", &[]).unwrap_err();
        assert_eq!(error.help.as_deref(), Some("did you mean build-args?"));
    }

    #[test]
    fn common_inputs_become_flags() {
        let env = Env::of(&[
            ("YADOKARI_CONTEXT", "app"),
            ("YADOKARI_TARGET", "release"),
            ("YADOKARI_PLATFORMS", "linux/arm64"),
            ("YADOKARI_BUILD_ARGS", "A=1,2\nB=two words"),
            ("YADOKARI_LABELS", r#"["a=b"]"#),
            ("YADOKARI_ANNOTATIONS", "c=d"),
            ("YADOKARI_BUILD_CONTEXTS", "base=oci-layout:///l"),
            ("YADOKARI_FORMAT", "docker"),
            ("YADOKARI_INSECURE_REGISTRIES", "a:5000,b:5000"),
            ("YADOKARI_TAGS", ""),
        ]);
        let inputs = Inputs::new(&env, "YADOKARI_", &[]).unwrap();
        let mut flags = Flags { build_arg: vec!["A=9".into()], ..Flags::default() };
        inputs.lay_over(&mut flags).unwrap();
        assert_eq!(flags.context, "app");
        assert_eq!(flags.target, ["release"]);
        assert_eq!(flags.custom_platform, "linux/arm64");
        assert_eq!(flags.build_arg, ["A=1,2", "B=two words", "A=9"]);
        assert_eq!(flags.label, ["a=b"]);
        assert_eq!(flags.annotation, ["c=d"]);
        assert_eq!(flags.build_context, ["base=oci-layout:///l"]);
        assert_eq!(flags.layers.image_format, "docker");
        assert_eq!(flags.registry.insecure_registry, ["a:5000", "b:5000"]);
    }

    #[test]
    fn several_platforms_are_refused() {
        let env = Env::of(&[("INPUT_PLATFORMS", "linux/amd64,linux/arm64")]);
        let inputs = Inputs::new(&env, "INPUT_", &[]).unwrap();
        assert!(inputs.lay_over(&mut Flags::default()).is_err());
    }

    #[test]
    fn extra_arguments_come_from_both_places() {
        let env = Env::of(&[("INPUT_EXTRA-ARGS", "--label=a=two words\n--force")]);
        let inputs = Inputs::new(&env, "INPUT_", &[]).unwrap();
        let words = ["--".to_owned(), "-v".to_owned(), "debug".to_owned()];
        assert_eq!(extra_args(&inputs, &words).unwrap(), ["--label=a=two words", "--force", "-v", "debug"]);
    }
}
