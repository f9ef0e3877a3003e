//! To come.
use super::{CliError, Context};
/// Args.
#[derive(Debug, clap::Args)]
pub struct Args {}
/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(_: &Args, _: &Context) -> Result<(), CliError> {
    Ok(())
}
