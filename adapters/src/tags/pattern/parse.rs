//! Text to nodes: ECMAScript's patterns with the leniency of browsers where neither `u` nor `v` is set.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

use super::matcher;
use super::node::{Fold, Item, Node, Pattern, Set};

type Parsed<T> = Result<T, &'static str>;

const MEANINGLESS: &str = "a backslash means nothing there";

/// Groups in groups up to this many.
const DEEPEST: usize = 100;

#[derive(Clone, Copy)]
struct Flags {
    either_case: bool,
    lines: bool,
    dot_all: bool,
    unicode: bool,
    /// Classes have operators.
    sets: bool,
}

struct Parser<'a> {
    source: &'a str,
    rest: Peekable<Chars<'a>>,
    flags: Flags,
    /// Names of the groups in their order, those to come included.
    names: Vec<Option<String>>,
    next: usize,
    depth: usize,
    /// The way to here: which branch of which choice.
    way: Vec<(usize, usize)>,
    /// How many choices there were.
    choices: usize,
    /// The groups with names so far, with the way to each.
    named: Vec<(String, Vec<(usize, usize)>)>,
}

impl Pattern {
    pub(super) fn parse(source: &str, flags: &str) -> Parsed<Self> {
        let set = |flag| flags.contains(flag);
        let unicode = set('u') || set('v');
        let flags =
            Flags { either_case: set('i'), lines: set('m'), dot_all: set('s'), unicode, sets: set('v') };
        let names = names(source);
        let mut parser = Parser {
            source,
            rest: source.chars().peekable(),
            flags,
            names,
            next: 1,
            depth: 0,
            way: Vec::new(),
            choices: 0,
            named: Vec::new(),
        };
        let root = parser.alternatives()?;
        match parser.rest.next() {
            None => Ok(Pattern { root, groups: parser.next }),
            Some(_) => Err("a parenthesis is closed that was not opened"),
        }
    }
}

/// What is ahead.
struct Words<'a>(Peekable<Chars<'a>>);

impl Words<'_> {
    /// `\uDC00`: the second half of a character.
    fn half(&mut self) -> Option<char> {
        let escape: String = self.0.by_ref().take(6).collect();
        let digits = escape.strip_prefix("\\u").filter(|digits| digits.len() == 4)?;
        u16::from_str_radix(digits, 16).ok().filter(|n| (0xDC00..0xE000).contains(n)).map(super::unit)
    }
}

/// The groups that remember, with their names.
fn names(source: &str) -> Vec<Option<String>> {
    let mut names = Vec::new();
    let mut class = false;
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default(),
            '[' => class = true,
            ']' => class = false,
            '(' if !class && !rest.starts_with('?') => names.push(None),
            '(' if !class
                && rest.starts_with("?<")
                && !rest.starts_with("?<=")
                && !rest.starts_with("?<!") =>
            {
                names.push(rest[2..].split_once('>').map(|(name, _)| name.to_owned()));
            }
            _ => {}
        }
    }
    names
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let mut ahead = self.rest.clone();
        if !word.chars().all(|c| ahead.next() == Some(c)) {
            return false;
        }
        self.rest = ahead;
        true
    }

    /// How letters of either case are made the same, where they are.
    fn fold(&self) -> Option<Fold> {
        let fold = if self.flags.unicode { matcher::fold_by_unicode } else { matcher::fold };
        self.flags.either_case.then_some(fold)
    }

    fn alternatives(&mut self) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("its groups are nested too deeply");
        }
        self.choices += 1;
        self.way.push((self.choices, 0));
        let mut any = vec![self.sequence()?];
        while self.take("|") {
            if let Some((_, branch)) = self.way.last_mut() {
                *branch += 1;
            }
            any.push(self.sequence()?);
        }
        self.way.pop();
        self.depth -= 1;
        Ok(if any.len() == 1 { any.remove(0) } else { Node::Any(any) })
    }

    fn sequence(&mut self) -> Parsed<Node> {
        let mut all = Vec::new();
        while let Some(c) = self.rest.peek().copied().filter(|c| !matches!(c, '|' | ')')) {
            let first = self.next;
            let node = self.term(c)?;
            let fixed = match node {
                Node::Start { .. } | Node::End { .. } | Node::Boundary(_) => true,
                Node::Look { behind, .. } => behind || self.flags.unicode,
                _ => false,
            };
            let node = match self.quantifier()? {
                None => node,
                Some(_) if fixed => return Err("there is nothing to repeat"),
                Some((least, most, greedy)) => {
                    let groups = (first, self.next);
                    Node::Repeat { node: Box::new(node), least, most, greedy, groups }
                }
            };
            all.push(node);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Node::All(all) })
    }

    fn term(&mut self, c: char) -> Parsed<Node> {
        let Flags { lines, dot_all, unicode, .. } = self.flags;
        let fold = self.fold();
        if matches!(c, '*' | '+' | '?') || (c == '{' && (unicode || self.counts().is_some())) {
            return Err("there is nothing to repeat");
        }
        self.rest.next();
        let set = |inverted, items| Node::One(Set { inverted, fold, items });
        Ok(match c {
            '^' => Node::Start { lines },
            '$' => Node::End { lines },
            '.' if dot_all => set(true, Vec::new()),
            '.' => {
                let ends = [('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')];
                set(true, ends.map(|(from, to)| Item::Range(from, to)).into())
            }
            '(' => self.group()?,
            '[' => self.class()?,
            '\\' => self.escape()?,
            '}' | ']' if unicode => return Err("a bracket is closed that was not opened"),
            c => set(false, vec![Item::Range(c, c)]),
        })
    }

    fn group(&mut self) -> Parsed<Node> {
        let outer = self.flags;
        let look = |behind, wanted| Some((behind, wanted));
        let mut kind = None;
        let mut number = None;
        if self.take("?=") {
            kind = look(false, true);
        } else if self.take("?!") {
            kind = look(false, false);
        } else if self.take("?<=") {
            kind = look(true, true);
        } else if self.take("?<!") {
            kind = look(true, false);
        } else if self.take("?<") {
            let name: String = self.rest.by_ref().take_while(|c| *c != '>').collect();
            let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
            if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) || !name.chars().all(word) {
                return Err("a group has a name that is none");
            }
            // Only groups of which one excludes the other may share a name.
            let apart = |(a, b): (&(usize, usize), &(usize, usize))| a.0 == b.0 && a.1 != b.1;
            let shared = |way: &[(usize, usize)]| !way.iter().zip(&self.way).any(apart);
            if self.named.iter().any(|(other, way)| *other == name && shared(way)) {
                return Err("two groups have the same name");
            }
            self.named.push((name, self.way.clone()));
            number = Some(self.next);
        } else if self.take("?") {
            self.modifiers()?;
        } else {
            number = Some(self.next);
        }
        self.next += usize::from(number.is_some());
        let node = Box::new(self.alternatives()?);
        if !self.take(")") {
            return Err("a parenthesis is not closed");
        }
        self.flags = outer;
        Ok(match (kind, number) {
            (Some((behind, wanted)), _) => Node::Look { behind, wanted, node },
            (None, Some(number)) => Node::Group(number, node),
            // A group of its own, so that what it holds can be repeated.
            (None, None) => Node::All(vec![*node]),
        })
    }

    /// `ims-ims:`, where a group changes flags for what is in it.
    fn modifiers(&mut self) -> Parsed<()> {
        let word: String = self.rest.by_ref().take_while(|c| *c != ':').collect();
        let mut value = true;
        for (at, c) in word.char_indices() {
            let flag = match c {
                'i' => &mut self.flags.either_case,
                'm' => &mut self.flags.lines,
                's' => &mut self.flags.dot_all,
                '-' if value && word.len() > 1 => {
                    value = false;
                    continue;
                }
                _ => return Err("a group begins with a question mark that means nothing"),
            };
            if word[..at].contains(c) {
                return Err("a group changes a flag twice");
            }
            *flag = value;
        }
        Ok(())
    }

    /// How often, and whether as often as possible.
    fn quantifier(&mut self) -> Parsed<Option<(usize, usize, bool)>> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                let Some((least, most, length)) = self.counts() else { return Ok(None) };
                self.rest.nth(length - 2);
                (least, most)
            }
            _ => return Ok(None),
        };
        self.rest.next();
        if least > most {
            return Err("the numbers in braces are out of order");
        }
        Ok(Some((least, most, !self.take("?"))))
    }

    /// `{2}`, `{2,}` or `{2,5}`, and its length; anything else in braces is text.
    fn counts(&self) -> Option<(usize, usize, usize)> {
        let inside: String = self.rest.clone().skip(1).take_while(|c| *c != '}').collect();
        self.rest.clone().nth(inside.chars().count() + 1)?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(usize::MAX))
        };
        let (least, most) = match inside.split_once(',') {
            None => (number(&inside)?, number(&inside)?),
            Some((least, "")) => (number(least)?, usize::MAX),
            Some((least, most)) => (number(least)?, number(most)?),
        };
        Some((least, most, inside.len() + 2))
    }

    fn class(&mut self) -> Parsed<Node> {
        let inverted = self.take("^");
        let mut items = Vec::new();
        while !self.take("]") {
            let from = self.class_item()?;
            let mut ahead = self.rest.clone();
            if ahead.next() != Some('-') || matches!(ahead.next(), Some(']') | None) {
                items.push(from);
                continue;
            }
            self.rest.next();
            match (from, self.class_item()?) {
                (Item::Range(from, _), Item::Range(to, _)) if from <= to => items.push(Item::Range(from, to)),
                (Item::Range(..), Item::Range(..)) => return Err("a range is out of order"),
                _ if self.flags.unicode => return Err("a range has ends that are no characters"),
                (from, to) => items.extend([from, Item::Range('-', '-'), to]),
            }
        }
        Ok(Node::One(Set { inverted, fold: self.fold(), items }))
    }

    fn class_item(&mut self) -> Parsed<Item> {
        match self.rest.next() {
            None => Err("a bracket is not closed"),
            Some('\\') if self.take("b") => Ok(Item::Range('\u{8}', '\u{8}')),
            Some('\\') if self.flags.unicode && self.take("-") => Ok(Item::Range('-', '-')),
            Some('\\') => self.escaped(),
            Some(c) if self.flags.sets && self.operates(c) => {
                Err("what the flag v adds to classes is not known here")
            }
            Some(c) => Ok(Item::Range(c, c)),
        }
    }

    /// Whether a character is, or may be part of, an operator between sets.
    fn operates(&mut self, c: char) -> bool {
        "()[{}/-|".contains(c) || ("&!#$%*+,.:;<=>?@^`~".contains(c) && self.rest.peek() == Some(&c))
    }

    /// An escape outside of a class.
    fn escape(&mut self) -> Parsed<Node> {
        let fold = self.fold();
        for (letter, wanted) in [("b", true), ("B", false)] {
            if self.take(letter) {
                return Ok(Node::Boundary(wanted));
            }
        }
        if self.names.iter().any(Option::is_some) && self.take("k") {
            let name: String = self.rest.by_ref().skip(1).take_while(|c| *c != '>').collect();
            let same =
                |(at, other): (usize, &Option<String>)| (other.as_ref() == Some(&name)).then_some(at + 1);
            let groups: Vec<usize> = self.names.iter().enumerate().filter_map(same).collect();
            return match groups.is_empty() {
                true => Err("it refers to a group that is not there"),
                false => Ok(Node::Again { groups, fold }),
            };
        }
        let digits: String = self.rest.clone().take_while(char::is_ascii_digit).collect();
        match digits.parse::<usize>() {
            Ok(number) if !digits.starts_with('0') && number <= self.names.len() => {
                self.rest.nth(digits.len() - 1);
                Ok(Node::Again { groups: vec![number], fold })
            }
            Ok(_) if !digits.starts_with('0') && self.flags.unicode => {
                Err("it refers to a group that is not there")
            }
            _ => Ok(Node::One(Set { inverted: false, fold, items: vec![self.escaped()?] })),
        }
    }

    /// What stands for a character or a class of them after a backslash.
    fn escaped(&mut self) -> Parsed<Item> {
        let one = |c| Ok(Item::Range(c, c));
        let Some(c) = self.rest.next() else { return Err("there is nothing after the last backslash") };
        match c {
            'd' | 'D' => Ok(Item::Digit(c == 'd')),
            's' | 'S' => Ok(Item::Space(c == 's')),
            'w' | 'W' => Ok(Item::Word(c == 'w')),
            't' => one('\t'),
            'n' => one('\n'),
            'v' => one('\u{b}'),
            'f' => one('\u{c}'),
            'r' => one('\r'),
            'x' | 'u' => {
                let found = if c == 'x' { self.hexadecimal(2) } else { self.code_point() };
                one(found.or((!self.flags.unicode).then_some(c)).ok_or(MEANINGLESS)?)
            }
            'p' | 'P' if self.flags.unicode => self.property(c),
            'c' => match self.rest.next_if(char::is_ascii_alphabetic) {
                Some(letter) => one(char::from(letter as u8 % 32)),
                None if self.flags.unicode => Err(MEANINGLESS),
                None => {
                    // The backslash itself; the letter follows.
                    self.rest = self.source[self.source.len() - self.left() - 1..].chars().peekable();
                    one('\\')
                }
            },
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => one('\0'),
            '0'..='7' if !self.flags.unicode => one(self.octal(c)),
            c if self.flags.unicode && !r"^$\.*+?()[]{}|/".contains(c) => Err(MEANINGLESS),
            c => one(c),
        }
    }

    /// How many bytes are left.
    fn left(&self) -> usize {
        self.rest.clone().map(char::len_utf8).sum()
    }

    fn hexadecimal(&mut self, length: usize) -> Option<char> {
        let digits: String = self.rest.clone().take(length).collect();
        let sound = digits.len() == length && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let c = u32::from_str_radix(&digits, 16).ok().filter(|_| sound)?;
        let c = u16::try_from(c).map_or_else(|_| char::from_u32(c), |c| Some(super::unit(c)))?;
        self.rest.nth(length - 1);
        Some(c)
    }

    fn code_point(&mut self) -> Option<char> {
        if !self.flags.unicode || self.rest.peek() != Some(&'{') {
            let first = self.hexadecimal(4)?;
            // With `u`, two halves are one character.
            let mut ahead = Words(self.rest.clone());
            let second = Some(()).filter(|()| self.flags.unicode).and_then(|()| ahead.half());
            let whole = second.map(|second| super::joined(&[first, second]));
            let whole = whole
                .filter(|whole| whole.chars().count() == 1 && !whole.contains(char::REPLACEMENT_CHARACTER));
            if let Some(whole) = whole {
                self.rest = ahead.0;
                return whole.chars().next();
            }
            return Some(first);
        }
        let digits: String = self.rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
    }

    fn octal(&mut self, first: char) -> char {
        let mut value = first as u32 - '0' as u32;
        while let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)).filter(|d| value * 8 + d < 256) {
            value = value * 8 + digit;
            self.rest.next();
        }
        char::from_u32(value).unwrap_or_default()
    }

    fn property(&mut self, letter: char) -> Parsed<Item> {
        let inside: String = self.rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
        let regex = Regex::new(&format!(r"^\{letter}{{{inside}}}$"));
        regex
            .map(|regex| Item::Property(Box::new(regex)))
            .map_err(|_| "it names a property that is not known here: write a category, such as \\p{Lu}")
    }
}
