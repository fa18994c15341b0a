//! The arguments in force before the first `FROM`, and what each is made of.

use crate::dockerfile::{Diagnostic, Dockerfile, Expander, InstructionKind, Span};

use super::arguments::Arguments;
use super::watch::{Names, expand};

/// An `ARG` before the first `FROM`.
#[derive(Debug, Clone)]
pub(super) struct GlobalArg {
    pub(super) name: String,
    /// The default, expanded, or the value given; none if there is neither.
    pub(super) value: Option<String>,
    /// The variables its default names.
    pub(super) uses: Vec<String>,
    /// Position of its instruction in [`Dockerfile::global_args`].
    pub(super) instruction: usize,
    /// Where its name stands.
    pub(super) span: Span,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Globals {
    /// In order; a name may be declared again.
    pub(super) declared: Vec<GlobalArg>,
    values: Vec<(String, String)>,
}

impl Globals {
    /// Reads the declarations (BuildKit, `buildMetaArgs`). Without `given` as if no build
    /// argument was given.
    ///
    /// # Errors
    /// A default that cannot be expanded.
    pub(super) fn read(
        dockerfile: &Dockerfile,
        arguments: &Arguments,
        target_stage: &str,
        given: bool,
    ) -> Result<Globals, Box<Diagnostic>> {
        let expander = Expander { escape: dockerfile.escape };
        let mut globals = Globals { declared: Vec::new(), values: arguments.predefined(target_stage) };
        for (number, instruction) in dockerfile.global_args.iter().enumerate() {
            let InstructionKind::Arg(declarations) = &instruction.kind else { continue };
            for declaration in declarations {
                let name = &declaration.name.text;
                let given = arguments.given(name).filter(|_| given);
                let mut uses = Vec::new();
                let value = match (given, &declaration.default) {
                    (Some(given), _) => Some(given.to_owned()),
                    (None, Some(word)) => {
                        let (value, names) = expand(&expander, word, |n| globals.get(n));
                        uses = names.matched;
                        // What it was before counts, where it names itself.
                        if uses.contains(name) {
                            uses.retain(|used| used != name);
                            let old = globals.declared.iter().rfind(|arg| arg.name == *name);
                            uses.extend(old.iter().flat_map(|arg| arg.uses.iter().cloned()));
                        }
                        Some(value.map_err(|e| e.at(&instruction.source, word))?)
                    }
                    (None, None) => None,
                };
                if let Some(value) = &value {
                    globals.set(name, value);
                }
                let (name, span) = (name.clone(), declaration.name.span);
                globals.declared.push(GlobalArg { name, value, uses, instruction: number, span });
            }
        }
        Ok(globals)
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.values.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    /// Whether an `ARG` declares it, or it is predefined.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Everything declared or predefined.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let values = self.values.iter().map(|(name, _)| name.as_str());
        values.chain(self.declared.iter().map(|arg| arg.name.as_str()))
    }

    fn set(&mut self, name: &str, value: &str) {
        self.values.retain(|(n, _)| n != name);
        self.values.push((name.to_owned(), value.to_owned()));
    }

    /// A word of a `FROM`, with the variables it names.
    pub(super) fn expand(
        &self,
        expander: &Expander,
        word: &crate::dockerfile::Word,
    ) -> (Result<String, super::watch::Failed>, Names) {
        expand(expander, word, |name| self.get(name))
    }
}
