//! `yadokari init tekton|gitlab|github`: a pipeline for the repository in the working directory.

mod pipelines;
mod repository;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::{files, places};
use crate::usage::Usage;
use repository::Repository;

/// The flags of `yadokari init`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Init {
    /// For which platform
    #[arg(value_name = "PLATFORM")]
    platform: Target,
    /// Print the pipeline rather than write its file
    #[arg(long)]
    stdout: bool,
    /// Image to push; made of the origin's URL by default
    #[arg(long, value_name = "IMAGE", default_value = "", hide_default_value = true)]
    image: String,
    /// Path of the Dockerfile, where there are several
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true)]
    dockerfile: String,
}

/// A platform that a pipeline can be written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// A PipelineRun
    Tekton,
    /// A .gitlab-ci.yml
    Gitlab,
    /// A workflow
    Github,
}

/// What a pipeline is made of.
struct Facts {
    /// The image to push, without a tag.
    image: String,
    /// Whether the image is where the platform keeps this repository's.
    own: bool,
    /// Path of the Dockerfile.
    dockerfile: String,
    /// Directory of the context.
    context: String,
    /// The branch that is built.
    branch: String,
    /// Where the repository can be cloned from.
    url: Option<String>,
}

/// Writes the pipeline, or prints it; the exit code.
///
/// # Errors
/// No Dockerfile, several, or a file that is there already.
pub(crate) fn run(flags: &Init) -> Result<u8, Usage> {
    let (facts, remarks) = facts(flags)?;
    let (path, text) = match flags.platform {
        Target::Tekton => ("tekton/image.yaml", pipelines::tekton(&facts)),
        Target::Gitlab => (".gitlab-ci.yml", pipelines::gitlab(&facts)),
        Target::Github => (".github/workflows/image.yml", pipelines::github(&facts)),
    };
    let remarks = remarks.into_iter().chain(pipelines::remarks(flags.platform, &facts));
    let remarks: String = remarks.map(|remark| format!("{remark}\n")).collect();
    if flags.stdout {
        crate::complain(&remarks);
        return Ok(crate::print(&text));
    }
    if Path::new(path).symlink_metadata().is_ok() {
        return Err(Usage::new(format!("{path} is there already"))
            .help("print what would be written and take from it what is needed: --stdout"));
    }
    if let Some(parent) = Path::new(path).parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .map_err(|e| Usage::new(format!("cannot make {}: {e}", parent.display())))?;
    }
    files::write(Path::new(path), text.as_bytes()).map_err(|e| Usage::new(e.to_string()))?;
    crate::complain(&format!("{path} is written\n{remarks}"));
    Ok(0)
}

fn facts(flags: &Init) -> Result<(Facts, Vec<String>), Usage> {
    let repository = Repository::read(Path::new("."));
    let mut remarks = Vec::new();
    let dockerfile = match flags.dockerfile.as_str() {
        "" => one_dockerfile(&repository)?,
        given => PathBuf::from(given.trim_start_matches("./")),
    };
    let directory = dockerfile.parent().filter(|p| !p.as_os_str().is_empty());
    let context = directory.map_or(".".to_owned(), |directory| directory.display().to_string());
    if context != "." {
        remarks.push(format!(
            "the context is {context}, where the Dockerfile is; change it if files beside it are copied"
        ));
    }
    let (image, own) = match (flags.image.as_str(), repository.image()) {
        ("", Some((image, platform))) => (image, platform == Some(flags.platform)),
        ("", None) => {
            let image = "registry.example.com/team/app".to_owned();
            remarks.push(format!("there is no origin to make an image's name of: replace {image}"));
            (image, false)
        }
        (given, own) => {
            places::destination(given)?;
            (
                given.to_owned(),
                own.is_some_and(|(own, platform)| own == given && platform == Some(flags.platform)),
            )
        }
    };
    let facts = Facts {
        image,
        own,
        dockerfile: dockerfile.display().to_string(),
        context,
        branch: repository.branch.clone(),
        url: repository.https(),
    };
    Ok((facts, remarks))
}

fn one_dockerfile(repository: &Repository) -> Result<PathBuf, Usage> {
    match repository.dockerfiles.as_slice() {
        [] => Err(Usage::new("there is no Dockerfile here")
            .help("run this in the repository, or name it: --dockerfile")),
        [one] => Ok(one.clone()),
        // One at the top is the repository's.
        [first, ..] if first.components().count() == 1 => Ok(first.clone()),
        many => {
            let names: Vec<String> = many.iter().map(|path| path.display().to_string()).collect();
            Err(Usage::new(format!("there are several Dockerfiles: {}", names.join(", ")))
                .help("name one: --dockerfile; yadokari.yaml can name them all"))
        }
    }
}
