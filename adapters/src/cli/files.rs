//! Files that report a result. They are written after everything succeeded, and never half.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use yadokari::config::{BuildConfig, BuildOutcome};
use yadokari::image::{Digest, Reference};

use super::job::ResultFiles;
use super::results;

/// A result file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result file {}: {source}", path.display())]
pub(crate) struct FileError {
    /// The file.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

/// Writes the files that were asked for, with kaniko's contents (pkg/executor/push.go); except
/// that with both name files asked for each has its own form, where kaniko tags both.
///
/// # Errors
/// The first file that cannot be written.
pub(crate) fn write_results(
    files: &ResultFiles,
    config: &BuildConfig,
    outcome: &BuildOutcome,
) -> Result<(), FileError> {
    write_digest(files, &config.destinations, &outcome.digest)?;
    if let Some(path) = &files.metadata {
        write(path, format!("{:#}\n", results::metadata(config, outcome)).as_bytes())?;
    }
    if let Some(path) = &files.environment {
        write(path, results::environment(config, outcome).as_bytes())?;
    }
    for (name, path) in &files.outputs {
        if let Some(value) = name.value(config, outcome) {
            write(path, value.as_bytes())?;
        }
    }
    Ok(())
}

/// Writes the files for an image of this digest at these destinations, whoever brought it there.
///
/// # Errors
/// The first file that cannot be written.
fn write_digest(files: &ResultFiles, destinations: &[Reference], digest: &Digest) -> Result<(), FileError> {
    if let Some(path) = &files.digest {
        write(path, digest.to_string().as_bytes())?;
    }
    let lines = |name: &dyn Fn(&Reference) -> String| -> String {
        destinations.iter().map(|d| format!("{}@{digest}\n", name(d))).collect()
    };
    if let Some(path) = &files.name {
        write(path, lines(&repository).as_bytes())?;
    }
    if let Some(path) = &files.name_tag {
        write(path, lines(&|d| format!("{}:{}", repository(d), d.tag().unwrap_or("latest"))).as_bytes())?;
    }
    Ok(())
}

/// Writes all files for an image that was not built here but brought to these destinations.
///
/// # Errors
/// The first file that cannot be written.
pub(crate) fn write_shipped(
    files: &ResultFiles,
    destinations: &[Reference],
    digest: &Digest,
) -> Result<(), FileError> {
    write_digest(files, destinations, digest)?;
    if let Some(path) = &files.environment {
        let lines = results::NAMES.iter().filter_map(|name| {
            name.of_pushed(destinations, digest).map(|value| format!("{}={value}\n", name.variable))
        });
        write(path, lines.collect::<String>().as_bytes())?;
    }
    for (name, path) in &files.outputs {
        if let Some(value) = name.of_pushed(destinations, digest) {
            write(path, value.as_bytes())?;
        }
    }
    Ok(())
}

/// `host/repository` as kaniko's registry library spells it.
fn repository(reference: &Reference) -> String {
    let host = match reference.registry() {
        "docker.io" => "index.docker.io",
        other => other,
    };
    format!("{host}/{}", reference.repository())
}

/// Writes a file: renamed into place where it is a regular file or absent; plainly where it is a
/// device, or is mounted and cannot be replaced. Missing parents are made, with mode 0700 as
/// kaniko's.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError { path: path.to_owned(), source };
    match path.to_str() {
        // Opening these anew would truncate a log that the shell redirected there.
        Some("/dev/stdout" | "/proc/self/fd/1" | "/dev/fd/1") => {
            return plain_stream(io::stdout().lock(), content).map_err(failed);
        }
        Some("/dev/stderr" | "/proc/self/fd/2" | "/dev/fd/2") => {
            return plain_stream(io::stderr().lock(), content).map_err(failed);
        }
        _ => {}
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            // A link stays a link to the new content.
            let target = fs::canonicalize(path).map_err(failed)?;
            let mode = meta.permissions().mode() & 0o7777;
            match rename_into_place(&target, content, mode) {
                Err(e) if cannot_replace(&e) => truncate_and_write(&target, content),
                done => done,
            }
            .map_err(failed)
        }
        Ok(meta) if meta.file_type().is_dir() => {
            Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")))
        }
        Ok(meta) if meta.file_type().is_socket() => {
            Err(failed(io::Error::new(io::ErrorKind::Unsupported, "it is a socket")))
        }
        Ok(_) => {
            OpenOptions::new().write(true).open(path).and_then(|f| plain_stream(f, content)).map_err(failed)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            rename_into_place(path, content, 0o644).map_err(failed)
        }
        Err(e) => Err(failed(e)),
    }
}

fn plain_stream(mut to: impl Write, content: &[u8]) -> io::Result<()> {
    to.write_all(content)?;
    to.flush()
}

fn rename_into_place(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".yadokari-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(directory)?;
    file.write_all(content)?;
    // The umask took bits from the mode asked for.
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Whether a file may be writable though it cannot be renamed over: a mount point (EBUSY, EXDEV),
/// or a directory that takes no new files.
fn cannot_replace(error: &io::Error) -> bool {
    let busy = [libc::EBUSY, libc::EXDEV, libc::EACCES, libc::EPERM, libc::EROFS];
    error.raw_os_error().is_some_and(|code| busy.contains(&code))
}

fn truncate_and_write(path: &Path, content: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).truncate(true).custom_flags(libc::O_NOCTTY).open(path)?;
    plain_stream(file, content)
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
