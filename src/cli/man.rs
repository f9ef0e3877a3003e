//! `qtrail man`: the man pages, from the same definition as `--help`.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::{Cli, CliError, say};

/// Writes the man pages into a folder: qtrail.1 and one for each verb.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, as in ~/.local/share/man/man1; made if missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the verb.
///
/// # Errors
/// If the folder cannot be written.
pub fn run(args: &Args) -> Result<(), CliError> {
    let folder = &args.folder;
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.map_err(|error| {
        CliError::usage(format!("cannot write man pages into {}: {error}", folder.display()))
    })?;
    say(&format!("man pages are in {}; `man {}/qtrail.1`", folder.display(), folder.display()));
    Ok(())
}
