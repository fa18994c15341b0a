//! What a command that changes nothing costs on a large tree, against a plain walk of that tree.
//!
//! ```sh
//! cargo build --profile fast --bench scan   # then, as root, with the program that it wrote:
//! scan overlay|chroot [WORK-DIRECTORY]
//! docker run -v …/scan-…:/yadokari/bin/scan --entrypoint /yadokari/bin/scan IMAGE inplace
//! ```
//!
//! Prints the median of a step (enter, run a program that does nothing, find what it changed) and that
//! of a walk of the same tree with getdents and statx on two threads, in turn in one process, and fails
//! if a step costs more than its bar.

#![allow(clippy::print_stdout)] // what it is for

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, StatxFlags};
use yadokari::config::{Isolation, MountConflict, RootfsConfig};
use yadokari::event::{Event, EventSink, Events};
use yadokari::image::ChainId;
use yadokari::rootfs::{Base, Rootfs, RootfsError, open_placement};
use yadokari::run::{Cancel, Ended, Process, User, run, supervisor_entry};

/// Names in the tree: a full distribution with development packages.
const NAMES: usize = 133_000;
/// Names in a directory, of which a tenth are directories in turn.
const IN_A_DIRECTORY: usize = 25;
/// Measurements of each; the median counts.
const RUNS: usize = 9;
/// What a step may cost: a part of the walk where an index is compared, a time in an overlay.
const BAR_OF_INDEX: f64 = 1.7;
const BAR_OF_OVERLAY: Duration = Duration::from_millis(20);

struct Quiet;

impl EventSink for Quiet {
    fn event(&self, _: Event) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    supervisor_entry();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let isolation = match arguments.first().map(String::as_str) {
        // The program that a step runs.
        Some("nothing") => return Ok(()),
        Some("overlay") => Isolation::Overlay,
        Some("chroot") => Isolation::Chroot,
        Some("inplace") => Isolation::Inplace,
        _ => return Err("usage: scan overlay|chroot|inplace [WORK-DIRECTORY]".into()),
    };
    let work = arguments.get(1).map_or_else(|| std::env::temp_dir().join("yadokari-scan"), PathBuf::from);
    let config = RootfsConfig {
        isolation,
        mount_conflict: MountConflict::Swap,
        require_hidden_credentials: false,
        force: false,
        materialize: false,
        work_dir: work,
        home_dir: "/yadokari".into(),
    };
    let threads = std::thread::available_parallelism()?.get();
    let (placement, why) = open_placement(&config, &[], threads, &Events::new(Arc::new(Quiet)))?;
    println!("{why}");
    let key = ChainId::of(b"scan");
    let mut tree = placement.create(0, Base::Layers { key, unpack: &unpack })?;
    let outcome = measure(&mut *tree, isolation);
    drop(tree);
    placement.finish()?;
    outcome
}

fn measure(tree: &mut dyn Rootfs, isolation: Isolation) -> Result<(), Box<dyn std::error::Error>> {
    let first = step(tree)?;
    let (directory, path) = tree.view().locate(b"tree")?.ok_or("the tree is gone")?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = Arc::new(rustix::fs::openat(&directory, &path, flags, Mode::empty())?);
    let (mut steps, mut walks, mut names) = (Vec::new(), Vec::new(), 0);
    for _ in 0..RUNS {
        let start = Instant::now();
        names = walk(&root)?;
        walks.push(start.elapsed());
        steps.push(step(tree)?);
    }
    let (step, walk) = (median(steps), median(walks));
    let ratio = step.as_secs_f64() / walk.as_secs_f64();
    println!(
        "{names} names: first step {:.0} ms, step {:.1} ms, walk {:.1} ms, ratio {ratio:.2}",
        ms(first),
        ms(step),
        ms(walk)
    );
    let good = if isolation == Isolation::Overlay { step <= BAR_OF_OVERLAY } else { ratio <= BAR_OF_INDEX };
    if good { Ok(()) } else { Err("a step costs more than its bar".into()) }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

/// A step that changes nothing.
fn step(tree: &mut dyn Rootfs) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let root = tree.enter(&[])?;
    let user = User { uid: 0, gid: 0, groups: Vec::new(), home: "/".to_owned() };
    let argv = ["/nothing".to_owned(), "nothing".to_owned()];
    let process = Process {
        root: &root,
        argv: &argv,
        env: &[],
        cwd: "/",
        user: &user,
        script: None,
        network: true,
        hostname: None,
        insecure: false,
    };
    let ended = run(&process, &mut |_, _| {}, &Cancel::new())?;
    let changes = tree.changes(&[])?;
    let took = start.elapsed();
    if ended != Ended::Exited(0) || !changes.is_empty() {
        return Err(format!("the step ended as {ended:?} and changed {} names", changes.len()).into());
    }
    Ok(took)
}

/// Makes the tree, and in it the program that a step runs: this one.
fn unpack(target: &Path, _: &mut dyn FnMut(&[u8], u128)) -> Result<(), RootfsError> {
    let make = || -> std::io::Result<()> {
        fs::copy("/proc/self/exe", target.join("nothing"))?;
        fs::set_permissions(target.join("nothing"), fs::Permissions::from_mode(0o755))?;
        let top = target.join("tree");
        fs::create_dir(&top)?;
        let (mut waiting, mut made) = (std::collections::VecDeque::from([top]), 0);
        while let Some(directory) = waiting.pop_front().filter(|_| made < NAMES) {
            for number in 0..IN_A_DIRECTORY {
                let path = directory.join(format!("name-of-a-file-{number:03}"));
                if number % 10 == 0 {
                    fs::create_dir(&path)?;
                    waiting.push_back(path);
                } else {
                    fs::write(&path, [])?;
                }
                made += 1;
            }
        }
        Ok(())
    };
    make().map_err(|source| RootfsError::Io { action: "fill", path: target.to_owned(), source })
}

/// Looks at every name below a directory, on two threads; how many there are.
fn walk(root: &Arc<OwnedFd>) -> std::io::Result<usize> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let first = rustix::fs::openat(root, ".", flags, Mode::empty())?;
    // Halves of the top's subdirectories would differ in size: threads take what comes next.
    let queue = Mutex::new((vec![first], 0_usize));
    let work = || -> std::io::Result<usize> {
        let mut names = 0;
        let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
        let mut own: Vec<OwnedFd> = Vec::new();
        loop {
            let next = own.pop().or_else(|| {
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                let taken = queue.0.pop();
                queue.1 += usize::from(taken.is_some());
                taken
            });
            let Some(directory) = next else {
                let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                if queue.0.is_empty() && queue.1 == 0 {
                    return Ok(names);
                }
                drop(queue);
                std::thread::yield_now();
                continue;
            };
            let mut entries = RawDir::new(&directory, &mut buffer);
            while let Some(entry) = entries.next() {
                let entry = entry?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                let nofollow = AtFlags::SYMLINK_NOFOLLOW;
                let stat = rustix::fs::statx(&directory, name, nofollow, StatxFlags::BASIC_STATS)?;
                names += 1;
                if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory {
                    own.push(rustix::fs::openat(&directory, name, flags, Mode::empty())?);
                }
            }
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            if own.is_empty() {
                queue.1 -= 1;
            } else if queue.0.is_empty() {
                let half = own.len() / 2;
                queue.0.extend(own.drain(..half));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().map(|worker| worker.join().expect("a walk does not panic")).sum()
    })
}
