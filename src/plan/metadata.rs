//! Instructions that change the image config only.

use crate::dockerfile::{Command, HealthcheckInstruction, expose_ports, go_quote_all, is_signal};
use crate::image::{EmptyObject, Healthcheck, ImageConfig};

use super::history;

/// Shell used where no `SHELL` is in force.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The same on Windows (BuildKit, `defaultShell`).
const WINDOWS_SHELL: [&str; 3] = ["cmd", "/S", "/C"];

/// `PATH` of an image that has none (BuildKit, `system.DefaultPathEnvUnix`).
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The command as a container runs it: shell form is wrapped with the shell in force.
pub(super) fn with_shell(config: &ImageConfig, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => shell_words(config, &text.text),
    }
}

/// The shell in force with one text to run.
pub(super) fn shell_words(config: &ImageConfig, text: &str) -> Vec<String> {
    let mut words = match config.config.shell.as_deref() {
        Some(shell) if !shell.is_empty() => shell.to_vec(),
        _ if config.os == "windows" => WINDOWS_SHELL.map(str::to_owned).to_vec(),
        _ => DEFAULT_SHELL.map(str::to_owned).to_vec(),
    };
    words.push(text.to_owned());
    words
}

/// Sets a variable of the config in its place, or adds it at the end.
pub(super) fn set_env(config: &mut ImageConfig, name: &str, value: &str) {
    let pair = format!("{name}={value}");
    let same = |p: &&mut String| p.split_once('=').map_or(p.as_str(), |(n, _)| n) == name;
    match config.config.env.iter_mut().find(same) {
        Some(old) => *old = pair,
        None => config.config.env.push(pair),
    }
}

/// `CMD`; gives the history text.
pub(super) fn cmd(config: &mut ImageConfig, command: &Command) -> String {
    let words = with_shell(config, command);
    let text = format!("CMD {}", go_quote_all(&words));
    config.config.cmd = Some(words);
    config.config.args_escaped = true;
    text
}

/// `ENTRYPOINT`; gives the history text. An inherited `CMD` is dropped: it was meant for the
/// entry point that is replaced. A `CMD` of the same stage stays.
pub(super) fn entrypoint(config: &mut ImageConfig, command: &Command, cmd_set: bool) -> String {
    let words = with_shell(config, command);
    let text = format!("ENTRYPOINT {}", go_quote_all(&words));
    config.config.entrypoint = if words.is_empty() { None } else { Some(words) };
    if !cmd_set {
        config.config.cmd = None;
    }
    text
}

/// `HEALTHCHECK`; gives the history text. Its command is not wrapped by the shell: the runtime
/// does that.
pub(super) fn healthcheck(config: &mut ImageConfig, instruction: &HealthcheckInstruction) -> String {
    let check = match instruction {
        HealthcheckInstruction::None => {
            Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() }
        }
        HealthcheckInstruction::Cmd { command, interval, timeout, start_period, start_interval, retries } => {
            let test = match command {
                Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.text.clone()],
                Command::Exec(words) => {
                    std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect()
                }
            };
            Healthcheck {
                test,
                interval: *interval,
                timeout: *timeout,
                start_period: *start_period,
                start_interval: *start_interval,
                retries: *retries,
            }
        }
    };
    let text = history::healthcheck(&check);
    config.config.healthcheck = Some(check);
    text
}

/// `SHELL`; gives the history text.
pub(super) fn shell(config: &mut ImageConfig, words: &[String]) -> String {
    config.config.shell = Some(words.to_vec());
    format!("SHELL {}", history::plain_list(words))
}

/// `STOPSIGNAL`; gives the history text.
///
/// # Errors
/// No signal.
pub(super) fn stopsignal(config: &mut ImageConfig, signal: String) -> Result<String, String> {
    if !is_signal(&signal) {
        return Err(format!("'{signal}' is no signal: write a name such as SIGTERM, or a number"));
    }
    let text = format!("STOPSIGNAL {signal}");
    config.config.stop_signal = signal;
    Ok(text)
}

/// `VOLUME`; gives the history text.
///
/// # Errors
/// An empty path.
pub(super) fn volume(config: &mut ImageConfig, paths: &[String]) -> Result<String, String> {
    for path in paths {
        if path.is_empty() {
            return Err("a VOLUME path is empty".to_owned());
        }
        config.config.volumes.insert(path.clone(), EmptyObject::default());
    }
    Ok(format!("VOLUME {}", history::plain_list(paths)))
}

/// `EXPOSE`, its words expanded and split, in the order of the unexpanded ones; gives the history
/// text. Ranges become single ports.
///
/// # Errors
/// What is no port.
pub(super) fn expose(config: &mut ImageConfig, words: &[String]) -> Result<String, String> {
    let mut ports = Vec::new();
    for word in words {
        ports.extend(expose_ports(word)?);
    }
    for port in &ports {
        config.config.exposed_ports.insert(port.clone(), EmptyObject::default());
    }
    Ok(format!("EXPOSE {}", history::plain_list(&ports)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_has_another_shell() {
        let mut config = ImageConfig { os: "windows".to_owned(), ..ImageConfig::default() };
        assert_eq!(shell_words(&config, "dir"), ["cmd", "/S", "/C", "dir"]);
        config.config.shell = Some(vec!["pwsh".to_owned()]);
        assert_eq!(shell_words(&config, "dir"), ["pwsh", "dir"]);
    }

    #[test]
    fn exposed_ranges_become_ports() {
        let mut config = ImageConfig::default();
        let text = expose(&mut config, &["80-81/UDP".into(), "9".into(), "80/udp".into()]).unwrap();
        assert_eq!(text, "EXPOSE [80/udp 81/udp 9/tcp 80/udp]");
        assert_eq!(config.config.exposed_ports.len(), 3);
    }

    #[test]
    fn entrypoint_keeps_only_a_cmd_of_its_own_stage() {
        let exec = |w: &str| Command::Exec(vec![w.to_owned()]);
        let mut config = ImageConfig::default();
        cmd(&mut config, &exec("inherited"));
        entrypoint(&mut config, &exec("/run"), false);
        assert_eq!(config.config.cmd, None);
        cmd(&mut config, &exec("own"));
        entrypoint(&mut config, &exec("/run"), true);
        assert_eq!(config.config.cmd, Some(vec!["own".to_owned()]));
        entrypoint(&mut config, &Command::Exec(vec![]), true);
        assert_eq!(config.config.entrypoint, None);
    }

    #[test]
    fn env_is_replaced_in_its_place() {
        let mut config = ImageConfig::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3")] {
            set_env(&mut config, name, value);
        }
        assert_eq!(config.config.env, ["A=3", "B=2"]);
    }
}
