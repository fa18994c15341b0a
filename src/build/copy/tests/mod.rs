//! What `COPY` and `ADD` make of real directories, by BuildKit's rules.

mod archives;
mod excludes;
mod ignoring;
mod in_memory;
mod links;
mod owners;
mod placing;
mod wildcards;

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::layer::{DirView, Limits, Listing};
use crate::plan::{Chmod, CopyFrom, Ownership};

struct Case {
    context: tempfile::TempDir,
    image: Listing,
    ignore: Option<IgnoreMatcher>,
    step: CopyStep,
    compat: bool,
    warnings: RefCell<Vec<String>>,
}

fn case(sources: &[&str], destination: &str) -> Case {
    let step = CopyStep {
        sources: sources.iter().map(|s| CopySource::Path((*s).to_owned())).collect(),
        ..CopyStep::plain(CopyFrom::Context, String::new(), destination)
    };
    Case {
        context: tempfile::tempdir().unwrap(),
        image: Listing::new(),
        ignore: None,
        step,
        compat: false,
        warnings: RefCell::default(),
    }
}

impl Case {
    /// A file of the context; its content is its path.
    fn file(self, path: &str) -> Self {
        let at = self.context.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, path).unwrap();
        self
    }

    fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.context.path().join(path)).unwrap();
        self
    }

    fn mode(self, path: &str, mode: u32) -> Self {
        fs::set_permissions(self.context.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// An entry the image has.
    fn image(mut self, path: &str, kind: Kind, mode: u32) -> Self {
        let path = path.as_bytes().to_vec();
        let (mtime, xattrs, content) = (Timestamp { seconds: 7, nanoseconds: 0 }, Vec::new(), Content::None);
        let content = if path == b"etc/passwd" {
            Content::Bytes(b"root:x:0:0::/root:/bin/sh\nme:x:5:6::/:/bin/sh\n".as_slice().into())
        } else {
            content
        };
        self.image.insert(&Entry { path, kind, mode, uid: 0, gid: 0, mtime, xattrs, content }).unwrap();
        self
    }

    fn directory(self, path: &str, mode: u32) -> Self {
        self.image(path, Kind::Directory, mode)
    }

    fn with(mut self, change: impl FnOnce(&mut CopyStep)) -> Self {
        change(&mut self.step);
        self
    }

    fn ignoring(mut self, rules: &str) -> Self {
        self.ignore = Some(IgnoreMatcher::parse(rules).unwrap());
        self
    }

    fn entries(&self) -> Result<Vec<Entry>, CopyError> {
        let view = DirView::at(self.context.path()).unwrap();
        let source = SourceTree {
            view: &view,
            ignore: self.ignore.as_ref(),
            ignore_file: Some(Path::new(".dockerignore")),
            keep_owner: false,
            modes: crate::config::ContextModes::Disk,
            name: "the build context".to_owned(),
        };
        copy_entries(&CopyJob {
            step: &self.step,
            source: Some(source),
            fetched: &[],
            destination: &self.image,
            now: Timestamp { seconds: 99, nanoseconds: 0 },
            spool: &tempfile::tempfile,
            limits: Limits::default(),
            compat: self.compat,
            warn: &|text| self.warnings.borrow_mut().push(text),
        })
    }

    /// What the user is told, and nothing else.
    fn warned(&self) -> String {
        self.entries().unwrap();
        self.warnings.borrow().join("\n")
    }

    /// Entries as `path mode owner`, with a mark for the kind.
    fn made(&self) -> Vec<String> {
        self.entries().unwrap().iter().map(shown_entry).collect()
    }

    fn error(&self) -> String {
        self.entries().unwrap_err().to_string()
    }
}

fn shown_entry(e: &Entry) -> String {
    let path = shown(&e.path);
    let name = match &e.kind {
        Kind::Directory => format!("{path}/"),
        Kind::Symlink(target) => format!("{path} -> {}", shown(target)),
        Kind::HardLink(target) => format!("{path} = {}", shown(target)),
        _ => path,
    };
    format!("{name} {:o} {}:{}", e.mode, e.uid, e.gid)
}
