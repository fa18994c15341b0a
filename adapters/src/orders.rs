//! What a run shall do: build what it is told and what a configuration file adds, one image or several, or
//! explain it, or look at Dockerfiles only.

use std::path::{Path, PathBuf};

use yadokari::config::ContextSource;

use crate::ci::Platform;
use crate::cli::call::{self, Call};
use crate::cli::flags::{Flags, FormatFlag};
use crate::cli::{check, describe};
use crate::env::Env;
use crate::session::{self, Reporter};
use crate::settings::explain::explain;
use crate::settings::file::{self, File, Target};
use crate::settings::{Key, Origin, Settings};
use crate::several::{self, Work};
use crate::usage::Usage;

/// What a run was told, before any configuration file.
pub(crate) struct Order {
    /// Where it runs; none on the command line.
    pub(crate) platform: Option<Platform>,
    /// What it was told.
    pub(crate) settings: Settings,
    /// Whether to explain it in place of doing it.
    pub(crate) explain: bool,
}

/// What `yadokari build --config` was told: the file, its targets, and everything that was typed.
///
/// # Errors
/// Never in practice.
pub(crate) fn of_flags(flags: &Flags) -> Result<Order, Usage> {
    let typed = || Origin::input("the command line");
    let mut settings = Settings::default();
    settings.put(Key::Config, &flags.config, typed())?;
    settings.put_items(Key::Targets, &flags.targets, typed())?;
    settings.put_items(Key::ExtraArgs, &flags.words, typed())?;
    Ok(Order { platform: None, settings, explain: flags.explain })
}

impl Order {
    /// Does it; the exit code.
    ///
    /// # Errors
    /// What was told makes no build.
    pub(crate) fn carry_out(&self, env: &Env, reporter: &dyn Reporter) -> Result<u8, Usage> {
        let (file, targets) = self.targets(env)?;
        if let Some(code) = looks(&targets, env, reporter)? {
            return Ok(code);
        }
        let mut works = Vec::new();
        for target in &targets {
            let mut job = target.settings.job(env, reporter).map_err(|error| within(target, error))?;
            job.notes.extend(file.as_ref().map(|path| format!("configured by {}", path.display())));
            works.push(Work { name: target.name.clone().unwrap_or_default(), job });
        }
        if self.explain {
            return Ok(self.print(&targets, &works, file.as_deref(), reporter));
        }
        let reads = |work: &&Work| work.job.config.context == ContextSource::Stdin;
        if works.len() > 1
            && let Some(work) = works.iter().find(reads)
        {
            return Err(Usage::new(format!(
                "target {}: the context comes from standard input, which one build can read, and {} are asked for",
                work.name,
                works.len()
            ))
            .help("name one target, or unpack the context and name its directory"));
        }
        match works.as_slice() {
            [one] => session::run(&one.job, env, reporter),
            _ => several::run(works, env, reporter),
        }
    }

    fn print(&self, targets: &[Target], works: &[Work], file: Option<&Path>, reporter: &dyn Reporter) -> u8 {
        let mut text = format!("platform: {}\n", self.platform.map_or("none", Platform::name));
        text += &format!("file: {}\n\n", file.map_or("none".to_owned(), |path| path.display().to_string()));
        for (target, work) in targets.iter().zip(works) {
            text += &explain(target.name.as_deref(), &target.settings, &work.job, reporter);
        }
        crate::print(&text)
    }

    /// What is to be built, each with all it is told; and the file that said so.
    fn targets(&self, env: &Env) -> Result<(Option<PathBuf>, Vec<Target>), Usage> {
        let names = self.settings.items(Key::Targets);
        let Some(path) = self.file()? else {
            if let Some(name) = names.first() {
                return Err(Usage::new(format!(
                    "the target {name} is asked for, and there is no configuration file"
                ))
                .help("write yadokari.yaml into the context's directory, or name the file"));
            }
            return Ok((None, vec![Target { name: None, settings: self.settings.clone() }]));
        };
        let mut targets = File::read(&path, env)?.select(&names)?;
        for target in &mut targets {
            let own = std::mem::replace(&mut target.settings, self.settings.clone());
            target.settings.extend(own)?;
        }
        Ok((Some(path), targets))
    }

    /// The file that is named, or, on a platform, the one in the context's directory.
    fn file(&self) -> Result<Option<PathBuf>, Usage> {
        if let Some(named) = self.settings.text(Key::Config) {
            return Ok(Some(PathBuf::from(named)));
        }
        let context = self.settings.text(Key::Context).filter(|_| self.platform.is_some());
        let found = context.and_then(|context| file::find(Path::new(context)));
        Ok(found.map(|path| path.strip_prefix(".").map(Path::to_owned).unwrap_or(path)))
    }
}

/// Looks at the Dockerfiles where that is what is asked for; the exit code.
fn looks(targets: &[Target], env: &Env, reporter: &dyn Reporter) -> Result<Option<u8>, Usage> {
    let mut code = None;
    for target in targets {
        let flags = target.settings.flags(env, reporter).map_err(|error| within(target, error))?;
        let one = match call::of(&flags)? {
            Some(Call::Check(mut check)) => {
                if check.format == FormatFlag::Human {
                    check.format = reporter.check_format();
                }
                check::run(&check, env)?
            }
            Some(Call::Describe(what, format)) => describe::run(what, &flags, format, env)?,
            None => continue,
        };
        code = Some(code.unwrap_or(0).max(one));
    }
    Ok(code)
}

/// Says which target an error is about.
fn within(target: &Target, error: Usage) -> Usage {
    match &target.name {
        Some(name) => Usage { message: format!("target {name}: {}", error.message), ..error },
        None => error,
    }
}
