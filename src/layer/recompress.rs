//! A tar that is there already, compressed as our own layers are.

use std::fs::Permissions;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

use super::compress::LevelError;
use super::pack::{PackError, PackOptions, PackedLayer};
use super::pipe::{self, PipeError};

/// Compresses a tar into a blob below `options.directory`; its entries are not looked at, and of
/// the options only those of the compression count. Nothing is left behind on failure.
///
/// # Errors
/// [`PackError::Write`], also where the tar cannot be read.
pub fn compress_tar(tar: &mut dyn Read, options: &PackOptions) -> Result<PackedLayer, PackError> {
    let failed = |source| PackError::Write { directory: options.directory.clone(), source };
    let mut file = tempfile::Builder::new()
        .prefix(".packing-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(&options.directory)
        .map_err(failed)?;
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
        PipeError::Sink(source) | PipeError::Producer(source) => failed(source),
    })?;
    let path = options.directory.join(format!("sha256-{}", piped.digest.hex()));
    file.persist(&path).map_err(|e| failed(e.error))?;
    Ok(PackedLayer {
        digest: piped.digest,
        diff_id: piped.diff_id,
        size: piped.size,
        uncompressed_size: piped.uncompressed_size,
        compression: options.compression.algorithm,
        path,
        entries: 0,
        content: None,
    })
}
