//! From what was configured to a directory of files: archives are unpacked while they are read,
//! repositories checked out. Neither leaves anything else inside the context.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use super::{Context, ContextError, git};
use crate::cloud::{Address, CloudError, Clouds, Opened};
use crate::config::ContextSource;
use crate::fetch::{Fetcher, Remote};
use crate::layer::{DirView, LayerSource, Limits, resolve, unpack_archive};

/// How often a wait for standard input looks whether somebody asked for the end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How often a wait for a bucket does.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes read at once.
const BLOCK: usize = 256 << 10;

/// KiB that unpacking xz may take: a dictionary of 128 MiB, twice that of `xz -9`.
const XZ_MEMORY: u32 = (129 << 20) / 1024;

/// Says whether somebody asked for the end.
pub type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

/// Where a context that is no directory is put, and who brings it.
pub struct Ground<'a> {
    /// Brings what is elsewhere.
    pub fetcher: &'a Fetcher,
    /// Who knows buckets.
    pub clouds: &'a Clouds,
    /// An empty directory, by a path that other programs can use.
    pub directory: &'a Path,
    /// Whether somebody asked for the end.
    pub stop: Stop,
}

impl Context {
    /// Opens a build context, without ignore rules yet.
    ///
    /// # Errors
    /// [`ContextError`].
    pub fn open(
        source: &ContextSource,
        sub_path: Option<&Path>,
        ground: &Ground<'_>,
    ) -> Result<Option<Context>, ContextError> {
        if let Some(here) = Self::open_here(source, sub_path) {
            return here;
        }
        let opened = match source {
            ContextSource::Empty => return Ok(None),
            ContextSource::Directory(path) | ContextSource::Archive(path) => archive_file(path, ground)?,
            ContextSource::Stdin => {
                let input = io::stdin();
                if input.is_terminal() {
                    return Err(ContextError::Terminal);
                }
                let input = input.as_fd().try_clone_to_owned();
                let input = input.map_err(|source| ContextError::Read { path: "-".into(), source })?;
                let input = Input { file: File::from(input), stop: ground.stop.clone() };
                archive("of standard input", Box::new(input), ground)?
            }
            ContextSource::Url(text) => url(text, ground)?,
            ContextSource::Bucket(text) => bucket(text, ground)?,
            ContextSource::Git(git) => {
                let source = git::source(git)?;
                let checkout = ground.fetcher.checkout(&source, ground.directory, &*ground.stop)?;
                let subdir = source.subdir();
                let time = Some(checkout.time.seconds);
                Context { time, ..Self::confined(ground.directory, Path::new(&subdir))? }
            }
        };
        match sub_path {
            None => Ok(Some(opened)),
            Some(sub) => Ok(Some(Context { time: opened.time, ..Self::confined(&opened.path, sub)? })),
        }
    }

    /// Opens a build context that needs nothing to be fetched or unpacked; none for another.
    pub fn open_here(
        source: &ContextSource,
        sub_path: Option<&Path>,
    ) -> Option<Result<Option<Context>, ContextError>> {
        match source {
            ContextSource::Empty => Some(Ok(None)),
            ContextSource::Directory(path) if !path.is_file() => {
                let path = sub_path.map_or_else(|| path.clone(), |sub| join_below(path, sub));
                Some(Self::directory(&path).map(Some))
            }
            _ => None,
        }
    }

    /// A directory of a tree that others made, without ignore rules: links on the way to it lead
    /// nowhere else.
    ///
    /// # Errors
    /// [`ContextError::Open`].
    pub fn confined(root: &Path, sub: &Path) -> Result<Context, ContextError> {
        let failed = |source| ContextError::Open { path: join_below(root, sub), source };
        let view = DirView::at(root).map_err(failed)?;
        let path = resolve(&view, sub.as_os_str().as_encoded_bytes(), true).map_err(failed)?;
        let path = std::ffi::OsStr::new(std::str::from_utf8(&path).map_err(|e| failed(io::Error::other(e)))?);
        Ok(Context { confined: true, ..Self::directory(&root.join(path))? })
    }
}

fn archive_file(path: &Path, ground: &Ground<'_>) -> Result<Context, ContextError> {
    let file = File::open(path).map_err(|source| ContextError::Open { path: path.to_owned(), source })?;
    let file = Input { file, stop: ground.stop.clone() };
    archive(&path.display().to_string(), Box::new(file), ground)
}

fn url(text: &str, ground: &Ground<'_>) -> Result<Context, ContextError> {
    let wrong = |reason: String| ContextError::Address { text: git::shown(text), reason };
    match Remote::parse(text).map_err(|e| wrong(e.to_string()))? {
        Some(Remote::Url(source)) => {
            let reader = ground.fetcher.reader(&source);
            archive(&source.shown(), Box::new(Interrupted { reader, stop: ground.stop.clone() }), ground)
        }
        _ => Err(wrong("it is no URL of a file".to_owned())),
    }
}

fn bucket(text: &str, ground: &Ground<'_>) -> Result<Context, ContextError> {
    let wrong = |reason: String| ContextError::Address { text: git::shown(text), reason };
    let address = Address::parse(text).map_err(|e| wrong(e.to_string()))?;
    let address = address.ok_or_else(|| wrong("it is no address of an object in a bucket".to_owned()))?;
    let name = address.to_string();
    let object = opened(&address, ground)?;
    let tried = object.tried.clone();
    let reader = ground.fetcher.object(name.clone(), object);
    archive(&name, Box::new(Interrupted { reader, stop: ground.stop.clone() }), ground).map_err(|error| {
        match error {
            // What comes need not be what the credentials' owner thinks.
            ContextError::Unpack { name, reason } if !reason.contains("(tried with") => {
                ContextError::Unpack { name, reason: format!("{reason} (tried with {tried})") }
            }
            error => error,
        }
    })
}

/// Opens an object, unless somebody asks for the end meanwhile.
fn opened(address: &Address, ground: &Ground<'_>) -> Result<Opened, CloudError> {
    ground.clouds.block_on(async {
        let mut opening = std::pin::pin!(ground.clouds.open(address));
        loop {
            match tokio::time::timeout(PAUSE, &mut opening).await {
                Ok(end) => return end,
                Err(_) if (ground.stop)() => {
                    return Err(CloudError::Cancelled { address: address.to_string() });
                }
                Err(_) => {}
            }
        }
    })
}

/// Unpacks an archive as it comes. All its files are ours; what is in it cannot lead elsewhere.
fn archive(name: &str, reader: Box<dyn Read + Send>, ground: &Ground<'_>) -> Result<Context, ContextError> {
    let unpack = |reason: String| ContextError::Unpack { name: name.to_owned(), reason };
    let reader = uncompressed(reader).map_err(|e| unpack(e.to_string()))?;
    let source = LayerSource { name: name.to_owned(), reader, diff_id: None };
    let unpacked = unpack_archive(source, ground.directory, &Limits::default())
        .map_err(|e| unpack(without_name(&e.to_string(), name)))?;
    if unpacked.entries == 0 {
        return Err(unpack("it is empty".to_owned()));
    }
    Context::confined(ground.directory, Path::new(""))
}

/// Undoes the compressions that layers do not have; theirs are undone where layers' are.
fn uncompressed(mut reader: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(6);
    (&mut reader).take(6).read_to_end(&mut start)?;
    let whole = BufReader::with_capacity(BLOCK, io::Cursor::new(start.clone()).chain(reader));
    Ok(match start.as_slice() {
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(whole, true, XZ_MEMORY))
        }
        _ => Box::new(whole),
    })
}

/// An error's words without the name that stands before them already.
fn without_name(text: &str, name: &str) -> String {
    text.strip_prefix(&format!("layer {name}: ")).unwrap_or(text).to_owned()
}

/// A file that may be a pipe nobody writes to: reading it ends when somebody asks for the end.
struct Input {
    file: File,
    stop: Stop,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if (self.stop)() {
                return Err(cancelled());
            }
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&LOOK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A reader that ends when somebody asks for the end.
struct Interrupted<R> {
    reader: R,
    stop: Stop,
}

impl<R: Read> Read for Interrupted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(cancelled());
        }
        self.reader.read(buffer)
    }
}

fn cancelled() -> io::Error {
    io::Error::other("cancelled")
}

/// `sub` below `directory`, whatever it starts with.
fn join_below(directory: &Path, sub: &Path) -> PathBuf {
    directory.join(sub.strip_prefix("/").unwrap_or(sub))
}
