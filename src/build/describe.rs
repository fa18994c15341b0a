//! What a Dockerfile can be asked for, without building it.

use crate::config::BuildConfig;
use crate::dockerfile::{self, Diagnostic, Dockerfile, Source};
use crate::event::Events;
use crate::plan::{self, Arguments, Inputs, Outline, Target};

use super::{Error, Opened, dockerfile_source};

/// What the target of a build takes. Nothing is fetched.
///
/// # Errors
/// The Dockerfile cannot be read or is wrong, or the target is not there.
pub fn outline(config: &BuildConfig) -> Result<(Source, Outline), Error> {
    let dockerfile = read(config)?;
    let platform = config.platform();
    let arguments = Arguments::new(&config.build_args, &platform);
    let inputs = Inputs {
        dockerfile: &dockerfile,
        arguments: &arguments,
        target: config.target.as_deref(),
        contexts: &config.build_contexts,
        platform_given: !config.platforms.is_empty(),
    };
    let outline = plan::outline(&inputs).map_err(Error::Dockerfile)?;
    Ok((dockerfile.source, outline))
}

/// The stages that can be built; of a Dockerfile that has nothing but `ARG`s there are none.
///
/// # Errors
/// The Dockerfile cannot be read or is wrong.
pub fn targets(config: &BuildConfig) -> Result<(Source, Vec<Target>), Error> {
    let source = source(config)?;
    let targets = targets_of(&source).map_err(Error::Dockerfile)?;
    Ok((source, targets))
}

fn targets_of(source: &Source) -> Result<Vec<Target>, Vec<Diagnostic>> {
    let (dockerfile, errors) = dockerfile::parse_all(source);
    // Nothing stopped the parser: all that is wrong is that there is no stage.
    let has_args = !dockerfile.global_args.is_empty();
    let has_only_args = has_args && dockerfile.stages.is_empty() && dockerfile.stop.is_none();
    if errors.is_empty() || has_only_args { Ok(plan::targets(&dockerfile)) } else { Err(errors) }
}

fn read(config: &BuildConfig) -> Result<Dockerfile, Error> {
    dockerfile::parse(&source(config)?).map_err(Error::Dockerfile)
}

fn source(config: &BuildConfig) -> Result<Source, Error> {
    let events = Events::none();
    let mut opened = Opened::open(config, &events)?;
    dockerfile_source::read(config, opened.context.as_mut(), &events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_files_without_stages() {
        for (text, count) in [
            ("ARG A=1\n", Some(0)),
            ("ARG A\nFROM a\nFROM b\n", Some(2)),
            ("", None),
            ("# nothing\n", None),
            ("ARG\n", None),
            ("RUN x\n", None),
            ("ARG A\nFROM\n", None),
        ] {
            let found = targets_of(&Source::new("Dockerfile", text));
            assert_eq!(found.ok().map(|targets| targets.len()), count, "{text:?}");
        }
    }
}
