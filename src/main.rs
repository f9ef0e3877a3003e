//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use qtrail::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::note(&format!("error: {}", error.message));
            if let Some(hint) = &error.hint {
                cli::note(&format!("  hint: {hint}"));
            }
            ExitCode::from(error.exit as u8)
        }
    }
}
