//! The variables in force at a line of a stage.

/// Arguments that say what an SBOM scan shall look at; no step sees them (BuildKit, `nonEnvArgs`).
const SCANNED: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Variables of a stage: what `RUN` sees and what expansion reads.
///
/// `ENV` and `ARG` share one list in which the later of a name wins (BuildKit's state
/// environment), so `ENV A=1` then `ARG A=2` runs with 2 while the config keeps 1.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    env: Vec<(String, String)>,
    /// `ARG`s declared so far, in order, with the value they had; for history.
    declared: Vec<(String, Option<String>)>,
}

impl Scope {
    /// Puts the variables of a base's config in force.
    pub(super) fn with_image(mut self, env: &[String]) -> Self {
        for pair in env {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.set(name, value);
        }
        self
    }

    /// Gives a variable a value and moves it to the end, as in BuildKit's environment (`llb.EnvList`).
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    /// Notes an `ARG`; one without a value is known to history only.
    pub(super) fn declare(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|_| !SCANNED.contains(&name)) {
            self.set(name, value);
        }
        self.declared.push((name.to_owned(), value.map(str::to_owned)));
    }

    /// All variables, in order.
    pub(super) fn all(&self) -> &[(String, String)] {
        &self.env
    }

    /// `|N k=v …`: how history shows the arguments a `RUN` could see (BuildKit,
    /// `runCommandString`); also those without a value, with the value in force now.
    pub(super) fn history_prefix(&self) -> Vec<String> {
        let mut shown: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.declared {
            let value = self.get(name).or_else(|| value.clone()).unwrap_or_default();
            match shown.iter_mut().find(|(n, _)| n == name) {
                Some((_, old)) => *old = value,
                None => shown.push((name.clone(), value)),
            }
        }
        if shown.is_empty() {
            return Vec::new();
        }
        let count = format!("|{}", shown.len());
        std::iter::once(count).chain(shown.into_iter().map(|(n, v)| format!("{n}={v}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_arg_and_env_wins() {
        let mut scope = Scope::default().with_image(&["A=1".to_owned(), "PATH=/bin".to_owned()]);
        scope.declare("A", Some("2"));
        assert_eq!(scope.get("A").as_deref(), Some("2"));
        scope.set("A", "3");
        assert_eq!(scope.get("A").as_deref(), Some("3"));
    }

    #[test]
    fn history_counts_names_once_and_shows_valueless_ones() {
        let mut scope = Scope::default();
        assert!(scope.history_prefix().is_empty());
        scope.declare("A", Some("1"));
        scope.declare("B", Some("1"));
        scope.declare("C", None);
        scope.declare("A", Some("2"));
        assert_eq!(scope.history_prefix(), ["|3", "A=2", "B=1", "C="]);
    }
}
