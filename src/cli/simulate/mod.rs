//! `qtrail simulate`: whole searches, with trials on record in the place of training.

mod source;

use rayon::prelude::*;

use super::output::{FormatArgs, Hint, Printer};
use super::progress::counter;
use super::reading::AtArgs;
use super::{CliError, Context, note};
use crate::config::learning::{Epsilon, Learning};
use crate::config::replay::Policy;
use crate::config::{Order, Phase, Schedule};
use crate::lab::compared::{Compared, MEASURES, compare};
use crate::lab::environment::Unknown;
use crate::lab::settings::Seeds;
use crate::lab::simulate::{Agent, Simulated, World, scaled_schedule, simulate};
use crate::lab::trained::Trained;
use crate::views::{Rows as _, Value};

/// Share of the architectures on record that a search trains unless told otherwise.
const SHARE: f64 = 0.6;
/// Architectures guessed to say how good guesses are.
const HELD_OUT: usize = 500;
/// Share of unknown architectures from which on that is said first.
const MANY_UNKNOWN: f64 = 0.1;

/// Carries out whole searches with trials on record in the place of training: exact where every
/// architecture of a space was trained.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The search whose trials are the environment: s1, or its name [default: the newest that
    /// enumerated its space, else what comes with the program]
    search: Option<String>,
    /// The newest search of this preset in the store, else what comes with the program
    #[arg(long, value_name = "NAME", conflicts_with = "search")]
    preset: Option<String>,
    /// Who learns (`qtrail policies`), or random: epsilon 1 throughout, which is always among the
    /// rows; several, or a list with commas
    #[arg(long = "policy", value_name = "POLICY,…", default_value = "uniform")]
    policies: Vec<String>,
    /// Seeds of the searches: 0..19 (both ends included), 7, or 0,3,5
    #[arg(long, default_value = "0..19")]
    seeds: Seeds,
    /// Phases as EPSILON:MODELS,… [default: like the paper's, over 60 % of the architectures]
    #[arg(long, value_name = "E:N,…", value_delimiter = ',', value_parser = phase)]
    schedule: Vec<Phase>,
    /// Draws after each episode [default: as the search did]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    k: Option<u32>,
    /// Learning rate [default: as the search did]
    #[arg(long)]
    alpha: Option<f64>,
    /// Discount factor [default: as the search did]
    #[arg(long)]
    gamma: Option<f64>,
    /// Q-value of a pair before its first update [default: as the search did]
    #[arg(long, value_name = "Q0", allow_hyphen_values = true)]
    init: Option<f64>,
    /// What is done about an architecture without a record: stop, resample, nearest or surrogate
    #[arg(long, default_value = "stop", value_parser = unknown)]
    unknown: Unknown,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

fn phase(text: &str) -> Result<Phase, String> {
    let wrong = || format!("`{text}` is not EPSILON:MODELS, as in 0.1:20");
    let (epsilon, models) = text.split_once(':').ok_or_else(wrong)?;
    let epsilon = epsilon.trim().parse().ok().and_then(Epsilon::new).ok_or_else(wrong)?;
    let models = models.trim().parse().ok().filter(|&n: &u32| n > 0).ok_or_else(wrong)?;
    Ok(Phase { epsilon, models })
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
    let agents = args.agents()?;
    let (trained, told) = source::read(args, context)?;
    let world = args.world(trained)?;
    let held_out = world.guess.as_ref().and_then(|guess| guess.held_out(HELD_OUT));
    let runs = simulated(&world, &agents, &args.seeds.0);
    let uniform = runs.iter().find(|(agent, _)| *agent == Agent::Learns(Policy::Uniform));
    let uniform = uniform.map(|(_, searches)| searches.as_slice());
    let rows = compare(&runs, &world.environment, uniform);
    let mut footer = vec![told, described(&world, args.seeds.0.len())];
    let worst = rows.iter().map(|row| row.unknown).fold(0.0, f64::max);
    if let Some(held_out) = held_out {
        footer.push(format!(
            "not history: {} architectures without a record are guessed ({}); distance: edits of the \
             sequence of layers; on {} architectures left out the error is {:.4} (root mean square)",
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
            "up to {:.0} % of the new architectures have no record: this says more about that than \
             about the policies",
            100.0 * worst
        ));
    }
    print(args.format, &rows, &footer)
}

/// One search an agent and seed, over all cores.
pub(crate) fn simulated(
    world: &World,
    agents: &[Agent],
    seeds: &[u64],
) -> Vec<(Agent, Vec<Simulated>)> {
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
         architecture for all; se and intervals (95 %, bootstrap) over seeds",
        phases.join(","),
        world.draws
    )
}

impl Args {
    /// Who searches: those named, and random.
    pub(crate) fn agents(&self) -> Result<Vec<Agent>, CliError> {
        let mut agents = Vec::new();
        for text in self.policies.iter().flat_map(|list| Policy::split(list)) {
            let agent = if text.trim() == "random" {
                Agent::Random
            } else {
                let wrong = |error: &dyn std::fmt::Display| {
                    CliError::usage(format!("--policy: {error}"))
                        .hint("`qtrail policies` lists them; random is one more here")
                };
                let policy: Policy = text.parse().map_err(|error| wrong(&error))?;
                policy.live().map_err(|error| wrong(&error))?;
                Agent::Learns(policy)
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

    /// The environment and how searches go in it.
    pub(crate) fn world(&self, trained: Trained) -> Result<World, CliError> {
        let Trained { config, space, environment } = trained;
        if environment.records().is_empty() {
            return Err(CliError::usage("the search has no trials with a result yet"));
        }
        if config.reward.expression.is_some() {
            note("the search learned from an expression; here accuracies are learned from");
        }
        if !config.limits.is_none() {
            note("the search had limits; here the whole space is sampled");
        }
        let learning = Learning {
            alpha: self.alpha.unwrap_or(config.learning.alpha),
            gamma: self.gamma.unwrap_or(config.learning.gamma),
            init: self.init.unwrap_or(config.learning.init),
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
        let models = (SHARE * environment.records().len() as f64).floor().max(1.0) as u32;
        let phases = match self.schedule.is_empty() {
            true => scaled_schedule(models),
            false => self.schedule.clone(),
        };
        let max_duplicates_in_a_row = config.schedule.max_duplicates_in_a_row;
        Ok(World {
            guess: self.unknown.neighbours().map(|count| environment.neighbours(count)),
            space,
            environment,
            schedule: Schedule {
                order: Order::Sample,
                repeats: 1,
                max_duplicates_in_a_row,
                phases,
            },
            draws: self.k.unwrap_or(config.replay.draws),
            learning,
            unknown: self.unknown,
        })
    }
}

fn print(format: FormatArgs, rows: &[Compared], footer: &[String]) -> Result<(), CliError> {
    let mut names = vec!["policy".to_owned(), "models".into(), "episodes".into(), "unknown".into()];
    for measure in MEASURES {
        let name = measure.name;
        names.extend([name.to_owned(), format!("{name}_sd"), format!("{name}_vs_uniform")]);
        names.extend([format!("{name}_low"), format!("{name}_high")]);
    }
    let real = |value: Option<f64>| value.map_or(Value::Null, Value::Real);
    let mut printer =
        Printer::new(format, |_| Hint::default()).dropping_columns("--format json has all");
    let mut show = || {
        printer.columns(&names)?;
        for row in rows {
            let mut cells = vec![
                Value::Text(row.agent.to_string()),
                Value::Real(row.models),
                Value::Real(row.episodes),
                Value::Real(row.unknown),
            ];
            for (summary, difference) in row.measures.iter().zip(&row.differences) {
                let interval = difference.and_then(|difference| difference.interval);
                cells.extend([real(summary.mean), real(summary.sd)]);
                cells.push(real(difference.map(|difference| difference.mean)));
                cells.push(real(interval.map(|(low, _)| low)));
                cells.push(real(interval.map(|(_, high)| high)));
            }
            printer.row(&cells)?;
        }
        Ok(())
    };
    show().and_then(|()| printer.finish(footer).map(drop)).map_err(|error| CliError::output(&error))
}
