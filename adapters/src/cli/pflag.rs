//! pflag's grammar of flags, which kaniko has.

use clap::{Arg, ArgAction, Command};

use crate::vocabulary::go_boolean;

/// Gives a command's arguments pflag's grammar: `--flag`, `--flag=true`, `--flag=F` but not
/// `--flag true` for booleans; any next word, dashes and all, as the value of the others.
pub(crate) fn as_pflag(command: Command) -> Command {
    command.mut_args(|arg: Arg| match arg.get_action() {
        _ if arg.is_positional() => arg,
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .hide_possible_values(true)
            .value_name("BOOL")
            .value_parser(go_boolean),
        // A word of its own that begins with a dash is a flag misspelt.
        ArgAction::Set | ArgAction::Append if !arg.is_positional() => arg.allow_hyphen_values(true),
        _ => arg,
    })
}
