//! `qtrail fork`: a new search that begins with what another one experienced.

use super::cells::counted;
use super::reading::AtArgs;
use super::search::{find_search, phase};
use super::{CliError, Context, names, say, work};
use crate::config::Phase;
use crate::config::replay::Policy;
use crate::engine::forking::{self, ForkAs, Forked};
use crate::events::Recorded;
use crate::events::frame::Position;
use crate::log::Store;
use crate::views::At;

/// Begins a search with the experiences of another one, under another replay policy. It is recorded
/// and learns from them again; `qtrail resume` trains what follows.
///
/// An experience is inherited if it was in the replay memory by the event --at. Its architecture is
/// known to the fork: sampled again, it is a duplicate with the reward on record, and not trained
/// again. After the n-th inherited experience, K draws are made from the first n, by the seed of
/// the fork. The schedule is that of the source as it stands then: phases that ended have ended, and
/// the models that the current one has trained count. With the seed of the source, which is the
/// default, an architecture that both sample later is trained with the same seed in both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The search to begin with: s1, or its name
    search: String,
    #[command(flatten)]
    at: AtArgs,
    /// Which experiences are learned from (`qtrail policies`) [default: as the source]
    #[arg(long, value_name = "POLICY")]
    policy: Option<Policy>,
    /// Draws after each experience [default: as the source]
    #[arg(long, value_name = "N")]
    draws: Option<u32>,
    /// Learning rate [default: as the source]
    #[arg(long)]
    alpha: Option<f64>,
    /// Discount factor [default: as the source]
    #[arg(long)]
    gamma: Option<f64>,
    /// Q-value of a pair before its first update [default: as the source]
    #[arg(long, value_name = "Q0", allow_hyphen_values = true)]
    init: Option<f64>,
    /// Phases after those of the source, as EPSILON:MODELS,…
    #[arg(long, value_name = "E:N,…", value_delimiter = ',', value_parser = phase)]
    extend: Vec<Phase>,
    /// Seed of draws, samples and trainings [default: as the source]
    #[arg(long)]
    seed: Option<u64>,
    /// What to call the fork
    #[arg(long, default_value = "")]
    name: String,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    names::check_optional("--name", &args.name)?;
    let store = Store::open(&context.store)?;
    let mut session = work::session_without_trainer(context, store)?;
    let source = find_search(&session, &args.search)?;
    let end = session.end();
    if let Some(At::Position(at)) = args.at.at
        && (at > end || at == Position::default())
    {
        session.close()?;
        let message = format!("--at {at}: the log has the events 1 to {end}");
        return Err(CliError::usage(message).hint("`qtrail table events` lists them"));
    }
    let at = args.at.at;
    let known = |recorded: &Recorded| match at {
        None => true,
        Some(At::Position(at)) => recorded.position <= at,
        Some(At::Time(time)) => recorded.at <= time,
    };
    let fork = ForkAs {
        name: args.name.clone(),
        seed: args.seed,
        settings: args.settings(),
        phases: args.extend.clone(),
    };
    let forked = forking::fork(&mut session, source, &known, &fork);
    session.close()?;
    let forked = forked?;
    told(&args.search, &forked);
    Ok(())
}

fn told(source: &str, forked: &Forked) {
    let Forked { scope, position, episodes, trials, config, models_left } = forked;
    say(&format!(
        "{scope}: {source} at event {position}, {} of {}, learned again under {} with K = {}; left to \
         train: {}",
        counted(episodes, "experience"),
        counted(trials, "architecture"),
        config.replay.policy,
        config.replay.draws,
        counted(models_left, "model")
    ));
    super::note(&format!("`qtrail resume {scope}` trains them"));
}

impl Args {
    /// What differs from the settings of the source.
    fn settings(&self) -> Vec<String> {
        let mut settings = Vec::new();
        let mut lay = |key: &str, value: Option<String>| {
            settings.extend(value.map(|value| format!("{key}={value}")));
        };
        // With a decimal point, for TOML.
        let number = |value: Option<f64>| value.map(|value| format!("{value:?}"));
        lay("replay.policy", self.policy.map(|policy| policy.to_string()));
        lay("replay.draws", self.draws.map(|draws| draws.to_string()));
        lay("learning.alpha", number(self.alpha));
        lay("learning.gamma", number(self.gamma));
        lay("learning.init", number(self.init));
        settings
    }
}
