//! White space control: `~` takes it all, and a line that has nothing but a block's tag is left out.

use std::rc::Rc;

use super::token::{Strip, is_space};
use super::tree::{Block, Content, Node, Program};

/// What a node says of the text around it.
#[derive(Default)]
struct Around {
    strip: Strip,
    open_alone: bool,
    close_alone: bool,
    /// A comment or a partial, which leaves no line behind where it is alone on it.
    alone: bool,
}

/// Takes white space from a template.
pub(super) fn control(program: &mut Program) {
    body(program, true);
}

fn body(program: &mut Program, root: bool) {
    let nodes = &mut program.body;
    for at in 0..nodes.len() {
        let around = match &mut nodes[at] {
            Node::Block(inner)
            | Node::Partial { block: Some(inner), .. }
            | Node::Decorator { block: Some(inner), .. } => block(inner),
            Node::Value { strip, .. } | Node::Decorator { strip, .. } => {
                Around { strip: *strip, ..Around::default() }
            }
            Node::Comment(strip) | Node::Partial { strip, .. } => {
                Around { strip: *strip, alone: true, ..Around::default() }
            }
            Node::Content(_) => continue,
        };
        let (before, after) = (line_begins(nodes, at, root), line_ends(nodes, at + 1, root));
        if around.strip.close {
            omit_right(nodes, at + 1, true);
        }
        if around.strip.open && at > 0 {
            omit_left(nodes, at - 1, true);
        }
        if around.alone && before && after {
            omit_right(nodes, at + 1, false);
            if at > 0 && omit_left(nodes, at - 1, false) {
                let (left, right) = nodes.split_at_mut(at);
                if let (Some(Node::Content(text)), Some(Node::Partial { indent, .. })) =
                    (left.last(), right.first_mut())
                {
                    let original = &text.original;
                    *indent = original[original.trim_end_matches([' ', '\t']).len()..].to_owned();
                }
            }
        }
        if around.open_alone && before {
            with_inner(&mut nodes[at], true, |inner| omit_right(inner, 0, false));
            if at > 0 {
                omit_left(nodes, at - 1, false);
            }
        }
        if around.close_alone && after {
            omit_right(nodes, at + 1, false);
            with_inner(&mut nodes[at], false, omit_last);
        }
    }
}

/// Does something to the first, or the last, program of a block.
fn with_inner(node: &mut Node, first: bool, then: impl FnOnce(&mut [Node])) {
    let (Node::Block(block)
    | Node::Partial { block: Some(block), .. }
    | Node::Decorator { block: Some(block), .. }) = node
    else {
        return;
    };
    let Block { program, inverse, .. } = block.as_mut();
    let found =
        if first { program.as_mut().or(inverse.as_mut()) } else { inverse.as_mut().or(program.as_mut()) };
    if let Some(program) = found {
        then(&mut Rc::make_mut(program).body);
    }
}

fn block(block: &mut Block) -> Around {
    let Block { program, inverse, .. } = block;
    for inner in [program.as_mut(), inverse.as_mut()].into_iter().flatten() {
        body(Rc::make_mut(inner), false);
    }
    let both = program.is_some();
    let mut first =
        program.as_mut().or(inverse.as_mut()).map(Rc::make_mut).map(std::mem::take).unwrap_or_default();
    let second = inverse.as_mut().filter(|_| both).map(Rc::make_mut);
    let ends =
        second.as_deref().map_or_else(|| first.body.clone(), |second| first_inverse(second).body.clone());
    let around = Around {
        strip: Strip { open: block.open.open, close: block.close.close },
        open_alone: line_ends(&first.body, 0, false),
        close_alone: line_begins(&ends, ends.len(), false),
        alone: false,
    };
    if block.open.close {
        omit_right(&mut first.body, 0, true);
    }
    match second {
        Some(second) => {
            if block.middle.open {
                omit_last_all(&mut first.body);
            }
            if block.middle.close {
                omit_right(&mut first_inverse_mut(second).body, 0, true);
            }
            if block.close.open {
                // Of several `{{else …}}` too, the first: the others see to the end themselves.
                omit_last_all(&mut first_inverse_mut(second).body);
            }
            let next = first_inverse_mut(second);
            if line_begins(&first.body, first.body.len(), false) && line_ends(&next.body, 0, false) {
                omit_last(&mut first.body);
                omit_right(&mut next.body, 0, false);
            }
        }
        None if block.close.open => omit_last_all(&mut first.body),
        None => {}
    }
    if let Some(place) = program.as_mut().or(inverse.as_mut()) {
        *Rc::make_mut(place) = first;
    }
    around
}

/// What follows the first `{{else …}}`.
fn first_inverse(program: &Program) -> &Program {
    match program.body.first() {
        Some(Node::Block(block)) if program.chained => block.program.as_deref().unwrap_or(program),
        _ => program,
    }
}

fn first_inverse_mut(program: &mut Program) -> &mut Program {
    let chained = program.chained;
    match program.body.first() {
        Some(Node::Block(block)) if chained && block.program.is_some() => {}
        _ => return program,
    }
    match program.body.first_mut() {
        Some(Node::Block(block)) => Rc::make_mut(block.program.get_or_insert_default()),
        _ => unreachable!("a block was there"),
    }
}

fn text(nodes: &[Node], at: usize) -> Option<&Content> {
    match nodes.get(at) {
        Some(Node::Content(content)) => Some(content),
        _ => None,
    }
}

/// Whether nothing but white space is before this place on its line.
fn line_begins(nodes: &[Node], at: usize, root: bool) -> bool {
    let Some(before) = at.checked_sub(1) else { return root };
    text(nodes, before).is_some_and(|content| {
        let end = content.original.trim_end_matches(is_space);
        content.original[end.len()..].contains('\n') || (root && before == 0 && end.is_empty())
    })
}

/// Whether nothing but white space is after it.
fn line_ends(nodes: &[Node], at: usize, root: bool) -> bool {
    if at >= nodes.len() {
        return root;
    }
    text(nodes, at).is_some_and(|content| {
        let rest = content.original.trim_start_matches(is_space);
        content.original[..content.original.len() - rest.len()].contains('\n')
            || (root && at + 1 == nodes.len() && rest.is_empty())
    })
}

fn omit_right(nodes: &mut [Node], at: usize, all: bool) {
    let Some(Node::Content(content)) = nodes.get_mut(at) else { return };
    if !all && content.right_stripped {
        return;
    }
    let value = match all {
        true => content.value.trim_start_matches(is_space),
        false => {
            let value = content.value.trim_start_matches([' ', '\t']);
            let value = value.strip_prefix('\r').unwrap_or(value);
            value.strip_prefix('\n').unwrap_or(value)
        }
    }
    .to_owned();
    content.right_stripped = value != content.value;
    content.value = value;
}

fn omit_left(nodes: &mut [Node], at: usize, all: bool) -> bool {
    let Some(Node::Content(content)) = nodes.get_mut(at) else { return false };
    if !all && content.left_stripped {
        return false;
    }
    let value = match all {
        true => content.value.trim_end_matches(is_space),
        false => content.value.trim_end_matches([' ', '\t']),
    }
    .to_owned();
    content.left_stripped = value != content.value;
    content.value = value;
    content.left_stripped
}

fn omit_last(nodes: &mut [Node]) {
    if let Some(at) = nodes.len().checked_sub(1) {
        omit_left(nodes, at, false);
    }
}

fn omit_last_all(nodes: &mut [Node]) {
    if let Some(at) = nodes.len().checked_sub(1) {
        omit_left(nodes, at, true);
    }
}
