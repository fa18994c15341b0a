//! What patterns are made of.

use regex::Regex;

/// A part of a pattern.
#[derive(Debug)]
pub(super) enum Node {
    /// One character of these.
    One(Set),
    /// The beginning of the text, or of a line.
    Start { lines: bool },
    /// The end of the text, or of a line.
    End { lines: bool },
    /// Between a word and what is none, or not there.
    Boundary(bool),
    /// Parts after each other.
    All(Vec<Node>),
    /// The first part that lets the rest match.
    Any(Vec<Node>),
    /// What is found is remembered.
    Group(usize, Box<Node>),
    /// What groups of this number found, again.
    Again { groups: Vec<usize>, fold: Option<Fold> },
    /// A part that is there, or not, without being taken.
    Look { behind: bool, wanted: bool, node: Box<Node> },
    /// A part many times; what its groups found is forgotten each time.
    Repeat { node: Box<Node>, least: usize, most: usize, greedy: bool, groups: (usize, usize) },
}

/// A set of characters.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) inverted: bool,
    pub(super) fold: Option<Fold>,
    pub(super) items: Vec<Item>,
}

/// What a set has.
#[derive(Debug)]
pub(super) enum Item {
    Range(char, char),
    Digit(bool),
    Space(bool),
    Word(bool),
    /// A property of Unicode.
    Property(Box<Regex>),
}

/// What all cases of a letter have in common.
pub(super) type Fold = fn(char) -> char;

/// A parsed pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) root: Node,
    /// How many groups there are, the whole match included.
    pub(super) groups: usize,
}
