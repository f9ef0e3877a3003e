//! `qtrail train`: trains one given architecture, outside any search.

use super::settings::{self, SettingsArgs};
use super::{CliError, Context, work};
use crate::arch::Architecture;
use crate::engine::session::NewRun;
use crate::events::RunModel;

/// Trains one given architecture.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The architecture, as in '[C(64,3,1), P(2,2), SM(10)]'
    architecture: String,
    /// How often, each time with another seed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeats: u32,
    #[command(flatten)]
    settings: SettingsArgs,
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
    let mut config = args.settings.read(Some("demo"), &[])?;
    let prepared = settings::images(&args.work, context, &mut config)?;
    if architecture.classes() != prepared.facts.classes {
        let (has, wants) = (architecture.classes(), prepared.facts.classes);
        return Err(CliError::usage(format!(
            "{architecture} has {has} classes, {} has {wants}",
            prepared.facts.name
        )));
    }
    let work = args.work.with_trainers_for(args.repeats, args.settings.threads_told())?;
    let trainers = args.settings.precision.allow(work::trainers(&work, context)?);
    let precision = config.recipe.precision;
    let mut session = work::session_to_begin(context, trainers, precision)?;
    let run = NewRun {
        models: vec![RunModel { index: 0, architecture, source: None, initial: None }],
        repeats: args.repeats,
        seed: args.settings.seed,
        threads: work::threads_each(args.settings.threads_told(), session.hire(precision)?),
        ..NewRun::default()
    };
    let (scope, lock) = session.begin_run(&config, run, &prepared)?;
    let job = session.job(scope)?;
    work::announce(scope, &*job);
    work::carry_on(session, scope, lock, job, &prepared.folder)
}
