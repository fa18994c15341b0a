//! `--context` and the flags that are about it, in kaniko's words and BuildKit's.

use std::path::PathBuf;

use yadokari::cloud::Address;
use yadokari::config::{ContextSource, GitContext};
use yadokari::fetch::Remote;

use super::flags::Flags;
use super::places;
use crate::env::Env;
use crate::usage::Usage;
use crate::vocabulary::{go_boolean, key_value};

/// kaniko's default, the working directory of its image.
const DEFAULT_CONTEXT: &str = "/workspace/";

/// Where the build context is.
///
/// # Errors
/// A source this version cannot read, or a wrong `--git`.
pub(crate) fn source(
    flags: &Flags,
    env: &Env,
    build_args: &[(String, String)],
) -> Result<ContextSource, Usage> {
    let options = options(&flags.git)?;
    let context = chosen(flags);
    let mut source = named(&context, env)?;
    if let ContextSource::Git(git) = &mut source {
        // BuildKit's argument (`dockerui/context.go`).
        let keep = build_args.iter().rev().find(|(name, _)| name == "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
        let keep_git_dir = keep.and_then(|(_, value)| go_boolean(value).ok());
        let (url, clone) = (std::mem::take(&mut git.url), git.clone);
        *git = GitContext { url, clone, keep_git_dir, ..options };
    } else if options != GitContext::default() {
        return Err(Usage::new(format!("--git is about a git context, and '{context}' is none"))
            .help("leave --git out, or write git:// and the repository as --context"));
    }
    Ok(source)
}

/// kaniko's two flags: a bucket, of Google's where it has no scheme, comes before every context
/// with a scheme. A path that was typed comes before it; the default is not typed.
fn chosen(flags: &Flags) -> String {
    let path = !flags.context.contains("://") && !matches!(flags.context.as_str(), "" | DEFAULT_CONTEXT);
    match flags.bucket.as_str() {
        _ if path => flags.context.clone(),
        "" => flags.context.clone(),
        bucket if bucket.contains("://") => bucket.to_owned(),
        bucket => format!("gs://{bucket}"),
    }
}

fn named(text: &str, env: &Env) -> Result<ContextSource, Usage> {
    match text {
        "" => return Ok(ContextSource::Directory(DEFAULT_CONTEXT.into())),
        "-" | "tar://stdin" => return Ok(ContextSource::Stdin),
        _ => {}
    }
    if let Some(path) = places::directory(text) {
        // A repository by ssh looks like a path.
        return Ok(match Remote::parse(text) {
            Ok(Some(Remote::Git(_))) => git(text, false),
            _ => ContextSource::Directory(path),
        });
    }
    let bucket = Address::parse(text).map_err(|e| {
        Usage::new(format!("the context '{}' cannot be read: {e}", without_query(text)))
            .help("write gs://BUCKET/OBJECT, s3://BUCKET/OBJECT or https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB")
    })?;
    if bucket.is_some() {
        return Ok(ContextSource::Bucket(text.to_owned()));
    }
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    match scheme {
        "tar" if !rest.is_empty() => Ok(ContextSource::Archive(PathBuf::from(rest))),
        "git" if !rest.is_empty() => Ok(git(&format!("{}://{rest}", pull_method(env)), true)),
        "ssh" if !rest.is_empty() => Ok(git(text, false)),
        "http" | "https" => web(text),
        _ => Err(unknown(text, scheme)),
    }
}

fn git(url: &str, clone: bool) -> ContextSource {
    ContextSource::Git(GitContext { url: url.to_owned(), clone, ..GitContext::default() })
}

/// How `git://` is fetched: kaniko knows http and https; git's own protocol when asked for.
fn pull_method(env: &Env) -> &str {
    env.get("GIT_PULL_METHOD").filter(|m| matches!(*m, "http" | "https" | "git")).unwrap_or("https")
}

fn web(text: &str) -> Result<ContextSource, Usage> {
    // kaniko's second '#' is no part of a reference.
    let first = text.match_indices('#').nth(1).map_or(text, |(at, _)| &text[..at]);
    match Remote::parse(first) {
        Ok(Some(Remote::Git(_))) => Ok(git(text, false)),
        Ok(_) => Ok(ContextSource::Url(text.to_owned())),
        Err(error) => Err(Usage::new(format!("the context cannot be used: {error}"))
            .help("write https://HOST/FILE.tar.gz or https://HOST/REPOSITORY.git#REF:DIRECTORY")),
    }
}

/// A URL without what may be a signature.
fn without_query(text: &str) -> &str {
    text.split('?').next().unwrap_or(text)
}

fn unknown(text: &str, scheme: &str) -> Usage {
    let help = match scheme {
        "git" | "ssh" => "write git:// and the repository, such as git://github.com/team/app#refs/heads/main",
        "dir" => "write dir:// and the path of the directory",
        "tar" => "write tar:// and the path of the archive, or tar://stdin",
        _ => "give the path of a directory, or tar://, git://, https://, gs:// or s3://",
    };
    let known = "directories, archives, git repositories, https and buckets are";
    Usage::new(format!("the context '{text}' cannot be read: {known}")).help(help)
}

/// The values of `--git`, each a pair, or several with commas between them.
fn options(values: &[String]) -> Result<GitContext, Usage> {
    let mut options = GitContext::default();
    for item in values.iter().flat_map(|value| value.split(',')).filter(|item| !item.is_empty()) {
        let (key, value) = key_value("--git", item)?;
        let wrong = |e: String| Usage::new(format!("'{value}' for --git {key} is no boolean")).help(e);
        match key.as_str() {
            "branch" => options.branch = Some(value).filter(|v| !v.is_empty()),
            "single-branch" => options.single_branch = go_boolean(&value).map_err(wrong)?,
            "recurse-submodules" => options.submodules = Some(go_boolean(&value).map_err(wrong)?),
            "insecure-skip-tls" => options.skip_tls_verify = go_boolean(&value).map_err(wrong)?,
            "depth" => {
                let depth = value.parse::<u32>().map_err(|_| {
                    Usage::new(format!("'{value}' for --git depth is no number")).help("write depth=1")
                })?;
                options.depth = Some(depth).filter(|d| *d > 0);
            }
            _ => {
                return Err(Usage::new(format!("--git has no option '{key}'")).help(
                    "write branch=, single-branch=, depth=, recurse-submodules= or insecure-skip-tls=",
                ));
            }
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<ContextSource, Usage> {
        named(text, &Env::of(&[]))
    }

    #[test]
    fn contexts() {
        for (text, path) in [
            ("", "/workspace/"),
            (".", "."),
            ("dir:///src", "/src"),
            ("/workspace/app", "/workspace/app"),
            ("./a://b", "./a://b"),
            ("a.tar.gz", "a.tar.gz"),
        ] {
            assert_eq!(of(text), Ok(ContextSource::Directory(path.into())), "{text}");
        }
        for (text, expected) in [
            ("-", ContextSource::Stdin),
            ("tar://stdin", ContextSource::Stdin),
            ("tar:///a/b.tar.gz", ContextSource::Archive("/a/b.tar.gz".into())),
            ("tar://b.tar", ContextSource::Archive("b.tar".into())),
            ("git://h/r#refs/heads/main", git("https://h/r#refs/heads/main", true)),
            ("https://h/r.git#main:sub", git("https://h/r.git#main:sub", false)),
            ("https://h/r.git#main#abc", git("https://h/r.git#main#abc", false)),
            ("ssh://git@h/r", git("ssh://git@h/r", false)),
            ("git@h.example:team/r.git", git("git@h.example:team/r.git", false)),
            ("https://h/c.tar.gz?x=1", ContextSource::Url("https://h/c.tar.gz?x=1".to_owned())),
        ] {
            assert_eq!(of(text), Ok(expected), "{text}");
        }
        for method in ["http", "git"] {
            let found = named("git://h/r", &Env::of(&[("GIT_PULL_METHOD", method)]));
            assert_eq!(found, Ok(git(&format!("{method}://h/r"), true)));
        }
        for text in ["gs://b/k", "gs://b", "s3://b/k", "https://a.blob.core.windows.net/c/k?sig=x"] {
            assert_eq!(of(text), Ok(ContextSource::Bucket(text.to_owned())), "{text}");
        }
        for text in [
            "gs://",
            "https://a.blob.core.windows.net/",
            "dir://",
            "tar://",
            "git://",
            "https://h:x/c",
            "https://h/r.git?depth=1",
            "x://y",
        ] {
            let error = of(text).unwrap_err();
            assert!(error.help.is_some(), "{text}");
        }
    }

    #[test]
    fn a_bucket_and_a_context() {
        for (context, bucket, expected) in [
            (DEFAULT_CONTEXT, "b", "gs://b"),
            ("", "b/k.tar.gz", "gs://b/k.tar.gz"),
            (DEFAULT_CONTEXT, "s3://b/k", "s3://b/k"),
            ("gs://other/k", "b", "gs://b"),
            ("/src", "b", "/src"),
            ("/src", "", "/src"),
        ] {
            let flags = Flags { context: context.to_owned(), bucket: bucket.to_owned(), ..Flags::default() };
            assert_eq!(chosen(&flags), expected, "{context} {bucket}");
        }
    }

    #[test]
    fn options_of_git() {
        let read = |values: &[&str]| options(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>());
        let all = GitContext {
            branch: Some("b".to_owned()),
            single_branch: true,
            depth: Some(2),
            submodules: Some(true),
            skip_tls_verify: true,
            ..GitContext::default()
        };
        let texts =
            ["branch=b", "single-branch=true", "depth=2", "recurse-submodules=1", "insecure-skip-tls=t"];
        assert_eq!(read(&texts), Ok(all.clone()));
        assert_eq!(read(&[&texts.join(",")]), Ok(all));
        assert_eq!(read(&["branch=,single-branch=false", "", "depth=0"]), Ok(GitContext::default()));
        for text in ["branch", "depth=x", "single-branch=maybe", "tag=x"] {
            assert!(read(&[text]).is_err(), "{text}");
        }
        let flags = Flags { context: "/x".to_owned(), git: vec!["branch=b".to_owned()], ..Flags::default() };
        assert!(source(&flags, &Env::of(&[]), &[]).is_err());
    }
}
