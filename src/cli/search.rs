//! `qtrail search`: begins a search and carries it on.

use super::cells::counted;
use super::diff::different;
use super::progress::duration;
use super::settings::{self, SettingsArgs};
use super::{CliError, Context, names, note, say, series, terminal, work};
use crate::agent::Training;
use crate::agent::search::{Search, check};
use crate::config::learning::Epsilon;
use crate::config::replay::Policy;
use crate::config::{IN_FLIGHT_MAX, Phase, SearchConfig};
use crate::engine::devices::Devices;
use crate::engine::estimate::estimate;
use crate::engine::forking;
use crate::engine::series::Series;
use crate::engine::session::Session;
use crate::events::Scope;
use crate::log::Store;
use crate::views::check_reward;

/// Begins a search and carries it on; or adds models to one that is finished.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The finished search that --extend adds to: s1, or its name
    #[arg(requires = "extend")]
    search: Option<String>,
    /// Adds phases to the schedule of a finished search, as EPSILON:MODELS,…; `qtrail resume` then
    /// trains them
    #[arg(
        long, value_name = "E:N,…", value_delimiter = ',', value_parser = phase, requires = "search",
        conflicts_with_all = ["policy", "print_config", "name", "or_resume", "preset", "config",
            "settings", "precision", "seed", "flavour", "repeat", "reuse_trials", "reward", "not_reproducible",
            "max_params", "max_madds"],
    )]
    extend: Vec<Phase>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Which experiences are learned from (`qtrail policies` lists them); as replay.policy
    #[arg(long, value_name = "POLICY")]
    policy: Option<Policy>,
    /// Prints the complete configuration and stops
    #[arg(long)]
    print_config: bool,
    /// What the agent learns from, instead of the accuracy: an expression as in
    /// "accuracy - 0.02*ln(params/1e6)", over accuracy, params, madds, depth, epochs, restarts,
    /// epsilon, failed, …; computed once and recorded; as reward.expression
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    reward: Option<String>,
    /// Allows seconds and peak_memory in --reward: facts of the machine, so that the search cannot be
    /// repeated. `qtrail log digest --logical` says so
    #[arg(long, requires = "reward")]
    not_reproducible: bool,
    /// Samples no architecture with more weights and biases; as limits.params. Learning still looks
    /// ahead to the best of all actions, those too that are never taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_params: Option<u64>,
    /// Samples no architecture with more multiply-adds for an image; as limits.madds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_madds: Option<u64>,
    /// Carries out so many searches, a series: each with a seed derived from --seed, all on the same
    /// split; `qtrail table stability` says how much they differ
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: Option<u32>,
    /// Maximum number of trials that the agent has not learned from yet when it samples the next one.
    /// It limits how many trainers work at once; 4 per trainer keep them busy. Sets
    /// schedule.in-flight [default: 1]
    #[arg(long, value_name = "W", value_parser = in_flight)]
    in_flight: Option<u32>,
    /// In a series, takes the result of a trial that an earlier search of it trained, instead of
    /// training it again; that is recorded. The searches are then no longer independent
    #[arg(long, requires = "repeat")]
    reuse_trials: bool,
    /// What to call the search
    #[arg(long, default_value = "")]
    name: String,
    /// If a search of this name is in the store, goes on with it instead of beginning one
    #[arg(long, requires = "name")]
    or_resume: bool,
    #[command(flatten)]
    work: work::WorkArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    if let Some(search) = &args.search {
        return extend(search, &args.extend, context);
    }
    if let Some(reward) = &args.reward {
        check_reward(reward)?;
    }
    let mut config = args.settings.read(None, &args.over())?;
    if args.print_config {
        terminal::say_exactly(config.to_toml().trim_end());
        return Ok(());
    }
    names::check_optional("--name", &args.name)?;
    let work =
        args.work.with_trainers_for(config.schedule.in_flight, args.settings.threads_told())?;
    let trainers = args.settings.precision.allow(work::trainers(&work, context)?);
    if args.or_resume
        && let Some(store) = Store::open_if_there(&context.store)?
    {
        let session = work::session(context, trainers.clone(), store)?;
        if let Some(series) = session.index().series_named(&args.name).cloned() {
            return join_series(session, &series, &config, args, &work, context);
        }
        match session.index().find(&args.name) {
            Some(scope) if args.repeat.is_some() => {
                let single = format!("{} is {scope}, not a series of searches", args.name);
                return Err(CliError::usage(single).hint(
                    "without --repeat, --or-resume goes on with it; another --name begins a series",
                ));
            }
            Some(scope) => return join(session, scope, &config, args, context),
            None => session.close()?,
        }
    }
    let prepared = settings::images(&work, context, &mut config)?;
    check(&config, &prepared.facts).map_err(CliError::usage)?;
    left_out(&config.space.widths, prepared.facts.classes).iter().for_each(|line| note(line));
    if let Some(repeats) = args.repeat {
        let begin = series::Begin {
            config,
            name: args.name.clone(),
            repeats,
            seed: args.settings.seed,
            reuse_trials: args.reuse_trials,
            threads: args.settings.threads_told(),
            prepared,
        };
        let told = begin.config.clone();
        return match series::begin(begin, trainers, &work, context)? {
            Ok(()) => Ok(()),
            // Another process has begun it since.
            Err((session, series)) if args.or_resume => {
                join_series(session, &series, &told, args, &work, context)
            }
            Err(_) => {
                let taken = format!("a series called {} is in the store already", args.name);
                Err(CliError::usage(taken)
                    .hint("--or-resume goes on with it; another --name begins another"))
            }
        };
    }

    let precision = config.recipe.precision;
    let mut session = work::session_to_begin(context, trainers, precision)?;
    if let Some(scope) = session.index().find(&args.name) {
        // Another process has begun it since.
        if args.or_resume {
            return join(session, scope, &config, args, context);
        }
        let taken = format!("a search called {} is in the store already", args.name);
        return Err(CliError::usage(taken)
            .hint("--or-resume goes on with it; another --name begins another"));
    }
    let name = args.name.clone();
    let threads = work::threads_each(args.settings.threads_told(), session.hire(precision)?);
    let begun = session.begin_search(&config, args.settings.seed, name, threads, &prepared);
    let (scope, lock) = match (begun, session.index().find(&args.name)) {
        (Err(_), Some(scope)) if args.or_resume => {
            return join(session, scope, &config, args, context);
        }
        (begun, _) => begun?,
    };
    let job = session.job(scope)?;
    announce(scope, &*job, &session.devices(precision)?);
    work::carry_on(session, scope, lock, job, &prepared.folder)
}

/// Goes on with a search that is in the store. It keeps the settings that it began with.
fn join(
    mut session: Session,
    scope: Scope,
    told: &SearchConfig,
    args: &Args,
    context: &Context,
) -> Result<(), CliError> {
    if let Scope::Search(_) = scope {
        let job = session.job(scope)?;
        let seed = job.as_search().map_or(args.settings.seed, Search::seed);
        tell_kept(&scope.to_string(), (job.config(), seed), (told, args.settings.seed));
    }
    super::resume::go_on(session, scope, &args.work, context)
}

/// Goes on with a series that is in the store, in the same way.
fn join_series(
    mut session: Session,
    series: &Series,
    told: &SearchConfig,
    args: &Args,
    work: &work::WorkArgs,
    context: &Context,
) -> Result<(), CliError> {
    series::check_told(series, (args.repeat, args.reuse_trials))?;
    if let Some(&first) = series.members.first() {
        let (job, seed) = (session.job(first)?, series.facts.seed);
        tell_kept(&series.label(), (job.config(), seed), (told, args.settings.seed));
    }
    series::go_on(session, series, work, context)
}

/// Says which of the settings that were told now are not those that something began with.
fn tell_kept(
    label: &str,
    (recorded, seed): (&SearchConfig, u64),
    (told, wanted): (&SearchConfig, u64),
) {
    let value = |value: String| if value.is_empty() { "the default".to_owned() } else { value };
    let mut differ: Vec<String> = different(&recorded.to_toml(), &told.to_toml())
        .into_iter()
        // The images are looked at later, and phases may have been added.
        .filter(|[key, ..]| !key.starts_with("data.") && key != "schedule.phases")
        .map(|[key, recorded, told]| format!("{key} is {}, not {}", value(recorded), value(told)))
        .collect();
    if !recorded.schedule.phases.starts_with(&told.schedule.phases) {
        differ.push("schedule.phases are others".to_owned());
    }
    if seed != wanted {
        differ.push(format!("seed is {seed}, not {wanted}"));
    }
    if !differ.is_empty() {
        note(&format!("{label} keeps the settings that it began with: {}", differ.join("; ")));
    }
}

/// What the state space leaves out of `space.widths`: an FC layer is as wide as there are classes, or
/// wider.
fn left_out(widths: &[u32], classes: u32) -> Option<String> {
    let narrow: Vec<u32> = widths.iter().copied().filter(|&width| width < classes).collect();
    let list: Vec<String> = narrow.iter().map(ToString::to_string).collect();
    let rest = match narrow.len() == widths.len() {
        true => "; no fully connected layer is left",
        false => "",
    };
    (!narrow.is_empty()).then(|| {
        format!(
            "widths below the {classes} classes are left out (space.widths): {}{rest}",
            list.join(", ")
        )
    })
}

/// Says what a search is about to do, and very roughly for how long.
pub(super) fn announce(scope: Scope, job: &dyn Training, devices: &Devices) {
    work::announce(scope, job);
    if let Some(search) = job.as_search() {
        let cost = estimate(search, devices.is_cpu(), job.threads());
        let in_flight = job.config().schedule.in_flight;
        let trainers = devices.trainers();
        if trainers > in_flight {
            note(&format!(
                "{scope}: with --in-flight {in_flight}, at most {in_flight} of {trainers} trainers work \
                 at once, except in phases with epsilon 1"
            ));
        }
        let seconds = cost.seconds / f64::from(trainers.min(in_flight));
        let time = duration(std::time::Duration::from_secs_f64(seconds.min(1e10)));
        note(&format!(
            "{scope}: {} of {} architectures; very roughly {time} on {devices}, up to {:.0} MB on disk",
            cost.models,
            search.architectures(),
            cost.bytes / 1e6,
        ));
    } else {
        let (models, repeats) = (job.planned_models(), job.config().schedule.repeats);
        let architectures = models / repeats.max(1);
        note(&format!("{scope}: all {architectures} architectures of the space, {repeats} x each"));
    }
}

/// Adds phases to a finished search.
fn extend(name: &str, phases: &[Phase], context: &Context) -> Result<(), CliError> {
    let store = Store::open(&context.store)?;
    let mut session = work::session_without_trainer(context, store)?;
    let scope = find_search(&session, name)?;
    let models = forking::extend(&mut session, scope, phases);
    session.close()?;
    say(&format!("{scope}: {} more", counted(models?, "model")));
    note(&format!("`qtrail resume {scope}` trains them"));
    Ok(())
}

/// The search of this name.
pub(super) fn find_search(session: &Session, name: &str) -> Result<Scope, CliError> {
    let found = session.index().find(name).filter(|scope| matches!(scope, Scope::Search(_)));
    found.ok_or_else(|| {
        CliError::usage(format!("no search is called {name}"))
            .hint("`qtrail table searches` lists them")
    })
}

/// Reads a number of trials in flight.
fn in_flight(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=IN_FLIGHT_MAX).contains(number));
    number.ok_or_else(|| format!("expected a whole number from 1 to {IN_FLIGHT_MAX}"))
}

/// Reads EPSILON:MODELS.
pub(super) fn phase(text: &str) -> Result<Phase, String> {
    let wrong = || format!("`{text}` is not EPSILON:MODELS, as in 0.1:20");
    let (epsilon, models) = text.split_once(':').ok_or_else(wrong)?;
    let epsilon = epsilon.trim().parse().ok().and_then(Epsilon::new).ok_or_else(wrong)?;
    let models = models.trim().parse().ok().filter(|&n: &u32| n > 0).ok_or_else(wrong)?;
    Ok(Phase { epsilon, models })
}

impl Args {
    /// Settings that have an option of their own, as they are laid over the configuration.
    fn over(&self) -> Vec<String> {
        let over = [
            self.policy.map(|policy| format!("replay.policy={policy}")),
            self.reward.as_ref().map(|reward| format!("reward.expression={reward:?}")),
            self.not_reproducible.then(|| "reward.not-reproducible=true".to_owned()),
            self.max_params.map(|most| format!("limits.params={most}")),
            self.max_madds.map(|most| format!("limits.madds={most}")),
            self.in_flight.map(|window| format!("schedule.in-flight={window}")),
        ];
        over.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_widths_are_named() {
        let of = |widths: &[u32], classes| left_out(widths, classes).unwrap_or_default();
        assert_eq!(of(&[512, 256, 128], 100), "");
        assert_eq!(
            of(&[512, 256, 128], 200),
            "widths below the 200 classes are left out (space.widths): 128"
        );
        let all = of(&[64, 32], 100);
        assert!(all.ends_with("64, 32; no fully connected layer is left"), "{all}");
        assert_eq!(of(&[], 100), "");
    }
}
