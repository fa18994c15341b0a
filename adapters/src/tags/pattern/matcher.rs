//! A pattern's way through a text, as JavaScript's specification has it: the first way that leads to
//! the end is taken, and the number of steps is bounded.

use super::node::{Fold, Item, Node, Set};

/// From where to where each group is, the whole match first.
type Groups = Vec<Option<(usize, usize)>>;
type Found = Result<bool, &'static str>;
/// What has to match after a part.
type Then<'a, 'b> = &'b mut dyn FnMut(&mut Matcher<'a>, usize) -> Found;

/// A hostile pattern takes a moment, not an hour.
const STEPS: usize = 2_000_000;
const DEEPEST: usize = 800;

pub(super) struct Matcher<'a> {
    text: &'a [char],
    groups: Groups,
    steps: usize,
    depth: usize,
    behind: bool,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(text: &'a [char], groups: usize) -> Self {
        Matcher { text, groups: vec![None; groups], steps: 0, depth: 0, behind: false }
    }

    /// The groups of the match that begins at `start`.
    pub(super) fn at(&mut self, root: &Node, start: usize) -> Result<Option<Groups>, &'static str> {
        self.groups.fill(None);
        let mut end = start;
        let found = self.node(root, start, &mut |_, at| {
            end = at;
            Ok(true)
        })?;
        self.groups[0] = Some((start, end));
        Ok(found.then(|| self.groups.clone()))
    }

    fn node(&mut self, node: &Node, at: usize, then: Then<'a, '_>) -> Found {
        self.steps += 1;
        self.depth += 1;
        if self.steps > STEPS || self.depth > DEEPEST {
            return Err("it takes too many steps");
        }
        let found = self.part(node, at, then);
        self.depth -= 1;
        found
    }

    fn part(&mut self, node: &Node, at: usize, then: Then<'a, '_>) -> Found {
        let text = self.text;
        let line_end =
            |at: usize| text.get(at).is_some_and(|c| matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}'));
        let word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|c| is_word(*c));
        let holds = match node {
            Node::One(set) => return self.one(set, at).map_or(Ok(false), |next| then(self, next)),
            Node::Start { lines } => at == 0 || (*lines && line_end(at - 1)),
            Node::End { lines } => at == text.len() || (*lines && line_end(at)),
            Node::Boundary(wanted) => (word(at.checked_sub(1)) != word(Some(at))) == *wanted,
            Node::All(nodes) => return self.all(nodes, at, then),
            Node::Any(nodes) => {
                for node in nodes {
                    let before = self.groups.clone();
                    if self.node(node, at, then)? {
                        return Ok(true);
                    }
                    self.groups = before;
                }
                false
            }
            Node::Group(number, node) => return self.group(*number, node, at, then),
            Node::Again { groups, fold } => {
                let found = groups.iter().find_map(|number| self.groups[*number]);
                return self.again(found, *fold, at).map_or(Ok(false), |next| then(self, next));
            }
            Node::Look { behind, wanted, node } => return self.look((*behind, *wanted), node, at, then),
            Node::Repeat { node, least, most, greedy, groups } => {
                let repeat = Repeat { node, least: *least, most: *most, greedy: *greedy, groups: *groups };
                return match node.as_ref() {
                    Node::One(set) => self.run(set, &repeat, at, then),
                    _ => self.repeat(&repeat, 0, at, then),
                };
            }
        };
        if holds { then(self, at) } else { Ok(false) }
    }

    /// The place after one character of a set.
    fn one(&self, set: &Set, at: usize) -> Option<usize> {
        let from = if self.behind { at.checked_sub(1)? } else { at };
        let c = *self.text.get(from)?;
        holds(set, c).then_some(if self.behind { from } else { at + 1 })
    }

    fn all(&mut self, nodes: &[Node], at: usize, then: Then<'a, '_>) -> Found {
        let next = if self.behind { nodes.split_last() } else { nodes.split_first() };
        let Some((node, rest)) = next else { return then(self, at) };
        self.node(node, at, &mut |matcher, at| matcher.all(rest, at, then))
    }

    fn group(&mut self, number: usize, node: &Node, at: usize, then: Then<'a, '_>) -> Found {
        let behind = self.behind;
        self.node(node, at, &mut |matcher, end| {
            let before = matcher.groups[number];
            matcher.groups[number] = Some(if behind { (end, at) } else { (at, end) });
            let found = then(matcher, end)?;
            if !found {
                matcher.groups[number] = before;
            }
            Ok(found)
        })
    }

    /// The place after what a group found; a group that found nothing matches nothing.
    fn again(&self, found: Option<(usize, usize)>, fold: Option<Fold>, at: usize) -> Option<usize> {
        let Some((from, to)) = found else { return Some(at) };
        let start = if self.behind { at.checked_sub(to - from)? } else { at };
        let here = self.text.get(start..start + to - from)?;
        let same = here
            .iter()
            .zip(&self.text[from..to])
            .all(|(a, b)| a == b || fold.is_some_and(|fold| fold(*a) == fold(*b)));
        same.then_some(if self.behind { start } else { at + to - from })
    }

    fn look(&mut self, (behind, wanted): (bool, bool), node: &Node, at: usize, then: Then<'a, '_>) -> Found {
        let before = self.groups.clone();
        let outer = std::mem::replace(&mut self.behind, behind);
        let found = self.node(node, at, &mut |_, _| Ok(true));
        self.behind = outer;
        let found = found?;
        if !(found && wanted) {
            self.groups.clone_from(&before);
        }
        if found == wanted && then(self, at)? {
            return Ok(true);
        }
        self.groups = before;
        Ok(false)
    }

    /// A set many times, without a frame for each.
    fn run(&mut self, set: &Set, repeat: &Repeat<'_>, at: usize, then: Then<'a, '_>) -> Found {
        let mut places = vec![at];
        while places.len() - 1 < repeat.most {
            let Some(next) = self.one(set, places[places.len() - 1]) else { break };
            places.push(next);
        }
        let Some(mut places) = places.get(repeat.least..).map(<[usize]>::to_vec) else { return Ok(false) };
        if repeat.greedy {
            places.reverse();
        }
        for place in places {
            self.steps += 1;
            if self.steps > STEPS {
                return Err("it takes too many steps");
            }
            if then(self, place)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn repeat(&mut self, repeat: &Repeat<'_>, done: usize, at: usize, then: Then<'a, '_>) -> Found {
        if done >= repeat.least && !repeat.greedy && then(self, at)? {
            return Ok(true);
        }
        if done < repeat.most {
            let before = self.groups.clone();
            let (first, next) = repeat.groups;
            self.groups[first..next].fill(None);
            let found = self.node(repeat.node, at, &mut |matcher, end| {
                // Nothing, once more, leads nowhere.
                if end == at && done >= repeat.least {
                    return Ok(false);
                }
                matcher.repeat(repeat, done + 1, end, then)
            })?;
            if found {
                return Ok(true);
            }
            self.groups = before;
        }
        if done >= repeat.least && repeat.greedy { then(self, at) } else { Ok(false) }
    }
}

struct Repeat<'n> {
    node: &'n Node,
    least: usize,
    most: usize,
    greedy: bool,
    groups: (usize, usize),
}

fn holds(set: &Set, c: char) -> bool {
    let has = |c: char| set.items.iter().any(|item| has(item, c));
    let found = has(c) || set.fold.is_some_and(|fold| other_cases(c, fold).any(has));
    found != set.inverted
}

fn has(item: &Item, c: char) -> bool {
    match item {
        Item::Range(from, to) => (*from..=*to).contains(&c),
        Item::Digit(wanted) => c.is_ascii_digit() == *wanted,
        Item::Word(wanted) => is_word(c) == *wanted,
        Item::Space(wanted) => ((c.is_whitespace() && c != '\u{85}') || c == '\u{feff}') == *wanted,
        Item::Property(regex) => regex.is_match(c.encode_utf8(&mut [0; 4])),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Letters of either case are the same; none outside of ASCII is one inside of it.
pub(super) fn fold(c: char) -> char {
    match single(c.to_uppercase()) {
        Some(upper) if c.is_ascii() || !upper.is_ascii() => upper,
        _ => c,
    }
}

/// As Unicode folds letters, which is what the flag `u` asks for: the Kelvin sign is a `k`.
pub(super) fn fold_by_unicode(c: char) -> char {
    match c {
        'İ' | 'ı' => c,
        'ẞ' => 'ß',
        c => {
            let upper = single(c.to_uppercase()).unwrap_or(c);
            single(upper.to_lowercase()).unwrap_or(upper)
        }
    }
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    chars.next().filter(|_| chars.next().is_none())
}

fn other_cases(c: char, fold: Fold) -> impl Iterator<Item = char> {
    // Those that neither case of a letter leads to.
    let odd = ['ſ', '\u{212a}', '\u{212b}', '\u{2126}', 'ẞ'];
    let cases =
        c.to_lowercase().chain(c.to_uppercase()).chain(fold(c).to_uppercase()).chain([fold(c)]).chain(odd);
    cases.filter(move |other| fold(*other) == fold(c))
}
