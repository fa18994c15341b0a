//! What a Dockerfile can be asked for, without building it.

use crate::config::BuildConfig;
use crate::dockerfile::{self, Dockerfile, Source};
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

/// The stages that can be built.
///
/// # Errors
/// The Dockerfile cannot be read or is wrong.
pub fn targets(config: &BuildConfig) -> Result<(Source, Vec<Target>), Error> {
    let dockerfile = read(config)?;
    let targets = plan::targets(&dockerfile);
    Ok((dockerfile.source, targets))
}

fn read(config: &BuildConfig) -> Result<Dockerfile, Error> {
    let events = Events::none();
    let mut opened = Opened::open(config, &events)?;
    let source = dockerfile_source::read(config, opened.context.as_mut(), &events)?;
    dockerfile::parse(&source).map_err(Error::Dockerfile)
}
