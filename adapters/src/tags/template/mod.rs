//! The part of Handlebars that tag rules are written in: values, calls with arguments, blocks,
//! comments, white space control. Values are escaped for HTML, as there.

mod parse;

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
    Renderer { scope, contexts: vec![Value::Scope] }.nodes(&nodes, &mut out)?;
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
    fn value(&mut self, call: &Call) -> Result<Value, TemplateError> {
        let name = call.path.parts.join(".");
        if HELPERS.contains(&name.as_str()) && !call.path.scoped {
            return Err(TemplateError::new(format!(
                "{name} is a block: {{{{#{name} …}}}} … {{{{/{name}}}}}"
            )));
        }
        let found = self.lookup(&call.path);
        let plain = call.params.is_empty() && call.hash.is_empty();
        match found {
            Value::Function => {
                let params = call.params.iter().map(|p| self.expr(p)).collect::<Result<Vec<_>, _>>()?;
                let hash: Result<Vec<_>, TemplateError> =
                    call.hash.iter().map(|(k, e)| Ok((k.clone(), self.expr(e)?))).collect();
                self.scope.call(&name, &params, &hash?)
            }
            value if plain => Ok(value),
            _ => Err(TemplateError::new(format!("there is no function {name}"))),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Result<Value, TemplateError> {
        Ok(match expr {
            Expr::Path(path) => self.lookup(path),
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Number(text) => Value::Number(text.clone()),
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Nothing => Value::Undefined,
            Expr::Call(call) => self.value(call)?,
        })
    }

    fn lookup(&self, path: &Path) -> Value {
        let context = self.contexts.len().checked_sub(1 + path.up).and_then(|at| self.contexts.get(at));
        let mut value = context.cloned().unwrap_or(Value::Undefined);
        for part in &path.parts {
            value = match &value {
                Value::Scope => self.scope.get(part),
                Value::List(items) if part == "length" => Value::Number(items.len().to_string()),
                Value::List(items) => {
                    part.parse::<usize>().ok().and_then(|n| items.get(n)).cloned().unwrap_or(Value::Undefined)
                }
                Value::Text(text) if part == "length" => {
                    Value::Number(text.encode_utf16().count().to_string())
                }
                _ => Value::Undefined,
            };
        }
        value
    }

    fn block(
        &mut self,
        call: &Call,
        body: &[Node],
        inverse: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        let name = call.path.parts.join(".");
        if !HELPERS.contains(&name.as_str()) || call.path.scoped {
            let value = self.value(call)?;
            return match value {
                Value::Bool(true) => self.nodes(body, out),
                Value::Undefined | Value::Bool(false) => self.nodes(inverse, out),
                value => self.each_or_with(value, body, inverse, out),
            };
        }
        let [param] = call.params.as_slice() else {
            return Err(TemplateError::new(format!("#{name} requires exactly one argument")));
        };
        let mut value = self.expr(param)?;
        if let (Value::Function, Expr::Path(path)) = (&value, param) {
            value = self.scope.call(&path.parts.join("."), &[], &[])?;
        }
        let zero = call.hash.iter().any(|(k, v)| k == "includeZero" && *v == Expr::Bool(true));
        let holds = value.holds() || (zero && matches!(value, Value::Number(_)));
        match name.as_str() {
            "if" => self.nodes(if holds { body } else { inverse }, out),
            "unless" => self.nodes(if holds { inverse } else { body }, out),
            "with" if value.holds() => self.below(value, body, out),
            "each" if matches!(value, Value::List(_)) => self.each_or_with(value, body, inverse, out),
            _ => self.nodes(inverse, out),
        }
    }

    fn each_or_with(
        &mut self,
        value: Value,
        body: &[Node],
        inverse: &[Node],
        out: &mut String,
    ) -> Result<(), TemplateError> {
        match value {
            Value::List(items) if items.is_empty() => self.nodes(inverse, out),
            Value::List(items) => items.into_iter().try_for_each(|item| self.below(item, body, out)),
            value => self.below(value, body, out),
        }
    }

    fn below(&mut self, context: Value, body: &[Node], out: &mut String) -> Result<(), TemplateError> {
        self.contexts.push(context);
        let result = self.nodes(body, out);
        self.contexts.pop();
        result
    }
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
