//! docs/flags.md says what every flag is.

use clap::{Arg, Command};

const PAGE: &str = include_str!("../../docs/flags.md");

/// The page's part about a command.
fn part(command: &str) -> &'static str {
    let start = format!("\n## yadokari {command}\n");
    let (_, rest) = PAGE.split_once(&start).unwrap_or_else(|| panic!("docs/flags.md has no part{start}"));
    rest.split("\n## ").next().unwrap_or_default()
}

/// What the page's table says of a flag.
fn row(flag: &Arg) -> String {
    let long = flag.get_long().unwrap();
    let short = flag.get_short().map(|short| format!(", `-{short}`")).unwrap_or_default();
    let names = flag.get_value_names().unwrap_or_default().join(" ");
    let is_boolean = !flag.get_action().takes_values() || names == "BOOL";
    let value = if is_boolean { "" } else { &names };
    let mut text = flag.get_help().unwrap().to_string();
    let choices: Vec<String> =
        flag.get_possible_values().iter().map(|choice| choice.get_name().to_owned()).collect();
    if !is_boolean && !choices.is_empty() {
        text = format!("{text} ({})", choices.join(", "));
    }
    let default = match flag.get_default_values() {
        [value] if !flag.is_hide_default_value_set() => format!("`{}`", value.to_str().unwrap()),
        _ => String::new(),
    };
    format!("| `--{long}`{short} | {value} | {} | {default} |", text.replace('|', "\\|"))
}

/// The commands that have flags of their own, with their names.
fn commands(command: &Command, name: &str, found: &mut Vec<(String, Vec<Arg>)>) {
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        commands(child, format!("{name} {}", child.get_name()).trim(), found);
    }
    let own = |flag: &&Arg| flag.get_long().is_some() && !flag.is_hide_set();
    let flags: Vec<Arg> = command.get_arguments().filter(own).cloned().collect();
    if !name.is_empty() && !flags.is_empty() {
        found.push((name.to_owned(), flags));
    }
}

#[test]
fn the_documentation_has_every_flag() {
    let mut all = Vec::new();
    commands(&super::command(), "", &mut all);
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for (name, flags) in &all {
        for flag in flags {
            let row = row(flag);
            let named = part(name).contains(&format!("`--{}`", flag.get_long().unwrap()));
            let in_build = named && part("build").contains(&row);
            if !in_build && !part(name).contains(&row) {
                missing.push(format!("yadokari {name}: {row}"));
            }
            rows.push(row);
        }
    }
    assert!(missing.is_empty(), "docs/flags.md lacks\n{}", missing.join("\n"));
    let of_none = |line: &&str| line.starts_with("| `--") && !rows.iter().any(|row| row == line);
    assert_eq!(PAGE.lines().filter(of_none).collect::<Vec<_>>(), [""; 0]);
}
