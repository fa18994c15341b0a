//! The options of `RUN --mount=`.

use super::expand::ExpandError;
use super::suggest;

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

/// A `--mount` that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MountError {
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// One way out.
    pub help: String,
}

impl MountError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        MountError { message: message.into(), help: help.into() }
    }
}

/// What kind of mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountType {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory kept from build to build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret as a file or variable.
    Secret,
    /// A socket of an SSH agent.
    Ssh,
}

impl MountType {
    const ALL: [(&'static str, MountType); 5] = [
        ("bind", MountType::Bind),
        ("cache", MountType::Cache),
        ("tmpfs", MountType::Tmpfs),
        ("secret", MountType::Secret),
        ("ssh", MountType::Ssh),
    ];

    /// As written after `type=`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Who may use a cache at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// Everybody gets their own.
    Private,
    /// One after the other.
    Locked,
}

/// The options of one `--mount`, expanded. What is not written is `None` or empty; the defaults
/// that depend on the step (`target` of a secret, `id` of a cache) are the executor's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// `type=`
    pub kind: MountType,
    /// `from=`: a stage, a named context or an image.
    pub from: String,
    /// `source=`
    pub source: String,
    /// `target=`
    pub target: String,
    /// `ro`, `rw`, or what the type has by default: caches and tmpfs can be written.
    pub read_only: bool,
    /// Whether `ro` or `rw` was written.
    pub access_given: bool,
    /// `size=` of a tmpfs in bytes, 0 if not given.
    pub size: i64,
    /// `id=`
    pub id: String,
    /// `sharing=`
    pub sharing: Option<Sharing>,
    /// `required`
    pub required: bool,
    /// `env=` of a secret; empty is the default name.
    pub env: Option<String>,
    /// `mode=`, permission bits.
    pub mode: Option<u32>,
    /// `uid=`
    pub uid: Option<u32>,
    /// `gid=`
    pub gid: Option<u32>,
}

/// Checks what can be known of a `--mount` before variables have values: that it is a list,
/// and that `from` has no variables.
pub(super) fn check(text: &str) -> Result<(), MountError> {
    for field in fields(text)? {
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
        for field in fields(text)? {
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

/// The fields of one line of comma-separated values; quotes may stand around a whole field.
fn fields(text: &str) -> Result<Vec<String>, MountError> {
    let help = "quote a whole option: \\\"source=a,b\\\"";
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            None => {
                let length = rest.find(',').unwrap_or(rest.len());
                if rest[..length].contains('"') {
                    return Err(MountError::new("a quote stands inside a mount option", help));
                }
                (rest[..length].to_owned(), &rest[length..])
            }
            Some(quoted) => {
                let Some((field, after)) = unquote(quoted) else {
                    return Err(MountError::new("a quote in a mount option is never closed", help));
                };
                (field, after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err(MountError::new("a quote stands inside a mount option", help)),
        }
    }
}

/// Text up to a lone quote, doubled quotes made single, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
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

/// Go's `strconv.ParseBool`; an option without a value is true.
fn bool_of(key: &str, value: Option<&str>) -> Result<bool, MountError> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(value) => {
            let message = format!("`{key}` of a mount cannot be `{value}`");
            Err(MountError::new(message, "it is true or false"))
        }
    }
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, MountError> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    u32::from_str_radix(value, radix).ok().filter(|_| is_number).ok_or_else(|| {
        let digits = if radix == 8 { "octal digits, as in 0755" } else { "a number" };
        MountError::new(format!("`{key}` of a mount cannot be `{value}`"), format!("it is {digits}"))
    })
}

/// Bytes of a size with a unit of 1024 (`units.RAMInBytes`): `64m`, `1.5 GiB`, `512`.
fn size(text: &str) -> Option<i64> {
    let end = text.rfind(|char: char| char.is_ascii_digit() || matches!(char, '.' | ' '))? + 1;
    let number = text[..end].strip_suffix(' ').unwrap_or(&text[..end]);
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'e'));
    let value = number.parse::<f64>().ok().filter(|value| is_plain && value.is_finite())?;
    let unit = text[end..].to_lowercase();
    let factor = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return None,
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0_f64.powi(2),
        "g" => 1024.0_f64.powi(3),
        "t" => 1024.0_f64.powi(4),
        "p" => 1024.0_f64.powi(5),
        _ => return None,
    };
    Some((value * factor) as i64)
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

    #[test]
    fn reads_sizes() {
        for (text, expected) in [
            ("512", Some(512)),
            ("64m", Some(64 << 20)),
            ("1.5 GiB", Some(3 << 29)),
            ("1kb", Some(1024)),
            ("2B", Some(2)),
            ("1ib", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1mbb", None),
            ("", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
