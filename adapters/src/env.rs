//! The environment, read once: everything after it is a pure conversion.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::usage::Usage;

/// The work directory of our own image, a volume there.
const WORK_DIR: &str = "/yadokari/work";

/// What the process found around itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Env {
    vars: BTreeMap<OsString, OsString>,
    /// Existing files and directories with CA roots.
    pub(crate) ca_paths: Vec<PathBuf>,
    /// Where work goes if nobody says otherwise.
    pub(crate) work_dir: PathBuf,
}

impl Env {
    /// The process's environment, and which of the usual places exist.
    pub(crate) fn capture() -> Self {
        let mut env = Env { vars: std::env::vars_os().collect(), ..Env::default() };
        env.ca_paths = env.ca_candidates().into_iter().filter(|p| p.exists()).collect();
        let spare = std::env::temp_dir().join(format!("yadokari-{}", rustix::process::getuid().as_raw()));
        env.work_dir = if creatable(Path::new(WORK_DIR)) { WORK_DIR.into() } else { spare };
        env
    }

    /// An environment of exactly these variables.
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Env {
            vars: pairs.iter().map(|(k, v)| (k.into(), v.into())).collect(),
            ca_paths: Vec::new(),
            work_dir: WORK_DIR.into(),
        }
    }

    /// A variable that is set to something; one that is no UTF-8 counts as unset, which is
    /// right for names of which we know the values' form.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(std::ffi::OsStr::new(name))?.to_str().filter(|v| !v.is_empty())
    }

    /// A variable that goes into the image.
    ///
    /// # Errors
    /// Its value is no UTF-8, and would not arrive as it is.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Usage> {
        match self.vars.get(std::ffi::OsStr::new(name)) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).ok_or_else(|| {
                Usage::new(format!("the environment variable {name} is not valid UTF-8"))
                    .help("give its value on the command line, or set it to UTF-8 text")
            }),
        }
    }

    /// Sets a variable, or takes it away.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => _ = self.vars.insert(name.into(), value.into()),
            None => _ = self.vars.remove(std::ffi::OsStr::new(name)),
        }
    }

    /// The names of all variables, with their values; those that are UTF-8.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().filter_map(|(k, v)| Some((k.to_str()?, v.to_str()?)))
    }

    /// The same without variables that are not `kept`.
    pub(crate) fn filtered(&self, kept: impl Fn(&str) -> bool) -> Self {
        let vars = self.vars.iter().filter(|(name, _)| name.to_str().is_none_or(&kept));
        Env { vars: vars.map(|(k, v)| (k.clone(), v.clone())).collect(), ..self.clone() }
    }

    /// The home directory; root's if `HOME` is unset, as Tekton leaves it.
    pub(crate) fn home(&self) -> PathBuf {
        PathBuf::from(self.get("HOME").unwrap_or("/root"))
    }

    /// Where CA roots may lie beside the system's: kaniko's directory, and Go's two variables.
    fn ca_candidates(&self) -> Vec<PathBuf> {
        let mut paths = vec![PathBuf::from("/kaniko/ssl/certs")];
        if let Some(dirs) = self.get("SSL_CERT_DIR") {
            paths.extend(dirs.split(':').filter(|d| !d.is_empty()).map(PathBuf::from));
        }
        paths.extend(self.get("SSL_CERT_FILE").map(PathBuf::from));
        let mut unique: Vec<PathBuf> = Vec::new();
        for path in paths {
            // Components compare equal with and without a trailing slash.
            if !unique.contains(&path) {
                unique.push(path);
            }
        }
        unique
    }
}

/// Whether a directory is writable, or can be made.
fn creatable(path: &Path) -> bool {
    let nearest = path.ancestors().find(|p| p.exists());
    nearest.is_some_and(|p| p.is_dir() && access(p, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca_roots_are_looked_for_in_kanikos_and_in_gos_places() {
        let env =
            Env::of(&[("SSL_CERT_DIR", "/kaniko/ssl/certs/:/etc/extra"), ("SSL_CERT_FILE", "/etc/ca.pem")]);
        let expected: Vec<PathBuf> =
            ["/kaniko/ssl/certs", "/etc/extra", "/etc/ca.pem"].iter().map(PathBuf::from).collect();
        assert_eq!(env.ca_candidates(), expected);
    }

    #[test]
    fn an_empty_variable_is_an_unset_one_but_not_in_the_image() {
        let env = Env::of(&[("A", "")]);
        assert_eq!(env.get("A"), None);
        assert_eq!(env.text("A"), Ok(Some("")));
        assert_eq!(env.text("B"), Ok(None));
    }

    #[test]
    fn a_value_that_is_no_utf8_is_refused_where_it_matters() {
        use std::os::unix::ffi::OsStringExt;
        let mut env = Env::of(&[]);
        env.vars.insert("A".into(), OsString::from_vec(vec![0xff]));
        assert!(env.text("A").is_err());
    }

    #[test]
    fn a_work_directory_below_a_file_cannot_be_made() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!creatable(&file.path().join("work")));
        let dir = tempfile::tempdir().unwrap();
        assert!(creatable(&dir.path().join("a/b")));
    }
}
