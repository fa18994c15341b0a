//! `--check` and `--call` of a build: what to do in its place.

use super::check::Check;
use super::describe::What;
use super::flags::{BasesFlag, Flags, FormatFlag, TableFlag};
use crate::usage::Usage;

/// What to do in place of building.
#[derive(Debug)]
pub(crate) enum Call {
    /// `check`
    Check(Box<Check>),
    /// `outline` and `targets`
    Describe(What, TableFlag),
}

/// What `--check` and `--call=WHAT[,format=FORMAT]` ask for; nothing if a build is wanted.
///
/// # Errors
/// An unknown word.
pub(crate) fn of(flags: &Flags) -> Result<Option<Call>, Usage> {
    let mut parts = flags.call.split(',').map(str::trim);
    let what = parts.next().unwrap_or_default();
    let what = if flags.check && what.is_empty() { "check" } else { what };
    let mut format = "";
    for part in parts {
        format = part.strip_prefix("format=").ok_or_else(|| {
            Usage::new(format!("'{part}' in --call is unknown")).help("write --call=check,format=json")
        })?;
    }
    let unknown = |known: &str| {
        Usage::new(format!("'{format}' is no form of --call={what}")).help(format!("write {known}"))
    };
    match what {
        "" | "build" if !flags.check => Ok(None),
        "check" | "lint" => {
            let format = match format {
                "" | "human" | "text" => FormatFlag::Human,
                "json" => FormatFlag::Json,
                "sarif" => FormatFlag::Sarif,
                "gitlab" => FormatFlag::Gitlab,
                "github" => FormatFlag::Github,
                _ => return Err(unknown("human, json, sarif, gitlab or github")),
            };
            Ok(Some(Call::Check(Box::new(Check {
                flags: flags.clone(),
                format,
                bases: BasesFlag::Fetch,
                ignore_status: false,
            }))))
        }
        "outline" | "targets" if !flags.check => {
            let format = match format {
                "" | "text" | "table" => TableFlag::Table,
                "json" => TableFlag::Json,
                _ => return Err(unknown("table or json")),
            };
            let what = if what == "outline" { What::Outline } else { What::Targets };
            Ok(Some(Call::Describe(what, format)))
        }
        _ if flags.check => {
            Err(Usage::new(format!("--check and --call={what} exclude each other")).help("give one of them"))
        }
        _ => Err(Usage::new(format!("'{what}' for --call is unknown"))
            .help("write check, outline or targets, with ,format=json for programs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        let of = |check, call: &str| {
            let flags = Flags { check, call: call.to_owned(), ..Flags::default() };
            of(&flags).map(|call| match call {
                None => "build".to_owned(),
                Some(Call::Check(check)) => format!("check {:?}", check.format),
                Some(Call::Describe(what, format)) => format!("{what:?} {format:?}"),
            })
        };
        for (check, call, expected) in [
            (false, "", "build"),
            (false, "build", "build"),
            (true, "", "check Human"),
            (true, "check", "check Human"),
            (false, "check,format=sarif", "check Sarif"),
            (true, ",format=json", "check Json"),
            (false, "outline", "Outline Table"),
            (false, "targets,format=json", "Targets Json"),
        ] {
            assert_eq!(of(check, call).unwrap(), expected, "{call}");
        }
        for (check, call) in [
            (false, "lnit"),
            (true, "outline"),
            (true, "build"),
            (false, "check,json"),
            (false, "outline,format=sarif"),
        ] {
            assert!(of(check, call).is_err(), "{call}");
        }
    }
}
