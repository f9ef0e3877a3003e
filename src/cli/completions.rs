//! `qtrail completions`: what a shell needs to complete verbs and options.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::{Cli, CliError};

/// Prints a completion script, as in `qtrail completions bash > ~/.local/share/bash-completion/completions/qtrail`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    shell: Shell,
}

/// Runs the verb.
///
/// # Errors
/// If stdout cannot be written to.
pub fn run(args: &Args) -> Result<(), CliError> {
    // Into memory first: the generator panics where it cannot write, as into a closed pipe.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "qtrail", &mut script);
    std::io::stdout().write_all(&script).map_err(|error| CliError::output(&error))
}
