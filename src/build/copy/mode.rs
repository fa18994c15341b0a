//! `--chmod`: octal, or symbolic as in chmod(1).

use super::CopyError;

/// Bits to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chmod {
    /// The bits as they are.
    Octal(u32),
    /// Clauses applied in order.
    Symbolic(Vec<Clause>),
}

/// `ugo` `+-=` `rwxXst`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    user: bool,
    group: bool,
    other: bool,
    operator: char,
    permissions: String,
}

impl Chmod {
    /// Reads a mode.
    pub(super) fn parse(text: &str) -> Result<Chmod, CopyError> {
        let wrong = || CopyError::Mode { mode: text.to_owned() };
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let bits = u32::from_str_radix(text, 8).map_err(|_| wrong())?;
            return if bits <= 0o7777 { Ok(Chmod::Octal(bits)) } else { Err(wrong()) };
        }
        let clauses = text.split(',').map(clauses).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        Ok(Chmod::Symbolic(clauses.concat()))
    }

    /// The mode of an entry that had `mode`.
    pub(super) fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Chmod::Octal(bits) => *bits,
            Chmod::Symbolic(clauses) => {
                clauses.iter().fold(mode, |mode, clause| clause.apply(mode, directory))
            }
        }
    }

    /// The mode of a parent that the copy creates: octal bits without the special ones
    /// (BuildKit), 0755 otherwise.
    pub(super) fn parent(&self) -> u32 {
        match self {
            Chmod::Octal(bits) => bits & 0o777,
            Chmod::Symbolic(_) => 0o755,
        }
    }
}

/// One comma-separated part: who, then one or more operators with their permissions.
fn clauses(text: &str) -> Option<Vec<Clause>> {
    let start = text.find(['+', '-', '='])?;
    let (who, mut rest) = text.split_at(start);
    if !who.chars().all(|c| "ugoa".contains(c)) {
        return None;
    }
    let all = who.is_empty() || who.contains('a');
    let mut found = Vec::new();
    while let Some(operator) = rest.chars().next() {
        let body = &rest[1..];
        let end = body.find(['+', '-', '=']).unwrap_or(body.len());
        let (permissions, next) = body.split_at(end);
        let copies = matches!(permissions, "u" | "g" | "o");
        if !copies && !permissions.chars().all(|c| "rwxXst".contains(c)) {
            return None;
        }
        found.push(Clause {
            user: all || who.contains('u'),
            group: all || who.contains('g'),
            other: all || who.contains('o'),
            operator,
            permissions: permissions.to_owned(),
        });
        rest = next;
    }
    Some(found)
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let one = self.one_class(mode, directory);
        let mut bits = 0;
        let mut mask = 0;
        for (wanted, shift, special, letter) in
            [(self.user, 6, 0o4000, 's'), (self.group, 3, 0o2000, 's'), (self.other, 0, 0o1000, 't')]
        {
            if wanted {
                bits |= one << shift;
                mask |= 0o7 << shift;
                if self.permissions.contains(letter) {
                    bits |= special;
                }
                // A directory keeps its special bits under `=`, as in chmod(1).
                if !directory || self.permissions.contains(letter) {
                    mask |= special;
                }
            }
        }
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !mask) | bits,
        }
    }

    /// The three bits that each named class gets.
    fn one_class(&self, mode: u32, directory: bool) -> u32 {
        match self.permissions.as_str() {
            "u" => return mode >> 6 & 0o7,
            "g" => return mode >> 3 & 0o7,
            "o" => return mode & 0o7,
            _ => {}
        }
        self.permissions.chars().fold(0, |bits, c| {
            bits | match c {
                'r' => 0o4,
                'w' => 0o2,
                'x' => 0o1,
                'X' if directory || mode & 0o111 != 0 => 0o1,
                _ => 0,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, before, directory, after) in [
            ("644", 0o755, false, 0o644),
            ("4755", 0o644, false, 0o4755),
            ("u=rwX,go=rX", 0o644, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("u+s", 0o755, false, 0o4755),
            ("go-rwx", 0o777, false, 0o700),
            ("o=u", 0o750, false, 0o757),
            ("u-x+r", 0o100, false, 0o400),
        ] {
            assert_eq!(Chmod::parse(text).unwrap().apply(before, directory), after, "{text}");
        }
    }

    #[test]
    fn no_modes() {
        for text in ["8", "10000", "x", "u", "u=q", "z+x", "0o755"] {
            assert!(Chmod::parse(text).is_err(), "{text}");
        }
    }
}
