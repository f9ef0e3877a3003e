//! `qtrail log digest`: are two logs, or two searches, the same?

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use super::super::{CliError, Context, Exit, note, say};
use crate::config::SearchConfig;
use crate::config::expression::Expression;
use crate::events::digest::Digests;
use crate::events::frame::Position;
use crate::events::{Configs, Event, Fold, Recorded, Scope};
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
        let Ok(()) = special.apply(recorded);
        digests.apply(recorded).map_err(|error| CliError::new(Exit::Bug, error))?;
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
    configs: Configs,
}

impl Fold for Special {
    type Error = Infallible;

    fn apply(&mut self, recorded: &Recorded) -> Result<(), Infallible> {
        if matches!(recorded.event, Event::TrialReused(_)) {
            *self.reused.entry(recorded.scope).or_default() += 1;
        }
        self.configs.apply(recorded)
    }
}

impl Special {
    fn tell(&self) {
        for (scope, config) in self.configs.texts() {
            let Ok(config) = SearchConfig::read(config, None, &[]) else { continue };
            let expression = config.reward.expression;
            if let Some(fact) = expression.as_ref().and_then(Expression::of_the_machine) {
                note(&format!(
                    "{scope} is not reproducible: its reward depends on the machine ({fact})"
                ));
            }
        }
        for (scope, count) in &self.reused {
            note(&format!(
                "{scope}: {count} results were taken over from earlier searches of its series"
            ));
        }
    }
}
