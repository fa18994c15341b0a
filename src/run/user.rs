//! The user that a command runs as, looked up in the image as BuildKit and runc do.

use std::io;

use crate::layer::{NodeKind, View, resolve};

/// Who a command runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Supplementary groups, the group itself left out.
    pub groups: Vec<u32>,
    /// Home directory, for `HOME` where nothing sets it.
    pub home: String,
}

/// Why a user is unknown.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// A name without an entry.
    #[error("unable to find user {name}: no matching entries in the image's /etc/passwd")]
    UnknownUser {
        /// As written.
        name: String,
    },
    /// A group name without an entry.
    #[error("unable to find group {name}: no matching entries in the image's /etc/group")]
    UnknownGroup {
        /// As written.
        name: String,
    },
    /// A number that is no id.
    #[error("{number} is no user or group id: ids go from 0 to {}", MAX_ID)]
    OutOfRange {
        /// As written.
        number: String,
    },
    /// A file of the image could not be read.
    #[error("cannot read the image's /{path}: {source}")]
    Read {
        /// Which.
        path: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// Largest id that runc accepts.
const MAX_ID: i64 = i32::MAX as i64;

/// Most bytes of passwd or group that are read, as BuildKit.
const LONGEST_FILE: u64 = 10 << 20;

/// A line of passwd.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// A line of group.
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Looks up what `USER` says: a name, a number, or either with `:group`. Empty is root.
///
/// The rules are those of moby/sys/user `GetExecUser`, which BuildKit calls: the first passwd line
/// that has the name or the number counts; a number without a line has group 0; supplementary
/// groups are those that list the user, root without a `USER` too, only where no group is given. Two
/// numbers need no files.
///
/// # Errors
/// A name that has no entry, a number out of range, a file that cannot be read.
pub fn lookup(view: &dyn View, spec: &str) -> Result<User, UserError> {
    let (user, group) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (spec, None),
    };
    let accounts = passwd(view)?;
    if let (Some(uid), Some(gid)) = (root_or_number(user), group.and_then(root_or_number)) {
        let (uid, gid) = (id(uid, user)?, id(gid, group.unwrap_or_default())?);
        return Ok(User { uid, gid, groups: Vec::new(), home: home(&accounts, uid) });
    }
    let wanted = if user.is_empty() { Some(0) } else { number(user) };
    let account = accounts
        .iter()
        .find(|a| (!user.is_empty() && a.name == user) || wanted.is_some_and(|uid| i64::from(a.uid) == uid));
    let (uid, mut gid) = match (account, wanted) {
        (Some(account), _) => (account.uid, account.gid),
        (None, Some(uid)) => (id(uid, user)?, 0),
        (None, None) => return Err(UserError::UnknownUser { name: user.to_owned() }),
    };
    let mut groups = Vec::new();
    match (group, account) {
        (Some(group), _) => gid = group_id(view, group)?,
        (None, Some(account)) => {
            let listed = group_file(view)?.into_iter().filter(|g| g.members.contains(&account.name));
            groups.extend(listed.map(|g| g.gid).filter(|g| *g != gid));
            groups.dedup();
        }
        (None, _) => {}
    }
    let home = account.map_or_else(|| home(&accounts, uid), |a| home_or_default(&a.home, uid));
    Ok(User { uid, gid, groups, home })
}

fn group_id(view: &dyn View, group: &str) -> Result<u32, UserError> {
    let wanted = number(group);
    let found = group_file(view)?
        .into_iter()
        .find(|g| g.name == group || wanted.is_some_and(|gid| i64::from(g.gid) == gid));
    match (found, wanted) {
        (Some(found), _) => Ok(found.gid),
        (None, Some(gid)) => id(gid, group),
        (None, None) => Err(UserError::UnknownGroup { name: group.to_owned() }),
    }
}

/// The ids of the first passwd line that has this name, as `--chown` wants them (BuildKit,
/// `solver/llbsolver/ops/user_linux.go`).
///
/// # Errors
/// The file cannot be read.
pub fn ids_of_user(view: &dyn View, name: &str) -> Result<Option<(u32, u32)>, UserError> {
    Ok(passwd(view)?.into_iter().find(|a| a.name == name).map(|a| (a.uid, a.gid)))
}

/// The id of the first group line that has this name.
///
/// # Errors
/// The file cannot be read.
pub fn id_of_group(view: &dyn View, name: &str) -> Result<Option<u32>, UserError> {
    Ok(group_file(view)?.into_iter().find(|g| g.name == name).map(|g| g.gid))
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// BuildKit reads `root` as 0 where two ids are given, and needs no files for it.
fn root_or_number(text: &str) -> Option<i64> {
    if text == "root" { Some(0) } else { number(text) }
}

fn id(number: i64, written: &str) -> Result<u32, UserError> {
    if (0..=MAX_ID).contains(&number) {
        return Ok(number as u32);
    }
    Err(UserError::OutOfRange { number: written.to_owned() })
}

fn home(accounts: &[Account], uid: u32) -> String {
    let found = accounts.iter().find(|a| a.uid == uid).map_or("", |a| a.home.as_str());
    home_or_default(found, uid)
}

fn home_or_default(home: &str, uid: u32) -> String {
    match (home, uid) {
        ("", 0) => "/root".to_owned(),
        ("", _) => "/".to_owned(),
        _ => home.to_owned(),
    }
}

fn passwd(view: &dyn View) -> Result<Vec<Account>, UserError> {
    let text = read(view, "etc/passwd")?;
    let accounts = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        Some(Account {
            name: (*fields.first()?).to_owned(),
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: fields.get(5).copied().unwrap_or_default().to_owned(),
        })
    });
    Ok(accounts.collect())
}

fn group_file(view: &dyn View) -> Result<Vec<Group>, UserError> {
    let text = read(view, "etc/group")?;
    let groups = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let members = fields.get(3).copied().unwrap_or_default();
        Some(Group {
            name: (*fields.first()?).to_owned(),
            gid: fields.get(2)?.parse().ok()?,
            members: members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect(),
        })
    });
    Ok(groups.collect())
}

/// The file's text, through links inside the image; empty where there is none.
fn read(view: &dyn View, path: &'static str) -> Result<String, UserError> {
    let failed = |source| UserError::Read { path, source };
    let real = resolve(view, path.as_bytes(), true).map_err(failed)?;
    match view.node(&real).map_err(failed)? {
        Some(node) if node.kind == NodeKind::File => {
            let bytes = view.read(&real, LONGEST_FILE).map_err(failed)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Ok(String::new()),
    }
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
