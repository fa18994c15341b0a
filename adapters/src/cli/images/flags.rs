//! What is typed after `yadokari push` and its like.

use std::path::PathBuf;

use clap::Args;
use yadokari::image::Platform;

use crate::cli::config;
use crate::cli::flags::{Log, Registry};
use crate::cli::job::ResultFiles;
use crate::cli::results::Name;
use crate::usage::Usage;

/// `yadokari push`
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct PushFlags {
    /// DIR[:TAG][@DIGEST] for an OCI layout, FILE[:NAME] for an archive of docker save or of a layout,
    /// - for one on standard input
    #[arg(value_name = "LAYOUT|ARCHIVE")]
    pub(super) image: String,
    /// Where to push the image; repeatable
    #[arg(long, short = 'd', value_name = "IMAGE")]
    pub(super) destination: Vec<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `yadokari pull`
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct PullFlags {
    /// The image; an index is pulled with all its platforms where --platform does not choose one
    #[arg(value_name = "IMAGE")]
    pub(super) image: String,
    /// OCI layout to put the image into; images in it of other tags stay
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub(super) oci_layout_path: String,
    /// Write the image as a `docker load` archive; of an index, this machine's platform
    #[arg(long, alias = "tarPath", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub(super) tar_path: String,
    #[command(flatten)]
    pub(super) common: Common,
}

/// `yadokari copy`
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
pub(crate) struct CopyFlags {
    /// The image: in a registry, an OCI layout or an archive
    #[arg(value_name = "SOURCE")]
    pub(super) source: String,
    /// Where to copy it: IMAGE in a registry, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]
    #[arg(value_name = "DESTINATION", required = true)]
    pub(super) destination: Vec<String>,
    /// Copy what refers to the image too: signatures, attestations, SBOMs
    #[arg(long)]
    pub(super) referrers: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What all of them have.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Common {
    /// Of an index, only the image for this platform
    #[arg(
        long,
        aliases = ["custom-platform", "customPlatform"],
        value_name = "OS/ARCH",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) platform: String,
    #[command(flatten)]
    pub(super) files: Files,
    #[command(flatten)]
    pub(super) registry: Registry,
    #[command(flatten)]
    pub(super) log: Log,
}

/// Files that report the digest, as those of a build.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Result")]
pub(crate) struct Files {
    /// Write the image's digest to a file
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    digest_file: String,
    /// Write repository@digest of each destination to a file
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    image_name_with_digest_file: String,
    /// Write repository:tag@digest of each destination to a file
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    image_name_tag_with_digest_file: String,
    /// Write the results to a file, each as NAME=VALUE: IMAGE_DIGEST, IMAGE_URL, IMAGE_REF and more
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    env_file: String,
    /// Write one result to a file without a newline, such as digest=FILE or image-ref=FILE; repeatable
    #[arg(long, value_name = "RESULT=FILE")]
    output_file: Vec<String>,
}

impl Files {
    /// `--output-file`, of what is known without a build.
    fn outputs(&self) -> Result<Vec<(Name, PathBuf)>, Usage> {
        let outputs = config::output_files(&self.output_file)?;
        match outputs.iter().find(|(name, _)| !name.is_of_pushed()) {
            Some((name, _)) => Err(Usage::new(format!("only a build has the result '{}'", name.output))
                .help("ask for digest, image, image-ref, tags or images")),
            None => Ok(outputs),
        }
    }

    /// The files that were asked for.
    pub(super) fn wanted(&self) -> Result<ResultFiles, Usage> {
        let file = |text: &str| match text {
            "" => Ok(None),
            text if text.starts_with("http://") || text.starts_with("https://") => {
                let message = format!("the result cannot be sent to {text}: only files are written here");
                Err(Usage::new(message).help("write a file and send it afterwards"))
            }
            text => Ok(Some(PathBuf::from(text))),
        };
        Ok(ResultFiles {
            digest: file(&self.digest_file)?,
            name: file(&self.image_name_with_digest_file)?,
            name_tag: file(&self.image_name_tag_with_digest_file)?,
            environment: file(&self.env_file)?,
            outputs: self.outputs()?,
            metadata: None,
        })
    }
}

impl Common {
    /// The platform that was asked for.
    pub(super) fn platform(&self) -> Result<Option<Platform>, Usage> {
        match self.platform.as_str() {
            "" | "all" => Ok(None),
            text => text.parse().map(Some).map_err(|e| Usage::new(format!("--platform: {e}"))),
        }
    }
}
