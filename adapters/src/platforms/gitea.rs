//! Gitea and Forgejo Actions: GitHub's, except that a runner may not have every file that GitHub's has.

use std::path::Path;

use crate::ci::Front;
use crate::env::Env;
use crate::github;
use crate::usage::Usage;

/// Whether this is a step of a workflow; both set GitHub's variables as well.
pub(crate) fn detect(env: &Env) -> bool {
    ["GITEA_ACTIONS", "FORGEJO_ACTIONS"].iter().any(|name| env.get(name) == Some("true"))
}

/// What the step's inputs ask for.
///
/// # Errors
/// As GitHub's.
pub(crate) fn front(words: &[String], env: &Env) -> Result<Front, Usage> {
    github::front(words, &with_files_that_exist(env))
}

/// The environment with GitHub's names for the runner's files, each only if it can be appended to.
fn with_files_that_exist(env: &Env) -> Env {
    let mut env = env.clone();
    for file in ["OUTPUT", "STEP_SUMMARY", "ENV", "STATE", "PATH"] {
        let names = ["GITHUB", "GITEA", "FORGEJO"].map(|runner| format!("{runner}_{file}"));
        let found = names.iter().filter_map(|name| env.get(name)).find(|path| Path::new(path).is_file());
        let found = found.map(str::to_owned);
        env.set(&names[0], found.as_deref());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_there_are_not_written_to() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let env = Env::of(&[
            ("GITEA_ACTIONS", "true"),
            ("GITHUB_OUTPUT", "/no/such/file"),
            ("GITEA_OUTPUT", path),
            ("GITHUB_STEP_SUMMARY", "/no/such/file"),
        ]);
        assert!(detect(&env));
        let env = with_files_that_exist(&env);
        assert_eq!(env.get("GITHUB_OUTPUT"), Some(path));
        assert_eq!(env.get("GITHUB_STEP_SUMMARY"), None);
    }
}
