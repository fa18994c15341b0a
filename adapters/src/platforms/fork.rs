//! Pull requests from forks: somebody else's code, which is built and not pushed unless the user says so.

use crate::env::Env;
use crate::settings::dialect::Read;
use crate::settings::{Key, Origin};
use crate::usage::Usage;

/// Decides against a push, with a remark, where the system's variables say that the pull request comes from a
/// fork.
pub(super) fn refuse(is_fork: bool, prefix: &str, read: &mut Read) -> Result<Option<String>, Usage> {
    let push = read.settings.boolean(Key::Push).unwrap_or(true);
    if !is_fork || !push || read.own_boolean("push-from-forks")?.unwrap_or(false) {
        return Ok(None);
    }
    read.settings.put(Key::Push, "false", Origin::decided("a pull request from a fork"))?;
    Ok(Some(format!(
        "the pull request comes from a fork: the image is not pushed ({prefix}PUSH_FROM_FORKS=true pushes it)"
    )))
}

/// Whether two variables name repositories that are not the same; unknown ones are.
pub(super) fn differ(env: &Env, source: &str, own: &str) -> bool {
    match (env.get(source), env.get(own)) {
        (Some(source), Some(own)) => slug(source) != slug(own),
        _ => false,
    }
}

/// `owner/name` of a repository's address, however that is written.
fn slug(address: &str) -> String {
    let address = address.trim_end_matches('/');
    let address = address.strip_suffix(".git").unwrap_or(address).to_lowercase();
    let parts: Vec<&str> = address.rsplit(['/', ':']).take(2).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_repository_are_the_same() {
        let env = Env::of(&[
            ("A", "git@github.com:Acme/app.git"),
            ("B", "https://github.com/acme/app"),
            ("C", "git://github.com/mallory/app.git"),
            ("D", "acme/app"),
        ]);
        for (a, b, expected) in
            [("A", "B", false), ("B", "D", false), ("A", "C", true), ("C", "D", true), ("A", "X", false)]
        {
            assert_eq!(differ(&env, a, b), expected, "{a} {b}");
        }
    }
}
