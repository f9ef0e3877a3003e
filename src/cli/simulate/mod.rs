//! `qtrail simulate`: whole searches, with trials on record in the place of training.

mod rows;
mod source;
mod study;
mod tabular;

use std::path::PathBuf;

use rayon::prelude::*;

use super::output::FormatArgs;
use super::progress::counter;
use super::reading::{AtArgs, answer_from_log};
use super::replay::study::{Saved, check_name};
use super::search::phase;
use super::{CliError, Context, names, note};
use crate::config::learning::Learning;
use crate::config::replay::Policy;
use crate::config::{IN_FLIGHT_MAX, Phase};
use crate::events::StudyRow;
use crate::events::frame::Position;
use crate::lab::compared::{Compared, compare};
use crate::lab::environment::Unknown;
use crate::lab::settings::Seeds;
use crate::lab::simulate::{Agent, Simulated, World, scaled_schedule, simulate};
use crate::lab::simulation::Simulation;
use crate::views::At;
use source::{Source, Wanted};

/// Share of the architectures on record that a search trains unless told otherwise.
const SHARE: f64 = 0.6;
/// Architectures guessed to say how good guesses are.
const HELD_OUT: usize = 500;
/// Share of unknown architectures from which on that is said first.
const MANY_UNKNOWN: f64 = 0.1;
/// The last seed unless told otherwise; the first is 0.
const LAST_SEED: u64 = 19;

/// Carries out whole searches with trials on record in the place of training: exact where every
/// architecture of a space was trained.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The search whose trials are the environment: s1, or its name [default: the newest finished
    /// one that enumerated its space, else what comes with the program]
    search: Option<String>,
    /// Who learns (`qtrail policies`), or random: epsilon 1 throughout, which is always among the
    /// rows; several, or a list with commas
    #[arg(long = "policy", value_name = "POLICY,…", default_value = "uniform")]
    policies: Vec<String>,
    /// Trials in flight, as in `search --in-flight`; a list gives one row per value
    #[arg(long, value_name = "W,…", value_delimiter = ',', default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    in_flight: Vec<u32>,
    /// Seeds of the searches: 0..9 (both ends included), 7, or 0,3,5 [default: 0..19]
    #[arg(long)]
    seeds: Option<Seeds>,
    /// Draws after each episode [default: as the search did]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    draws: Option<u32>,
    /// Learning rate [default: as the search did]
    #[arg(long)]
    alpha: Option<f64>,
    /// Discount factor [default: as the search did]
    #[arg(long)]
    gamma: Option<f64>,
    /// Q-value of a pair before its first update [default: as the search did]
    #[arg(long, value_name = "Q0", allow_hyphen_values = true)]
    init: Option<f64>,
    #[command(flatten)]
    world: WorldArgs,
    /// Records what came of it under this name: `qtrail table replays`
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// In which world searches are simulated, besides what replay has options for too.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Simulated searches")]
pub(crate) struct WorldArgs {
    /// The newest finished search of this preset in the store, else what comes with the program
    #[arg(long, value_name = "NAME", conflicts_with = "search")]
    preset: Option<String>,
    /// A CSV file with the columns architecture and accuracy in the place of trials; several rows
    /// of an architecture are several trainings. Its state space is that of --preset [default:
    /// exhaustive-demo], or of a search
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Phases as EPSILON:MODELS,… [default: like the paper's, over 60 % of the architectures]
    #[arg(long, value_name = "E:N,…", value_delimiter = ',', value_parser = phase)]
    schedule: Vec<Phase>,
    /// What is done about an architecture without a record: stop, resample, nearest or surrogate
    /// [default: stop]
    #[arg(long, value_parser = unknown)]
    unknown: Option<Unknown>,
}

impl WorldArgs {
    /// Whether anything is asked for.
    pub(crate) fn is_told(&self) -> bool {
        let Self { preset, table, schedule, unknown } = self;
        preset.is_some() || table.is_some() || !schedule.is_empty() || unknown.is_some()
    }
}

fn unknown(text: &str) -> Result<Unknown, String> {
    let found = Unknown::ALL.iter().find(|(_, name, _)| *name == text);
    found.map(|(way, ..)| *way).ok_or_else(|| "stop, resample, nearest or surrogate".to_owned())
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    args.save.iter().try_for_each(|name| names::check("--save", name))?;
    let asked = Asked {
        search: args.search.as_deref(),
        policies: &args.policies,
        seeds: args.seeds.clone(),
        draws: args.draws,
        learning: (args.alpha, args.gamma, args.init),
        world: &args.world,
        at: args.at.at,
    };
    let agents = with_windows(&asked.agents()?, &args.in_flight);
    if let Some(name) = &args.save {
        check_name(&answer_from_log(context, None)?, name)?;
    }
    let done = asked.carry_out(&agents, context)?;
    let rows = done.rows();
    rows::print(args.format, &rows, &done.footer(&rows))?;
    match &args.save {
        Some(name) => study::save(context, name, &done),
        None => Ok(()),
    }
}

/// What is recorded of simulated searches, carried out again.
pub(crate) fn again(saved: &Saved, context: &Context) -> Result<Vec<StudyRow>, CliError> {
    Ok(study::rows(&study::again(saved, context)?))
}

/// The simulated searches of a study, carried out again.
pub(crate) fn of_study(saved: &Saved, context: &Context) -> Result<Simulations, CliError> {
    study::again(saved, context)
}

/// What is asked for.
pub(crate) struct Asked<'a> {
    /// The search whose trials are the environment.
    pub(crate) search: Option<&'a str>,
    /// Who learns.
    pub(crate) policies: &'a [String],
    /// Seeds.
    pub(crate) seeds: Option<Seeds>,
    /// K.
    pub(crate) draws: Option<u32>,
    /// Alpha, gamma, Q0.
    pub(crate) learning: (Option<f64>, Option<f64>, Option<f64>),
    /// The rest.
    pub(crate) world: &'a WorldArgs,
    /// How much of the log counts.
    pub(crate) at: Option<At>,
}

/// Simulated searches.
pub(crate) struct Simulations {
    /// What they were told.
    pub(crate) settings: Simulation,
    /// The last event of the log that counts.
    pub(crate) position: Position,
    /// Whose trials they are given.
    pub(crate) told: String,
    world: World,
    /// Agent by agent, a search a seed.
    pub(crate) runs: Vec<(Agent, Vec<Simulated>)>,
}

/// One search an agent and seed, over all cores.
fn simulated(world: &World, agents: &[Agent], seeds: &[u64]) -> Vec<(Agent, Vec<Simulated>)> {
    let bar = counter((agents.len() * seeds.len()) as u64);
    let runs = agents.iter().map(|&agent| {
        let searches = seeds.par_iter().map(|&seed| {
            let one = simulate(world, agent, seed);
            bar.inc(1);
            one
        });
        (agent, searches.collect())
    });
    let runs = runs.collect();
    bar.finish_and_clear();
    runs
}

fn described(world: &World, seeds: usize) -> String {
    let phases = world.schedule.phases.iter();
    let phases: Vec<String> =
        phases.map(|phase| format!("{}:{}", phase.epsilon, phase.models)).collect();
    format!(
        "{seeds} searches each, schedule {}, K = {}; the same seed draws the same training of an \
         architecture for all; sd and intervals (95 %, bootstrap) over seeds",
        phases.join(","),
        world.draws
    )
}

/// Who searches: those named, and random.
fn agents(policies: &[String]) -> Result<Vec<Agent>, CliError> {
    let mut agents = Vec::new();
    for text in policies.iter().flat_map(|list| Policy::split(list)) {
        let agent = if text.trim() == "random" {
            Agent::Random
        } else {
            let wrong = |error: &dyn std::fmt::Display| {
                CliError::usage(format!("--policy: {error}"))
                    .hint("`qtrail policies` lists them; random is one more here")
            };
            // As rows on record write it: uniform@4 has four trials in flight.
            let (text, in_flight) = match text.rsplit_once('@') {
                Some((policy, number)) => (policy, number.parse().map_err(|error| wrong(&error))?),
                None => (text, 1),
            };
            let policy: Policy = text.parse().map_err(|error| wrong(&error))?;
            policy.live().map_err(|error| wrong(&error))?;
            Agent::Learns { policy, in_flight }
        };
        if agents.contains(&agent) {
            return Err(CliError::usage(format!("--policy: {agent} is there twice")));
        }
        agents.push(agent);
    }
    if !agents.contains(&Agent::Random) {
        agents.push(Agent::Random);
    }
    Ok(agents)
}

/// Each who learns with each number of trials in flight; nothing is learned at random.
fn with_windows(agents: &[Agent], windows: &[u32]) -> Vec<Agent> {
    let mut all: Vec<Agent> = Vec::new();
    for &agent in agents {
        match agent {
            Agent::Learns { policy, in_flight: 1 } => {
                let with = |&in_flight: &u32| Agent::Learns { policy, in_flight };
                all.extend(windows.iter().map(with));
            }
            agent => all.push(agent),
        }
    }
    all
}

impl Asked<'_> {
    /// Who searches.
    pub(crate) fn agents(&self) -> Result<Vec<Agent>, CliError> {
        agents(self.policies)
    }

    /// Settles what was left open, and lets them search.
    pub(crate) fn carry_out(
        &self,
        agents: &[Agent],
        context: &Context,
    ) -> Result<Simulations, CliError> {
        let wanted = Wanted {
            search: self.search,
            preset: self.world.preset.as_deref(),
            table: self.world.table.as_deref(),
            at: self.at,
        };
        let source = source::read(&wanted, context)?;
        let settings = self.settings(&source)?;
        let Source { trained, told, position, .. } = source;
        let world = settings.world(trained);
        let runs = simulated(&world, agents, &settings.seeds.0);
        Ok(Simulations { settings, position, told, world, runs })
    }

    fn settings(&self, source: &Source) -> Result<Simulation, CliError> {
        let (config, records) = (&source.trained.config, source.trained.environment.records());
        if records.is_empty() {
            return Err(CliError::usage("the search has no trials with a result yet"));
        }
        if config.reward.expression.is_some() {
            note("the search learned from an expression; here accuracies are learned from");
        }
        if !config.limits.is_none() {
            note("the search had limits; here the whole space is sampled");
        }
        let (alpha, gamma, init) = self.learning;
        let learning = Learning {
            alpha: alpha.unwrap_or(config.learning.alpha),
            gamma: gamma.unwrap_or(config.learning.gamma),
            init: init.unwrap_or(config.learning.init),
        };
        let legal = learning.alpha > 0.0
            && learning.alpha <= 1.0
            && (0.0..=1.0).contains(&learning.gamma)
            && learning.init.is_finite();
        if !legal {
            let rule = "--alpha is above 0 to 1, --gamma 0 to 1, --init finite";
            return Err(CliError::usage(rule));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let models = (SHARE * records.len() as f64).floor().max(1.0) as u32;
        let phases = match self.world.schedule.is_empty() {
            true => scaled_schedule(models),
            false => self.world.schedule.clone(),
        };
        let table = source.table.clone();
        Ok(Simulation {
            search: source.search.clone(),
            preset: source.preset.clone(),
            content: table.as_ref().map(|(_, hash)| *hash),
            table: table.map(|(name, _)| name),
            draws: self.draws.unwrap_or(config.replay.draws),
            max_duplicates_in_a_row: config.schedule.max_duplicates_in_a_row,
            unknown: self.world.unknown.unwrap_or(Unknown::Stop),
            seeds: self.seeds.clone().unwrap_or_else(|| Seeds((0..=LAST_SEED).collect())),
            learning,
            phases,
        })
    }
}

impl Simulations {
    /// Carries out again what was carried out before.
    fn again(
        settings: Simulation,
        agents: &[Agent],
        position: Position,
        context: &Context,
    ) -> Result<Self, CliError> {
        let world = settings.world(source::again(&settings, position, context)?);
        let runs = simulated(&world, agents, &settings.seeds.0);
        let of = [&settings.table, &settings.search, &settings.preset];
        let of = of.into_iter().flatten().next().cloned().unwrap_or_default();
        let told = format!("trials of {of}; as of event {position}");
        Ok(Self { settings, position, told, world, runs })
    }

    /// Agents side by side.
    pub(crate) fn rows(&self) -> Vec<Compared> {
        let is = |(agent, _): &&(Agent, _)| {
            *agent == Agent::Learns { policy: Policy::Uniform, in_flight: 1 }
        };
        let uniform = self.runs.iter().find(is).map(|(_, searches)| searches.as_slice());
        compare(&self.runs, &self.world.environment, uniform)
    }

    /// What has to be known about the numbers; what matters most goes ahead of them.
    pub(crate) fn footer(&self, rows: &[Compared]) -> Vec<String> {
        let world = &self.world;
        let mut footer = vec![self.told.clone(), described(world, self.settings.seeds.0.len())];
        let worst = rows.iter().map(|row| row.unknown).fold(0.0, f64::max);
        let held_out = world.guess.as_ref().and_then(|guess| guess.held_out(HELD_OUT));
        if let Some(held_out) = held_out {
            footer.push(format!(
                "not history: {} architectures without a record are guessed ({}); distance: edits \
                 of the sequence of layers; on {} architectures left out the error is {:.4} (root \
                 mean square)",
                world.unknown.name(),
                Unknown::ALL.iter().find(|way| way.0 == world.unknown).map_or("", |way| way.2),
                held_out.n,
                held_out.rmse,
            ));
        } else if worst > 0.0 {
            footer.push(format!(
                "not history: architectures without a record were met; --unknown {}",
                world.unknown.name()
            ));
        }
        if worst > MANY_UNKNOWN {
            note(&format!(
                "up to {:.0} % of the new architectures have no record: this says more about that \
                 than about the policies",
                100.0 * worst
            ));
        }
        footer
    }
}
