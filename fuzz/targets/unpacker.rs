//! Any bytes as the layers of an image: no panic, no hang, bounded memory, nothing written outside
//! the directory, and the tree in memory takes and refuses what the tree on disk does.
#![no_main]

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use yadokari::layer::{LayerSource, Limits, Listing, unpack};

const BLOCK: usize = 512;
const CANARY: &str = "sings";
/// What separates layers: no tar has it where a header may begin.
const SEPARATOR: [u8; 4] = *b"\xffNL\xff";

fuzz_target!(|data: &[u8]| {
    let mut layers: Vec<Vec<u8>> = vec![Vec::new()];
    let mut rest = data;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(next) = rest.strip_prefix(&SEPARATOR) {
            if layers.len() == 4 {
                break;
            }
            layers.push(Vec::new());
            rest = next;
            continue;
        }
        layers.last_mut().expect("one at least").push(*first);
        rest = tail;
    }
    layers.iter_mut().for_each(|layer| seal(layer));
    let limits = Limits { entries: 100, layer_size: 1 << 20, extended_header: 16 << 10, ..Limits::default() };
    let sources = || -> Vec<LayerSource> {
        let source = |bytes: &Vec<u8>| LayerSource {
            name: "fuzzed".to_owned(),
            reader: Box::new(Cursor::new(bytes.clone())),
            diff_id: None,
        };
        layers.iter().map(source).collect()
    };
    let around = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let root = around.path().join("root");
    fs::create_dir(&root).expect("made");
    fs::write(around.path().join("canary"), CANARY).expect("written");
    let unpacked = unpack(sources(), &root, &limits, &mut |_, _| ());
    assert_eq!(fs::read_to_string(around.path().join("canary")).expect("there"), CANARY);
    assert_eq!(fs::read_dir(around.path()).expect("readable").count(), 2, "something was made outside");
    let listed = Listing::new().read_layers(sources(), &limits);
    // The disk may refuse more: owners, devices, names longer than a file system takes.
    if let (Ok(_), Err(error)) = (&unpacked, &listed) {
        panic!("only the tree on disk takes it: {error}");
    }
    open_up(&root);
});

/// Gives every header a right checksum and the owner of this process, so that what follows is
/// looked at.
fn seal(tar: &mut [u8]) {
    let (uid, gid) = owner();
    let mut at = 0;
    while at + BLOCK <= tar.len() {
        let block = &mut tar[at..at + BLOCK];
        if block.iter().all(|byte| *byte == 0) {
            at += BLOCK;
            continue;
        }
        block[108..116].copy_from_slice(format!("{uid:07o}\0").as_bytes());
        block[116..124].copy_from_slice(format!("{gid:07o}\0").as_bytes());
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = block[124..136].iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
        let size =
            digits.fold(0usize, |n, digit| n.saturating_mul(8).saturating_add(usize::from(digit - b'0')));
        at = at.saturating_add(BLOCK).saturating_add(size.saturating_add(BLOCK - 1) / BLOCK * BLOCK);
    }
}

fn owner() -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").map_or((0, 0), |own| (own.uid(), own.gid()))
}

/// Lets a plain user remove what it may not read.
fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
