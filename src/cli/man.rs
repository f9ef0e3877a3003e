//! `qtrail man`: the man pages, from the same definition as `--help`.

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::destination::Destination;
use super::{Cli, CliError, say};

/// Writes the man pages into a folder: qtrail.1 and one for each verb.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, as in ~/.local/share/man/man1, made if missing; - prints qtrail.1 to stdout
    #[arg(value_name = "DIR")]
    folder: Destination,
}

/// Runs the verb.
///
/// # Errors
/// If the folder, or stdout, cannot be written to.
pub fn run(args: &Args) -> Result<(), CliError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = args.folder.path() else {
        return args.folder.write(&page(&Man::new(command))?);
    };
    std::fs::create_dir_all(folder).map_err(|error| CliError::file("create", folder, &error))?;
    let mut commands = Vec::new();
    collect(command, &mut commands);
    for man in commands.into_iter().map(Man::new) {
        Destination::Path(folder.join(man.get_filename())).write(&page(&man)?)?;
    }
    say(&format!("man pages are in {0}; `man {0}/qtrail.1`", folder.display()));
    Ok(())
}

/// A command and all below it that help shows.
fn collect(command: Command, all: &mut Vec<Command>) {
    command.get_subcommands().filter(|verb| !verb.is_hide_set()).for_each(|verb| {
        collect(verb.clone(), all);
    });
    all.push(command);
}

fn page(man: &Man) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    man.render(&mut page).map_err(|error| CliError::output(&error))?;
    Ok(page)
}
