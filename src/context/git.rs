//! A git repository as a build context: BuildKit's way to name one, and kaniko's.

use reqwest::Url;

use super::ContextError;
use crate::config::GitContext;
use crate::fetch::{GitSource, History, ParseRemoteError, Remote};

/// What is to be fetched.
pub(super) fn source(context: &GitContext) -> Result<GitSource, ContextError> {
    let wrong =
        |e: ParseRemoteError| ContextError::Address { text: shown(&context.url), reason: e.to_string() };
    let mut source = if context.clone { kanikos(context).map_err(wrong)? } else { buildkits(context)? };
    if let Some(branch) = &context.branch {
        let named = GitSource::named(&source.remote, branch).map_err(wrong)?;
        source.reference = named.reference;
    }
    source.submodules = context.submodules.or(source.submodules);
    source.keep_git_dir = source.keep_git_dir.or(context.keep_git_dir);
    source.skip_tls_verify = context.skip_tls_verify;
    Ok(source)
}

/// `url[#ref[#commit]]`: a clone, whose `.git` steps may look at (kaniko, `buildcontext/git.go`).
fn kanikos(context: &GitContext) -> Result<GitSource, ParseRemoteError> {
    let mut parts = context.url.split('#');
    let remote = parts.next().unwrap_or_default();
    let (reference, commit) = (parts.next(), parts.next());
    let wanted = commit.or(reference).filter(|text| !text.is_empty());
    let source = match wanted {
        Some(wanted) => GitSource::named(remote, wanted)?,
        None => GitSource::new(remote),
    };
    let history = match context.depth {
        // A commit that is named may be any of the history.
        Some(depth) if depth > 0 && commit.is_none() => History::Depth(depth),
        _ if context.single_branch && commit.is_none() => History::Branch,
        _ => History::All,
    };
    Ok(GitSource { history, keep_git_dir: Some(true), submodules: Some(false), ..source })
}

fn buildkits(context: &GitContext) -> Result<GitSource, ContextError> {
    // kaniko's `#ref#commit` is understood here too.
    let (url, commit) = match context.url.split_once('#').and_then(|(_, f)| f.split_once('#')) {
        Some((reference, commit)) => {
            let before = context.url.len() - reference.len() - commit.len() - 1;
            (format!("{}{commit}", &context.url[..before]), true)
        }
        None => (context.url.clone(), false),
    };
    let wrong = |reason: String| ContextError::Address { text: shown(&context.url), reason };
    match Remote::parse(&url) {
        Ok(Some(Remote::Git(source))) if commit && source.reference.is_none() => {
            Err(wrong("there is no commit after the second '#'".to_owned()))
        }
        Ok(Some(Remote::Git(source))) => Ok(source),
        Ok(_) => Err(wrong("it is no URL of a git repository".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// A URL for people: without credentials and query.
pub(super) fn shown(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) => {
            // Both fail only for URLs that cannot have credentials.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        }
        Err(_) => text.to_owned(),
    }
}
