//! `--chown`: names and numbers to ids.

use super::CopyError;
use crate::layer::View;
use crate::run::user;

/// Where names are looked up, and what becomes of those that are not there.
#[derive(Clone, Copy)]
pub(super) struct Accounts<'a> {
    /// The destination image; absent for a linked copy, which knows nothing of it.
    pub(super) image: Option<&'a dyn View>,
    /// An unknown name is root, as in BuildKit.
    pub(super) unknown_is_root: bool,
}

/// Numeric ids of `user`, `user:group` or `:group`, each a name or a number (BuildKit,
/// `client/llb/fileop.go` `WithUser` and `ops/user_linux.go`): a number alone is the group too, a
/// name alone has its primary group, and nothing on a side of the colon is 0.
pub(super) fn ids(accounts: &Accounts<'_>, written: &str) -> Result<(u32, u32), CopyError> {
    let wrong = |reason: String| CopyError::Owner { owner: written.to_owned(), reason };
    let (user, group) = match written.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (written, None),
    };
    // What does not fit is a name to BuildKit, and one that no image has.
    let number = |text: &str| match number(text) {
        Err(_) if accounts.unknown_is_root && !text.starts_with('-') => Ok(None),
        number => number.map_err(wrong),
    };
    let (uid, primary) = match number(user)? {
        Some(uid) => (uid, uid),
        None => match user::ids_of_user(image(accounts, user).map_err(wrong)?, user) {
            Ok(Some(ids)) => ids,
            Ok(None) if accounts.unknown_is_root => (0, 0),
            Ok(None) => return Err(wrong(unknown("user", user, "passwd"))),
            Err(error) => return Err(wrong(error.to_string())),
        },
    };
    let Some(group) = group else { return Ok((uid, primary)) };
    let gid = match number(group)? {
        Some(gid) => gid,
        None => match user::id_of_group(image(accounts, group).map_err(wrong)?, group) {
            Ok(Some(gid)) => gid,
            Ok(None) if accounts.unknown_is_root => primary,
            Ok(None) => return Err(wrong(unknown("group", group, "group"))),
            Err(error) => return Err(wrong(error.to_string())),
        },
    };
    Ok((uid, gid))
}

/// A number as Go's `ParseInt` reads it; `root`, and nothing, are 0.
fn number(text: &str) -> Result<Option<u32>, String> {
    if matches!(text, "" | "root") {
        return Ok(Some(0));
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let id = text.parse::<i32>().ok().and_then(|id| u32::try_from(id).ok());
    id.map(Some).ok_or_else(|| format!("{text} is no user or group id: ids go from 0 to {}", i32::MAX))
}

fn image<'a>(accounts: &Accounts<'a>, name: &str) -> Result<&'a dyn View, String> {
    accounts.image.ok_or_else(|| {
        format!(
            "a linked copy knows nothing of the image it lands on, so nobody can say which number '{name}' \
             has; give numbers such as --chown=1000:1000, or leave --link out"
        )
    })
}

fn unknown(what: &str, name: &str, file: &str) -> String {
    format!(
        "the image has no {what} '{name}' in /etc/{file}; add it in a RUN before this, or give numbers such as \
         1000:1000 (with --compat it is root, as in BuildKit)"
    )
}
