//! Parse, run, exit code.

use std::panic::catch_unwind;
use std::process::ExitCode;

use qtrail::cli;

/// Building tables takes many small pieces of memory in one thread and frees them in another, which
/// is what this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::bug::install();
    let exit = catch_unwind(cli::main).unwrap_or_else(|panic| cli::bug::exit(&*panic));
    ExitCode::from(exit as u8)
}
