//! The part of Handlebars that tag rules are written in: values, calls with arguments, blocks with
//! their data and names, comments, white space control. Values are escaped for HTML, as there.

mod parse;
mod words;

use parse::{Call, Expr, Node, Path};

/// Why a template makes no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct TemplateError {
    message: String,
}

impl TemplateError {
    /// An error in words.
    pub(super) fn new(message: impl Into<String>) -> Self {
        TemplateError { message: message.into() }
    }
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing of this name.
    Undefined,
    /// True or false.
    Bool(bool),
    /// A number, as JavaScript prints it.
    Number(String),
    /// Text.
    Text(String),
    /// Several values.
    List(Vec<Value>),
    /// A function of the scope, to be called by its name.
    Function,
    /// The scope itself.
    Scope,
}

impl Value {
    fn print(&self) -> String {
        match self {
            Value::Undefined => String::new(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) | Value::Text(text) => text.clone(),
            Value::List(items) => items.iter().map(Value::print).collect::<Vec<_>>().join(","),
            Value::Function | Value::Scope => "[object Object]".to_owned(),
        }
    }

    /// Whether `{{#if}}` takes it for true.
    fn holds(&self) -> bool {
        match self {
            Value::Undefined => false,
            Value::Bool(value) => *value,
            Value::Number(text) => text.parse::<f64>().is_ok_and(|n| n != 0.0),
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Function | Value::Scope => true,
        }
    }
}

/// The names a template may use.
pub(super) trait Scope {
    /// What a name stands for.
    fn get(&self, name: &str) -> Value;

    /// Calls a function.
    ///
    /// # Errors
    /// Arguments it does not take.
    fn call(&self, name: &str, params: &[Value], hash: &[(String, Value)]) -> Result<Value, TemplateError>;
}

/// Renders a template.
///
/// # Errors
/// It cannot be parsed, or a call in it fails.
pub(super) fn render(text: &str, scope: &dyn Scope) -> Result<String, TemplateError> {
    let nodes = parse::parse(text)?;
    let mut out = String::new();
    Renderer { scope, contexts: vec![Value::Scope], known: Vec::new() }.nodes(&nodes, &mut out)?;
    Ok(out)
}

/// Whether a template is nothing but `{{name}}`.
pub(super) fn is_only(text: &str, name: &str) -> bool {
    match parse::parse(text).as_deref() {
        Ok([Node::Value { call, .. }]) => !call.literal && call.path.parts == [name],
        _ => false,
    }
}

const HELPERS: [&str; 4] = ["if", "unless", "with", "each"];

struct Renderer<'a> {
    scope: &'a dyn Scope,
    contexts: Vec<Value>,
    /// What blocks call their values, the innermost last; what begins with `@` is of their place.
    known: Vec<(String, Value)>,
}

impl Renderer<'_> {
    fn nodes(&mut self, nodes: &[Node], out: &mut String) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Value { call, escape } => {
                    let text = self.value(call)?.print();
                    out.push_str(&if *escape { escaped(&text) } else { text });
                }
                Node::Block { call, body, inverse } => self.block(call, body, inverse, out)?,
            }
        }
        Ok(())
    }

    /// The value of `{{call}}`: functions are called.
    fn value(&self, call: &Call) -> Result<Value, TemplateError> {
        let name = call.path.parts.join(".");
        let helper = !call.path.scoped && !call.path.data;
        if HELPERS.contains(&name.as_str()) && helper {
            return Err(TemplateError::new(format!(
                "{name} is a block: {{{{#{name} …}}}} … {{{{/{name}}}}}"
            )));
        }
        let arguments =
            |r: &Self| call.params.iter().map(|p| r.expr(p)).collect::<Result<Vec<_>, TemplateError>>();
        match name.as_str() {
            "helperMissing" | "blockHelperMissing" if helper => {
                return Err(TemplateError::new(format!("{name} is no function to be called")));
            }
            "lookup" if helper => return self.looked_up(&arguments(self)?),
            // It writes to the console of the action.
            "log" if helper => return arguments(self).map(|_| Value::Undefined),
            _ => {}
        }
        let found = self.lookup(&call.path);
        let plain = call.params.is_empty() && call.hash.is_empty();
        match found {
            Value::Function => {
                let params = arguments(self)?;
                let hash: Result<Vec<_>, TemplateError> =
                    call.hash.iter().map(|(k, e)| Ok((k.clone(), self.expr(e)?))).collect();
                self.scope.call(last(&call.path), &params, &hash?)
            }
            value if plain => Ok(value),
            _ => Err(TemplateError::new(format!("there is no function {name}"))),
        }
    }

    fn expr(&self, expr: &Expr) -> Result<Value, TemplateError> {
        Ok(match expr {
            Expr::Path(path) => self.lookup(path),
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Number(text) => Value::Number(text.clone()),
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Nothing => Value::Undefined,
            Expr::Call(call) => self.value(call)?,
        })
    }

    /// `lookup value name`
    fn looked_up(&self, params: &[Value]) -> Result<Value, TemplateError> {
        match params {
            [value, name] => match self.property(value, &name.print(), "") {
                Value::Function => Err(TemplateError::new("lookup finds a function: write its name")),
                found => Ok(found),
            },
            _ => Err(TemplateError::new("lookup requires a value and a name")),
        }
    }

    fn lookup(&self, path: &Path) -> Value {
        let named = |name: &str| self.known.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let (mut value, parts) = match path.parts.split_first() {
            Some((first, rest)) if path.data && first == "root" => (Value::Scope, rest),
            Some((first, rest)) if path.data => {
                (named(&format!("@{first}")).unwrap_or(Value::Undefined), rest)
            }
            Some((first, rest)) if !path.scoped && path.up == 0 && named(first).is_some() => {
                (named(first).unwrap_or(Value::Undefined), rest)
            }
            _ => {
                let at = self.contexts.len().checked_sub(1 + path.up);
                let context = at.and_then(|at| self.contexts.get(at));
                (context.cloned().unwrap_or(Value::Undefined), path.parts.as_slice())
            }
        };
        let mut before = "";
        for part in parts {
            value = self.property(&value, part, before);
            before = part;
        }
        value
    }

    /// What a value has by a name; `before` is the name the value has itself.
    fn property(&self, value: &Value, part: &str, before: &str) -> Value {
        match value {
            Value::Scope => self.scope.get(part),
            Value::List(items) if part == "length" => Value::Number(items.len().to_string()),
            Value::List(items) => {
                part.parse::<usize>().ok().and_then(|n| items.get(n)).cloned().unwrap_or(Value::Undefined)
            }
            Value::Text(text) if part == "length" => Value::Number(text.encode_utf16().count().to_string()),
            // How many parameters a function has: those of dates have a format and options.
            Value::Function if part == "length" => {
                Value::Number(if before.ends_with("date") { "2" } else { "0" }.to_owned())
            }
            _ => Value::Undefined,
        }
    }

    fn block(
        &mut self,
        call: &Call,
        body: &[Node],
        inverse: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let name = call.path.parts.join(".");
        if !HELPERS.contains(&name.as_str()) || call.path.scoped || call.path.data {
            let value = self.value(call)?;
            if !(call.params.is_empty() && call.hash.is_empty()) {
                // A function with arguments makes the block's text itself.
                out.push_str(&value.print());
                return Ok(());
            }
            return match value {
                Value::Bool(true) => self.nodes(body, out),
                Value::Undefined | Value::Bool(false) => self.nodes(inverse, out),
                value => self.each_or_with(value, call, (body, inverse), out),
            };
        }
        let [param] = call.params.as_slice() else {
            return Err(TemplateError::new(format!("#{name} requires exactly one argument")));
        };
        let mut value = self.expr(param)?;
        if let (Value::Function, Expr::Path(path)) = (&value, param) {
            value = self.scope.call(last(path), &[], &[])?;
        }
        let zero = call.hash.iter().any(|(k, v)| k == "includeZero" && *v == Expr::Bool(true));
        let holds = value.holds() || (zero && matches!(value, Value::Number(_)));
        match name.as_str() {
            "if" => self.nodes(if holds { body } else { inverse }, out),
            "unless" => self.nodes(if holds { inverse } else { body }, out),
            "with" if value.holds() => self.below(value, call, None, body, out),
            "each" if matches!(value, Value::List(_)) => self.each_or_with(value, call, (body, inverse), out),
            _ => self.nodes(inverse, out),
        }
    }

    fn each_or_with(
        &mut self,
        value: Value,
        call: &Call,
        (body, inverse): (&[Node], &[Node]),
        out: &mut String,
    ) -> Result<(), TemplateError> {
        match value {
            Value::List(items) if items.is_empty() => self.nodes(inverse, out),
            Value::List(items) => {
                let count = items.len();
                let mut items = items.into_iter().enumerate();
                items.try_for_each(|(at, item)| self.below(item, call, Some((at, count)), body, out))
            }
            value => self.below(value, call, None, body, out),
        }
    }

    /// A block whose context is a value, which may be one of several.
    fn below(
        &mut self,
        context: Value,
        call: &Call,
        place: Option<(usize, usize)>,
        body: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let before = self.known.len();
        let mut values = vec![context.clone()];
        if let Some((at, count)) = place {
            let index = Value::Number(at.to_string());
            values.push(index.clone());
            let data = [
                ("@index", index.clone()),
                ("@key", index),
                ("@first", Value::Bool(at == 0)),
                ("@last", Value::Bool(at + 1 == count)),
            ];
            self.known.extend(data.map(|(name, value)| (name.to_owned(), value)));
        }
        self.known.extend(call.names.iter().cloned().zip(values));
        self.contexts.push(context);
        let result = self.nodes(body, out);
        self.contexts.pop();
        self.known.truncate(before);
        result
    }
}

/// The name that a function has.
fn last(path: &Path) -> &str {
    path.parts.last().map_or("", String::as_str)
}

/// Escapes what has a meaning in HTML.
fn escaped(text: &str) -> String {
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
