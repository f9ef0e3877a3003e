//! The trainer process. `qtrail` starts it and talks to it over pipes; see `schema/trainer.md`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's own --help")]

#[path = "../torch/mod.rs"]
mod torch;

use std::process::ExitCode;

// What the trainer uses of the library, under the names that it has there.
use qtrail::{adversary, arch, chance, config, data, paths, trainer};
use torch::serve::{PROGRAM, serve};

const HELP: &str = "\
Trains and attacks networks for qtrail, which starts it by itself.

usage: qtrail-torch [--help | --version]

Without arguments it reads requests from stdin, one JSON object a line, and answers on stdout
until stdin closes. The messages are described in schema/trainer.md; for example:

  echo '{\"type\":\"hello\",\"protocol\":1}' | qtrail-torch

QTRAIL_CUDA=0 keeps it from using GPUs.";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => return serve(),
        Some("--help" | "-h") => println!("{HELP}"),
        Some("--version" | "-V") => println!("{PROGRAM}"),
        Some(other) => {
            eprintln!("qtrail-torch: unknown argument `{other}`; see qtrail-torch --help");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
