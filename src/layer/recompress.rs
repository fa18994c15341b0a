//! A tar that is there already, compressed as our own layers are.

use std::io::{self, Read};

use super::compress::LevelError;
use super::pack::{PackError, PackOptions, PackedLayer};
use super::pipe::{self, PipeError};

/// Compresses a tar into a blob below `options.directory`; its entries are not looked at, and of
/// the options only those of the compression count. Nothing is left behind on failure.
///
/// # Errors
/// [`PackError::Write`], also where the tar cannot be read.
pub fn compress_tar(tar: &mut dyn Read, options: &PackOptions) -> Result<PackedLayer, PackError> {
    let mut file = options.file()?;
    let done = pipe::run(&options.compression, options.threads, file.as_file_mut(), &|_, _| (), |blocks| {
        loop {
            let room = blocks.room().map_err(|_| io::Error::other("the compressing threads ended early"))?;
            match tar.read(room) {
                Ok(0) => return Ok::<_, io::Error>(()),
                Ok(n) => drop(blocks.commit(n)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    let ((), piped) = done.map_err(|e: LevelError| PackError::from(e))?.map_err(|error| match error {
        PipeError::Sink(source) | PipeError::Producer(source) => options.unwritten(source),
    })?;
    options.finish(file, &piped)
}
