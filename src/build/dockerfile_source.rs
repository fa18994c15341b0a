//! The Dockerfile of a build: a file, or one of a web server (kaniko's `--dockerfile URL`).

use std::fs::File;
use std::path::Path;

use crate::config::BuildConfig;
use crate::context::{self, Context};
use crate::dockerfile::Source;
use crate::event::Events;
use crate::fetch::Remote;

use super::workspace::Workspace;
use super::{Error, Session};

/// Reads the Dockerfile, and gives the context the ignore rules that go with it.
///
/// # Errors
/// It is not there or cannot be read.
pub(super) fn read(
    config: &BuildConfig,
    context: Option<&mut Context>,
    events: &Events,
) -> Result<Source, Error> {
    let Some(url) =
        config.dockerfile.to_str().filter(|t| t.starts_with("http://") || t.starts_with("https://"))
    else {
        return Ok(context::read_dockerfile(&config.dockerfile, context)?);
    };
    let Some(Remote::Url(source)) = Remote::parse(url).map_err(|e| Error::other(e.to_string()))? else {
        return Err(Error::other(format!("{url} names no file that can be the Dockerfile")));
    };
    let session = Session::open(config, events)?;
    let workspace = Workspace::create(&config.rootfs.work_dir)?;
    let path = workspace.directory_outside("dockerfile")?.join("Dockerfile");
    let unwritable = |e: std::io::Error| Error::other(format!("cannot write {}: {e}", path.display()));
    let file = File::create_new(&path).map_err(unwritable)?;
    session.network.block_on(session.fetcher().download(&source, file))?;
    let read = context::read_dockerfile(Path::new(&path), context)?;
    Ok(read.named(source.shown()))
}
