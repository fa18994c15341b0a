//! A parsed template's way to its text.

use std::rc::Rc;

use super::frame::{
    Depth, Frame, Level, around, find, framed, in_order, level_of, looked_up, own, path, put, this,
};
use super::tree::{Call, Expr, Head, Node, Program};
use super::value::{Names, Value, escaped};
use super::{Scope, TemplateError};

/// A hostile template takes a moment, not an hour.
const STEPS: usize = 100_000;
const DEEPEST: usize = 100;

/// Blocks and functions that every template has.
const HELPERS: [&str; 8] =
    ["if", "unless", "with", "each", "lookup", "log", "helperMissing", "blockHelperMissing"];

/// Where the block of a partial is kept among what blocks know.
const PARTIAL_BLOCK: &str = "partial-block";

/// A block with what was known where it stands.
pub(in super::super) struct Closure {
    program: Rc<Program>,
    data: Rc<Names>,
    level: Option<Rc<Level>>,
    depths: Option<Rc<Depth>>,
    /// The partials that are defined in it.
    inline: Partials,
    /// Of the block of a partial: the block that was one outside of it.
    outer: Option<Value>,
}

type Partials = Vec<(String, Option<Rc<Closure>>)>;

/// What a block gives its function: the text if, and the text if not.
type Sides = (Option<Rc<Closure>>, Option<Rc<Closure>>);

#[derive(PartialEq)]
enum Kind {
    /// A value, called where it is a function.
    Simple,
    /// Called with arguments.
    Helper,
    /// A single name: a value or a function.
    Ambiguous,
}

pub(super) struct Renderer<'a> {
    scope: &'a dyn Scope,
    partials: Partials,
    steps: usize,
    depth: usize,
}

/// Renders a template.
///
/// # Errors
/// A call in it fails, or it takes too long.
pub(super) fn run(program: Program, scope: &dyn Scope) -> Result<String, TemplateError> {
    let mut renderer = Renderer { scope, partials: Vec::new(), steps: 0, depth: 0 };
    let names = scope.names().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let context = Value::Object(Rc::new(names), scope.text().map(Rc::from));
    let data = Rc::new(vec![("root".to_owned(), context.clone())]);
    let main = renderer.closure(Rc::new(program), data, None, None)?;
    renderer.closed(&main, context, None, None)?.text()
}

impl Renderer<'_> {
    fn closure(
        &mut self,
        program: Rc<Program>,
        data: Rc<Names>,
        level: Option<Rc<Level>>,
        depths: Option<Rc<Depth>>,
    ) -> Result<Rc<Closure>, TemplateError> {
        let mut inline = Partials::new();
        for node in &program.body {
            let Node::Decorator { call, block, .. } = node else { continue };
            if call.path.parts != ["inline"] {
                let name = call.path.parts.join(".");
                return Err(TemplateError::new(format!("there is no decorator {name}: only inline is one")));
            }
            let name = match call.params.first() {
                Some(Expr::Text(text)) => text.clone(),
                _ => return Err(TemplateError::new("inline partials are named with a text in quotes")),
            };
            let body = block.as_ref().and_then(|block| block.program.clone());
            let body = body.map(|body| self.closure(body, data.clone(), level.clone(), depths.clone()));
            inline.push((name, body.transpose()?));
        }
        Ok(Rc::new(Closure { program, data, level, depths, inline, outer: None }))
    }

    fn inner(
        &mut self,
        program: Option<&Rc<Program>>,
        at: &Frame,
    ) -> Result<Option<Rc<Closure>>, TemplateError> {
        let closure = |program: &Rc<Program>| {
            self.closure(program.clone(), at.data.clone(), at.level.clone(), at.depths.clone())
        };
        program.map(closure).transpose()
    }

    /// Renders a block: with data in place of what it knows, and values for its names.
    fn closed(
        &mut self,
        block: &Closure,
        context: Value,
        data: Option<Rc<Names>>,
        values: Option<Vec<Value>>,
    ) -> Result<Value, TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(TemplateError::new("its blocks are nested too deeply"));
        }
        let mut data = data.unwrap_or_else(|| block.data.clone());
        if let Some(outer) = &block.outer {
            data = framed(&data, vec![(PARTIAL_BLOCK, outer.clone())]);
        }
        let same = block.depths.as_ref().is_some_and(|depth| depth.context.same(&context));
        let depths = match same {
            true => block.depths.clone(),
            false => Some(Rc::new(Depth { context: context.clone(), next: block.depths.clone() })),
        };
        let names = block.program.names.clone();
        let level = Some(Rc::new(Level { names, values, next: block.level.clone() }));
        let before = self.partials.len();
        self.partials.extend(block.inline.iter().cloned());
        let value = self.program(&block.program, &Frame { context, data, level, depths })?;
        self.partials.truncate(before);
        self.depth -= 1;
        Ok(value)
    }

    /// The value of a block: of a single value it is that value, of more the sum. Blocks of a single
    /// name are written to what was summed before them.
    fn program(&mut self, program: &Program, at: &Frame) -> Result<Value, TemplateError> {
        let mut written: Option<Value> = None;
        let mut pending: Vec<Value> = Vec::new();
        for node in &program.body {
            self.steps += 1;
            if self.steps > STEPS {
                return Err(TemplateError::new("it takes too many steps"));
            }
            let value = match node {
                Node::Content(content) if content.value.is_empty() => continue,
                Node::Content(content) => Value::Text(content.value.clone()),
                Node::Comment(_) | Node::Decorator { .. } => continue,
                Node::Value { call, escape, .. } => {
                    let value = self.value(call, false, at)?;
                    if *escape { Value::Text(escaped(&value.text()?)) } else { value }
                }
                Node::Block(block) => {
                    let kind = self.kind(&block.call, false, at);
                    let sides =
                        (self.inner(block.program.as_ref(), at)?, self.inner(block.inverse.as_ref(), at)?);
                    let value = self.block(&block.call, &kind, sides, at)?;
                    if kind == Kind::Ambiguous && program.body.len() > 1 {
                        let before = sum(pending.drain(..))?;
                        let before = match (written, before) {
                            (Some(written), Some(before)) => written.plus(before)?,
                            (written, before) => {
                                written.or(before).unwrap_or_else(|| Value::Text(String::new()))
                            }
                        };
                        written = Some(if value.is_nothing() { before } else { before.plus(value)? });
                        continue;
                    }
                    value
                }
                Node::Partial { name, call, block, indent, .. } => {
                    let program = block.as_ref().and_then(|block| block.program.as_ref());
                    let value = self.partial(name, call, program, at)?;
                    if indent.is_empty() { value } else { Value::Text(indented(&value, indent)?) }
                }
            };
            pending.push(if value.is_nothing() { Value::Text(String::new()) } else { value });
        }
        let value = sum(written.into_iter().chain(pending))?;
        Ok(value.unwrap_or_else(|| Value::Text(String::new())))
    }

    fn kind(&self, call: &Call, nested: bool, at: &Frame) -> Kind {
        let simple = call.path.simple();
        let first = call.path.parts.first().map_or("", String::as_str);
        if simple && level_of(first, at).is_some() {
            return Kind::Simple;
        }
        if nested || !call.params.is_empty() || call.hash.is_some() || (simple && HELPERS.contains(&first)) {
            return Kind::Helper;
        }
        if simple { Kind::Ambiguous } else { Kind::Simple }
    }

    /// The value of `{{call}}`: functions are called.
    fn value(&mut self, call: &Call, nested: bool, at: &Frame) -> Result<Value, TemplateError> {
        match self.kind(call, nested, at) {
            Kind::Helper => self.helper(call, None, at),
            _ => {
                let found = path(&call.path, false, at)?;
                self.called(found, &at.context)
            }
        }
    }

    /// A value, or what a function gives that is called without arguments.
    fn called(&self, value: Value, this: &Value) -> Result<Value, TemplateError> {
        match value {
            Value::Function(name) => self.scope.call(name, this, &[], &[]),
            Value::Block(_) => {
                Err(TemplateError::new("the block of a partial is written {{> @partial-block}}"))
            }
            value => Ok(value),
        }
    }

    fn block(&mut self, call: &Call, kind: &Kind, sides: Sides, at: &Frame) -> Result<Value, TemplateError> {
        if *kind == Kind::Helper {
            return self.helper(call, Some(sides), at);
        }
        let found = path(&call.path, false, at)?;
        match self.called(found, &at.context)? {
            Value::Bool(true) => self.side(sides.0, at),
            Value::Bool(false) | Value::Undefined | Value::Null => self.side(sides.1, at),
            Value::List(items) if items.is_empty() => self.side(sides.1, at),
            list @ Value::List(_) => self.each(list, &sides, at),
            value => match sides.0 {
                Some(block) => self.closed(&block, value, Some(at.data.clone()), Some(around(at))),
                None => Ok(Value::Text(String::new())),
            },
        }
    }

    /// One side of a block, in the context around it.
    fn side(&mut self, side: Option<Rc<Closure>>, at: &Frame) -> Result<Value, TemplateError> {
        match side {
            Some(block) => self.closed(&block, this(at), None, None),
            None => Ok(Value::Text(String::new())),
        }
    }

    /// A call with arguments; a block has two sides.
    fn helper(&mut self, call: &Call, sides: Option<Sides>, at: &Frame) -> Result<Value, TemplateError> {
        let mut params = Vec::new();
        for param in &call.params {
            params.push(self.expr(param, at)?);
        }
        let hash = self.hash(call.hash.as_deref().unwrap_or_default(), at)?;
        let first = call.path.parts.first().map_or("", String::as_str);
        if HELPERS.contains(&first) {
            return self.known(first, params, &hash, sides, at);
        }
        match path(&call.path, true, at)? {
            Value::Function(name) => self.scope.call(name, &this(at), &params, &hash),
            value if !value.holds() && params.is_empty() => Ok(Value::Undefined),
            _ => Err(TemplateError::new(format!("there is no function {}", call.path.parts.join(".")))),
        }
    }

    fn hash(&mut self, pairs: &[(String, Expr)], at: &Frame) -> Result<Names, TemplateError> {
        let mut hash = Names::new();
        for (key, value) in pairs {
            let value = self.expr(value, at)?;
            put(&mut hash, key, value);
        }
        Ok(hash)
    }

    fn expr(&mut self, expr: &Expr, at: &Frame) -> Result<Value, TemplateError> {
        Ok(match expr {
            Expr::Path(name) => path(name, false, at)?,
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Number(number) => Value::Number(*number),
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Undefined => Value::Undefined,
            Expr::Null => Value::Null,
            Expr::Call(call) => self.value(call, true, at)?,
        })
    }

    fn known(
        &mut self,
        name: &str,
        mut params: Vec<Value>,
        hash: &Names,
        sides: Option<Sides>,
        at: &Frame,
    ) -> Result<Value, TemplateError> {
        match name {
            "lookup" => return looked_up(&params),
            // It writes to the console of the action.
            "log" => return Ok(Value::Undefined),
            "if" | "unless" | "with" | "each" => {}
            _ => return Err(TemplateError::new(format!("{name} is no function to be called"))),
        }
        let (Some(value), true) = (params.pop(), params.is_empty()) else {
            return Err(TemplateError::new(format!("#{name} requires exactly one argument")));
        };
        let sides = sides.ok_or_else(|| {
            TemplateError::new(format!("{name} is a block: {{{{#{name} …}}}} … {{{{/{name}}}}}"))
        })?;
        let value = self.called(value, &this(at))?;
        let zero = hash.iter().any(|(key, value)| key == "includeZero" && value.holds());
        let holds = !value.is_empty() && (zero || value.holds());
        match name {
            "if" => self.side(if holds { sides.0 } else { sides.1 }, at),
            "unless" => self.side(if holds { sides.1 } else { sides.0 }, at),
            "each" => self.each(value, &sides, at),
            _ if value.is_empty() => self.side(sides.1, at),
            _ => match sides.0 {
                Some(block) => self.closed(&block, value.clone(), Some(at.data.clone()), Some(vec![value])),
                None => Ok(Value::Text(String::new())),
            },
        }
    }

    fn each(&mut self, value: Value, sides: &Sides, at: &Frame) -> Result<Value, TemplateError> {
        let items: Vec<(Value, Value)> = match value {
            Value::List(items) => {
                items.iter().cloned().enumerate().map(|(at, item)| (Value::Number(at as f64), item)).collect()
            }
            Value::Object(names, _) => in_order(&names),
            _ => Vec::new(),
        };
        if items.is_empty() {
            return self.side(sides.1.clone(), at);
        }
        let last = items.len() - 1;
        let mut out = String::new();
        for (index, (key, item)) in items.into_iter().enumerate() {
            let data = framed(
                &at.data,
                vec![
                    ("key", key.clone()),
                    ("index", Value::Number(index as f64)),
                    ("first", Value::Bool(index == 0)),
                    ("last", Value::Bool(index == last)),
                ],
            );
            if let Some(block) = &sides.0 {
                out += &self.closed(block, item.clone(), Some(data), Some(vec![item, key]))?.text()?;
            }
        }
        Ok(Value::Text(out))
    }

    fn partial(
        &mut self,
        name: &Head,
        call: &Call,
        block: Option<&Rc<Program>>,
        at: &Frame,
    ) -> Result<Value, TemplateError> {
        let name = match name {
            Head::Name(name) => name.clone(),
            Head::Dynamic(call) => self.value(call, true, at)?.text()?,
        };
        let mut context = match call.params.first() {
            Some(param) => self.expr(param, at)?,
            None => at.context.clone(),
        };
        if let Some(pairs) = &call.hash {
            let mut all = own(&context);
            for (key, value) in self.hash(pairs, at)? {
                put(&mut all, &key, value);
            }
            context = Value::Object(Rc::new(all), None);
        }
        let outer = find(&at.data, PARTIAL_BLOCK);
        let found = self.partials.iter().rev().find(|(n, _)| *n == name).and_then(|(_, found)| found.clone());
        let found = match (&found, &outer) {
            (None, Value::Block(block)) if name == "@partial-block" => Some(block.clone()),
            _ => found,
        };
        let mut data = at.data.clone();
        let mut own_block = None;
        if let Some(inner) = self.inner(block, at)? {
            let Closure { program, data: known, level, depths, inline, .. } = inner.as_ref();
            let wrapped = Rc::new(Closure {
                program: program.clone(),
                data: known.clone(),
                level: level.clone(),
                depths: depths.clone(),
                inline: inline.clone(),
                outer: Some(outer),
            });
            data = framed(&data, vec![(PARTIAL_BLOCK, Value::Block(wrapped.clone()))]);
            own_block = Some(wrapped);
        }
        let found = found.or(own_block);
        let found =
            found.ok_or_else(|| TemplateError::new(format!("the partial {name} could not be found")))?;
        self.closed(&found, context, Some(data), Some(around(at)))
    }
}

fn sum(values: impl IntoIterator<Item = Value>) -> Result<Option<Value>, TemplateError> {
    let mut values = values.into_iter();
    let Some(mut sum) = values.next() else { return Ok(None) };
    for value in values {
        sum = sum.plus(value)?;
    }
    Ok(Some(sum))
}

/// A partial that stands alone on its line has all its lines indented.
fn indented(value: &Value, indent: &str) -> Result<String, TemplateError> {
    let Value::Text(text) = value else {
        return Err(TemplateError::new("a partial that is indented makes no text"));
    };
    let count = text.split('\n').count();
    let lines = text.split('\n').enumerate().map(|(at, line)| match line.is_empty() && at + 1 == count {
        true => String::new(),
        false => format!("{indent}{line}"),
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
