//! Jobs that are one of several, made by `parallel:matrix`: one a platform.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use yadokari::image::Platform;

use crate::env::Env;
use crate::settings::dialect::Read;
use crate::settings::{Key, Origin};
use crate::usage::Usage;

/// More than any reference has.
const LONGEST: u64 = 4096;

/// Which of several jobs this is.
#[derive(Debug)]
pub(super) struct Leg(Option<String>);

/// Platforms as a part of a tag or file name: `linux-arm64`.
pub(super) fn slugs<'a>(platforms: impl Iterator<Item = &'a Platform>) -> String {
    let slugs: Vec<String> = platforms.map(|p| p.to_string().replace(['/', ':'], "-")).collect();
    slugs.join("-")
}

/// The images that the other jobs left in a directory, a file each.
///
/// # Errors
/// There are none, or a file is none of ours.
pub(super) fn images(directory: &Path) -> Result<Vec<String>, Usage> {
    let none = || {
        Usage::new(format!("there are no images to join: {} has no files", directory.display()))
            .help("let this job need the jobs of the component build, with their artifacts")
    };
    let mut files: Vec<_> =
        fs::read_dir(directory).map_err(|_| none())?.flatten().map(|e| e.path()).collect();
    files.sort();
    let mut images = Vec::new();
    for file in files {
        let mut text = String::new();
        let read = File::open(&file).and_then(|f| f.take(LONGEST).read_to_string(&mut text));
        read.map_err(|e| Usage::new(format!("cannot read {}: {e}", file.display())))?;
        images.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    if images.is_empty() { Err(none()) } else { Ok(images) }
}

impl Leg {
    /// This job: `CI_NODE_TOTAL` is more than 1 where there are others.
    ///
    /// # Errors
    /// The input `platform` names none.
    pub(super) fn of(read: &Read, env: &Env) -> Result<Leg, Usage> {
        let total: u32 = env.get("CI_NODE_TOTAL").and_then(|n| n.parse().ok()).unwrap_or(1);
        if total < 2 {
            return Ok(Leg(None));
        }
        let texts = read.settings.items(Key::Platforms);
        let parsed = texts.iter().map(|text| text.parse());
        let mut platforms: Vec<Platform> =
            parsed.collect::<Result<_, _>>().map_err(|e| Usage::new(format!("input platform: {e}")))?;
        if platforms.is_empty() {
            platforms.push(Platform::host());
        }
        Ok(Leg(Some(slugs(platforms.iter()))))
    }

    /// What the names of results end with, for reports of all jobs are put together: `_linux_arm64`.
    pub(super) fn suffix(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        self.0
            .as_ref()
            .map_or(String::new(), |slug| format!("_{}", slug.chars().map(plain).collect::<String>()))
    }

    /// A tag of this job's own: `v1-linux-arm64`. The tag itself is for the index.
    pub(super) fn tag(&self, tag: &str) -> String {
        match &self.0 {
            Some(slug) => format!("{tag}-{slug}"),
            None => tag.to_owned(),
        }
    }

    /// Gives every tag that is named to this job alone.
    ///
    /// # Errors
    /// None in practice: lists stay lists.
    pub(super) fn rename(&self, read: &mut Read) -> Result<(), Usage> {
        if self.0.is_none() {
            return Ok(());
        }
        let origin = || Origin::decided("parallel:matrix");
        let tagged = |image: &str| image.rsplit('/').next().is_some_and(|name| name.contains(':'));
        let images = read.settings.items(Key::Image);
        if images.iter().any(|image| tagged(image)) {
            let own = |image: &String| if tagged(image) { self.tag(image) } else { image.clone() };
            let images: Vec<String> = images.iter().map(own).collect();
            read.settings.put_items(Key::Image, &images, origin())?;
        }
        // A default tag is for images without one of their own, where no rules make others.
        let tags = read.settings.items(Key::Tags);
        let by_default = !images.iter().any(|i| tagged(i)) && read.settings.items(Key::TagRules).is_empty();
        if !tags.is_empty() && (read.settings.chosen(Key::Tags) || by_default) {
            let tags: Vec<String> = tags.iter().map(|tag| self.tag(tag)).collect();
            read.settings.put_items(Key::Tags, &tags, origin())?;
        }
        Ok(())
    }
}
