//! Id maps of a user namespace.

use std::fs;
use std::io;

/// Writes the maps of a process that has just made a user namespace: every id that we have keeps
/// its number. The kernel allows it because we hold CAP_SETUID and CAP_SETGID where the namespace
/// was made; the process itself could map only one id.
pub(super) fn write(pid: u32) -> io::Result<()> {
    for kind in ["uid_map", "gid_map"] {
        let ours = fs::read_to_string(format!("/proc/self/{kind}"))?;
        fs::write(format!("/proc/{pid}/{kind}"), identity(&ours))?;
    }
    Ok(())
}

/// A map that gives each id of our own namespace the same number in a new one. Lines are "first id
/// inside, first id outside, count", user_namespaces(7); the outside of a new namespace is our inside.
fn identity(ours: &str) -> String {
    ours.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (inside, count) = (fields.next()?, fields.nth(1)?);
            Some(format!("{inside} {inside} {count}\n"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_numbers() {
        let cases = [
            ("         0          0 4294967295\n", "0 0 4294967295\n"),
            ("0 1000 1\n1 100000 65536\n", "0 0 1\n1 1 65536\n"),
            ("", ""),
        ];
        for (ours, expected) in cases {
            assert_eq!(identity(ours), expected);
        }
    }
}
