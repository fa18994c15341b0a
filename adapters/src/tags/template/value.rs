//! What names stand for, with JavaScript's ideas of truth, text and sums.

use std::cmp::Ordering;
use std::rc::Rc;

use super::TemplateError;
use super::run::Closure;

/// What a name stands for.
#[derive(Clone)]
pub(in super::super) enum Value {
    /// Nothing of this name.
    Undefined,
    /// What is written as `null`.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Text.
    Text(String),
    /// Several values.
    List(Rc<Vec<Value>>),
    /// Values with names, in their order; some have a text of their own.
    Object(Rc<Names>, Option<Rc<str>>),
    /// A function of the scope, to be called by its name.
    Function(&'static str),
    /// The block of a partial: no value that can be shown.
    Block(Rc<Closure>),
}

/// Values with names, in their order.
pub(in super::super) type Names = Vec<(String, Value)>;

impl Value {
    /// An object of these names.
    pub(in super::super) fn object(names: Vec<(&str, Value)>) -> Value {
        let names = names.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Value::Object(Rc::new(names), None)
    }

    /// Its text, empty where there is nothing.
    ///
    /// # Errors
    /// A function, whose text would be its source.
    pub(super) fn text(&self) -> Result<String, TemplateError> {
        Ok(match self {
            Value::Undefined | Value::Null => String::new(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number_text(*number),
            Value::Text(text) => text.clone(),
            Value::List(items) => {
                items.iter().map(Value::text).collect::<Result<Vec<_>, TemplateError>>()?.join(",")
            }
            Value::Object(_, Some(text)) => text.to_string(),
            Value::Object(..) => "[object Object]".to_owned(),
            Value::Function(name) => {
                return Err(TemplateError::new(format!("{name} is a function: it has no text")));
            }
            Value::Block(_) => return Err(TemplateError::new("a block has no text")),
        })
    }

    /// Whether it counts as true.
    pub(in super::super) fn holds(&self) -> bool {
        match self {
            Value::Undefined | Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => *number != 0.0 && !number.is_nan(),
            Value::Text(text) => !text.is_empty(),
            _ => true,
        }
    }

    /// What blocks take for nothing: zero is something, a list without items is not.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Value::Number(number) => number.is_nan(),
            Value::List(items) => items.is_empty(),
            value => !value.holds(),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Value::Undefined | Value::Null)
    }

    /// What it has by a name: its own, never what its kind has.
    pub(in super::super) fn property(&self, name: &str) -> Value {
        let at = || name.parse::<usize>().ok().filter(|at| at.to_string() == name);
        match self {
            Value::Object(names, _) => {
                names.iter().find(|(n, _)| n == name).map_or(Value::Undefined, |(_, value)| value.clone())
            }
            Value::List(items) if name == "length" => Value::Number(items.len() as f64),
            Value::List(items) => at().and_then(|at| items.get(at)).cloned().unwrap_or(Value::Undefined),
            Value::Text(text) if name == "length" => Value::Number(text.encode_utf16().count() as f64),
            Value::Text(text) => {
                let unit = at().and_then(|at| text.encode_utf16().nth(at));
                unit.map_or(Value::Undefined, |unit| Value::Text(String::from_utf16_lossy(&[unit])))
            }
            Value::Function(function) => match name {
                // Those of dates have a format and options.
                "length" => Value::Number(if function.ends_with("date") { 2.0 } else { 0.0 }),
                "name" => Value::Text((*function).to_owned()),
                "prototype" => Value::Object(Rc::default(), None),
                _ => Value::Undefined,
            },
            _ => Value::Undefined,
        }
    }

    /// The sum, as JavaScript's `+` has it: of numbers a number, of all else the text of both.
    pub(super) fn plus(self, other: Value) -> Result<Value, TemplateError> {
        let numeric = |value: &Value| match value {
            Value::Number(number) => Some(*number),
            Value::Bool(value) => Some(f64::from(u8::from(*value))),
            _ => None,
        };
        match (numeric(&self), numeric(&other)) {
            (Some(a), Some(b)) => Ok(Value::Number(a + b)),
            _ => Ok(Value::Text(self.text()? + &other.text()?)),
        }
    }

    /// JavaScript's `==`, for what contexts can be.
    pub(super) fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (a, b) if a.is_nothing() || b.is_nothing() => a.is_nothing() && b.is_nothing(),
            (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
            (Value::Object(a, _), Value::Object(b, _)) => Rc::ptr_eq(a, b),
            (Value::Function(a), Value::Function(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::List(_) | Value::Object(..), Value::List(_) | Value::Object(..)) => false,
            (Value::Function(_) | Value::Block(_), _) | (_, Value::Function(_) | Value::Block(_)) => false,
            (a, b) => {
                let text =
                    |v: &Value| v.text().ok().filter(|_| !matches!(v, Value::Bool(_) | Value::Number(_)));
                match (text(a), text(b)) {
                    (Some(a), Some(b)) => a == b,
                    _ => matches!(a.number().partial_cmp(&b.number()), Some(Ordering::Equal)),
                }
            }
        }
    }

    fn number(&self) -> f64 {
        match self {
            Value::Number(number) => *number,
            Value::Bool(value) => f64::from(u8::from(*value)),
            other => other.text().map_or(f64::NAN, |text| super::super::number::number(&text)),
        }
    }
}

/// As JavaScript prints a number.
fn number_text(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&size) || !number.is_finite() {
        return match number.is_infinite() {
            true => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
            false => number.to_string(),
        };
    }
    let text = format!("{number:e}");
    if size < 1.0 { text } else { text.replacen('e', "e+", 1) }
}

/// Escapes what has a meaning in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#x27;"),
            '`' => out.push_str("&#x60;"),
            '=' => out.push_str("&#x3D;"),
            c => out.push(c),
        }
    }
    out
}
