//! What steps are given besides files: secrets, agents, network and names, as buildx writes them.

use std::path::PathBuf;

use std::io::IsTerminal;

use yadokari::config::{
    DevicesConfig, OnFailure, SecretBytes, SecretSource, StepAgent, StepNetwork, StepSecret, StepsConfig,
};

use super::flags::{OnFailureFlag, Steps};
use crate::env::Env;
use crate::settings::list::fields;
use crate::usage::Usage;

/// What the flags mean in this environment.
///
/// # Errors
/// A value that cannot be understood, or a variable that is not set.
pub(crate) fn config(
    flags: &Steps,
    build_args: &[(String, String)],
    caches: Option<PathBuf>,
    env: &Env,
) -> Result<StepsConfig, Usage> {
    let mut devices = super::devices::read(&flags.cdi_spec_dir)?;
    let allow_insecure = allowed(&flags.allow, &mut devices)?;
    let given = |list: &[String]| list.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>();
    Ok(StepsConfig {
        secrets: given(&flags.secret).iter().map(|s| secret(s, env)).collect::<Result<_, _>>()?,
        agents: given(&flags.ssh).iter().map(|s| agent(s, env)).collect::<Result<_, _>>()?,
        network: match flags.network.as_str() {
            "" | "default" | "host" => StepNetwork::Builder,
            "none" => StepNetwork::None,
            other => {
                return Err(Usage::new(format!("'{other}' for --network is unknown"))
                    .help("write default, host or none"));
            }
        },
        hostname: hostname(flags, build_args)?,
        hosts: given(&flags.add_host).iter().map(|h| host(h)).collect::<Result<_, _>>()?,
        allow_insecure,
        devices,
        on_failure: on_failure(
            flags.on_failure,
            std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        )?,
        caches,
    })
}

/// `--allow`, buildx's entitlements: whether `security.insecure` is among them, and which devices.
/// Several may stand in one.
fn allowed(given: &[String], devices: &mut DevicesConfig) -> Result<bool, Usage> {
    let mut insecure = false;
    for right in given.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|r| !r.is_empty()) {
        match right {
            "security.insecure" => insecure = true,
            "device" | "device=" => devices.allow_all = true,
            // Steps have the builder's network as it is.
            "network.host" => {}
            _ => match right.strip_prefix("device=") {
                Some(name) => devices.allow.push(name.to_owned()),
                None => {
                    return Err(Usage::new(format!("--allow {right} is unknown"))
                        .help("write security.insecure, network.host, device or device=NAME"));
                }
            },
        }
    }
    Ok(insecure)
}

/// `--on-failure`
fn on_failure(flag: OnFailureFlag, terminal: bool) -> Result<OnFailure, Usage> {
    match flag {
        OnFailureFlag::Nothing => Ok(OnFailure::Nothing),
        OnFailureFlag::Keep => Ok(OnFailure::Keep),
        OnFailureFlag::Shell if terminal => Ok(OnFailure::Shell),
        OnFailureFlag::Shell => Err(Usage::new("--on-failure=shell needs a terminal")
            .help("start the program on one (docker run -it), or write --on-failure=keep")),
    }
}

/// The flag, or BuildKit's build argument of that meaning.
fn hostname(flags: &Steps, build_args: &[(String, String)]) -> Result<Option<String>, Usage> {
    let argument = build_args.iter().rev().find(|(name, _)| name == "BUILDKIT_SANDBOX_HOSTNAME");
    let given = [Some(flags.hostname.as_str()), argument.map(|(_, value)| value.as_str())];
    let Some(name) = given.into_iter().flatten().find(|name| !name.is_empty()) else { return Ok(None) };
    // sethostname(2); a blank or newline would be two names in /etc/hosts.
    let fits = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    match fits {
        true => Ok(Some(name.to_owned())),
        false => Err(Usage::new(format!("'{name}' is no host name"))
            .help("write up to 64 letters, digits, dots and hyphens")),
    }
}

/// `name:address` or `name=address`; the address of IPv6 may be in brackets (docker's `--add-host`).
fn host(text: &str) -> Result<(String, String), Usage> {
    let wrong = || {
        Usage::new(format!("--add-host '{text}' is no NAME:ADDRESS"))
            .help("write a name and an IP address, as in db:10.0.0.7")
    };
    let (name, address) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(wrong)?;
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong());
    }
    Ok((address.to_string(), name.to_owned()))
}

/// `id=NAME[,src=FILE][,env=NAME][,type=file|env]` (buildx, `util/buildflags/secrets.go`): with
/// neither the variable of that name if it is set, else the file of that name.
fn secret(text: &str, env: &Env) -> Result<StepSecret, Usage> {
    let wrong = |message: String| {
        Usage::new(format!("--secret {message}")).help("write id=NAME,src=FILE or id=NAME,env=VARIABLE")
    };
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in fields("--secret", text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), value.to_owned()),
            None => return Err(wrong(format!("'{field}' is no key=value"))),
        };
        match key.as_str() {
            "id" => id = Some(value),
            "src" | "source" => file = Some(value),
            "env" => variable = Some(value),
            "type" if value == "file" || value == "env" => kind = Some(value),
            _ => return Err(wrong(format!("has no '{key}={value}'"))),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| wrong(format!("'{text}' has no id")))?;
    // `type=env,src=NAME` is what buildx takes as well.
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = Some(file.take().unwrap_or_else(|| id.clone()));
    }
    let source = match (file, variable) {
        (Some(_), Some(_)) => return Err(wrong(format!("'{id}' is given as a file and as a variable"))),
        (Some(path), None) => SecretSource::File(PathBuf::from(path)),
        (None, Some(name)) => match env.text(&name)? {
            Some(value) => SecretSource::Value(SecretBytes(value.into())),
            None => return Err(wrong(format!("'{id}': the environment variable {name} is not set"))),
        },
        (None, None) if kind.is_none() && env.text(&id)?.is_some() => {
            SecretSource::Value(SecretBytes(env.text(&id)?.unwrap_or_default().into()))
        }
        (None, None) => SecretSource::File(PathBuf::from(&id)),
    };
    Ok(StepSecret { id, source })
}

/// `default`, or `ID=SOCKET`, or `ID=KEY,KEY`; with none of them the environment's agent.
fn agent(text: &str, env: &Env) -> Result<StepAgent, Usage> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    let paths = match paths {
        "" => env.get("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).ok_or_else(|| {
            Usage::new(format!(
                "--ssh {text} needs the environment's SSH agent, and SSH_AUTH_SOCK is not set"
            ))
            .help("give a private key, --ssh default=FILE, or start ssh-agent and add one with ssh-add")
        }),
        paths => Ok(paths),
    };
    Ok(StepAgent { id: id.to_owned(), paths: paths?.split(',').map(PathBuf::from).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env::of(&[("TOKEN", "t0ken"), ("SSH_AUTH_SOCK", "/run/agent")])
    }

    #[test]
    fn secrets_are_files_or_variables() {
        let value = || SecretSource::Value(SecretBytes(b"t0ken".to_vec()));
        let file = |path: &str| SecretSource::File(path.into());
        for (text, id, source) in [
            ("id=a,src=f", "a", file("f")),
            ("source=/x/f, id=a", "a", file("/x/f")),
            ("id=a,env=TOKEN", "a", value()),
            ("id=a,type=env,env=TOKEN", "a", value()),
            ("type=env,id=a,src=TOKEN", "a", value()),
            ("id=TOKEN,type=env", "TOKEN", value()),
            ("id=TOKEN", "TOKEN", value()),
            ("id=TOKEN,type=file", "TOKEN", file("TOKEN")),
            ("id=npmrc", "npmrc", file("npmrc")),
            ("id=a,\"src=b,c\"", "a", file("b,c")),
        ] {
            assert_eq!(secret(text, &env()), Ok(StepSecret { id: id.to_owned(), source }), "{text}");
        }
        for text in
            ["", "src=f", "id=", "id=a,env=UNSET", "id=a,src=f,env=TOKEN", "id=a,type=x", "id=a,x", "a=b"]
        {
            let error = secret(text, &env()).expect_err(text);
            assert!(error.help.is_some() && !error.message.contains("t0ken"), "{text}");
        }
    }

    #[test]
    fn hosts_have_names_and_addresses() {
        let pair = |a: &str, n: &str| Ok((a.to_owned(), n.to_owned()));
        assert_eq!(host("db:10.0.0.7"), pair("10.0.0.7", "db"));
        assert_eq!(host("db=10.0.0.7"), pair("10.0.0.7", "db"));
        assert_eq!(host("v6:[::1]"), pair("::1", "v6"));
        assert_eq!(host("v6=fe80::1"), pair("fe80::1", "v6"));
        for text in ["db", "db:", ":10.0.0.7", "db:host-gateway", "a b:10.0.0.7", "db\n:10.0.0.7"] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_flag_wins_over_the_build_argument() {
        let arguments = [("BUILDKIT_SANDBOX_HOSTNAME".to_owned(), "from-arg".to_owned())];
        let flags = |name: &str| Steps { hostname: name.to_owned(), ..Steps::default() };
        assert_eq!(hostname(&flags(""), &arguments), Ok(Some("from-arg".to_owned())));
        assert_eq!(hostname(&flags("mine"), &arguments), Ok(Some("mine".to_owned())));
        assert_eq!(hostname(&flags(""), &[]), Ok(None));
        assert!(hostname(&flags("a b"), &[]).is_err());
    }

    #[test]
    fn agents_are_sockets_or_keys() {
        for (text, id, socket) in [
            ("default", "default", "/run/agent"),
            ("default=", "default", "/run/agent"),
            ("ci=/tmp/s", "ci", "/tmp/s"),
        ] {
            let expected = StepAgent { id: id.to_owned(), paths: vec![socket.into()] };
            assert_eq!(agent(text, &env()), Ok(expected), "{text}");
        }
        assert!(agent("default", &Env::of(&[])).is_err());
        let several = StepAgent { id: "ci".to_owned(), paths: vec!["a".into(), "b".into()] };
        assert_eq!(agent("ci=a,b", &env()), Ok(several));
    }
}
