//! `yadokari index create`: images for several platforms as one.

use clap::{Args, Subcommand};
use yadokari::config::{Annotation, AnnotationLevel};
use yadokari::ship::{IndexConfig, Source};

use super::flags::Files;
use super::{place, ship};
use crate::cli::files;
use crate::cli::flags::{Log, Registry};
use crate::cli::{annotations, config, places};
use crate::env::Env;
use crate::usage::Usage;

/// What is done with indexes.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum IndexCommand {
    /// Make an index of images and push it; each one's platform is read from its config
    Create(Box<CreateFlags>),
}

/// `yadokari index create`
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct CreateFlags {
    /// The images, best by digest; those of other repositories are copied first
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Where to push the index; repeatable
    #[arg(long, short = 'd', value_name = "IMAGE")]
    destination: Vec<String>,
    /// Annotation of the index, or with manifest-descriptor[PLATFORM]: before it, of its entries; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Media types: oci or docker; the images' by default
    #[arg(long, value_name = "FORMAT", default_value = "", hide_default_value = true)]
    image_format: String,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    registry: Registry,
    #[command(flatten)]
    log: Log,
}

/// Makes an index and pushes it; the exit code.
///
/// # Errors
/// Values that make no sense.
pub(super) fn create(flags: &CreateFlags, env: &Env) -> Result<u8, Usage> {
    // An array of a pipeline may hold empty words.
    let given = |list: &[String]| -> Vec<String> {
        list.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let images = given(&flags.images);
    if images.is_empty() {
        return Err(Usage::new("there are no images to make an index of")
            .help("name them: yadokari index create -d registry.example.com/app:1 IMAGE@DIGEST…"));
    }
    let images = images.iter().map(|image| place::source(image)).collect::<Result<Vec<_>, _>>()?;
    let destinations = given(&flags.destination);
    let destinations = destinations.iter().map(|d| places::destination(d)).collect::<Result<Vec<_>, _>>()?;
    if destinations.is_empty() {
        return Err(Usage::new("there is nowhere to push the index to").help("give --destination"));
    }
    let annotations = annotations::parse(&flags.annotation)?;
    let made = [AnnotationLevel::Index, AnnotationLevel::ManifestDescriptor];
    let elsewhere = |a: &&Annotation| a.level.is_some_and(|level| !made.contains(&level));
    if let Some(found) = annotations.iter().find(elsewhere) {
        return Err(Usage::new(format!("--annotation {}: only the index is made here", found.full_key())).help(
            "write KEY=VALUE, or manifest-descriptor[PLATFORM]:KEY=VALUE; images are annotated when they are built",
        ));
    }
    let settings = IndexConfig {
        annotations: annotations::of_index(&annotations),
        entries: annotations::of_entries(&annotations),
        format: config::image_format(&flags.image_format)?,
    };
    let wanted = flags.files.wanted()?;
    ship::with_carrier(&flags.registry, &flags.log, env, |carrier, events| {
        carrier.check(&destinations)?;
        let sources =
            images.iter().map(|image| Source::open(carrier, image, true)).collect::<Result<Vec<_>, _>>()?;
        let shipped = carrier.create_index(&sources, &destinations, &settings)?;
        files::write_shipped(&wanted, &destinations, &shipped.digest)?;
        ship::report(events, &destinations, &shipped);
        Ok(())
    })
}
