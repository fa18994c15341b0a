//! `ADD`: sources elsewhere, and the flags that are about them (BuildKit, `dispatchCopy`).

use crate::dockerfile::{
    AddInstruction, CopyArguments, CopySource as Written, Diagnostic, Instruction, Span, Word,
};
use crate::fetch::{Checksum, GitSource, Remote};

use super::super::step::{Action, CopyFrom, CopySource, CopyStep};
use super::Lowering;

impl Lowering<'_> {
    pub(super) fn add(
        &mut self,
        at: &Instruction,
        add: &AddInstruction,
    ) -> Result<(Action, String), Box<Diagnostic>> {
        let (mut step, text) = self.transfer(at, &add.arguments, CopyFrom::Context, "ADD")?;
        step.add = true;
        step.unpack = add.unpack;
        for (source, written) in step.sources.iter_mut().zip(in_order(&add.arguments)) {
            if let Some(remote) = remote(at, source, written)? {
                *source = match remote {
                    Remote::Url(url) => CopySource::Url(url),
                    Remote::Git(git) => CopySource::Git(kept(at, written, git, add.keep_git_dir)?),
                };
            }
        }
        if let Some(flag) = &add.checksum {
            let checksum = self.expand(at, flag)?;
            if !checksum.is_empty() {
                check_with(at, flag, &checksum, &mut step)?;
            }
        }
        Ok((Action::Copy(step), text))
    }
}

/// A source that is elsewhere; none for one that is here.
fn remote(
    at: &Instruction,
    source: &CopySource,
    written: &Written,
) -> Result<Option<Remote>, Box<Diagnostic>> {
    let CopySource::Path(text) = source else { return Ok(None) };
    Remote::parse(text).map_err(|e| Box::new(Diagnostic::new(&at.source, span(at, written), e.to_string())))
}

/// The sources as a step has them: heredocs last, wherever they are written.
fn in_order(arguments: &CopyArguments) -> impl Iterator<Item = &Written> {
    let of = |path: bool| move |source: &&Written| matches!(source, Written::Path(_)) == path;
    arguments.sources.iter().filter(of(true)).chain(arguments.sources.iter().filter(of(false)))
}

fn span(at: &Instruction, written: &Written) -> Span {
    match written {
        Written::Path(word) => word.span,
        Written::Heredoc(_) => at.span,
    }
}

/// `--keep-git-dir` and the query of the URL must not contradict each other.
fn kept(
    at: &Instruction,
    written: &Written,
    mut git: GitSource,
    flag: Option<bool>,
) -> Result<GitSource, Box<Diagnostic>> {
    if let (Some(flag), Some(query)) = (flag, git.keep_git_dir)
        && flag != query
    {
        let message =
            format!("--keep-git-dir={flag} and keep-git-dir={query} in the URL contradict each other");
        let diagnostic = Diagnostic::new(&at.source, span(at, written), message);
        return Err(Box::new(diagnostic.with_help("leave one of them out")));
    }
    git.keep_git_dir = git.keep_git_dir.or(flag);
    Ok(git)
}

/// Gives the one source what it must be.
fn check_with(
    at: &Instruction,
    flag: &Word,
    checksum: &str,
    step: &mut CopyStep,
) -> Result<(), Box<Diagnostic>> {
    let wrong = |message: String, help: &str| {
        Err(Box::new(Diagnostic::new(&at.source, flag.span, message).with_help(help)))
    };
    let local = "--checksum checks what is fetched, and this ADD fetches nothing";
    let mut sources = step.sources.iter_mut().filter(|s| !matches!(s, CopySource::Inline { .. }));
    let (first, others) = (sources.next(), sources.count());
    if others > 0 {
        return wrong(
            "--checksum is about one source, and here are several".to_owned(),
            "write an ADD for each",
        );
    }
    match first {
        Some(CopySource::Url(url)) => match checksum.parse::<Checksum>() {
            Ok(checksum) => url.checksum = Some(checksum),
            Err(e) => {
                let help = "write sha256: and the 64 hexadecimal digits that sha256sum prints";
                return wrong(format!("'{checksum}' is no checksum: {e}"), help);
            }
        },
        Some(CopySource::Git(git)) => {
            if !checksum.bytes().all(|b| b.is_ascii_hexdigit()) {
                let help = "write the commit's hexadecimal digits, as git rev-parse prints them";
                return wrong(format!("'{checksum}' is no name of a commit"), help);
            }
            if let Some(other) = git.checksum.as_ref().filter(|other| *other != checksum) {
                let message = format!("--checksum={checksum} and {other} in the URL contradict each other");
                return wrong(message, "leave one of them out");
            }
            git.checksum = Some(checksum.to_owned());
        }
        _ => return wrong(local.to_owned(), "leave it out"),
    }
    Ok(())
}

/// `COPY` copies only what is here.
pub(super) fn refuse_remote(
    at: &Instruction,
    arguments: &CopyArguments,
    step: &CopyStep,
) -> Result<(), Box<Diagnostic>> {
    for (source, written) in step.sources.iter().zip(in_order(arguments)) {
        let CopySource::Path(text) = source else { continue };
        let what = match Remote::parse(text) {
            Ok(None) => continue,
            Ok(Some(Remote::Git(_))) => "a git repository",
            Ok(Some(Remote::Url(_))) | Err(_) => "a URL",
        };
        let message = format!("{what} cannot be a source of COPY");
        let diagnostic = Diagnostic::new(&at.source, span(at, written), message);
        return Err(Box::new(diagnostic.with_help("use ADD, which fetches it")));
    }
    Ok(())
}
