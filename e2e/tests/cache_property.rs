//! Whatever is edited, a build with a cache makes what a build without one makes.

use std::collections::BTreeMap;
use std::path::Path;

use yadokari_e2e::{Build, Image, Node, Place, scratch};

/// Edit sequences tried; `YADOKARI_SEQUENCES` asks for more.
const SEQUENCES: u64 = 40;
/// Edits in a sequence.
const EDITS: usize = 3;

/// Numbers that look random and are the same in every run (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.next(of.len())]
    }
}

/// A context and a Dockerfile while they are edited.
#[derive(Clone)]
struct Project {
    files: BTreeMap<String, (u32, String)>,
    /// Instructions of the first stage, and of the last.
    stages: [Vec<String>; 2],
    argument: String,
}

const NAMES: [&str; 5] = ["a", "b", "d/a", "d/b", "d/e/f"];
const FIRST: [&str; 9] = [
    "COPY a /a",
    "COPY d /d",
    "COPY . /all/",
    "COPY --chmod=600 a d /m/",
    "WORKDIR /w",
    "RUN cat /a > /made 2>/dev/null || echo none > /made",
    "RUN rm -rf /all /a && mkdir -p /d && ls -R /d > /list",
    "ARG A=1\nRUN echo $A > /argument",
    "ENV E=1\nRUN echo $E > /variable",
];
const LAST: [&str; 7] = [
    "COPY --from=first / /from/",
    "COPY --from=first /etc/passwd /made* /x/",
    "COPY --link b /linked",
    "COPY <<end /text\nheredoc $A\nend",
    "RUN ls -R /x /from /added > /files 2>&1; rm -f /linked",
    "LABEL l=1",
    "ADD d/a /etc/group /nowhere/",
];

impl Project {
    fn new(chance: &mut Chance) -> Self {
        let files = NAMES.map(|n| (n.to_owned(), (0o644, chance.next(3).to_string())));
        let pick = |chance: &mut Chance, of: &[&str]| (0..3).map(|_| chance.one_of(of).to_owned()).collect();
        let stages = [pick(chance, &FIRST), pick(chance, &LAST)];
        Project { files: files.into(), stages, argument: "1".to_owned() }
    }

    fn edit(&mut self, chance: &mut Chance) {
        let name = chance.one_of(&NAMES).to_owned();
        match chance.next(8) {
            0 | 1 => drop(self.files.insert(name, (0o644, chance.next(3).to_string()))),
            2 => self.files.entry(name).or_default().0 = [0o644, 0o755, 0o600][chance.next(3)],
            3 if name != "a" && name != "b" => drop(self.files.remove(&name)),
            4 => self.argument = chance.next(3).to_string(),
            5 => self.stages[0].insert(chance.next(4), chance.one_of(&FIRST).to_owned()),
            6 => self.stages[1].insert(chance.next(4), chance.one_of(&LAST).to_owned()),
            _ => {
                let stage = &mut self.stages[chance.next(2)];
                let at = chance.next(stage.len());
                stage.remove(at);
                if stage.is_empty() {
                    stage.push("WORKDIR /w".to_owned());
                }
            }
        }
        for stage in &mut self.stages {
            stage.truncate(6);
        }
    }

    fn build(&self, cache: Option<&Path>) -> Image {
        let [first, last] = self.stages.clone().map(|s| s.join("\n"));
        let last = last.replace("ADD d/a /etc/group /nowhere/", "ADD a b /added/");
        let dockerfile = format!("FROM busybox AS first\n{first}\nFROM busybox\nARG A\n{last}\n");
        let mut build = Build::new(&dockerfile).flag(&format!("--build-arg=A={}", self.argument));
        for (name, (mode, content)) in &self.files {
            build = build.file_with_mode(name, *mode, content);
        }
        // There is always something in it.
        build = build.file("d/always", "x").file(".dockerignore", "Dockerfile\n.dockerignore\n");
        if let Some(cache) = cache {
            build = build.flag("--cache").flag(&format!("--cache-repo=oci:{}", cache.display()));
        }
        build.run(Place::Overlay).image()
    }
}

/// Everything in an image but times: its files, and its config without what depends on the time.
fn without_times(image: &Image) -> (BTreeMap<String, Node>, serde_json::Value, Vec<(String, bool)>) {
    (image.tree().nodes, image.config["config"].clone(), image.history())
}

#[test]
fn a_cached_build_equals_a_cold_one() {
    let sequences =
        std::env::var("YADOKARI_SEQUENCES").ok().and_then(|n| n.parse().ok()).unwrap_or(SEQUENCES);
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= sequences {
                        return;
                    }
                    sequence(seed);
                }
            });
        }
    });
}

fn sequence(seed: u64) {
    let mut chance = Chance(seed);
    let cache = scratch();
    let mut project = Project::new(&mut chance);
    for edit in 0..EDITS {
        let cached = project.build(Some(&cache.path().join("cache")));
        let cold = project.build(None);
        let (stages, files) = (&project.stages, &project.files);
        assert!(
            without_times(&cached) == without_times(&cold),
            "sequence {seed}, edit {edit}: {stages:#?} {files:?}\ncached {:#?}\ncold {:#?}",
            without_times(&cached),
            without_times(&cold)
        );
        project.edit(&mut chance);
    }
}
