//! `qtrail log digest`: are two logs, or two searches, the same?

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::super::{CliError, Context, Exit, note, say};
use crate::events::digest::Digests;
use crate::events::frame::Position;
use crate::events::{Event, Recorded, Scope};
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
    let (mut digests, mut special) = (Digests::default(), Special::default());
    super::show::each(&mut log, Position::default(), |_, recorded| {
        special.push(recorded);
        digests.push(recorded).map_err(|error| CliError::new(Exit::Bug, error))?;
        Ok(ControlFlow::Continue(()))
    })?;
    for (_, digest) in digests.finish() {
        say(&digest.to_string());
    }
    special.tell();
    Ok(())
}

/// What is to be known of a search whose digest is compared.
#[derive(Default)]
struct Special {
    /// Trials that took over a result.
    reused: BTreeMap<Scope, u32>,
}

impl Special {
    fn push(&mut self, recorded: &Recorded) {
        if let Event::TrialReused(_) = recorded.event {
            *self.reused.entry(recorded.scope).or_default() += 1;
        }
    }

    fn tell(&self) {
        for (scope, count) in &self.reused {
            note(&format!(
                "{scope}: {count} results were taken over from earlier searches of its series"
            ));
        }
    }
}
