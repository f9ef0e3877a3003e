//! `qtrail train`: trains one given architecture, outside any search.

use std::path::PathBuf;

use super::{CliError, Context, work};
use crate::arch::Architecture;
use crate::config::{Flavour, SearchConfig, presets};
use crate::engine::session::{prepare, read_limited};
use crate::log::Store;

/// Trains one given architecture.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The architecture, as in '[C(64,3,1), P(2,2), SM(10)]'
    architecture: String,
    /// How often, each time with another seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    /// The preset whose data and recipe to use
    #[arg(long, value_name = "NAME", default_value = "demo", conflicts_with = "config")]
    preset: String,
    /// A configuration file (TOML) whose data and recipe to use
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What holds where the paper and its authors' code differ: paper or code
    #[arg(long)]
    flavour: Option<Flavour>,
    /// A single setting laid over the configuration, as in recipe.epochs=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Seed of training
    #[arg(long, default_value_t = 0)]
    seed: u64,
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
    let architecture: Architecture = args.architecture.parse().map_err(|error| {
        CliError::usage(format!("{}: {error}", args.architecture))
            .hint("an architecture looks like '[C(64,3,1), P(2,2), FC(128), SM(10)]'")
    })?;
    let text = match &args.config {
        None => presets::text(&args.preset)?.to_owned(),
        Some(file) => read_limited(file, 64 * 1024).map_err(|error| {
            CliError::usage(format!("cannot read the configuration {}: {error}", file.display()))
        })?,
    };
    let mut config = SearchConfig::read(&text, args.flavour, &args.settings)?;
    let wanted = args.work.data.clone().unwrap_or_else(|| config.data.name.clone());
    let data = context.data.locate(&wanted)?;
    config.data.name.clone_from(&data.name);
    let prepared = prepare(&config, &data)?;
    if architecture.classes() != prepared.facts.classes {
        let (has, wants) = (architecture.classes(), prepared.facts.classes);
        return Err(CliError::usage(format!(
            "{architecture} has {has} classes, {} has {wants}",
            data.name
        )));
    }
    let threads = args.threads.unwrap_or_else(work::threads).max(1);
    let store = Store::open_or_create(&context.store)?;
    let mut session = work::session(&args.work, context, store)?;
    let (scope, lock) =
        session.begin_run(&config, architecture, args.repeats, args.seed, threads, &prepared)?;
    let job = session.job(scope)?;
    work::announce(scope, &*job);
    work::carry_on(session, scope, lock, job, &prepared.folder)
}
