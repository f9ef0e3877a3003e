//! `qtrail log digest`: are two logs, or two searches, the same?

use std::ops::ControlFlow;

use super::super::{CliError, Context, Exit, say};
use crate::events::digest::Digests;
use crate::events::frame::Position;
use crate::log::Store;

/// Prints the hash of the log, or with --logical one hash a search.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// One hash a search or run, in the order of their ids: equal for two runs of the same search,
    /// however often interrupted and wherever carried out
    #[arg(long)]
    logical: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    if !args.logical {
        say(&Store::open(&context.store)?.read_head()?.record.head.chain.to_string());
        return Ok(());
    }
    let mut log = super::log(context)?;
    let mut digests = Digests::default();
    super::show::each(&mut log, Position::default(), |_, recorded| {
        digests.push(recorded).map_err(|error| CliError::new(Exit::Bug, error))?;
        Ok(ControlFlow::Continue(()))
    })?;
    for (_, digest) in digests.finish() {
        say(&digest.to_string());
    }
    Ok(())
}
