//! Where a template is rendered: its context, what blocks know and name, and what names stand for there.

use std::rc::Rc;

use super::TemplateError;
use super::tree::Path;
use super::value::{Names, Value};

/// The names that a block gives its values, and those of the blocks around it.
pub(super) struct Level {
    pub(super) names: Option<Vec<String>>,
    pub(super) values: Option<Vec<Value>>,
    pub(super) next: Option<Rc<Level>>,
}

/// A context, and those around it.
pub(super) struct Depth {
    pub(super) context: Value,
    pub(super) next: Option<Rc<Depth>>,
}

/// Where a template is rendered.
pub(super) struct Frame {
    pub(super) context: Value,
    pub(super) data: Rc<Names>,
    pub(super) level: Option<Rc<Level>>,
    pub(super) depths: Option<Rc<Depth>>,
}

/// The context, as functions are given it.
pub(super) fn this(at: &Frame) -> Value {
    if at.context.is_nothing() { Value::Object(Rc::default(), None) } else { at.context.clone() }
}

/// The names that have a name among them, and where it is there.
pub(super) fn level_of(name: &str, at: &Frame) -> Option<(Rc<Level>, usize)> {
    let mut next = at.level.clone();
    while let Some(level) = next {
        if let Some(at) = level.names.as_ref().and_then(|names| names.iter().position(|n| n == name)) {
            return Some((level, at));
        }
        next = level.next.clone();
    }
    None
}

/// What blocks that are given no values name: the values of the blocks around them.
pub(super) fn around(at: &Frame) -> Vec<Value> {
    let mut all = Vec::new();
    let mut next = at.level.as_ref().filter(|level| level.next.is_some());
    while let Some(level) = next {
        all.push(level.values.clone().map_or(Value::Undefined, |values| Value::List(Rc::new(values))));
        // The outermost is the template's own, which is none.
        next = level.next.as_ref().filter(|level| level.next.is_some());
    }
    all
}

/// What a name stands for; `falsy` stops at the first part that is false, not just where nothing is.
pub(super) fn path(path: &Path, falsy: bool, at: &Frame) -> Result<Value, TemplateError> {
    let own = path.up == 0 && !path.scoped();
    let first = path.parts.first();
    if let Some((level, at)) = first.filter(|_| own).and_then(|first| level_of(first, at)) {
        let values =
            level.values.as_ref().ok_or_else(|| TemplateError::new("a block has no values to name"))?;
        let value = values.get(at).cloned().unwrap_or(Value::Undefined);
        return Ok(resolved(value, &path.parts[1..], false));
    }
    if path.data && first.is_some() {
        let mut data = Value::Object(at.data.clone(), None);
        for _ in 0..path.up {
            data = data.property("_parent");
        }
        return Ok(resolved(data, &path.parts, true));
    }
    let context = match path.up {
        0 => at.context.clone(),
        up => {
            let mut depth = at.depths.clone();
            for _ in 0..up {
                depth = depth.and_then(|depth| depth.next.clone());
            }
            depth.map_or(Value::Undefined, |depth| depth.context.clone())
        }
    };
    Ok(resolved(context, &path.parts, falsy))
}

pub(super) fn resolved(mut value: Value, parts: &[String], falsy: bool) -> Value {
    for part in parts {
        if value.is_nothing() || (falsy && !value.holds()) {
            return value;
        }
        value = value.property(part);
    }
    value
}

/// `lookup value name`
pub(super) fn looked_up(params: &[Value]) -> Result<Value, TemplateError> {
    match params {
        [value, ..] if !value.holds() => Ok(value.clone()),
        [value, name] => Ok(match name {
            Value::Undefined => value.property("undefined"),
            Value::Null => value.property("null"),
            Value::Function(_) | Value::Block(_) => Value::Undefined,
            name => value.property(&name.text()?),
        }),
        _ => Err(TemplateError::new("lookup requires a value and a name")),
    }
}

/// What is known in a block inside of another: all of that, and more.
pub(super) fn framed(data: &Rc<Names>, more: Vec<(&str, Value)>) -> Rc<Names> {
    let mut all = data.as_ref().clone();
    put(&mut all, "_parent", Value::Object(data.clone(), None));
    for (name, value) in more {
        put(&mut all, name, value);
    }
    Rc::new(all)
}

pub(super) fn put(names: &mut Names, name: &str, value: Value) {
    match names.iter_mut().find(|(n, _)| n == name) {
        Some((_, place)) => *place = value,
        None => names.push((name.to_owned(), value)),
    }
}

pub(super) fn find(names: &Names, name: &str) -> Value {
    names.iter().find(|(n, _)| n == name).map_or(Value::Undefined, |(_, value)| value.clone())
}

/// The names that a value has itself.
pub(super) fn own(value: &Value) -> Names {
    match value {
        Value::Object(names, _) => names.as_ref().clone(),
        Value::List(items) => {
            items.iter().enumerate().map(|(at, item)| (at.to_string(), item.clone())).collect()
        }
        Value::Text(text) => (0..text.encode_utf16().count())
            .map(|at| (at.to_string(), value.property(&at.to_string())))
            .collect(),
        _ => Names::new(),
    }
}

/// Names with their values: whole numbers come first, in their order, as in every object of JavaScript.
pub(super) fn in_order(names: &Names) -> Vec<(Value, Value)> {
    let number = |name: &str| name.parse::<u32>().ok().filter(|n| n.to_string() == name && *n < u32::MAX);
    let mut names: Vec<&(String, Value)> = names.iter().collect();
    names.sort_by_key(|(name, _)| number(name).map_or((true, 0), |n| (false, n)));
    names.into_iter().map(|(name, value)| (Value::Text(name.clone()), value.clone())).collect()
}
