//! What `# check=` and the build argument `BUILDKIT_DOCKERFILE_CHECK` say: which rules run, and
//! whether findings are errors.

use super::Rule;
use crate::dockerfile::Word;

/// Which rules run (BuildKit, `linter.ParseLintOptions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    skip_all: bool,
    skip: Vec<String>,
    experimental_all: bool,
    experimental: Vec<String>,
    /// Findings fail the build.
    pub error: bool,
}

impl Options {
    /// Reads `skip=A,B;error=true;experimental=all`; each part once, in any order.
    ///
    /// # Errors
    /// What is wrong, one sentence without a full stop.
    pub fn parse(text: &str) -> Result<Options, String> {
        let mut options = Options::default();
        let text = text.trim();
        if text.is_empty() {
            return Ok(options);
        }
        for part in text.splitn(3, ';') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("`{part}` is no option of checks: {KNOWN}"));
            };
            let value = value.trim();
            let names = || value.split(',').map(|name| name.trim().to_owned()).collect();
            match (key.trim(), value) {
                ("skip", "all") => options.skip_all = true,
                ("skip", _) => options.skip = names(),
                ("experimental", "all") => options.experimental_all = true,
                ("experimental", _) => options.experimental = names(),
                ("error", "1" | "t" | "T" | "true" | "TRUE" | "True") => options.error = true,
                ("error", "0" | "f" | "F" | "false" | "FALSE" | "False") => options.error = false,
                ("error", _) => return Err(format!("`error` is true or false, not `{value}`")),
                (other, _) => return Err(format!("`{other}` is no option of checks: {KNOWN}")),
            }
        }
        Ok(options)
    }

    /// Whether a rule runs. An experimental one runs only where it was asked for, and then
    /// whatever is skipped.
    pub fn runs(&self, rule: &Rule) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == rule.id);
        match rule.experimental {
            true => self.experimental_all || named(&self.experimental),
            false => !self.skip_all && !named(&self.skip),
        }
    }

    /// These options and those of a `# check=` among the comments above an instruction. Only the
    /// first such comment counts, and one that cannot be read counts for nothing; `error=` is
    /// the file's alone.
    #[must_use]
    pub fn with_comments(&self, comments: &[Word]) -> Options {
        let mut merged = self.clone();
        let Some(own) = comments.iter().find_map(|comment| directive(&comment.text)) else { return merged };
        if let Ok(own) = Options::parse(first_word(own)) {
            merged.skip_all |= own.skip_all;
            merged.experimental_all |= own.experimental_all;
            merged.skip.extend(own.skip);
            merged.experimental.extend(own.experimental);
        }
        merged
    }
}

const KNOWN: &str = "write skip=RULE,… or skip=all, error=true, experimental=RULE,…, with semicolons between";

/// The options of a directive end at the first blank: a remark may follow.
pub(super) fn first_word(value: &str) -> &str {
    value.split(' ').next().unwrap_or_default()
}

/// The value of a comment `check=…`.
fn directive(comment: &str) -> Option<&str> {
    let (key, value) = comment.split_once('=')?;
    let value = value.trim();
    (key.trim_end().eq_ignore_ascii_case("check") && !value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::super::rule;
    use super::*;
    use crate::dockerfile::Span;

    fn runs(options: &Options) -> [bool; 3] {
        [&rule::FROM_AS_CASING, &rule::UNDEFINED_VAR, &rule::INVALID_DEFINITION_DESCRIPTION]
            .map(|r| options.runs(r))
    }

    #[test]
    fn options_select_rules() {
        for (text, expected, error) in [
            ("", [true, true, false], false),
            ("skip=all", [false, false, false], false),
            ("skip=FromAsCasing", [false, true, false], false),
            (" skip = UndefinedVar , FromAsCasing ; error = true ", [false, false, false], true),
            ("error=1", [true, true, false], true),
            ("error=F", [true, true, false], false),
            ("experimental=all", [true, true, true], false),
            ("skip=all;experimental=InvalidDefinitionDescription", [false, false, true], false),
            ("skip=all;experimental=all;error=true", [false, false, true], true),
            ("skip=InvalidDefinitionDescription;experimental=all", [true, true, true], false),
            ("skip=", [true, true, false], false),
        ] {
            let options = Options::parse(text).unwrap();
            assert_eq!((runs(&options), options.error), (expected, error), "{text:?}");
        }
        for text in ["skip", "sikp=all", "error=yes", "skip=all;", "error=true;a=b", "skip=a;error=1;x"] {
            assert!(Options::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn comments_add_to_the_options() {
        let of = |texts: &[&str], file: &str| {
            let words: Vec<Word> =
                texts.iter().map(|t| Word { text: (*t).to_owned(), span: Span::default() }).collect();
            Options::parse(file).unwrap().with_comments(&words)
        };
        assert_eq!(runs(&of(&["check=skip=FromAsCasing"], "skip=UndefinedVar")), [false, false, false]);
        assert_eq!(runs(&of(&["why", "CHECK = skip=all // because"], "")), [false, false, false]);
        assert_eq!(runs(&of(&["check=experimental=all"], "")), [true, true, true]);
        assert_eq!(runs(&of(&["check=skip=all", "check=experimental=all"], "")), [false, false, false]);
        assert_eq!(runs(&of(&["check=nonsense"], "")), [true, true, false]);
        assert_eq!(runs(&of(&["checks=skip=all"], "")), [true, true, false]);
        assert!(!of(&["check=error=true"], "").error);
    }
}
