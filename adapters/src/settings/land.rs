//! From settings to flags and to a job: the one place where what was told becomes a build.

use std::path::{Path, PathBuf};

use yadokari::config::StepSecret;

use super::key::{KEYS, Key, Landing};
use super::{Layer, Settings, Value, auth, outputs, secrets};
use crate::cli::flags::Flags;
use crate::cli::job::Job;
use crate::cli::{config, credentials, places};
use crate::env::Env;
use crate::front;
use crate::session::Reporter;
use crate::usage::Usage;

/// Rules that make tags, for a platform that knows what they speak of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TagRules {
    /// The repositories that are tagged.
    pub(crate) images: Vec<String>,
    /// The rules, one each.
    pub(crate) rules: Vec<String>,
    /// What all of them have in common.
    pub(crate) flavor: Vec<String>,
}

impl Settings {
    /// The build that is told of.
    ///
    /// # Errors
    /// Values that make no build.
    pub(crate) fn job(&self, env: &Env, reporter: &dyn Reporter) -> Result<Job, Usage> {
        let flags = self.flags(env, reporter)?;
        let push = !flags.result.no_push;
        if push && flags.destination.is_empty() && env.get("KANIKO_NO_PUSH").is_none() {
            return Err(reporter.nowhere());
        }
        let mut job = config::job(&flags, env).map_err(|error| self.blame(error))?;
        self.complete(&mut job)?;
        reporter.complete(&mut job, env)?;
        Ok(job)
    }

    /// The flags of `yadokari build` that say the same, without what no flag can say.
    ///
    /// # Errors
    /// Values that no flag takes.
    pub(crate) fn flags(&self, env: &Env, reporter: &dyn Reporter) -> Result<Flags, Usage> {
        let extra = self.items(Key::ExtraArgs);
        let typed = self.items_given(Key::ExtraArgs).into_iter();
        let typed = typed.filter(|(_, origin)| origin.layer >= Layer::Input);
        let typed: Vec<String> = typed.map(|(word, _)| word.to_owned()).collect();
        let typed = parse(&typed).map_err(|text| {
            Usage::new(format!("in the extra arguments: {text}"))
                .help("give each argument as an item of its own; yadokari build --help lists them")
        })?;
        let mut words = self.words(env)?;
        let elsewhere = !typed.destination.is_empty();
        words.extend(self.destinations(reporter, elsewhere)?.iter().map(|d| format!("--destination={d}")));
        parse(&words).map_err(|text| self.blame(Usage::new(text)))?;
        words.extend(extra);
        parse(&words).map_err(Usage::new)
    }

    /// One word for each value.
    fn words(&self, env: &Env) -> Result<Vec<String>, Usage> {
        self.refuse()?;
        let mut words = Vec::new();
        if let Some(epoch) = self.source_date_epoch(env) {
            words.push(format!("--build-arg=SOURCE_DATE_EPOCH={epoch}"));
        }
        for key in KEYS.iter().copied().filter(|key| *key != Key::Destinations) {
            let (flag, negated) = match key.landing() {
                Landing::Flag(flag) => (flag, false),
                Landing::Negated(flag) => (flag, true),
                Landing::Apart => continue,
            };
            if let Some(path) = self.dockerfile().filter(|_| key == Key::Dockerfile) {
                words.push(format!("{flag}={path}"));
            } else if let Some(value) = self.boolean(key) {
                words.push(format!("{flag}={}", value != negated));
            } else if let Some(text) = self.text(key) {
                words.push(format!("{flag}={text}"));
            }
            words.extend(self.items(key).iter().map(|item| format!("{flag}={item}")));
        }
        words.extend(self.items(Key::Mirrors).iter().map(|mirror| match mirror.contains('=') {
            true => format!("--registry-map={mirror}"),
            false => format!("--registry-mirror={mirror}"),
        }));
        words.extend(secrets::words(self)?);
        for (item, origin) in self.items_given(Key::Outputs) {
            words.extend(outputs::words(item).map_err(|error| Usage {
                message: format!("{}: {}", origin.of(Key::Outputs), error.message),
                ..error
            })?);
        }
        Ok(words)
    }

    /// The Dockerfile below a context that the configuration file names, as `docker buildx bake` has it, unless
    /// its path was typed.
    fn dockerfile(&self) -> Option<String> {
        let of_file = |key| self.origin(key).is_some_and(|o| matches!(o.layer, Layer::File(_)));
        let typed = self.origin(Key::Dockerfile).is_some_and(|origin| origin.layer >= Layer::Input);
        let context = self.text(Key::Context).filter(|_| of_file(Key::Context) && !typed)?;
        let path = Path::new(context).join(self.text(Key::Dockerfile).unwrap_or("Dockerfile"));
        Some(path.to_str()?.to_owned()).filter(|_| path.is_file())
    }

    /// The environment's own variable counts more than what a platform knows of the commit.
    fn source_date_epoch(&self, env: &Env) -> Option<&str> {
        let decided = self.chosen(Key::SourceDateEpoch) || env.get("SOURCE_DATE_EPOCH").is_none();
        self.text(Key::SourceDateEpoch).filter(|_| decided)
    }

    /// Where the image is pushed to; where the user named an `elsewhere` in an argument, not where the platform
    /// or the configuration file does.
    fn destinations(&self, reporter: &dyn Reporter, elsewhere: bool) -> Result<Vec<String>, Usage> {
        let default = |key| self.origin(key).is_some_and(|origin| origin.layer < Layer::Input);
        let mut all = Vec::new();
        if !(elsewhere && default(Key::Destinations)) {
            all.extend(self.items(Key::Destinations));
        }
        let images = match elsewhere && default(Key::Image) {
            true => Vec::new(),
            false => self.items(Key::Image),
        };
        let rules = self.items(Key::TagRules);
        let ruled = match rules.is_empty() {
            true => Vec::new(),
            false => {
                let flavor = self.items(Key::Flavor);
                reporter.tags(&TagRules { images: images.clone(), rules, flavor })?
            }
        };
        let tags = self.items(Key::Tags);
        let chosen = self.chosen(Key::Tags);
        if images.is_empty() && chosen && all.is_empty() && !elsewhere {
            // Whole references need no image.
            if let Some(tag) = tags.iter().find(|tag| !tag.contains(['/', ':'])) {
                return Err(Usage::new(format!("the tag {tag} is given without an image"))
                    .help("name the repository as well, or write the whole reference"));
            }
            all.extend(tags);
            return Ok(all);
        }
        for image in &images {
            let own = image.rsplit('/').next().is_some_and(|name| name.contains(':'));
            let mut of_image = ruled.clone();
            // A tag that nobody chose is none where none is wanted.
            let wanted = !own && ruled.is_empty() && self.boolean(Key::PushByDigest) != Some(true);
            if chosen || wanted {
                of_image.extend(tags.iter().cloned());
            }
            for destination in places::with_tags(image, &of_image).map_err(|error| self.blame(error))? {
                if !all.contains(&destination) {
                    all.push(destination);
                }
            }
        }
        Ok(all)
    }

    /// What no flag says.
    fn complete(&self, job: &mut Job) -> Result<(), Usage> {
        let mut sources = Vec::new();
        if let (Some(username), Some(password)) = (self.text(Key::Username), self.text(Key::Password)) {
            let first = || job.config.destinations.first().map(|d| d.registry().to_owned());
            let registry = self.text(Key::Registry).map(str::to_owned).or_else(first);
            let registry = registry.unwrap_or_else(|| "docker.io".to_owned());
            let name = self.origin(Key::Password).map_or_else(String::new, ToString::to_string);
            sources.push(credentials::basic(&name, &registry, username, password));
        }
        for given in self.of(Key::RegistryAuths) {
            if let Value::Text(text) = &given.value {
                sources.extend(auth::sources(&given.origin.of(Key::RegistryAuths), text)?);
            }
        }
        job.config.keychain.sources.splice(0..0, sources);
        for given in [self.of(Key::CaFile), self.of(Key::CaDir)].concat() {
            if let Value::Text(path) = &given.value {
                job.config.registry.ca_paths.push(PathBuf::from(path));
            }
        }
        if self.boolean(Key::Pull) == Some(true) {
            // Without kept base images, registries are asked for all of them.
            job.config.cache.bases = None;
        }
        for secret in secrets::values(self)? {
            job.config.steps.secrets.retain(|StepSecret { id, .. }| *id != secret.id);
            job.config.steps.secrets.push(secret);
        }
        Ok(())
    }

    /// Refuses what would give another image, or none.
    fn refuse(&self) -> Result<(), Usage> {
        let off = |text: &str| ["false", "no", "0"].contains(&text.to_ascii_lowercase().as_str());
        for key in [Key::Sbom, Key::Provenance] {
            if let Some(origin) = self.origin(key).filter(|_| self.text(key).is_some_and(|text| !off(text))) {
                return Err(Usage::new(format!("{} is not supported yet", origin.of(key))).help(
                    "leave it out, or write false; the digest that comes out can be attested by other tools",
                ));
            }
        }
        let attested = |item: &String| !item.split(',').any(|field| field.trim() == "disabled=true");
        if let Some(item) = self.items(Key::Attests).into_iter().find(attested) {
            return Err(Usage::new(format!("the attestation '{item}' is not supported yet"))
                .help("leave it out, or write type=…,disabled=true"));
        }
        if self.boolean(Key::Load) == Some(true) {
            return Err(Usage::new("load needs a docker engine, and none is used here")
                .help("write an archive for docker load instead: outputs: type=docker,dest=image.tar"));
        }
        match (self.text(Key::Username), self.text(Key::Password)) {
            (Some(_), None) | (None, Some(_)) => {
                Err(Usage::new("of username and password only one is given").help("give both, or none"))
            }
            _ => Ok(()),
        }
    }

    /// Says who gave the flag that an error speaks of.
    pub(crate) fn blame(&self, error: Usage) -> Usage {
        let names = |flag: &str| {
            let mut found = error.message.match_indices(flag);
            found.any(|(at, _)| {
                !error.message[at + flag.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '-')
            })
        };
        for key in KEYS.iter().copied() {
            let (flag, key) = match (key, key.landing()) {
                (Key::Image | Key::Tags, _) => ("--destination", key),
                (Key::Secrets | Key::SecretEnvs | Key::SecretFiles, _) => ("--secret", key),
                (Key::SourceDateEpoch, _) => ("SOURCE_DATE_EPOCH", key),
                (_, Landing::Flag(flag) | Landing::Negated(flag)) => (flag, key),
                (_, Landing::Apart) => continue,
            };
            if let Some(origin) = self.origin(key).filter(|_| names(flag)) {
                let message = format!("{} ({flag} is from {})", error.message, origin.of(key));
                return Usage { message, ..error };
            }
        }
        error
    }
}

fn parse(words: &[String]) -> Result<Flags, String> {
    front::flags(words)
        .map_err(|text| text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned())
}
