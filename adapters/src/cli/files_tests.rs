use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use pretty_assertions::assert_eq;
use yadokari::image::Digest;

use super::*;
use crate::cli::config;
use crate::env::Env;
use crate::front;
use crate::session::sample::outcome;

fn built(destinations: &[&str]) -> (BuildConfig, BuildOutcome) {
    let args: Vec<String> = std::iter::once("--no-push".to_owned())
        .chain(destinations.iter().map(|d| format!("-d={d}")))
        .collect();
    let config = config::job(&front::flags(&args).unwrap(), &Env::of(&[])).unwrap().config;
    (config, outcome(&[]))
}

#[test]
fn contents_are_kanikos() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join("made").join(name);
    let (config, outcome) = built(&["r.io/a/b:v1", "user/app"]);
    let digest = Digest::of(b"m");
    let files = ResultFiles {
        digest: Some(path("d")),
        name: Some(path("n")),
        name_tag: None,
        ..ResultFiles::default()
    };
    write_results(&files, &config, &outcome).unwrap();
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    assert_eq!(read("d"), digest.to_string());
    assert_eq!(read("n"), format!("r.io/a/b@{digest}\nindex.docker.io/user/app@{digest}\n"));
    assert_eq!(fs::metadata(path("d").parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(path("d")).unwrap().permissions().mode() & 0o777, 0o644);

    let files = ResultFiles {
        digest: None,
        name: Some(path("n")),
        name_tag: Some(path("t")),
        ..ResultFiles::default()
    };
    write_results(&files, &config, &outcome).unwrap();
    let tagged = format!("r.io/a/b:v1@{digest}\nindex.docker.io/user/app:latest@{digest}\n");
    assert_eq!(read("t"), tagged);
    assert_eq!(read("n").matches(":v1").count(), 0, "each file has its own form");
}

#[test]
fn a_regular_file_is_replaced_and_keeps_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d");
    fs::write(&path, "a longer old content").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    write(&path, b"new").unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert!(after.ino() != before, "written in place");
    assert_eq!(after.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_link_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (link, target) = (dir.path().join("link"), dir.path().join("target"));
    fs::write(&target, "old").unwrap();
    symlink("target", &link).unwrap();
    write(&link, b"new").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&target).unwrap(), "new");
}

#[test]
fn a_device_is_written_plainly() {
    write(Path::new("/dev/null"), b"x").unwrap();
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn a_pipe_is_written_plainly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read_to_string(path).unwrap()
    });
    write(&path, b"x").unwrap();
    assert_eq!(reader.join().unwrap(), "x");
}

#[test]
fn a_file_that_cannot_be_replaced_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "longer").unwrap();
    truncate_and_write(&path, b"new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    for code in [libc::EBUSY, libc::EXDEV] {
        assert!(cannot_replace(&io::Error::from_raw_os_error(code)));
    }
    assert!(!cannot_replace(&io::Error::from_raw_os_error(libc::ENOSPC)));
}

#[test]
fn a_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let error = write(dir.path(), b"x").unwrap_err().to_string();
    assert!(error.contains("it is a directory") && error.contains(dir.path().to_str().unwrap()), "{error}");
}
