//! The templates that tag rules are written in, which are Handlebars': values, calls with arguments,
//! blocks with their data and names, inline partials, raw blocks, comments, white space control.
//! Values are escaped for HTML, as there.

mod frame;
mod parse;
mod run;
mod space;
mod token;
mod tree;
mod value;

pub(super) use value::Value;

use tree::Node;

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

/// The names a template may use.
pub(super) trait Scope {
    /// All of them, in their order.
    fn names(&self) -> Vec<(&'static str, Value)>;

    /// What they are as a whole, as text.
    fn text(&self) -> Option<String> {
        None
    }

    /// Calls a function, as a method of `this`.
    ///
    /// # Errors
    /// Arguments it does not take.
    fn call(
        &self,
        name: &str,
        this: &Value,
        params: &[Value],
        hash: &[(String, Value)],
    ) -> Result<Value, TemplateError>;
}

/// Renders a template.
///
/// # Errors
/// It cannot be parsed, or a call in it fails.
pub(super) fn render(text: &str, scope: &dyn Scope) -> Result<String, TemplateError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    run::run(parse::parse(text)?, scope)
}

/// Whether a template is nothing but `{{name}}`.
pub(super) fn is_only(text: &str, name: &str) -> bool {
    match parse::parse_only(text).as_ref().map(|program| program.body.as_slice()) {
        Ok([Node::Value { call, .. }]) => !call.path.literal && call.path.parts == [name],
        _ => false,
    }
}
