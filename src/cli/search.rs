//! `qtrail search`: begins a search and carries it on.

use std::path::PathBuf;

use super::progress::duration;
use super::{CliError, Context, note, say, work};
use crate::config::{Flavour, SearchConfig, presets};
use crate::engine::estimate::estimate;
use crate::engine::session::{prepare, read_limited};
use crate::log::Store;

/// Largest configuration file in bytes; its parts fill one batch of the log.
const CONFIG_MAX: u64 = 64 * 1024;

/// Begins a search and carries it on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A configuration that comes with the program (`--preset help` lists them)
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    preset: Option<String>,
    /// A configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What holds where the paper and its authors' code differ: paper or code
    #[arg(long)]
    flavour: Option<Flavour>,
    /// A single setting laid over the configuration, as in replay.draws=128
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Prints the complete configuration and stops
    #[arg(long)]
    print_config: bool,
    /// Seed of everything the agent and the training choose
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What to call the search
    #[arg(long, default_value = "")]
    name: String,
    /// If a search of this name is in the store, goes on with it instead of beginning one
    #[arg(long, requires = "name")]
    or_resume: bool,
    /// Threads to compute with on a CPU
    #[arg(long)]
    threads: Option<u32>,
    #[command(flatten)]
    work: work::WorkArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let mut config = config(args)?;
    if args.print_config {
        say(config.to_toml().trim_end());
        return Ok(());
    }
    check_name(&args.name)?;
    if args.or_resume && Store::open(&context.store).is_ok() {
        let store = Store::open(&context.store)?;
        let session = work::session(&args.work, context, store)?;
        match session.index().find(&args.name) {
            Some(scope) => return super::resume::go_on(session, scope, &args.work, context),
            None => session.close()?,
        }
    }
    let wanted = args.work.data.clone().unwrap_or_else(|| config.data.name.clone());
    let data = context.data.locate(&wanted)?;
    config.data.name.clone_from(&data.name);
    let prepared = prepare(&config, &data)?;
    let threads = args.threads.unwrap_or_else(work::threads).max(1);

    let store = Store::open_or_create(&context.store)?;
    let mut session = work::session(&args.work, context, store)?;
    let (scope, lock) =
        session.begin_search(&config, args.seed, args.name.clone(), threads, &prepared)?;
    let job = session.job(scope)?;
    work::announce(scope, &*job);
    if let Some(search) = job.as_search() {
        let device = if args.work.device == "auto" { "cpu" } else { &args.work.device };
        let cost = estimate(search, device, threads);
        let time = duration(std::time::Duration::from_secs_f64(cost.seconds.min(1e10)));
        note(&format!(
            "{scope}: {} of {} architectures; very roughly {time} on {device}, up to {:.0} MB on disk",
            cost.models,
            search.space().architectures(),
            cost.bytes / 1e6,
        ));
    }
    work::carry_on(session, scope, lock, job, &prepared.folder)
}

fn config(args: &Args) -> Result<SearchConfig, CliError> {
    if args.preset.as_deref() == Some("help") {
        let list = presets::PRESETS.iter().map(|(name, what, _)| format!("  {name:14} {what}"));
        let list: Vec<String> = list.collect();
        return Err(CliError::usage(format!("the presets are\n{}", list.join("\n"))));
    }
    let text = match (&args.preset, &args.config) {
        (Some(name), _) => presets::text(name)?.to_owned(),
        (None, Some(file)) => read_limited(file, CONFIG_MAX).map_err(|error| {
            CliError::usage(format!("cannot read the configuration {}: {error}", file.display()))
        })?,
        (None, None) => {
            return Err(CliError::usage("a search needs --preset NAME or --config FILE")
                .hint(format!("the presets are {}", presets::names())));
        }
    };
    Ok(SearchConfig::read(&text, args.flavour, &args.settings)?)
}

/// Names must not look like ids, and fit into a table.
fn check_name(name: &str) -> Result<(), CliError> {
    let id = name.parse::<crate::events::Scope>().is_ok();
    let legal = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if id || name.len() > 60 || !name.chars().all(legal) {
        let rule = "up to 60 letters, digits, `-`, `_`, `.`, and unlike an id such as s1";
        return Err(CliError::usage(format!("--name {name}: a name has {rule}")));
    }
    Ok(())
}
