//! Parse, run, exit code.

use std::panic::catch_unwind;
use std::process::ExitCode;

use qtrail::cli::{self, Cli, Exit};

/// Building tables takes many small pieces of memory in one thread and frees them in another, which
/// is what this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A panic has printed its message; it is a mistake in this program, and exits as one.
    let result = catch_unwind(|| cli::run(&Cli::read()));
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) if error.exit == Exit::ClosedPipe => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            cli::note(&format!("error: {}", error.message));
            if let Some(hint) = &error.hint {
                cli::note(&format!("  hint: {hint}"));
            }
            ExitCode::from(error.exit as u8)
        }
        Err(_) => ExitCode::from(Exit::Bug as u8),
    }
}
