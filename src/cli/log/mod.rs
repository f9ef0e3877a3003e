//! `qtrail log`: the events themselves.

mod digest;
mod show;
mod stat;
mod verify;

pub(super) use show::each;

use super::{CliError, Context};
use crate::log::{SledLog, Store};

/// Looks at the log: the events that everything follows from.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print events
    Show(show::Args),
    /// Print counts and sizes
    Stat(stat::Args),
    /// Print the hash of the log, or of each search
    Digest(digest::Args),
    /// Check every event, fold them again, and compare
    Verify(verify::Args),
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    match &args.verb {
        Verb::Show(args) => show::run(args, context),
        Verb::Stat(args) => stat::run(args, context),
        Verb::Digest(args) => digest::run(args, context),
        Verb::Verify(args) => verify::run(args, context),
    }
}

/// The store and its log, not entered yet.
fn log(context: &Context) -> Result<SledLog, CliError> {
    Ok(SledLog::outside(Store::open(&context.store)?, context.options()))
}
