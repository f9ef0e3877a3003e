//! Parse, run, exit code.

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::process::ExitCode;

use qtrail::cli;
use qtrail::log::{PROBE_ARGUMENT, probe_main};

/// Building tables takes many small pieces of memory in one thread and frees them in another, which
/// is what this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::bug::install();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == PROBE_ARGUMENT
    {
        return probe_main(rest, &mut std::io::stdout());
    }
    let exit = catch_unwind(cli::main).unwrap_or_else(|panic| cli::bug::exit(&*panic));
    ExitCode::from(exit as u8)
}
