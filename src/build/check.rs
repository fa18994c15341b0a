//! Checks of a Dockerfile, without building it and before building it.

use crate::config::BuildConfig;
use crate::context::Context;
use crate::dockerfile::checks::{Finding, Linter, Options, check_text, options};
use crate::dockerfile::{self, Diagnostic, Dockerfile, Source};
use crate::event::{Event, Events, Found};
use crate::image::{ImageConfig, Platform};
use crate::plan::{
    self, Arguments, BaseImage, Bases, FromImage, Ignore, Inputs, Limits, Plan, PlanError, Survey,
};

use crate::run::Cancel;

use super::bases::KeptImages;
use super::images::Images;
use super::named::Named;
use super::workspace::Workspace;
use super::{Error, Opened, Session, check_files, dockerfile_source};

/// The build argument that replaces a file's `# check=`.
const OPTIONS: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// What is known of base images while checking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseLookup {
    /// Their configs are fetched; of one that cannot be had nothing is known.
    Fetch,
    /// Nothing is fetched, and nothing is known.
    Skip,
    /// Nothing is fetched; each counts as an image that sets no variables but `PATH`.
    Empty,
}

/// What a check found.
#[derive(Debug)]
pub struct CheckReport {
    /// The Dockerfile.
    pub source: Source,
    /// What rules found, in BuildKit's order.
    pub findings: Vec<Finding>,
    /// What is wrong; what BuildKit would find first comes first.
    pub errors: Vec<Diagnostic>,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
    /// Whether findings count as errors: the file or the build says `error=true`.
    pub findings_are_errors: bool,
}

impl CheckReport {
    /// Whether something is wrong, or anything was found (BuildKit's `result.statuscode` of a check).
    /// `advice` says that findings are none unless the file or the build says `error=true`.
    pub fn fails(&self, advice: bool) -> bool {
        !self.errors.is_empty() || ((self.findings_are_errors || !advice) && !self.findings.is_empty())
    }
}

/// Checks the Dockerfile of a build: all its stages, or those that the target needs if one is
/// named.
///
/// # Errors
/// The context or the Dockerfile cannot be read.
pub fn check(config: &BuildConfig, lookup: BaseLookup, events: &Events) -> Result<CheckReport, Error> {
    let mut opened = Opened::open(config, events)?;
    let context = &mut opened.context;
    let source = dockerfile_source::read(config, context.as_mut(), events)?;
    let (dockerfile, errors) = dockerfile::parse_all(&source);
    let mut report =
        CheckReport { source, findings: Vec::new(), errors, notes: Vec::new(), findings_are_errors: false };
    let chosen = match chosen_options(&dockerfile, config) {
        Ok(chosen) => chosen,
        // Which rules would run is not known.
        Err(error) => {
            report.errors.insert(0, *error);
            return Ok(report);
        }
    };
    report.findings_are_errors = chosen.error;
    let mut linter = Linter::new(chosen);
    check_text(&dockerfile, &mut linter);
    if report.errors.is_empty() {
        let bases = match lookup {
            BaseLookup::Fetch => &mut Fetched::open(config, events)? as &mut dyn Configs,
            BaseLookup::Skip => &mut Nothing,
            BaseLookup::Empty => &mut Bare,
        };
        check_plan(config, &dockerfile, context.as_ref(), bases, &mut linter, &mut report);
    }
    report.findings = linter.findings;
    Ok(report)
}

/// Checks what is about to be built, warns of what is found, and ends the build if the file
/// asks for that.
pub(super) fn check_build(
    inputs: &Inputs<'_>,
    plan: &Plan,
    context: Option<&Context>,
    images: &mut Images<'_>,
    events: &Events,
) -> Result<(), Error> {
    let given = inputs.arguments.given(OPTIONS);
    let chosen = options(inputs.dockerfile, given).map_err(|error| Error::Dockerfile(vec![*error]))?;
    let mut linter = Linter::new(chosen);
    check_text(inputs.dockerfile, &mut linter);
    let survey = Survey { inputs, all_stages: false, ignore: ignore(context) };
    // The plan has asked for all of them.
    let mut known = |image: &FromImage, platform: &Platform| {
        images.get(image, platform).ok().map(|resolved| resolved.config.clone())
    };
    survey.run(&mut known, None, &mut linter);
    check_files::check(plan, context, &mut linter);
    let fails = linter.fails();
    let findings: Vec<Diagnostic> = linter.findings.into_iter().map(|f| f.diagnostic).collect();
    if fails {
        return Err(Error::Checks(findings));
    }
    if !findings.is_empty() {
        events.send(Event::Checked(findings.into_iter().map(found).collect()));
    }
    Ok(())
}

fn found(diagnostic: Diagnostic) -> Found {
    let (start, end) = diagnostic.positions();
    Found {
        id: diagnostic.id.unwrap_or_default(),
        file: diagnostic.source.name().to_owned(),
        message: diagnostic.message,
        help: diagnostic.help,
        start,
        end,
    }
}

fn chosen_options(dockerfile: &Dockerfile, config: &BuildConfig) -> Result<Options, Box<Diagnostic>> {
    let given = config.build_args.iter().rev().find(|(name, _)| name == OPTIONS);
    options(dockerfile, given.map(|(_, value)| value.as_str()))
}

fn ignore(context: Option<&Context>) -> Option<Ignore<'_>> {
    let rules = context?.ignore()?;
    Some(Ignore { file: &rules.path, matcher: &rules.matcher })
}

/// The rules that need variables and base images, and what is wrong with the plan.
fn check_plan(
    config: &BuildConfig,
    dockerfile: &Dockerfile,
    context: Option<&Context>,
    bases: &mut dyn Configs,
    linter: &mut Linter,
    report: &mut CheckReport,
) {
    let platform = config.platform();
    let arguments = Arguments::new(&config.build_args, &platform);
    let inputs = Inputs {
        dockerfile,
        arguments: &arguments,
        target: config.target.as_deref(),
        contexts: &config.build_contexts,
        platform_given: !config.platforms.is_empty(),
    };
    let survey = Survey { inputs: &inputs, all_stages: config.target.is_none(), ignore: ignore(context) };
    let plan = plan_of(&inputs, bases);
    let wrong = match &plan {
        _ if survey.all_stages => plan::faults(&inputs, &mut Lenient(bases)),
        Ok(_) => Vec::new(),
        Err(errors) => errors.clone(),
    };
    let limits = survey.run(&mut |image, platform| bases.config(image, platform), wrong.first(), linter);
    if let Ok(plan) = plan.as_ref() {
        check_files::check(plan, context, linter);
    }
    report.errors.extend(wrong);
    report.notes.extend(bases.notes());
    let Limits { error, unknown } = limits;
    report.errors.extend(error.filter(|e| !report.errors.iter().any(|known| known.span == e.span)));
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        report.notes.push(format!(
            "nothing is known of {names}: variables (UndefinedVar) and platforms (InvalidBaseImagePlatform) \
             were not checked in stages built on it"
        ));
    }
}

/// Bases of which some may be unknown.
struct Lenient<'a>(&'a mut dyn Configs);

impl Bases for Lenient<'_> {
    type Error = std::convert::Infallible;

    fn image(&mut self, image: &FromImage, platform: &Platform) -> Result<BaseImage, Self::Error> {
        Ok(BaseImage { config: self.0.config(image, platform).unwrap_or_default() })
    }
}

/// The plan of the stages that the target needs, or what is wrong with them.
fn plan_of(inputs: &Inputs<'_>, bases: &mut dyn Configs) -> Result<Plan, Vec<Diagnostic>> {
    plan::plan(inputs, &mut Lenient(bases)).map_err(|PlanError::Dockerfile(errors)| errors)
}

/// Where configs of base images come from.
trait Configs {
    fn config(&mut self, image: &FromImage, platform: &Platform) -> Option<ImageConfig>;

    /// Why some could not be had.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}

struct Nothing;

impl Configs for Nothing {
    fn config(&mut self, _: &FromImage, _: &Platform) -> Option<ImageConfig> {
        None
    }
}

struct Bare;

impl Configs for Bare {
    fn config(&mut self, _: &FromImage, platform: &Platform) -> Option<ImageConfig> {
        let mut config = ImageConfig::default();
        config.set_platform(platform);
        Some(config)
    }
}

/// From registries and layouts; each is asked for once.
struct Fetched<'a> {
    session: Session<'a>,
    known: Vec<(FromImage, Platform, Option<ImageConfig>)>,
    notes: Vec<String>,
}

impl<'a> Fetched<'a> {
    fn open(config: &'a BuildConfig, events: &Events) -> Result<Self, Error> {
        Ok(Fetched { session: Session::open(config, events)?, known: Vec::new(), notes: Vec::new() })
    }

    fn resolve(&self, image: &FromImage, platform: &Platform) -> Result<ImageConfig, Error> {
        let Session { network, registry, config, .. } = &self.session;
        let workspace = Workspace::create(&config.rootfs.work_dir)?;
        let named = Named::new(config, &workspace, self.session.fetcher(), network, &Cancel::new())?;
        let bases = KeptImages::open(None, &Events::none());
        let resolved = Images::new(network, registry, Some(&named), bases).resolve(image, platform)?;
        Ok(resolved.config.clone())
    }
}

impl Configs for Fetched<'_> {
    fn config(&mut self, image: &FromImage, platform: &Platform) -> Option<ImageConfig> {
        if let Some((.., known)) = self.known.iter().find(|(i, p, _)| i == image && p == platform) {
            return known.clone();
        }
        let config = match self.resolve(image, platform) {
            Ok(config) => Some(config),
            Err(error) => {
                self.notes.push(format!("the base image {image} cannot be had: {error}"));
                None
            }
        };
        self.known.push((image.clone(), platform.clone(), config.clone()));
        config
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}
