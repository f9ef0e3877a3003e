//! `qtrail --help`: the verbs in groups. Names and texts are those of the verbs themselves.

use clap::Command;

/// Headings and their verbs; a verb in none comes last.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Search, train, attack",
        &["search", "resume", "status", "final", "transfer", "train", "attack"],
    ),
    (
        "Ask",
        &[
            "table", "tables", "watch", "plot", "plots", "report", "show", "compare", "diff",
            "ensemble", "sql",
        ],
    ),
    ("Ask what if", &["replay", "simulate", "fork", "policies"]),
    ("Look after", &["log", "artifacts", "import", "export", "data", "completions", "man"]),
];

const TEMPLATE: &str = "\
{about}

{usage-heading} {usage}{after-help}

Options:
{options}

`qtrail VERB --help` says more about a verb.

Exit codes: 0 success, 1 the answer is no, 2 usage or bad input, 3 busy, 4 store damaged or too new,
5 no space left or an I/O error, 6 interrupted and resumable, 70 a bug of qtrail.
";

/// The command with its verbs in groups.
pub(super) fn grouped(command: Command) -> Command {
    let verbs = verbs(&command);
    command.disable_help_subcommand(true).help_template(TEMPLATE).after_help(verbs)
}

fn verbs(command: &Command) -> String {
    let known: Vec<(&str, String)> = command
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| (verb.get_name(), verb.get_about().map(ToString::to_string)))
        .map(|(name, about)| (name, about.unwrap_or_default()))
        .collect();
    let width = known.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let grouped = |name: &str| GROUPS.iter().any(|(_, verbs)| verbs.contains(&name));
    let rest: Vec<&str> = known.iter().map(|(n, _)| *n).filter(|name| !grouped(name)).collect();
    let mut text = String::new();
    for (heading, verbs) in GROUPS.iter().copied().chain([("More", rest.as_slice())]) {
        let lines = verbs.iter().filter_map(|verb| known.iter().find(|(name, _)| name == verb));
        let lines: String =
            lines.map(|(name, about)| format!("  {name:width$}  {about}\n")).collect();
        if !lines.is_empty() {
            text += &format!("\n{heading}:\n{lines}");
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_verb_is_in_a_group() {
        let command = Cli::command();
        command.clone().debug_assert();
        let text = verbs(&command);
        assert!(!text.contains("More:"), "{text}");
        for verb in command.get_subcommands() {
            assert!(text.contains(&format!("  {} ", verb.get_name())), "{text}");
        }
    }
}
