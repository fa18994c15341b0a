//! `~/.aws/credentials` and `~/.aws/config`: the chosen profile, and what it says.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::Keys;
use crate::cloud::{CloudError, Clouds};
use crate::config::CloudConfig;

/// Profiles may name each other; more steps than this are a circle.
const DEPTH: usize = 8;

/// How a profile's keys are had.
pub(super) enum Method {
    /// They are in it.
    Keys(Keys),
    /// A token in a file, for a role.
    WebIdentity { file: String, role: String, session: Option<String> },
    /// A role, taken on with other keys.
    Role { role: String, session: Option<String>, external_id: Option<String>, base: Box<Method> },
    /// `credential_source`.
    Place(String),
}

type Profile = HashMap<String, String>;

/// The profiles of both files.
pub(super) struct Profiles {
    all: HashMap<String, Profile>,
    chosen: String,
    /// Whether somebody chose it.
    named: bool,
    paths: Vec<PathBuf>,
}

impl Profiles {
    /// Where the files are: keys first.
    pub(super) fn paths(config: &CloudConfig) -> Vec<PathBuf> {
        let file = |name: &str, default: &str| match config.get(name) {
            Some(path) => Some(PathBuf::from(path)),
            None => config.home.as_ref().map(|home| home.join(default)),
        };
        let keys = file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        keys.into_iter().chain(file("AWS_CONFIG_FILE", ".aws/config")).collect()
    }

    /// Reads both files; one that is missing is empty.
    pub(super) fn read(clouds: &Clouds) -> Result<Profiles, CloudError> {
        let config = clouds.config();
        let paths = Self::paths(config);
        let named = config.get("AWS_PROFILE").or_else(|| config.get("AWS_DEFAULT_PROFILE"));
        let mut profiles = Profiles {
            all: HashMap::new(),
            chosen: named.unwrap_or("default").to_owned(),
            named: named.is_some(),
            paths: paths.clone(),
        };
        for path in paths {
            match clouds.files().text(&path) {
                Ok(text) => profiles.add(&text),
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput
                    ) => {}
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {}
                Err(source) => {
                    return Err(CloudError::File {
                        source_name: "the AWS profiles".to_owned(),
                        path,
                        source,
                    });
                }
            }
        }
        Ok(profiles)
    }

    /// Adds a file's profiles; what an earlier file says of one stays.
    fn add(&mut self, text: &str) {
        let mut section: Option<String> = None;
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) =
                line.strip_prefix('[').and_then(|l| l.split_once(']')).map(|(name, _)| name.trim())
            {
                let name = name.strip_prefix("profile").map_or(name, str::trim_start);
                section = (!name.starts_with("sso-session") && !name.starts_with("services"))
                    .then(|| name.to_owned());
            } else if let (Some(section), Some((key, value))) = (&section, line.split_once('=')) {
                let value = value.split_once(" #").map_or(value, |(value, _)| value).trim();
                let profile = self.all.entry(section.clone()).or_default();
                profile.entry(key.trim().to_ascii_lowercase()).or_insert_with(|| value.to_owned());
            }
        }
    }

    /// What errors and logs call it.
    pub(super) fn source(&self) -> String {
        let path = self.paths.first().map_or_else(String::new, |path| format!(" in {}", path.display()));
        format!("the AWS profile '{}'{path}", self.chosen)
    }

    pub(super) fn region(&self) -> Option<String> {
        self.all.get(&self.chosen)?.get("region").cloned()
    }

    /// Why there is nothing.
    pub(super) fn absence(&self) -> String {
        format!("{} has no keys", self.source())
    }

    pub(super) fn wrong(&self, problem: &str) -> CloudError {
        CloudError::Place { source_name: self.source(), problem: problem.to_owned() }
    }

    /// How the chosen profile's keys are had; none if nothing is said.
    pub(super) fn method(&self) -> Result<Option<Method>, CloudError> {
        if self.named && !self.all.contains_key(&self.chosen) {
            return Err(self.wrong("there is no such profile"));
        }
        self.method_of(&self.chosen, 0)
    }

    fn method_of(&self, name: &str, depth: usize) -> Result<Option<Method>, CloudError> {
        let Some(profile) = self.all.get(name) else { return Ok(None) };
        let get = |key: &str| profile.get(key).filter(|v| !v.is_empty()).cloned();
        let keys = match (get("aws_access_key_id"), get("aws_secret_access_key")) {
            (Some(id), Some(secret)) => {
                Some(Method::Keys(Keys { id, secret, token: get("aws_session_token") }))
            }
            _ => None,
        };
        if let Some(role) = get("role_arn") {
            let session = get("role_session_name");
            if let Some(file) = get("web_identity_token_file") {
                return Ok(Some(Method::WebIdentity { file, role, session }));
            }
            let base = match (get("source_profile"), get("credential_source")) {
                // A profile may name itself: its role is taken on with its own keys.
                (Some(other), _) if other == name => keys,
                (Some(_), _) if depth >= DEPTH => {
                    return Err(self.wrong("its source_profile leads in a circle"));
                }
                (Some(other), _) => self.method_of(&other, depth + 1)?,
                (None, Some(place)) => Some(Method::Place(place)),
                (None, None) => keys,
            };
            let base = base.ok_or_else(|| self.wrong("its role_arn has no source_profile with keys"))?;
            let external_id = get("external_id");
            return Ok(Some(Method::Role { role, session, external_id, base: Box::new(base) }));
        }
        if keys.is_some() {
            return Ok(keys);
        }
        for (key, way_out) in [
            ("credential_process", "give what it prints as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            ("sso_session", "give the output of `aws configure export-credentials --format env`"),
            ("sso_start_url", "give the output of `aws configure export-credentials --format env`"),
        ] {
            if get(key).is_some() {
                return Err(self.wrong(&format!("{key} is not supported here: {way_out}")));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profiles(chosen: &str, texts: &[&str]) -> Profiles {
        let paths = vec![PathBuf::from("/c")];
        let mut profiles = Profiles { all: HashMap::new(), chosen: chosen.to_owned(), named: true, paths };
        texts.iter().for_each(|text| profiles.add(text));
        profiles
    }

    fn said(profiles: &Profiles) -> String {
        match profiles.method() {
            Ok(Some(Method::Keys(keys))) => format!("{} {} {:?}", keys.id, keys.secret, keys.token),
            Ok(Some(Method::Role { role, base, .. })) => match *base {
                Method::Keys(keys) => format!("{role} by {}", keys.id),
                Method::Place(place) => format!("{role} by {place}"),
                _ => "other".to_owned(),
            },
            Ok(Some(Method::WebIdentity { file, role, .. })) => format!("{role} by {file}"),
            Ok(Some(Method::Place(place))) => place,
            Ok(None) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_profiles_say() {
        let keys = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=s/=\n\
                    [ci]\naws_access_key_id=C\nAWS_Secret_Access_Key=c # no part\naws_session_token=t\n";
        let config = "[default]\nregion = eu-west-1\naws_access_key_id = other\n[profile role]\nrole_arn=R\n\
                      source_profile=ci\n[profile irsa]\nrole_arn=R\nweb_identity_token_file=/t\n\
                      [profile place]\nrole_arn=R\ncredential_source=Ec2InstanceMetadata\n\
                      [profile circle]\nrole_arn=R\nsource_profile=circle2\n[profile circle2]\nrole_arn=R\n\
                      source_profile=circle\n[profile sso]\nsso_session=x\n[profile empty]\n[sso-session x]\nsso_region=z\n";
        for (name, expected) in [
            ("default", "A s/= None"),
            ("ci", "C c Some(\"t\")"),
            ("role", "R by C"),
            ("irsa", "R by /t"),
            ("place", "R by Ec2InstanceMetadata"),
            ("circle", "the AWS profile 'circle' in /c cannot be used: its source_profile leads in a circle"),
            ("none", "the AWS profile 'none' in /c cannot be used: there is no such profile"),
        ] {
            assert_eq!(said(&profiles(name, &[keys, config])), expected);
        }
        assert!(said(&profiles("sso", &[keys, config])).contains("sso_session is not supported"));
        assert_eq!(profiles("default", &[keys, config]).region().as_deref(), Some("eu-west-1"));
    }
}
