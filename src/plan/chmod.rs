//! `--chmod`: octal, or symbolic as in chmod(1).

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
/// All but the sticky bit: what `a`, and nobody named, stand for.
const STANDARD: u32 = 0o6777;

/// Permissions to set, and how they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chmod {
    text: String,
    bits: Bits,
}

/// Bits to set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bits {
    /// The bits as they are.
    Octal(u32),
    /// Changes applied in order.
    Symbolic(Vec<Change>),
}

/// One change that a symbolic mode asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Set(u32),
    Clear(u32),
    /// Set for a directory, and for a file that somebody may execute.
    SetIfExecutable(u32),
    /// The permissions that one class has now, for the classes in the mask.
    Copy {
        from: Class,
        to: u32,
        operator: u8,
    },
}

/// Whose permissions are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    User,
    Group,
    Other,
}

impl Chmod {
    /// Reads a mode: what Go's `ParseUint` takes for octal, else the grammar of BSD's setmode(3) as
    /// BuildKit's parser (tonistiigi/dchapes-mode) has it, with no umask.
    pub fn parse(text: &str) -> Option<Chmod> {
        let of = |bits| Chmod { text: text.to_owned(), bits };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            let bits = u32::from_str_radix(text, 8).ok().filter(|bits| digits && *bits <= 0o7777);
            return bits.map(Bits::Octal).map(of);
        }
        symbolic(text.as_bytes()).map(Bits::Symbolic).map(of)
    }

    /// As written, expanded.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The digits, if it is written so.
    pub fn octal(&self) -> Option<u32> {
        match self.bits {
            Bits::Octal(bits) => Some(bits),
            Bits::Symbolic(_) => None,
        }
    }

    /// The mode of an entry that had `mode`.
    pub fn apply(&self, mode: u32, directory: bool) -> u32 {
        match &self.bits {
            Bits::Octal(bits) => *bits,
            Bits::Symbolic(changes) => {
                let executable = directory || mode & 0o111 != 0;
                changes.iter().fold(mode, |now, change| change.apply(now, executable))
            }
        }
    }

    /// The mode of a parent that the copy creates: octal bits without the special ones
    /// (BuildKit), 0755 otherwise.
    pub fn parent(&self) -> u32 {
        self.octal().map_or(0o755, |bits| bits & 0o777)
    }
}

impl Change {
    fn apply(self, mode: u32, executable: bool) -> u32 {
        match self {
            Change::Set(bits) => mode | bits,
            Change::Clear(bits) => mode & !bits,
            Change::SetIfExecutable(bits) => mode | if executable { bits } else { 0 },
            Change::Copy { from, to, operator } => {
                let shift = match from {
                    Class::User => 6,
                    Class::Group => 3,
                    Class::Other => 0,
                };
                let bits = (((mode >> shift) & 0o7) * 0o111) & to;
                match operator {
                    b'+' => mode | bits,
                    b'-' => mode & !bits,
                    _ => mode & !to | bits,
                }
            }
        }
    }
}

/// Clauses, separated by commas: who, then one or more operators each with its permissions.
fn symbolic(text: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    for clause in text.split(|b| *b == b',') {
        let classes = clause.iter().take_while(|b| b"ugoa".contains(b)).count();
        let who = clause[..classes].iter().fold(0, |who, class| {
            who | match class {
                b'u' => SET_UID | 0o700,
                b'g' => SET_GID | 0o070,
                b'o' => 0o007,
                _ => STANDARD,
            }
        });
        let mut rest = &clause[classes..];
        if rest.is_empty() {
            return None;
        }
        while let Some((operator, body)) = rest.split_first() {
            if !b"+-=".contains(operator) {
                return None;
            }
            let length = body.iter().take_while(|b| b"rwxXstugo".contains(b)).count();
            operation(who, *operator, &body[..length], &mut changes);
            rest = &body[length..];
        }
    }
    Some(changes)
}

/// What one operator does with its permissions. Letters of a class (`g=u`) take effect where they
/// stand, the others before the next such letter, or at the end.
fn operation(mut who: u32, operator: u8, letters: &[u8], changes: &mut Vec<Change>) {
    let only_other = who != 0 && who & !0o007 == 0;
    let (mut bits, mut if_executable) = (0, false);
    // An `=` without letters clears.
    let mut assigns = operator == b'=';
    for letter in letters {
        let from = match letter {
            b'u' => Class::User,
            b'g' => Class::Group,
            b'o' => Class::Other,
            letter => {
                match letter {
                    b'r' => bits |= 0o444,
                    b'w' => bits |= 0o222,
                    b'x' => bits |= 0o111,
                    b's' if !only_other => bits |= SET_UID | SET_GID,
                    // Naming the sticky bit names it, which is why `+rt` sets nothing else.
                    b't' if !only_other => (who, bits) = (who | STICKY, bits | STICKY),
                    // As Linux's chmod; with `-` it is ignored.
                    b'X' => if_executable |= operator != b'-',
                    _ => {}
                }
                continue;
            }
        };
        if bits != 0 {
            change(who, operator, bits, changes);
        }
        if if_executable {
            changes.push(Change::SetIfExecutable(named(who) & 0o111));
        }
        (bits, if_executable, assigns) = (0, false, false);
        changes.push(Change::Copy { from, to: named(who) & 0o777, operator });
    }
    if bits != 0 || assigns {
        change(who, operator, bits, changes);
    }
    if if_executable {
        changes.push(Change::SetIfExecutable(named(who) & 0o111));
    }
}

/// The bits that may change: all if nobody is named.
fn named(who: u32) -> u32 {
    if who == 0 { 0o7777 } else { who }
}

fn change(who: u32, operator: u8, bits: u32, changes: &mut Vec<Change>) {
    let bits = named(who) & bits;
    match operator {
        b'+' => changes.push(Change::Set(bits)),
        b'-' => changes.push(Change::Clear(bits)),
        _ => {
            let cleared = if who == 0 { STANDARD } else { who };
            changes.extend([Change::Clear(cleared), Change::Set(bits)]);
        }
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
            ("00755", 0o644, true, 0o755),
            ("u=rwX,go=rX", 0o644, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a=rX", 0o755, true, 0o555),
            ("u=X", 0o755, false, 0o155),
            ("u=X", 0o644, false, 0o044),
            ("a=r,a+X", 0o755, false, 0o555),
            ("+X", 0o644, false, 0o644),
            ("+X", 0o700, false, 0o711),
            ("+X", 0o600, true, 0o711),
            ("-X", 0o777, true, 0o777),
            ("+x", 0o644, false, 0o755),
            ("u+x", 0o644, false, 0o744),
            ("a-w", 0o666, false, 0o444),
            ("go-w", 0o666, false, 0o644),
            ("go-rwx", 0o777, false, 0o700),
            ("=", 0o1777, false, 0o1000),
            ("=", 0o6777, true, 0),
            ("+", 0o421, false, 0o421),
            ("u=", 0o4777, false, 0o077),
            ("o=", 0o7777, false, 0o7770),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, true, 0o2755),
            ("a+s", 0o755, false, 0o6755),
            ("o+s", 0o755, false, 0o755),
            ("-s", 0o6777, false, 0o777),
            ("+t", 0o755, true, 0o1755),
            ("a+t", 0o755, true, 0o1755),
            ("u+t", 0o755, true, 0o1755),
            ("o+t", 0o755, true, 0o755),
            ("-t", 0o1755, true, 0o755),
            ("+rt", 0, false, 0o1000),
            ("o=u", 0o750, false, 0o757),
            ("u=g", 0o742, false, 0o442),
            ("u=g-w", 0o762, false, 0o462),
            ("u+go", 0o021, false, 0o321),
            ("go=u-w", 0o770, false, 0o755),
            ("-u", 0o111, false, 0),
            ("u=gw", 0o070, false, 0o270),
            ("u-x+r", 0o100, false, 0o400),
            ("a=r,ug=rw,u+x", 0, false, 0o764),
            ("o+r,g+w,a+t,g-s,u+og", 0o2100, false, 0o1724),
            ("=rw,+X", 0o766, false, 0o777),
        ] {
            let applied = Chmod::parse(text).unwrap().apply(before, directory);
            assert_eq!(applied, after, "{text} on {before:o}: {applied:o}");
        }
    }

    #[test]
    fn no_modes() {
        for text in [
            "", ",", "8", "10000", "17777", "x", "u", "go", "u=q", "z+x", "0o755", "7x", "u+x,", ",u+x",
            "+755", "u+x,,g+x", "u +x", "-1",
        ] {
            assert_eq!(Chmod::parse(text), None, "{text}");
        }
    }
}
