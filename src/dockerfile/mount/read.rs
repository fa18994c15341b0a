//! From the value of a `--mount` to what it says.

use super::size::size;
use super::{Mount, MountError, MountType, Sharing};
use crate::dockerfile::expand::ExpandError;
use crate::dockerfile::fields::{self, fields};
use crate::dockerfile::suggest;

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
];

/// Checks what can be known of a `--mount` before variables have values: that it is a list,
/// and that `from` has no variables.
pub(in crate::dockerfile) fn check(text: &str) -> Result<(), MountError> {
    for field in options(text)? {
        if let Some((key, value)) = field.split_once('=')
            && key.eq_ignore_ascii_case("from")
            && value.find('$').is_some_and(|dollar| dollar + 1 != value.len())
        {
            let help = "name a stage before this one, `FROM …$VARIABLE… AS name`, and write `from=name`";
            return Err(MountError::new("`from` of a mount cannot have variables", help));
        }
    }
    Ok(())
}

impl Mount {
    /// What the value of a `--mount` names with `from`, which never has variables; none if it does not.
    pub fn from_of(text: &str) -> Option<String> {
        let fields = fields(text).unwrap_or_default();
        let mut from = fields.into_iter().filter_map(|field| {
            let (key, value) = field.split_once('=')?;
            key.eq_ignore_ascii_case("from").then(|| value.to_owned())
        });
        from.next_back().filter(|from| !from.is_empty())
    }

    /// Reads the value of a `--mount`, expanding each option's value.
    ///
    /// # Errors
    /// An unknown option or type, a value that does not fit it, options that exclude each other.
    pub fn parse(
        text: &str,
        expand: &dyn Fn(&str) -> Result<String, ExpandError>,
    ) -> Result<Mount, MountError> {
        check(text)?;
        let mut mount = Mount::default();
        let mut read_only = None;
        for field in options(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (field.as_str(), None),
            };
            let key = key.to_lowercase();
            let value = match value {
                Some(value) => Some(expand(value).map_err(|error| {
                    let help = error.help.unwrap_or_else(|| "correct the value".to_owned());
                    MountError::new(format!("`{key}` of a mount: {}", error.message), help)
                })?),
                None => None,
            };
            match key.as_str() {
                "readonly" | "ro" => read_only = Some(bool_of(&key, value.as_deref())?),
                "readwrite" | "rw" => read_only = Some(!bool_of(&key, value.as_deref())?),
                "required" => {
                    mount.only_for(&key, &[MountType::Secret, MountType::Ssh])?;
                    mount.required = bool_of(&key, value.as_deref())?;
                }
                _ => mount.set(&key, value, &field)?,
            }
        }
        let writable = matches!(mount.kind, MountType::Cache | MountType::Tmpfs);
        mount.read_only = read_only.unwrap_or(!writable);
        mount.access_given = read_only.is_some();
        mount.check_combination()?;
        Ok(mount)
    }

    fn set(&mut self, key: &str, value: Option<String>, field: &str) -> Result<(), MountError> {
        let Some(value) = value else {
            let help = match suggest(key, ["ro", "readonly", "rw", "readwrite", "required"]) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("write `{field}=…`"),
            };
            return Err(MountError::new(format!("the mount option `{field}` needs a value"), help));
        };
        match key {
            "type" => {
                let kind = choose("type", &value, &MountType::ALL)?;
                self.kind = kind;
            }
            "from" => self.from = value,
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "size" => {
                self.only_for(key, &[MountType::Tmpfs])?;
                self.size = size(&value).ok_or_else(|| {
                    MountError::new(format!("`{value}` is no size"), "write it as 64m or 1g")
                })?;
            }
            "id" => self.id = value,
            "sharing" => {
                let modes =
                    [("shared", Sharing::Shared), ("private", Sharing::Private), ("locked", Sharing::Locked)];
                self.sharing = Some(choose("sharing", &value, &modes)?);
            }
            "mode" => self.mode = Some(number(key, &value, 8)?),
            "uid" => self.uid = Some(number(key, &value, 10)?),
            "gid" => self.gid = Some(number(key, &value, 10)?),
            "env" => self.env = Some(value),
            _ => {
                let help = match suggest(key, KEYS) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "remove it".to_owned(),
                };
                return Err(MountError::new(format!("a mount has no option `{key}`"), help));
            }
        }
        Ok(())
    }

    /// The type must have been given before options that only some types have.
    fn only_for(&self, key: &str, kinds: &[MountType]) -> Result<(), MountError> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        let message = format!("a {} mount has no option `{key}`", self.kind.name());
        let help = format!("only {} mounts have it, and their `type=` stands before it", names.join(" and "));
        Err(MountError::new(message, help))
    }

    fn check_combination(&self) -> Result<(), MountError> {
        let error = |message: &str, help: &str| Err(MountError::new(message, help));
        if matches!(self.kind, MountType::Bind | MountType::Tmpfs) {
            let given = [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)];
            if let Some((key, _)) = given.into_iter().find(|(_, value)| value.is_some()) {
                let message = format!("a {} mount has no option `{key}`", self.kind.name());
                return Err(MountError::new(message, "only cache, secret and ssh mounts have it"));
            }
        }
        if self.sharing.is_some() && self.kind != MountType::Cache {
            return error("only a cache mount has the option `sharing`", "remove it");
        }
        if self.kind == MountType::Secret {
            if !self.from.is_empty() {
                return error("a secret mount has no option `from`", "remove it");
            }
            if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
                return error("a secret mount needs `id` or `target`", "write `type=secret,id=name`");
            }
            if !self.source.is_empty() && !self.id.is_empty() {
                return error("a secret mount cannot have both `source` and `id`", "remove `source`");
            }
        }
        Ok(())
    }
}

fn choose<T: Copy>(key: &str, value: &str, choices: &[(&'static str, T)]) -> Result<T, MountError> {
    let lower = value.to_lowercase();
    if let Some((_, chosen)) = choices.iter().find(|(name, _)| *name == lower) {
        return Ok(*chosen);
    }
    let names = choices.iter().map(|(name, _)| *name);
    let help = match suggest(value, names.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it is {}", names.collect::<Vec<_>>().join(", ")),
    };
    Err(MountError::new(format!("`{key}` of a mount cannot be `{value}`"), help))
}

fn bool_of(key: &str, value: Option<&str>) -> Result<bool, MountError> {
    fields::bool_of(value).ok_or_else(|| {
        let message = format!("`{key}` of a mount cannot be `{}`", value.unwrap_or_default());
        MountError::new(message, "it is true or false")
    })
}

/// The fields of the value.
fn options(text: &str) -> Result<Vec<String>, MountError> {
    let help = "quote a whole option: \\\"source=a,b\\\"";
    fields(text).map_err(|fault| MountError::new(format!("a mount cannot be read: {fault}"), help))
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, MountError> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(value, radix).ok().filter(|_| is_number).ok_or_else(|| {
        let digits = if radix == 8 { "octal digits, as in 0755" } else { "a number" };
        MountError::new(format!("`{key}` of a mount cannot be `{value}`"), format!("it is {digits}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Mount, MountError> {
        Mount::parse(text, &|value| Ok(value.replace("$V", "v")))
    }

    #[test]
    fn reads_options() {
        let bind = parse("target=/x,source=$V/a,from=base").unwrap();
        assert_eq!((bind.kind, bind.source.as_str(), bind.read_only), (MountType::Bind, "v/a", true));
        let cache = parse("TYPE=Cache,dst=/c,id=$V,sharing=locked,mode=0700,uid=1,gid=2,ro").unwrap();
        assert_eq!(cache.kind, MountType::Cache);
        assert_eq!((cache.mode, cache.uid, cache.gid), (Some(0o700), Some(1), Some(2)));
        assert_eq!((cache.sharing, cache.read_only, cache.id.as_str()), (Some(Sharing::Locked), true, "v"));
        assert!(!parse("type=tmpfs,target=/t,size=64m").unwrap().read_only);
        let secret = parse("type=secret,id=a,env=,required").unwrap();
        assert_eq!((secret.required, secret.env.as_deref()), (true, Some("")));
        assert!(!parse("type=bind,target=/x,rw=1").unwrap().read_only);
        assert_eq!(parse("target=/x,\"source=a,\"\"b\"").unwrap().source, "a,\"b");
    }

    #[test]
    fn refuses() {
        for text in [
            "",
            "target",
            "type=bnd",
            "tarrget=/x",
            "target=/x,ro=maybe",
            "target=/x,required",
            "required,type=secret,id=a",
            "target=/x,size=1",
            "type=tmpfs,size=1x,target=/x",
            "target=/x,mode=0755",
            "target=/x,sharing=shared",
            "type=secret",
            "type=secret,id=a,source=b",
            "type=secret,id=a,from=b",
            "type=cache,target=/x,mode=9",
            "type=cache,target=/x,uid=-1",
            "type=cache,target=/x,uid=+1",
            "type=cache,sharing=both",
            "target=/x,from=$V",
            "tar\"get=/x",
            "\"target=/x",
            "\"target=/x\"y",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("type=cahce").unwrap_err().help, "did you mean `cache`?");
    }
}
